"""Mounts and what they show: columns that several relations ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.values import dataclass
from analyzer.kinds._initial import initial
from analyzer.kinds.mount import of_vfs
from analyzer.memory.distinct import find, member, unique

if TYPE_CHECKING:
    import numpy.typing as npt

    from analyzer.kinds.base import I64, U64, Mask
    from analyzer.memory.reader import Memory
    from analyzer.relations.base import World

_READ_ONLY: Final = 0x40  # MNT_READONLY, include/linux/mount.h
_SB_RDONLY: Final = 1
_DEEPEST: Final = 4096  # PATH_MAX


@dataclass(frozen=True)
class Mounts:
    """All mounts of mount namespaces: the namespace, the filesystem, what of it they show.

    `group` is the peer group, `master` that which the mount follows; 0 is none. `inside` are those
    of a mount namespace that the subtree owns and that is not the host's, but for those that are
    below the root directories of all its processes in there (where a runtime could not
    pivot_root(2) and moved the root onto the host's): nobody gets there. `outside` are those of
    other mount namespaces, `hosts` the host's.
    """

    address: U64
    space: U64
    superblock: U64
    root: U64
    group: I64
    master: I64
    read_only: Mask
    inside: Mask
    outside: Mask
    hosts: Mask


def mounts(world: World) -> Mounts:
    """Return what is known of every mount of a reading (`world.once(mounts)`)."""
    memory = world.memory
    space, address, _ = world.held("mount")
    read = memory.gather(
        address, "mount",
        {"root": "mnt.mnt_root", "sb": "mnt.mnt_sb", "flags": "mnt.mnt_flags",
         "group": "mnt_group_id", "master": "mnt_master"},
    )  # fmt: skip
    block = memory.gather(read["sb"], "super_block", {"flags": "s_flags"})
    master = memory.gather(read["master"], "mount", {"group": "mnt_group_id"})
    good = read.ok & block.ok
    host = np.uint64(initial(memory, "mnt"))
    own = world.inside.get("MNT_NS", address[:0])
    read_only = (read["flags"].astype(np.int64) & _READ_ONLY != 0) | (
        block["flags"].astype(np.int64) & _SB_RDONLY != 0
    )
    inside = member(space, own) & (space != host)
    outside = ~inside
    inside[inside] = reachable(world, address[inside], space[inside])
    following = np.where(master.ok & (read["master"] != 0), master["group"], 0).astype(np.int64)
    return Mounts(
        address[good], space[good], read["sb"][good], read["root"][good],
        read["group"].astype(np.int64)[good], following[good], read_only[good],
        inside[good], outside[good], (space == host)[good],
    )  # fmt: skip


def reachable(world: World, address: U64, space: U64) -> Mask:
    """Tell which mounts of the subtree are at or below the root directory of a process of it.

    Of a mount namespace in which none has its root, all are.
    """
    memory = world.memory
    places = memory.gather(
        world.inside.get("FS", address[:0]), "fs_struct", {"root": "root.mnt", "pwd": "pwd.mnt"}
    )
    starts = unique(
        of_vfs(memory, np.concatenate([places[name][places.ok] for name in ("root", "pwd")]))
    )
    found = member(address, starts)
    lived = member(space, unique(space[found]))
    at = address.copy()
    for _ in range(_DEEPEST):
        going = np.flatnonzero(lived & ~found & (at != 0))
        if not len(going):
            break
        above = memory.gather(at[going], "mount", {"parent": "mnt_parent"})
        end = ~above.ok | (above["parent"] == at[going])
        at[going] = np.where(end, np.uint64(0), above["parent"])
        found[going] = member(at[going], starts)
    return found | ~lived


def covering(memory: Memory, found: Mounts, superblock: U64, dentry: U64) -> npt.NDArray[np.intp]:
    """Return the row of an outside mount in which each directory or file is seen; -1 is none.

    The host's is preferred, and of them the one whose own root is nearest.
    """
    chosen = np.full(len(dentry), -1, np.intp)
    for among in (found.hosts & found.outside, found.outside):
        todo = np.flatnonzero(chosen < 0)
        rows = np.flatnonzero(among)
        # One number for a pair; a false one would have to be an ancestor of the other too.
        keys = _key(found.superblock[rows], found.root[rows])
        order = np.argsort(keys, kind="stable")
        at = dentry[todo]
        for _ in range(_DEEPEST):
            if not len(todo):
                break
            place, there = find(keys[order], _key(superblock[todo], at))
            chosen[todo[there]] = rows[order[place[there]]]
            above = memory.gather(at, "dentry", {"parent": "d_parent"})
            going = ~there & above.ok & (above["parent"] != at) & (above["parent"] != 0)
            todo, at = todo[going], above["parent"][going]
    return chosen


def _key(superblock: U64, dentry: U64) -> U64:
    mixed: U64 = superblock * np.uint64(0x9E3779B97F4A7C15) ^ dentry
    return mixed
