"""FILE_TABLE: struct files_struct, a table of file descriptors.

Shared by the threads of a process and by clone(CLONE_FILES). Each used slot is one reference to a
struct file, however many tasks share the table (fs/file.c). linux-cr since v16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.kinds.base import ALL_RULES, SINCE_LINUX_CR, Association, Counter, Edges, Kind
from analyzer.memory.walk import arrays

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

FD: Final = Association("fd", "fd {slot}", ALL_RULES)
_MOST_DESCRIPTORS: Final = 1 << 30  # sysctl fs.nr_open is bounded by this (fs/file.c)


def _walk(memory: Memory, tables: U64) -> Iterator[Edges]:
    fdt = memory.gather(tables, "files_struct", {"fdt": "fdt"})
    read = memory.gather(fdt["fdt"], "fdtable", {"fd": "fd", "max": "max_fds"})
    sane = read.ok & (read["max"] <= _MOST_DESCRIPTORS)
    slots = arrays(memory, read["fd"], np.where(sane, read["max"], 0).astype(np.int64))
    yield Edges(FD, "FILE", slots.owner, slots.value, slots.index, torn=slots.torn | ~sane)


KIND: Final = Kind(
    name="FILE_TABLE",
    struct="files_struct",
    title="file descriptor table",
    plural="file descriptor tables",
    message="files",
    order=20,
    rank=30,
    counters=(Counter("count.counter"),),
    rules=SINCE_LINUX_CR,
    walk=_walk,
    walk_associations=(FD,),
)
