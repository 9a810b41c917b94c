"""MNT_NS: a tree of mounts. Compared by linux-cr since v19.

Held by nsproxies, by its nsfs inode while that is in use, and by open /proc/PID/mounts, mountinfo
and mountstats files (fs/proc_namespace.c, mounts_open_common()).
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.core.values import replace
from analyzer.kinds._namespace import Holds, namespace
from analyzer.kinds.base import SINCE_LINUX_CR, Association, Edges, FileType
from analyzer.kinds.mount import MOUNT, mounted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

PROC_MOUNTS: Final = Association("proc.mounts", "lists its mounts")

_FILES: Final = ("mounts", "mountinfo", "mountstats")  # each has an f_op of its own


def _open_own(name: str) -> int:
    return os.open(f"/proc/self/{name}", os.O_RDONLY | os.O_CLOEXEC)


def _of_files(memory: Memory, files: U64) -> Iterator[Edges]:
    data = memory.gather(files, "file", {"seq": "private_data"})
    seq = memory.gather(data["seq"], "seq_file", {"mounts": "private"})
    read = memory.gather(seq["mounts"], "proc_mounts", {"ns": "ns"})
    at = np.flatnonzero(read.ok)
    yield Edges(PROC_MOUNTS, "MNT_NS", at, read["ns"][at])


KIND: Final = replace(
    namespace(
        "mnt",
        order=130,
        initial_ino=0xEFFFFFF8,
        old_counters=("count.counter",),
        rules=SINCE_LINUX_CR,
        holds=Holds(mounted, (MOUNT,)),
        file_types=tuple(
            FileType(
                f"proc.{name}",
                functools.partial(_open_own, name),
                _of_files,
                (PROC_MOUNTS,),
                symbols=(f"proc_{name}_operations",),
            )
            for name in _FILES
        ),
    ),
    cr_name="MOUNTS NS",
    one_for_all="nsproxy.mnt",
    hosts=Impact.REACHES_OUT,
)
