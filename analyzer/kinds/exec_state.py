"""EXEC_STATE: struct task_exec_state, what a process became by exec(2), as Linux 7.2 has it.

Whether it may be traced and dumped, and the user namespace that decides it: before, the address
space held that one (`mm.user_ns`). Tasks share it as they share a program, and it is not judged
itself. Looked at are only those of other user namespaces than the initial one, which is the host's
whoever holds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.kinds._initial import nested
from analyzer.kinds.base import Association, By, Counter, Edges, Judged, Kind, Pointer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

EXECUTED: Final = Association("exec_state", "became it by exec")
NAMESPACE: Final = Association("exec_state.user_ns", "was executed in it", collects=False)


def of_tasks(memory: Memory, tasks: U64) -> Iterator[Edges]:
    """Yield the references of tasks to theirs; none on a kernel that has none."""
    if not memory.has("task_struct", "exec_state"):
        return
    states = memory.gather(tasks, "task_struct", {"state": "exec_state"})["state"]
    read = memory.gather(states, "task_exec_state", {"ns": "user_ns"})
    at = np.flatnonzero(nested(memory, read))
    yield Edges(EXECUTED, "EXEC_STATE", at, states[at])


KIND: Final = Kind(
    name="EXEC_STATE",
    struct="task_exec_state",
    title="state of a program that was executed",
    plural="states of programs that were executed",
    message="exec_state",
    order=65,
    rank=93,
    counters=(Counter("count.refs.counter"),),
    judged=Judged.NOT,
    pointers=(Pointer(("user_ns",), "USER_NS", NAMESPACE),),
    of_process=True,
    leaked=Impact.BY_DESIGN,
    leaked_by=By.NOBODY,
)
