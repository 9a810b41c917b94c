"""PIPE: struct pipe_inode_info, what the two ends of a pipe have in common; a FIFO has one too.

`files` counts the open files on it, of both ends (fs/pipe.c). Each end is a file of its own, so a
pipe to somebody outside shows in no file's count: it shows here. linux-cr did not look.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.kinds.base import Association, Counter, Edges, FileType, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Memory

READER: Final = Association("pipe.reader", "reads from it")
WRITER: Final = Association("pipe.writer", "writes to it")
BOTH: Final = Association("pipe.both", "reads from it and writes to it")

_TYPE: Final = 0o170000  # S_IFMT
_ENDS: Final = (READER, WRITER, BOTH)
_MODES: Final = ((1, READER), (2, WRITER), (3, BOTH))  # FMODE_READ, FMODE_WRITE


def _are_pipes(memory: Memory, files: U64) -> Mask:
    """Recognise both kinds of pipe: one without a name has operations of its own since 6.15."""
    read = memory.gather(files, "file", {"inode": "f_inode", "data": "private_data"})
    inode = memory.gather(read["inode"], "inode", {"mode": "i_mode", "pipe": "i_pipe"})
    fifo = _TYPE & inode["mode"] == stat.S_IFIFO
    mask: Mask = inode.ok & fifo & (inode["pipe"] != 0) & (inode["pipe"] == read["data"])
    return mask


def _of_files(memory: Memory, files: U64) -> Iterator[Edges]:
    read = memory.gather(files, "file", {"pipe": "private_data", "mode": "f_mode"})
    for bits, association in _MODES:
        at = np.flatnonzero(read.ok & (read["pipe"] != 0) & (read["mode"] & 3 == bits))
        yield Edges(association, "PIPE", at, read["pipe"][at])


KIND: Final = Kind(
    name="PIPE",
    struct="pipe_inode_info",
    title="pipe",
    plural="pipes",
    message="pipe",
    order=95,
    rank=50,
    counters=(Counter("files"),),
    file_types=(FileType("pipe", None, _of_files, _ENDS, _are_pipes),),
    named_by_files=True,
)
