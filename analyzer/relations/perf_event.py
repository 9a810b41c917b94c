"""perf-event: a counter (perf_event_open(2)) on a process of the other side.

`perf_event.hw.target` is the task that is measured; counters that a child inherited have no file
of their own, and those on whole processors (`-a`, a cgroup's) no task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.relations._anonymous import PERF, anonymous, data_of
from analyzer.relations._tasks import tasks
from analyzer.relations.base import Related, Relation, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World


def _find(world: World) -> Iterator[Related]:
    opened = world.once(anonymous).get(PERF, np.empty(0, np.uint64))
    read = world.memory.gather(data_of(world, opened), "perf_event", {"target": "hw.target"})
    found = world.once(tasks)
    row, there = found.row(read["target"])
    at = np.flatnonzero(there & read.ok)
    yield Related("FILE", opened[at], TASK, found.address[row[at]], role=words(len(at), "counter"))


RELATION: Final = Relation(
    name="perf-event",
    title="counts events of a process on the other side (perf)",
    plural="count events of processes on the other side (perf)",
    back="measured by a perf event of the other side",
    left="counts",
    right="is measured",
    impact=Impact.WATCHES,
    next="end the perf that measures (perf record -p PID)",
    kernel=_find,
    unseen="counters on whole processors or cgroups",
)
