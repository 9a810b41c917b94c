"""NSFS: the nsfs inode of a namespace: what an fd on /proc/PID/ns/X, or a bind mount of it, holds.

However many descriptors and bind mounts there are, the namespace is held once, by its one nsfs
inode (fs/libfs.c, path_from_stashed()); the inode's dentry counts the files and the mounts. So the
dentry stands for it here: it is not judged, and inside only if all that holds it is.

A namespace that is open there knows the dentry (`ns.stashed`; until 6.8 an atomic_long_t), so that
one which only a bind mount keeps is found as well.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.kinds.base import Association, Counter, Edges, FileType, Finder, Judged, Kind
from analyzer.memory.distinct import unique

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Memory

NSFS: Final = Association("nsfs", "is open or mounted")
FILE: Final = Association("nsfs.file", "open on it")

# The type of a namespace is its CLONE_NEW* flag (include/uapi/linux/sched.h).
_TYPES: Final = (
    ("TIME_NS", "time_namespace", 0x00000080),
    ("MNT_NS", "mnt_namespace", 0x00020000),
    ("CGROUP_NS", "cgroup_namespace", 0x02000000),
    ("UTS_NS", "uts_namespace", 0x04000000),
    ("IPC_NS", "ipc_namespace", 0x08000000),
    ("USER_NS", "user_namespace", 0x10000000),
    ("PID_NS", "pid_namespace", 0x20000000),
    ("NET_NS", "net", 0x40000000),
)
_MAGIC: Final = 0x6E736673  # include/uapi/linux/magic.h


def _open_own() -> int:
    return os.open("/proc/self/ns/uts", os.O_RDONLY | os.O_CLOEXEC)


def _open_path() -> int:
    return os.open("/", os.O_PATH | os.O_CLOEXEC)


def _of_files(memory: Memory, files: U64) -> Iterator[Edges]:
    read = memory.gather(files, "file", {"dentry": "f_path.dentry"})
    block = memory.gather(read["dentry"], "dentry", {"sb": "d_sb"})
    at = np.flatnonzero(read.ok & on_nsfs(memory, block["sb"]))
    yield Edges(FILE, "NSFS", at, read["dentry"][at])


def on_nsfs(memory: Memory, superblocks: U64) -> Mask:
    """Tell which superblocks are nsfs's."""
    distinct = unique(superblocks)
    magic = memory.gather(distinct, "super_block", {"magic": "s_magic"})
    result: Mask = np.isin(superblocks, distinct[magic.ok & (magic["magic"] == _MAGIC)])
    return result


def _stashed(memory: Memory, new: Mapping[str, U64]) -> U64:
    parts = []
    for kind, struct, _ in _TYPES:
        if kind in new:
            paths = ("ns.stashed.counter", "ns.stashed")
            read = memory.gather(new[kind], struct, {"dentry": paths})
            parts.append(read["dentry"][read.ok].astype(np.uint64))
    dentries = unique(*parts)
    block = memory.gather(dentries, "dentry", {"sb": "d_sb"})
    return dentries[on_nsfs(memory, block["sb"])]


def _walk(memory: Memory, dentries: U64) -> Iterator[Edges]:
    inode = memory.gather(dentries, "dentry", {"inode": "d_inode"})
    common = memory.gather(inode["inode"], "inode", {"ns": "i_private"})
    flags = _clone_flags(memory, common["ns"])
    for kind, struct, flag in _TYPES:
        at = np.flatnonzero(flags == flag)
        if len(at):
            embedded = np.uint64(memory.offset(struct, "ns"))
            yield Edges(NSFS, kind, at, common["ns"][at] - embedded)


def _clone_flags(memory: Memory, namespaces: U64) -> U64:
    """Read which CLONE_NEW* flag makes such a namespace; 0 where it cannot be read."""
    if memory.has("ns_common", "ns_type"):  # 6.18; ns->ops->type before
        read = memory.gather(namespaces, "ns_common", {"type": "ns_type"})
    else:
        ops = memory.gather(namespaces, "ns_common", {"ops": "ops"})
        read = memory.gather(ops["ops"], "proc_ns_operations", {"type": "type"})
    return np.where(read.ok, read["type"], 0).astype(np.uint64)


KIND: Final = Kind(
    name="NSFS",
    struct="dentry",
    title="namespace file",
    plural="namespace files",
    message="nsfs",
    order=90,
    rank=91,
    counters=(Counter("d_lockref.count"),),
    judged=Judged.NOT,
    walk=_walk,
    walk_associations=(NSFS,),
    finder=Finder(after=tuple(kind for kind, _, _ in _TYPES), find=_stashed),
    file_types=(
        FileType("nsfs", _open_own, _of_files, (FILE,), symbols=("ns_file_operations",)),
        FileType("o_path", _open_path, _of_files, (), symbols=("empty_fops",)),
    ),
    derived=True,
    through={"": "is open on it"},
)
