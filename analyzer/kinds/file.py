"""FILE: struct file, an open file description: what open(2) makes and dup(2), fork(2) share.

Counted are the slots of descriptor tables, mappings, and one for each mm whose executable it is
(fs/file_table.c). `f_ref` stores the references less one, since 6.13 (90ee6ed776c0 "fs: port files
to file_ref"); a negative value is a file that is being freed. `f_count` before.

What a file itself holds depends on its `f_op`: the kinds that a file can hold say so in their
`file_types` (an open /proc/PID/ns/X and its nsfs inode, a socket and its network namespace).

A file that the kernel opened for its own use alone (swapon(2), a core dump) is in no table, and in
no list that can be walked without symbols: nobody else can hold it, so no count lacks it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.kinds import file_types
from analyzer.kinds._overlay import FILE_TYPES
from analyzer.kinds._paths import paths
from analyzer.kinds._proc_pid import FILE_OWNER, owners
from analyzer.kinds._proc_pid import FILE_TYPES as PROC_TYPES
from analyzer.kinds.base import ALL_RULES, Counter, Edges, Kind
from analyzer.kinds.cred import OPENED, opened
from analyzer.memory.calibrate import file_operations, recognised

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

_MINOR_BITS: Final = 20  # include/linux/kdev_t.h: the kernel's own dev_t


def _walk(memory: Memory, files: U64) -> Iterator[Edges]:
    types = file_types()
    known = file_operations(memory, types)
    read = memory.gather(files, "file", {"ops": "f_op", "cred": "f_cred"})
    yield from opened(memory, np.where(read.ok, read["cred"], np.uint64(0)))
    yield owners(memory, files)
    found = recognised(memory, types, files[read.ok], read["ops"][read.ok])
    for file_type in types:
        for ops in found.get(file_type.name, {known[file_type.name]}):
            ours = np.flatnonzero(read.ok & (read["ops"] == ops))
            if len(ours):
                for edges in file_type.walk(memory, files[ours]):
                    yield replace(edges, holder=ours[edges.holder])


def _describe(memory: Memory, files: U64) -> Mapping[str, npt.NDArray[Any]]:
    read = memory.gather(
        files, "file",
        {"inode": "f_inode", "mnt": "f_path.mnt", "flags": "f_flags", "pos": "f_pos"},
    )  # fmt: skip
    inode = memory.gather(
        read["inode"], "inode",
        {"ino": "i_ino", "mode": "i_mode", "sb": "i_sb", "links": "i_nlink"},
    )  # fmt: skip
    device = memory.gather(inode["sb"], "super_block", {"dev": "s_dev"})["dev"].astype(np.uint64)
    mount = read["mnt"] - np.uint64(memory.offset("mount", "mnt"))
    return {
        "ino": inode["ino"],
        "mode": inode["mode"].astype(np.int64),
        "dev": makedev(device >> np.uint64(_MINOR_BITS), device & np.uint64(0xFFFFF)),
        "flags": read["flags"].astype(np.int64),
        "pos": read["pos"].astype(np.int64),
        "mnt_id": memory.gather(mount, "mount", {"id": "mnt_id"})["id"].astype(np.int64),
        "deleted": inode.ok & (inode["links"] == 0),
    }


def dentry_names(memory: Memory, files: U64) -> npt.NDArray[np.object_]:
    """Return names (str) as /proc/PID/fd would show them; "" where the memory does not tell."""
    read = memory.gather(files, "file", {"mnt": "f_path.mnt", "dentry": "f_path.dentry"})
    found = paths(memory, read["mnt"] - np.uint64(memory.offset("mount", "mnt")), read["dentry"])
    # A file without a place is named by its type: "[eventpoll]" is anon_inode:[eventpoll].
    placed = [f"anon_inode:{name[1:]}" if name.startswith("/[") else name for name in found]
    names = [name if name.strip("/") else "" for name in placed]
    return np.where(read.ok, np.array(names, object), "")


def makedev(major: U64, minor: U64) -> U64:
    """Encode device numbers as user space does (glibc's gnu_dev_makedev, for stat(2)'s st_dev)."""
    low = (minor & np.uint64(0xFF)) | ((major & np.uint64(0xFFF)) << np.uint64(8))
    high = (minor & np.uint64(0xFFFFFF00)) << np.uint64(12)
    result: U64 = low | high | ((major & np.uint64(0xFFFFF000)) << np.uint64(32))
    return result


KIND: Final = Kind(
    name="FILE",
    struct="file",
    title="open file",
    plural="open files",
    message="file",
    order=80,
    rank=10,
    counters=(Counter("f_ref.refcnt.counter", bias=1), Counter("f_count.counter")),
    rules=ALL_RULES,
    walk=_walk,
    walk_associations=(OPENED, FILE_OWNER),
    describe=_describe,
    file_types=(*FILE_TYPES, *PROC_TYPES),
    unseen="direct I/O in flight, a call that a closed descriptor still serves, a swap file, a "
    "driver or server in the kernel",
)
