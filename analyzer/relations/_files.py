"""What open files, roots and working directories are on: columns that several relations ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.kinds._paths import paths
from analyzer.kinds.mount import of_vfs

if TYPE_CHECKING:
    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Memory
    from analyzer.relations.base import World

WRITE: Final = 0x2  # FMODE_WRITE, include/linux/fs.h
PATH_ONLY: Final = 0x4000  # FMODE_PATH


@dataclass(frozen=True)
class Files:
    """All open files, sorted by address: inode, mode bits (FMODE_*), mount (struct mount), dentry.

    `good` marks those that could be read.
    """

    address: U64
    inode: U64
    mode: npt.NDArray[Any]
    mount: U64
    dentry: U64
    good: Mask


def files(world: World) -> Files:
    """Return what is known of every open file of a reading (`world.once(files)`)."""
    memory, address = world.memory, world.all("FILE")
    read = memory.gather(
        address,
        "file",
        {"inode": "f_inode", "mode": "f_mode", "mnt": "f_path.mnt", "dentry": "f_path.dentry"},
    )
    return Files(
        address,
        read["inode"],
        read["mode"].astype(np.int64),
        of_vfs(memory, read["mnt"]),
        read["dentry"],
        read.ok & (read["inode"] != 0),
    )


def places(memory: Memory, mounts: U64) -> npt.NDArray[np.object_]:
    """Return where each mount is mounted, as its own mount namespace sees it (str)."""
    read = memory.gather(mounts, "mount", {"root": "mnt.mnt_root"})
    return paths(memory, mounts, read["root"])
