"""seccomp-listener: a process whose system calls are decided by who has its filter's listener.

With SECCOMP_FILTER_FLAG_NEW_LISTENER (seccomp_unotify(2)) a filter hands calls to whoever has the
descriptor: it answers for the kernel, and puts descriptors into the process. A checkpoint keeps the
filter and not the listener. A task has its newest filter, which leads to those before it
(`seccomp_filter.prev`); the listener's file has its filter as `private_data` (kernel/seccomp.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.memory.distinct import find
from analyzer.relations._anonymous import SECCOMP, anonymous, data_of
from analyzer.relations._tasks import sided, tasks
from analyzer.relations.base import Related, Relation, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World

_MOST: Final = 4096  # filters upon filters: their instructions together may be 32768


def _find(world: World) -> Iterator[Related]:
    listeners = world.once(anonymous).get(SECCOMP)
    if listeners is None:
        return
    listening = data_of(world, listeners)
    order = np.argsort(listening, kind="stable")
    found = world.once(tasks)
    at = np.flatnonzero(found.good & (found["filter"] != 0))
    filters = found["filter"][at]
    for _ in range(_MOST):
        if not len(at):
            return
        place, there = find(listening, filters, sorter=order)
        rows = at[there]
        yield Related(
            TASK,
            found.address[rows],
            "FILE",
            listeners[place[there]],
            role=words(len(rows), "filtered"),
            impact=sided(found.inside[rows], Impact.LOST, Impact.REACHES_OUT),
        )
        read = world.memory.gather(filters, "seccomp_filter", {"prev": "prev"})
        on = read.ok & (read["prev"] != 0)
        at, filters = at[on], read["prev"][on]


RELATION: Final = Relation(
    name="seccomp-listener",
    title="has its system calls decided by a seccomp listener on the other side",
    plural="have their system calls decided by seccomp listeners on the other side",
    back="decides system calls of a process on the other side (seccomp)",
    left="waits for its answers",
    right="decides",
    impact=Impact.LOST,
    next=(
        "end the process that listens, and start the subtree anew with another: a filter cannot "
        "be taken off"
    ),
    kernel=_find,
)
