"""covered: an open file, a root or a working directory that its own path does not lead to any more.

Something was mounted over it, or over a directory that it is in: who has it open keeps it, and who
opens its path gets something else. So does a restore (CRIU: "Unaccessible path opened"). What is
mounted where is in the list of children of each mount (`mnt_mounts`, fs/mount.h): on the way from
the file to the root of its mount namespace none of them may be at one of the directories.

That is no crossing of any border, and is looked for in one only for who asks what a checkpoint
would do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.kinds.mount import of_vfs
from analyzer.memory.distinct import find, unique
from analyzer.memory.walk import rings
from analyzer.relations._files import files
from analyzer.relations.base import Related, Relation, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory
    from analyzer.relations.base import World

_MOST_STEPS: Final = 4096  # PATH_MAX, and mounts upon mounts


def _find(world: World) -> Iterator[Related]:
    memory, found = world.memory, world.once(files)
    at, over = _over(memory, found.mount[found.good], found.dentry[found.good])
    yield Related("FILE", found.address[found.good][at], "MOUNT", over)
    places = world.all("FS")
    for role, field in (("cwd", "pwd"), ("root", "root")):
        read = memory.gather(
            places, "fs_struct", {"mnt": f"{field}.mnt", "dentry": f"{field}.dentry"}
        )
        at, over = _over(memory, of_vfs(memory, read["mnt"]), read["dentry"])
        yield Related("FS", places[at], "MOUNT", over, role=words(len(at), role))


def _over(memory: Memory, mounts: U64, dentries: U64) -> tuple[npt.NDArray[np.intp], U64]:
    """Return which places are covered, and the mount that is over each."""
    keys, covers = _points(memory, unique(mounts[mounts != 0]))
    over = np.zeros(len(mounts), np.uint64)
    who, mount, dentry = np.arange(len(mounts)), mounts, dentries
    arrived = np.zeros(len(mounts), np.bool_)  # by way of a mount that is right here
    for _ in range(_MOST_STEPS):
        if not len(who):
            break
        place, there = find(keys, _key(mount, dentry))
        there &= ~arrived
        over[who[there]] = covers[place[there]] if len(covers) else 0
        read = memory.gather(
            mount, "mount",
            {"root": "mnt.mnt_root", "parent": "mnt_parent", "point": "mnt_mountpoint"},
        )  # fmt: skip
        above = memory.gather(dentry, "dentry", {"parent": "d_parent"})
        up = read["root"] == dentry
        going = read.ok & above.ok & ~there & np.where(
            up, read["parent"] != mount, above["parent"] != dentry
        )  # fmt: skip
        dentry = np.where(up, read["point"], above["parent"])[going]
        mount = np.where(up, read["parent"], mount)[going]
        who, arrived = who[going], up[going]
    rows = np.flatnonzero(over)
    return rows, over[rows]


def _points(memory: Memory, mounts: U64) -> tuple[U64, U64]:
    """Return where in these mounts and in those above others are mounted, and which.

    A place is one number, and they are sorted.
    """
    known, new = mounts[:0], mounts
    while len(new):
        known = unique(known, new)
        parents = memory.gather(new, "mount", {"parent": "mnt_parent"})
        above = unique(parents["parent"][parents.ok & (parents["parent"] != 0)])
        new = above[~find(known, above)[1]]
    known = _with_children(memory, known)
    listed = rings(memory, known + np.uint64(memory.offset("mount", "mnt_mounts")))
    child = listed.value - np.uint64(memory.offset("mount", "mnt_child"))
    read = memory.gather(child, "mount", {"point": "mnt_mountpoint"})
    keys = _key(known[listed.owner], read["point"])[read.ok]
    order = np.argsort(keys, kind="stable")
    return keys[order], child[read.ok][order]


def _with_children(memory: Memory, mounts: U64) -> U64:
    """Return the mounts whose first child is theirs: what is reused may be in any list, a long one.

    Without children are all others.
    """
    first, ok = memory.pointers(mounts + np.uint64(memory.offset("mount", "mnt_mounts")))
    child = first - np.uint64(memory.offset("mount", "mnt_child"))
    read = memory.gather(child, "mount", {"parent": "mnt_parent"})
    theirs: U64 = mounts[ok & read.ok & (read["parent"] == mounts)]
    return theirs


def _key(mounts: U64, dentries: U64) -> U64:
    # One number for a pair: a false one is less likely than memory's own errors.
    mixed: U64 = mounts * np.uint64(0x9E3779B97F4A7C15) ^ dentries
    return mixed


RELATION: Final = Relation(
    name="covered",
    title="below what was mounted over it",
    plural="below what was mounted over them",
    left="is below",
    right="is mounted over it",
    impact=Impact.LOST,
    next="close it, or umount what is over it",
    alone=True,
    told=False,
    asked=True,
    kernel=_find,
)
