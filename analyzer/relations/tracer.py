"""tracer: a process that is traced (ptrace(2)) from the other side, as by a debugger or strace.

The tracer reads and writes the memory and the registers of what it traces. Who is traced cannot be
seized by another, so no checkpoint of it can be made; after one the tracer has nothing. `ptrace` of
a task tells that it is traced, `parent` (not `real_parent`) by whom (include/linux/sched.h).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.relations._tasks import sided, tasks
from analyzer.relations.base import Related, Relation, words
from analyzer.relations.shown import Tied
from analyzer.relations.shown import sided as either

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World
    from analyzer.relations.shown import Shown


def _find(world: World) -> Iterator[Related]:
    found = world.once(tasks)
    at = np.flatnonzero(found.good & (found["ptrace"] != 0))
    row, there = found.row(found["tracer"][at])
    at, row = at[there], row[there]
    yield Related(
        TASK,
        found.address[at],
        TASK,
        found.address[row],
        role=words(len(at), "traced"),
        impact=sided(found.inside[row], Impact.REACHES_OUT, Impact.LOST),
    )


def _from_proc(shown: Shown) -> Iterator[Tied]:
    for task in shown.tasks.values():
        tracer = shown.tasks.get(task.tracer)
        if tracer is not None:
            impact = either(tracer.inside, Impact.REACHES_OUT, Impact.LOST)
            yield Tied(task.key, tracer.key, role="traced", impact=impact)


RELATION: Final = Relation(
    name="tracer",
    title="traced across the border",
    plural="traced across the border",
    left="stands still when it says so",
    right="traces it",
    impact=Impact.LOST,
    next="let the tracer go: quit gdb, end strace (PTRACE_DETACH)",
    brief="{left}: traced by {right} {side}",
    kernel=_find,
    from_proc=_from_proc,
)
