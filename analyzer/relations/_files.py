"""What open files, roots and working directories are on: columns that several relations ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.values import dataclass
from analyzer.kinds._paths import paths
from analyzer.kinds.mount import of_vfs
from analyzer.memory.distinct import unique

if TYPE_CHECKING:
    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Memory
    from analyzer.relations.base import World

WRITE: Final = 0x2  # FMODE_WRITE, include/linux/fs.h
PATH_ONLY: Final = 0x4000  # FMODE_PATH
# The struct pid; since 6.12 a struct of its own, a `fown_struct`.
OWNER: Final = ("f_owner.pid", "f_owner")


@dataclass(frozen=True)
class Files:
    """All open files, sorted by address: inode, mode bits (FMODE_*), mount (struct mount), dentry.

    `ops` is the `f_op`, `data` the `private_data`, `owner` is not 0 where events are signalled to
    somebody. `good` marks those that could be read.
    """

    address: U64
    inode: U64
    mode: npt.NDArray[Any]
    mount: U64
    dentry: U64
    ops: U64
    data: U64
    owner: U64
    good: Mask


def files(world: World) -> Files:
    """Return what is known of every open file of a reading (`world.once(files)`)."""
    memory, address = world.memory, world.all("FILE")
    read = memory.gather(
        address,
        "file",
        {
            "inode": "f_inode",
            "mode": "f_mode",
            "mnt": "f_path.mnt",
            "dentry": "f_path.dentry",
            "ops": "f_op",
            "data": "private_data",
            "owner": OWNER,
        },
    )
    return Files(
        address,
        read["inode"],
        read["mode"],
        of_vfs(memory, read["mnt"]),
        read["dentry"],
        read["ops"],
        read["data"],
        read["owner"],
        read.ok & (read["inode"] != 0),
    )


def inodes(world: World) -> U64:
    """Return the inodes of open files, sorted (`world.once(inodes)`)."""
    return unique(world.once(files).inode)


def met(world: World) -> U64:
    """Return the inodes of the open files of the subtree, sorted (`world.once(met)`).

    Only there can the two sides meet. They are all where all is told.
    """
    if world.host or not world.inside:
        return world.once(inodes)
    return unique(world.once(files).inode[collected(world)])


def mounted(world: World) -> U64:
    """Return the mounts that open files are on, sorted; 0 of one that could not be read."""
    return unique(world.once(files).mount)


def collected(world: World) -> Mask:
    """Tell which of all open files are the subtree's."""
    return world.collected.get("FILE", np.zeros(0, np.bool_))


def places(memory: Memory, mounts: U64) -> npt.NDArray[np.object_]:
    """Return where each mount is mounted, as its own mount namespace sees it (str)."""
    read = memory.gather(mounts, "mount", {"root": "mnt.mnt_root"})
    return paths(memory, mounts, read["root"])
