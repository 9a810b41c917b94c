"""MM: struct mm_struct, an address space; judged by mm_users, as linux-cr did.

`mm_users` counts the tasks that run in it: threads, CLONE_VM, a vfork child. (`mm_count`, the
references to the struct alone, is not looked at.) Each mapping of a file is one reference to its
struct file, and the executable is one more: `exe_file`, which may be NULL.

Mappings are in a maple tree since 6.1 (d4af56c5c7c6 "mm: start tracking VMAs with maple tree"), in
an rb-tree before (`mm_rb`; the list beside it, `vm_next`, would take a read for each mapping).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.core.values import replace
from analyzer.kinds._initial import initial
from analyzer.kinds.aio import CONTEXT, contexts
from analyzer.kinds.base import (
    ALL_RULES,
    Association,
    By,
    Counter,
    Details,
    Edges,
    Kind,
    Pointer,
    Slot,
)
from analyzer.memory.trees import maples, rbtrees
from analyzer.memory.walk import Elements, retried

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

VMA: Final = Association("vma", "maps it", ALL_RULES, slot=Slot.ADDRESS, mapped=True)
EXE: Final = Association("exe", "its executable", ALL_RULES, mapped=True, per_task=True)
USER_NS: Final = Association("mm.user_ns", "was made in it", collects=False)

_FLAGS: Final = (("r", 1), ("w", 2), ("x", 4))  # VM_READ, VM_WRITE, VM_EXEC
# What /proc/PID/maps calls shared (fs/proc/task_mmu.c): VM_SHARED is only of those that may be
# written to.
_VM_MAYSHARE: Final = 0x80
_PERMISSIONS: Final = tuple(
    "".join(c if bits & bit else "-" for c, bit in _FLAGS) + shared
    for shared in "ps"
    for bits in range(8)
)


def _walk(memory: Memory, spaces: U64) -> Iterator[Edges]:
    mappings = retried(lambda roots: _mappings(memory, roots), spaces)
    backed = np.flatnonzero(mappings.read["file"])
    flags = mappings.read["flags"][backed]
    shared = flags & _VM_MAYSHARE != 0
    yield Edges(
        VMA,
        "FILE",
        mappings.owner[backed],
        mappings.read["file"][backed],
        mappings.read["start"][backed].astype(np.int64),
        Details((flags & np.uint64(7)).astype(np.int16) + np.int16(8) * shared, _PERMISSIONS),
        mappings.torn,
    )
    yield from _user_namespaces(memory, spaces)
    yield from contexts(memory, spaces)


def _user_namespaces(memory: Memory, spaces: U64) -> Iterator[Edges]:
    # Taken by mm_init() (kernel/fork.c); since 7.2 the task has it (kinds/exec_state.py). The
    # initial one is the host's whoever holds it.
    if not memory.has("mm_struct", "user_ns"):
        return
    read = memory.gather(spaces, "mm_struct", {"ns": "user_ns"})
    at = np.flatnonzero(read.ok & (read["ns"] != initial(memory, "user")))
    yield Edges(USER_NS, "USER_NS", at, read["ns"][at])


def _mappings(memory: Memory, spaces: U64) -> Elements:
    read = memory.gather(
        spaces,
        "mm_struct",
        {"root": ("mm_mt.ma_root", "mm_rb.rb_node"), "count": "map_count"},
    )
    found = _tree(memory, read["root"])
    each = memory.gather(
        found.value,
        "vm_area_struct",
        {
            "mm": "vm_mm",
            "file": "vm_file",
            "start": "vm_start",
            "flags": ("vm_flags", "__vm_flags"),
        },
    )
    right = np.flatnonzero(each.ok & (each["mm"] == spaces[found.owner]))
    counts = np.bincount(found.owner[right], minlength=len(spaces))
    torn = found.torn | ~read.ok | (counts != read["count"])
    more = {name: column[right] for name, column in each.values.items()}
    return Elements(found.owner[right], found.index[right], found.value[right], torn, more)


def _tree(memory: Memory, roots: U64) -> Elements:
    if memory.has("mm_struct", "mm_mt"):
        return maples(memory, roots)
    nodes = rbtrees(memory, roots)
    return replace(nodes, value=nodes.value - np.uint64(memory.offset("vm_area_struct", "vm_rb")))


KIND: Final = Kind(
    name="MM",
    struct="mm_struct",
    title="address space",
    plural="address spaces",
    message="mm",
    order=30,
    rank=20,
    counters=(Counter("mm_users.counter"),),
    rules=ALL_RULES,
    pointers=(Pointer(("exe_file",), "FILE", EXE),),
    walk=_walk,
    walk_associations=(VMA, USER_NS, CONTEXT),
    of_process=True,
    leaked=Impact.SHARED_STATE,
    leaked_by=By.TASK,
)
