"""PIPE: struct pipe_inode_info, what the two ends of a pipe have in common; a FIFO has one too.

`files` counts the open files on it, of both ends (fs/pipe.c). Each end is a file of its own, so a
pipe to somebody outside shows in no file's count: it shows here. linux-cr did not look.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Fact, Impact
from analyzer.kinds.base import Association, Counter, Edges, FileType, Kind, Known, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask, Told
    from analyzer.memory.reader import Memory

READER: Final = Association("pipe.reader", "reads from it")
WRITER: Final = Association("pipe.writer", "writes to it")
BOTH: Final = Association("pipe.both", "reads from it and writes to it")

_TYPE: Final = 0o170000  # S_IFMT
_MOST_SLOTS: Final = 1 << 19  # of 4096 bytes: F_SETPIPE_SZ takes 2 GiB at most (fs/pipe.c)
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


def _state(memory: Memory, pipes: U64) -> Told:
    read = memory.gather(pipes, "pipe_inode_info", {"readers": "readers", "writers": "writers"})
    unread, known = _unread(memory, pipes)
    return {
        "readers": Known(read["readers"], read.ok),
        "writers": Known(read["writers"], read.ok),
        "unread": Known(unread, known),
    }


def _unread(memory: Memory, pipes: U64) -> tuple[npt.NDArray[np.int64], Mask]:
    """Add up the lengths of the buffers between tail and head, as FIONREAD does (pipe_ioctl()).

    The memory of a pipe that ended meanwhile is something else: what no pipe has is not known.
    """
    read = memory.gather(
        pipes,
        "pipe_inode_info",
        {"head": "head", "tail": "tail", "ring": "ring_size", "bufs": "bufs"},
    )
    head, tail = read["head"].astype(np.int64), read["tail"].astype(np.int64)
    wrap = np.int64(1) << (8 * read["head"].dtype.itemsize)
    ring, used = read["ring"].astype(np.int64), (head - tail) % wrap
    # Also while both ends move on: a head from before its tail is 2**32 buffers ahead.
    known = read.ok & (ring <= _MOST_SLOTS) & (ring & (ring - 1) == 0) & (used <= ring)
    used = np.where(known, used, 0)
    owner = np.repeat(np.arange(len(pipes)), used)
    ordinal = np.arange(len(owner)) - np.repeat(np.cumsum(used) - used, used)
    slot = (tail[owner] + ordinal) & (ring[owner] - 1)
    size = memory.layout.sizeof("pipe_buffer") or 0
    buffers = read["bufs"][owner] + (slot * size).astype(np.uint64)
    lengths = memory.gather(buffers, "pipe_buffer", {"len": "len"})["len"]
    return np.bincount(owner, lengths, len(pipes)).astype(np.int64), known


_FACTS: Final = (
    Fact("readers", "number", "open files that read from the pipe"),
    Fact("writers", "number", "open files that write to the pipe"),
    Fact("unread", "number", "what was written and not yet read", unit="bytes"),
)

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
    state=State(_FACTS, _state),
    leaked=Impact.SHARED_STATE,
)
