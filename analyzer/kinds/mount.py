"""MOUNT: struct mount, a filesystem, or a part of one, at a place in a tree of mounts.

A mount is in one mount namespace and shows one superblock; a bind mount of a namespace file, what
`ip netns add` makes, pins the dentry at its root, too (fs/namespace.c, clone_mnt()). The count of a
mount is spread over the processors and is not read.

One that was detached (umount2(2) with MNT_DETACH), or is in no tree yet (open_tree(2), fsmount(2)),
is in no mount namespace: what is on it leads to it, and keeps it (`struct path` counts). Mounts of
the kernel's own, for pipes and sockets, are nobody's and are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import Fact
from analyzer.kinds._paths import paths, within
from analyzer.kinds.base import Association, Edges, Judged, Kind, Known, State
from analyzer.kinds.nsfs import on_nsfs
from analyzer.kinds.superblock import FILESYSTEM, NUMBER, READ_ONLY, SHOWN, numbers, types
from analyzer.memory.distinct import find, member, unique
from analyzer.memory.programs import plausible
from analyzer.memory.trees import rbtrees
from analyzer.memory.walk import Elements, rings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import I64, U64, Mask, Told
    from analyzer.memory.reader import Memory

MOUNT: Final = Association("mount", "is mounted in it", collects=False)
BIND: Final = Association("bind", "bind mount of it")
ON: Final = Association("f_path.mnt", "is on it, detached", collects=False)
ROOT: Final = Association("root.mnt", "its root is on it, detached", collects=False)
PWD: Final = Association("pwd.mnt", "its working directory is on it, detached", collects=False)

_MNT_READONLY: Final = 0x40  # include/linux/mount.h


def mounted(memory: Memory, namespaces: U64) -> Iterator[Edges]:
    """Yield the mounts of mount namespaces."""
    mounts = _mounts(memory, namespaces)
    yield Edges(MOUNT, "MOUNT", mounts.owner, mounts.value, torn=mounts.torn)


def of_vfs(memory: Memory, vfsmounts: U64) -> U64:
    """Return the struct mount around each struct vfsmount; 0 stays 0."""
    offset = np.uint64(memory.offset("mount", "mnt"))
    mounts: U64 = vfsmounts - offset
    mounts[vfsmounts == 0] = 0
    return mounts


def on_detached(memory: Memory, vfsmounts: U64, association: Association) -> Edges:
    """Return which of the places (their `path.mnt`, 0 is none) are on a mount of no namespace."""
    mounts = of_vfs(memory, vfsmounts)
    distinct = unique(mounts[mounts != 0])
    loose = distinct[detached(memory, distinct)]
    at = np.flatnonzero(find(loose, mounts)[1])
    return Edges(association, "MOUNT", at, mounts[at])


def detached(memory: Memory, mounts: U64) -> Mask:
    """Tell which mounts are in no mount namespace, or in one that nobody can be in."""
    read = memory.gather(mounts, "mount", {"ns": "mnt_ns"})
    spaces = unique(read["ns"][read.ok & plausible(read["ns"])])
    # is_anon_ns(), fs/mount.h: the only ones without a number.
    number = memory.gather(spaces, "mnt_namespace", {"number": ("ns.ns_id", "seq")})
    anonymous = spaces[number.ok & (number["number"] == 0)]
    result: Mask = read.ok & ((read["ns"] == 0) | find(anonymous, read["ns"])[1])
    return result


def internal(memory: Memory, mounts: U64) -> Mask:
    """Tell which mounts are the kernel's own (MNT_NS_INTERNAL, fs/mount.h: an error for a pointer).

    They are of no namespace, and what is on them never had a name.
    """
    distinct = unique(mounts)
    read = memory.gather(distinct, "mount", {"ns": "mnt_ns"})
    own = distinct[read.ok & (read["ns"] != 0) & ~plausible(read["ns"])]
    result: Mask = member(mounts, own)
    return result


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


def _walk(memory: Memory, mounts: U64) -> Iterator[Edges]:
    read = memory.gather(mounts, "mount", {"sb": "mnt.mnt_sb", "root": "mnt.mnt_root"})
    at = np.flatnonzero(read.ok)
    yield Edges(SHOWN, "SUPERBLOCK", at, read["sb"][at])
    ours = at[on_nsfs(memory, read["sb"][at])]
    yield Edges(BIND, "NSFS", ours, read["root"][ours])


def _names(memory: Memory, mounts: U64) -> npt.NDArray[np.object_]:
    """Return where each is mounted, as its mount namespace sees it; of what, if it is detached."""
    read = memory.gather(mounts, "mount", {"root": "mnt.mnt_root", "sb": "mnt.mnt_sb"})
    names = paths(memory, mounts, read["root"])
    loose = np.flatnonzero(detached(memory, mounts))
    kinds = types(memory, read["sb"][loose])
    names[loose] = [f"(detached {kind})" if kind else "(detached)" for kind in kinds]
    return names


def _state(memory: Memory, mounts: U64) -> Told:
    read = memory.gather(
        mounts, "mount",
        {"root": "mnt.mnt_root", "flags": "mnt.mnt_flags", "id": "mnt_id",
         "group": "mnt_group_id", "master": "mnt_master", "sb": "mnt.mnt_sb",
         "parent": "mnt_parent"},
    )  # fmt: skip
    parent = memory.gather(read["parent"], "mount", {"id": "mnt_id"})
    block = memory.gather(read["sb"], "super_block", {"dev": "s_dev"})
    master = memory.gather(read["master"], "mount", {"group": "mnt_group_id"})

    def known(values: npt.NDArray[Any], mask: Mask) -> Known:
        return Known(values.astype(np.int64), read.ok & mask)

    always = np.ones(len(mounts), np.bool_)
    group: I64 = read["group"].astype(np.int64)
    return {
        "mount_id": known(read["id"], always),
        "read_only": known(read["flags"].astype(np.int64) & _MNT_READONLY != 0, always),
        "detached": known(detached(memory, mounts), always),
        "peer_group": known(group, group > 0),
        "master_group": known(master["group"], master.ok & (read["master"] != 0)),
        "mounts": within(memory, read["root"]),
        "parent_mount": known(parent["id"], parent.ok & (read["parent"] != mounts)),
        "filesystem": types(memory, read["sb"]),
        "device": np.where(block.ok, numbers(block["dev"].astype(np.int64)), ""),
    }


_FACTS: Final = (
    Fact("mount_id", "number", "the number of a mount, as in /proc/PID/mountinfo"),
    READ_ONLY,
    Fact("detached", "number", "1 if a mount is in no mount namespace"),
    Fact("peer_group", "number", "mounts of one group get what is mounted in any of them"),
    Fact("master_group", "number", "the group whose mounts and unmounts a mount follows"),
    Fact("mounts", "text", "which directory or file of its filesystem a mount shows"),
    Fact("parent_mount", "number", "the mount that it is mounted on", aside=True),
    FILESYSTEM,
    NUMBER,
)

KIND: Final = Kind(
    name="MOUNT",
    struct="mount",
    title="mount",
    plural="mounts",
    message="mount",
    order=85,
    rank=92,
    counters=(),
    judged=Judged.NOT,
    walk=_walk,
    walk_associations=(SHOWN, BIND),
    names=_names,
    derived=True,
    state=State(_FACTS, _state),
    keeps=True,
)
