"""The superblock of an open file, by which the types of file that we cannot open are recognised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

_FORMAT: Final = 0o170000  # S_IFMT


def magic_of(memory: Memory, files: U64, file_format: int) -> U64:
    """Return the magic number (include/uapi/linux/magic.h) of each file's superblock.

    It is 0 for an inode of another format than `file_format` (stat.S_IFREG, ...).
    """
    read = memory.gather(files, "file", {"inode": "f_inode"})
    inode = memory.gather(read["inode"], "inode", {"mode": "i_mode", "sb": "i_sb"})
    found = memory.gather(inode["sb"], "super_block", {"magic": "s_magic"})
    good = read.ok & inode.ok & found.ok & (inode["mode"] & _FORMAT == file_format)
    magic: U64 = np.where(good, found["magic"], 0).astype(np.uint64)
    return magic
