"""Locks on files: where the kernel keeps them, by the inode (include/linux/filelock.h)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.memory.distinct import unique
from analyzer.memory.walk import rings

if TYPE_CHECKING:
    import numpy.typing as npt

    from analyzer.kinds.base import I64, U64
    from analyzer.memory.reader import Memory

READ: Final = 0  # F_RDLCK, include/uapi/asm-generic/fcntl.h


def held(memory: Memory, contexts: U64) -> tuple[I64, U64]:
    """Return the locks in the `i_flctx` of n inodes: of which it is each, and its `file_lock`.

    An inode may be freed while it is read, and what was its context be in another list: one of a
    million dentries, say. So each lock has to be through a file of an inode with that context.
    """
    link = np.uint64(memory.offset("file_lock", ("c.flc_list", "fl_list")))
    owner, lock = [], []
    for offset in (
        memory.offset("file_lock_context", "flc_flock"),
        memory.offset("file_lock_context", "flc_posix"),
        memory.offset("file_lock_context", "flc_lease"),
    ):
        listed = rings(memory, contexts + np.uint64(offset))
        owner.append(listed.owner)
        lock.append(listed.value - link)
    owners, locks = np.concatenate(owner), np.concatenate(lock)
    file = memory.gather(locks, "file_lock", {"file": ("c.flc_file", "fl_file")})["file"]
    inode = memory.gather(file, "file", {"inode": "f_inode"})["inode"]
    genuine = memory.gather(inode, "inode", {"context": "i_flctx"})["context"] == contexts[owners]
    return owners[genuine], locks[genuine]


def of_files(memory: Memory, files: U64, contexts: U64) -> npt.NDArray[np.object_]:
    """Return how each file is locked through itself: shared, exclusive, or "".

    `contexts` are the `i_flctx` of their inodes, 0 where there is none.
    """
    said = np.full(len(files), "", object)
    known = unique(contexts[contexts != 0])
    if not len(known):
        return said
    _, lock = held(memory, known)
    read = memory.gather(
        lock, "file_lock", {"file": ("c.flc_file", "fl_file"), "type": ("c.flc_type", "fl_type")}
    )
    said[np.isin(files, read["file"][read.ok])] = "shared"
    said[np.isin(files, read["file"][read.ok & (read["type"] != READ)])] = "exclusive"
    return said
