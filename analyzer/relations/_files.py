"""What open files, roots and working directories are on: columns that several relations ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.values import dataclass
from analyzer.kinds._paths import paths
from analyzer.kinds.mount import of_vfs
from analyzer.memory.distinct import find, member, unique

if TYPE_CHECKING:
    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Memory
    from analyzer.relations.base import World

WRITE: Final = 0x2  # FMODE_WRITE, include/linux/fs.h
PATH_ONLY: Final = 0x4000  # FMODE_PATH
# The struct pid; since 6.12 a struct of its own, a `fown_struct`.
OWNER: Final = ("f_owner.pid", "f_owner")
_TYPE: Final = 0o170000  # S_IFMT
_NOBODY: Final = np.empty(0, np.uint64)


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
        read["mode"].astype(np.int64),
        of_vfs(memory, read["mnt"]),
        read["dentry"],
        read["ops"],
        read["data"],
        read["owner"],
        read.ok & (read["inode"] != 0),
    )


@dataclass(frozen=True)
class Inodes:
    """Inodes of open files, sorted by address; `of_file` is the row of each file's (`Files`).

    The last row is none (address 0, not `good`), for files that are on another inode.

    `mode` and `links` are as stat(2) has them, `alias` is a name of it, `block` its superblock,
    `locks` and `marks` those on it (0 is none, or a kernel without). `good` marks those that could
    be read.
    """

    address: U64
    mode: npt.NDArray[Any]
    links: npt.NDArray[Any]
    alias: U64
    block: U64
    locks: U64
    marks: U64
    good: Mask
    of_file: npt.NDArray[np.intp]

    def type_of_file(self) -> npt.NDArray[Any]:
        """Return the type of each file (S_IFMT), 0 where its inode could not be read."""
        kinds: npt.NDArray[Any] = np.where(self.good, self.mode & _TYPE, 0)[self.of_file]
        return kinds


def inodes(world: World) -> Inodes:
    """Return what is known of the inodes of open files (`world.once(inodes)`)."""
    return _inodes(world, unique(world.once(files).inode))


def met(world: World) -> Inodes:
    """Return what is known of the inodes of the open files of the subtree (`world.once(met)`).

    Only there can the two sides meet. They are all where all is told.
    """
    if world.host or not world.inside:
        return world.once(inodes)
    inside, found = world.inside.get("FILE", _NOBODY), world.once(files)
    return _inodes(world, unique(found.inode[member(found.address, inside)]))


def _inodes(world: World, address: U64) -> Inodes:
    at, there = find(address, world.once(files).inode)
    # The last row is of the files that are on none of them.
    rows = np.append(address, np.uint64(0))
    read = world.memory.gather(
        rows,
        "inode",
        {
            "mode": "i_mode",
            "links": "i_nlink",
            "alias": "i_dentry.first",
            "block": "i_sb",
        },
        {"locks": "i_flctx", "marks": "i_fsnotify_marks"},
    )
    none = np.zeros(len(rows), np.uint64)
    mode, links = read["mode"].astype(np.int64), read["links"].astype(np.int64)
    return Inodes(
        rows,
        mode,
        links,
        read["alias"],
        read["block"],
        read.values.get("locks", none),
        read.values.get("marks", none),
        read.ok,
        np.where(there, at, len(address)),
    )


def places(memory: Memory, mounts: U64) -> npt.NDArray[np.object_]:
    """Return where each mount is mounted, as its own mount namespace sees it (str)."""
    read = memory.gather(mounts, "mount", {"root": "mnt.mnt_root"})
    return paths(memory, mounts, read["root"])
