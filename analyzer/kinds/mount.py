"""MOUNT: struct mount, a bind mount of a namespace file: what `ip netns add` makes.

A mount is in one mount namespace and pins the dentry at its root (fs/namespace.c, clone_mnt()).
Mounts of other things pin nothing that is looked at, and are left out. The count of a mount is
spread over the processors and is not read. Detached mounts (open_tree(2)) are in no tree that could
be walked: what they hold stays unnamed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.kinds._paths import paths
from analyzer.kinds.base import Association, Edges, Judged, Kind, Pointer
from analyzer.kinds.nsfs import on_nsfs
from analyzer.kinds.superblock import shown
from analyzer.memory.trees import rbtrees
from analyzer.memory.walk import Elements, rings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Memory

MOUNT: Final = Association("mount", "is mounted in it", collects=False)
BIND: Final = Association("bind", "bind mount of it")


def mounted(memory: Memory, namespaces: U64) -> Iterator[Edges]:
    """Yield the superblocks and the namespace files that are mounted in mount namespaces."""
    mounts = _mounts(memory, namespaces)
    yield shown(memory, mounts)
    ours = np.flatnonzero(_of_nsfs(memory, mounts.value))
    yield Edges(MOUNT, "MOUNT", mounts.owner[ours], mounts.value[ours], torn=mounts.torn)


def points(memory: Memory, namespaces: U64, superblocks: U64) -> npt.NDArray[np.object_]:
    """Return where each superblock is mounted in its mount namespace, "" where that is not seen."""
    distinct = np.unique(namespaces)
    mounts = _mounts(memory, distinct)
    read = memory.gather(mounts.value, "mount", {"sb": "mnt.mnt_sb", "root": "mnt.mnt_root"})
    at: dict[tuple[int, int], int] = {}
    met = zip(distinct[mounts.owner[read.ok]].tolist(), read["sb"][read.ok].tolist(),
              np.flatnonzero(read.ok).tolist(), strict=True)  # fmt: skip
    for namespace, superblock, index in met:
        at.setdefault((namespace, superblock), index)
    wanted = zip(namespaces.tolist(), superblocks.tolist(), strict=True)
    chosen = np.array([at.get(pair, -1) for pair in wanted], np.intp)
    found = np.full(len(chosen), "", object)
    seen = np.flatnonzero(chosen >= 0)
    found[seen] = paths(memory, mounts.value[chosen[seen]], read["root"][chosen[seen]])
    return found


def _mounts(memory: Memory, namespaces: U64) -> Elements:
    # An rb-tree since 6.8 (2eea9ce4310d "mounts: keep list of mounts in an rbtree").
    if memory.has("mnt_namespace", "mounts.rb_node"):
        root = memory.gather(namespaces, "mnt_namespace", {"top": "mounts.rb_node"})
        found = rbtrees(memory, np.where(root.ok, root["top"], np.uint64(0)))
        link = memory.offset("mount", "mnt_node")
    else:
        found = rings(memory, namespaces + np.uint64(memory.offset("mnt_namespace", "list")))
        link = memory.offset("mount", "mnt_list")
    return Elements(found.owner, found.index, found.value - np.uint64(link), found.torn)


def _of_nsfs(memory: Memory, mounts: U64) -> Mask:
    read = memory.gather(mounts, "mount", {"sb": "mnt.mnt_sb"})
    result: Mask = read.ok & on_nsfs(memory, read["sb"])
    return result


def _names(memory: Memory, mounts: U64) -> npt.NDArray[np.object_]:
    """Return where each is mounted, as its mount namespace sees it."""
    return paths(memory, mounts, memory.gather(mounts, "mount", {"root": "mnt.mnt_root"})["root"])


KIND: Final = Kind(
    name="MOUNT",
    struct="mount",
    title="mount of a namespace file",
    plural="mounts of namespace files",
    message="mount",
    order=85,
    rank=92,
    counters=(),
    judged=Judged.NOT,
    pointers=(Pointer(("mnt.mnt_root",), "NSFS", BIND),),
    names=_names,
    derived=True,
)
