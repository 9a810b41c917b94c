"""Files of overlayfs: each holds the file, or files, of the layers that it shows.

A regular file holds its `realfile`, and its `upperfile` where it was opened before it was copied
up and is read through the copy since (fs/overlayfs/file.c). Both are in `struct ovl_file` since
6.13 ("ovl: allocate a container struct ovl_file for ovl private context"); before, `private_data`
was the real file itself. A directory has its own in a `struct ovl_dir_file`
(fs/overlayfs/readdir.c). A mapping is not here: it holds the real file, not the overlay's.

Nothing can be opened on overlayfs where none is mounted: the files are recognised by the magic
number of their superblock.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.kinds._superblock_of import magic_of
from analyzer.kinds.base import Association, Edges, FileType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Memory

REAL: Final = Association("overlay.real", "shows it")
UPPER: Final = Association("overlay.upper", "shows it, copied up")
SHOWN: Final = (REAL.name, UPPER.name)

_MAGIC: Final = 0x794C7630  # OVERLAYFS_SUPER_MAGIC
_MEMBERS: Final = ((REAL, "realfile"), (UPPER, "upperfile"))


def _is_regular(memory: Memory, files: U64) -> Mask:
    mask: Mask = magic_of(memory, files, stat.S_IFREG) == _MAGIC
    return mask


def _is_directory(memory: Memory, files: U64) -> Mask:
    mask: Mask = magic_of(memory, files, stat.S_IFDIR) == _MAGIC
    return mask


def _of_regular(memory: Memory, files: U64) -> Iterator[Edges]:
    if memory.has("ovl_file", "realfile"):
        yield from _in_struct(memory, files, "ovl_file")
    else:
        data = memory.gather(files, "file", {"real": "private_data"})
        at = np.flatnonzero(data.ok & _are_files(memory, data["real"]))
        yield Edges(REAL, "FILE", at, data["real"][at])


def _of_directories(memory: Memory, files: U64) -> Iterator[Edges]:
    if memory.has("ovl_dir_file", "realfile"):
        yield from _in_struct(memory, files, "ovl_dir_file")


def _in_struct(memory: Memory, files: U64, struct: str) -> Iterator[Edges]:
    data = memory.gather(files, "file", {"own": "private_data"})
    read = memory.gather(data["own"], struct, {}, optional={name: name for _, name in _MEMBERS})
    for association, name in _MEMBERS:
        if name in read:
            at = np.flatnonzero(read.ok & (read[name] != 0))
            yield Edges(association, "FILE", at, read[name][at])


def _are_files(memory: Memory, addresses: U64) -> Mask:
    """Tell which may be open regular files: the mapping of one is its inode's."""
    file = memory.gather(addresses, "file", {"inode": "f_inode", "mapping": "f_mapping"})
    inode = memory.gather(file["inode"], "inode", {"mapping": "i_mapping"})
    mask: Mask = file.ok & inode.ok & (file["mapping"] == inode["mapping"])
    return mask


FILE_TYPES: Final = (
    FileType("overlay", None, _of_regular, (REAL, UPPER), _is_regular),
    FileType("overlay.dir", None, _of_directories, (REAL, UPPER), _is_directory),
)
