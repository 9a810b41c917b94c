"""CGROUP_NS: a view of the cgroup tree (since 4.6).

Held by nsproxies, by its nsfs inode while that is in use, and by open cgroup files: since 5.16 they
remember the namespace they were opened in (e57457641613 "cgroup: Use open-time cgroup namespace for
process migration perm checks").
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.values import replace
from analyzer.kinds._namespace import namespace
from analyzer.kinds.base import Association, Edges, FileType
from analyzer.memory.distinct import one_of, unique

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

CGROUP_FILE: Final = Association("cgroup.file", "was opened in it")

_OF_KERNFS: Final = "/sys/kernel/notes"  # has the f_op of all of kernfs, as cgroup files do
_MAGIC: Final = (0x63677270, 0x27E0EB)  # cgroup2 and cgroup, include/uapi/linux/magic.h


def _open_own() -> int:
    return os.open(_OF_KERNFS, os.O_RDONLY | os.O_CLOEXEC)


def _of_files(memory: Memory, files: U64) -> Iterator[Edges]:
    if not memory.has("cgroup_file_ctx", "ns"):
        return
    data = memory.gather(files, "file", {"seq": "private_data", "inode": "f_inode"})
    inode = memory.gather(data["inode"], "inode", {"sb": "i_sb"})
    blocks = unique(inode["sb"])
    magic = memory.gather(blocks, "super_block", {"magic": "s_magic"})
    cgroups = blocks[magic.ok & one_of(magic["magic"], _MAGIC)]
    seq = np.where(np.isin(inode["sb"], cgroups), data["seq"], np.uint64(0))
    opened = memory.gather(seq, "seq_file", {"file": "private"})
    context = memory.gather(opened["file"], "kernfs_open_file", {"ctx": "priv"})
    read = memory.gather(context["ctx"], "cgroup_file_ctx", {"ns": "ns"})
    at = np.flatnonzero(read.ok)
    yield Edges(CGROUP_FILE, "CGROUP_NS", at, read["ns"][at])


KIND: Final = replace(
    namespace(
        "cgroup",
        order=170,
        initial_ino=0xEFFFFFFB,
        old_counters=("count.refs.counter",),
        file_types=(
            FileType("kernfs", _open_own, _of_files, (CGROUP_FILE,), symbols=("kernfs_file_fops",)),
        ),
    ),
    anybodys=True,
)
