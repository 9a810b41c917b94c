"""cgroup: a control group (version 2) in which processes of both sides are.

Limits, freezing and killing are for the whole group: who freezes it for a checkpoint stops those
outside too. A plain process is in its shell's; that everybody is in the root is not told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.relations._tasks import boxed, tasks
from analyzer.relations.base import Related, Relation, words
from analyzer.relations.shown import Tied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.relations.base import World
    from analyzer.relations.shown import Shown


def group_of(world: World, addresses: U64) -> U64:
    """Return the group of each task, 0 for the root (cgroup_path(), `css_set.dfl_cgrp`)."""
    read = world.memory.gather(addresses, "task_struct", {"set": "cgroups"})
    sets = world.memory.gather(read["set"], "css_set", {"group": "dfl_cgrp"})
    group = world.memory.gather(sets["group"], "cgroup", {"level": "level"})
    below = read.ok & sets.ok & group.ok & (group["level"] > 0)
    return np.where(below, sets["group"], np.uint64(0))


def _find(world: World) -> Iterator[Related]:
    found = world.once(tasks)
    address = found.address[found.leads & (found["exit"] == 0)]
    group = group_of(world, address)
    at = np.flatnonzero(group)
    impact = Impact.LOST if boxed(world) else Impact.BY_DESIGN
    yield Related(
        TASK,
        address[at],
        "CGROUP",
        group[at],
        role=words(len(at), "member"),
        impact=words(len(at), impact.value),
    )


def _from_proc(shown: Shown) -> Iterator[Tied]:
    impact = Impact.LOST if shown.boxed() else Impact.BY_DESIGN
    for task in shown.leaders():
        if task.group_of not in {None, "/"} and task.state not in "ZX":
            yield Tied(task.key, ("CGROUP", task.group_of), role="member", impact=impact)


RELATION: Final = Relation(
    name="cgroup",
    title="is in a cgroup with processes of the other side",
    plural="are in cgroups with processes of the other side",
    left="is in it",
    right="is the group",
    impact=Impact.LOST,
    next=(
        "start the subtree in a cgroup of its own: systemd-run --scope COMMAND; of one that "
        "runs: write {pid} to /sys/fs/cgroup/NAME/cgroup.procs"
    ),
    shared=True,
    leads_to=("CGROUP",),
    kernel=_find,
    from_proc=_from_proc,
    unseen="groups of version 1",
)
