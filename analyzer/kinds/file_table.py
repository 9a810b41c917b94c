"""FILE_TABLE: struct files_struct, a table of file descriptors.

Shared by the threads of a process and by clone(CLONE_FILES). Each used slot is one reference to a
struct file, however many tasks share the table (fs/file.c). linux-cr since v16. Which slots are to
be closed by execve(2) is a bit of the table, not of the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import Fact, Impact
from analyzer.kinds.base import (
    ALL_RULES,
    SINCE_LINUX_CR,
    Association,
    By,
    Counter,
    Details,
    Edges,
    Kind,
    Slot,
    State,
)
from analyzer.memory.walk import arrays

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import I64, U64, Mask
    from analyzer.memory.reader import Memory

FD: Final = Association("fd", "fd {slot}", ALL_RULES, slot=Slot.DESCRIPTOR, per_task=True)
_CLOEXEC: Final = ("cloexec",)
_EMBEDDED: Final = 64  # NR_OPEN_DEFAULT: as many are in the files_struct itself


def _walk(memory: Memory, tables: U64) -> Iterator[Edges]:
    fdt = memory.gather(tables, "files_struct", {"fdt": "fdt"})
    read = memory.gather(
        fdt["fdt"],
        "fdtable",
        {"fd": "fd", "max": "max_fds", "cloexec": "close_on_exec", "open": "open_fds"},
    )
    sane = read.ok & _whole(read["max"], read["open"], read["cloexec"])
    slots = arrays(memory, read["fd"], np.where(sane, read["max"], 0).astype(np.int64))
    closed = _closed_on_exec(memory, read["cloexec"][slots.owner], slots.index)
    detail = Details(closed.astype(np.int16) - np.int16(1), _CLOEXEC)
    yield Edges(FD, "FILE", slots.owner, slots.value, slots.index, detail, slots.torn | ~sane)


def _whole(most: npt.NDArray[Any], opened: U64, closed: U64) -> Mask:
    """Tell which tables are as alloc_fdtable() makes them (fs/file.c): no others are believed.

    Two bitmaps of `max_fds` bits are in one piece of memory, that of the open ones first. In a
    freed table the number can be any, and as much would be read.
    """
    result: Mask = (most <= _EMBEDDED) | (closed - opened == most.astype(np.uint64) // np.uint64(8))
    return result


def _closed_on_exec(memory: Memory, bitmaps: U64, fds: I64) -> I64:
    """Read the bit of each of `fds` in the bitmap that belongs to it: 0 or 1."""
    word = bitmaps + (fds // 64 * 8).astype(np.uint64)
    # Neighbours have theirs in the same word: each is read once.
    new = np.ones(len(word), np.bool_)
    new[1:] = word[1:] != word[:-1]
    value, ok = memory.pointers(word[new])
    bits = np.where(ok, value, np.uint64(0))[np.cumsum(new) - 1]
    result: I64 = (bits >> (fds % 64).astype(np.uint64) & np.uint64(1)).astype(np.int64)
    return result


def _state(_memory: Memory, _tables: U64) -> Mapping[str, npt.NDArray[Any]]:
    return {}  # in memory each reference is found


_FACTS: Final = (
    Fact("files.in_use", "number", "who may hold files of it by more than their descriptors: tasks "
         "in a system call, requests under way (of /proc)", aside=True),
)  # fmt: skip

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
    of_process=True,
    state=State(_FACTS, _state),
    leaked=Impact.SHARED_STATE,
    leaked_by=By.TASK,
)
