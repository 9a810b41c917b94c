"""reaper: who inherits the children of a subtree's processes that exit: a sub-reaper outside.

An orphan becomes the child of the nearest ancestor that asked for it (prctl(2),
PR_SET_CHILD_SUBREAPER), or of the first process of its pid namespace: with a sub-reaper outside it
leaves the subtree. A container whose first process is in the subtree keeps its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.relations._tasks import pid_spaces, tasks
from analyzer.relations.base import Related, Relation, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World

_MOST: Final = 1 << 12  # generations


def _find(world: World) -> Iterator[Related]:
    found = world.once(tasks)
    parent, there = found.row(found["parent"])
    roots = np.flatnonzero(found.leads & found.inside & there & ~found.inside[parent])
    space = world.once(pid_spaces)
    adopts = world.memory.gather(found["signal"], "signal_struct", {"asked": "is_child_subreaper"})
    ends: list[tuple[int, int]] = []
    for root in roots.tolist():
        at = root
        for _ in range(_MOST):
            above = int(parent[at])
            if not there[at] or above == at or space[above] != space[root]:
                break
            at = above
            if adopts.ok[at] and adopts["asked"][at]:
                ends.append((root, at))
                break
    left, right = np.array(ends, np.intp).reshape(-1, 2).T
    yield Related(
        TASK, found.address[left], TASK, found.address[right], role=words(len(left), "parent")
    )


RELATION: Final = Relation(
    name="reaper",
    title="leaves its orphans to a sub-reaper outside",
    plural="leave their orphans to sub-reapers outside",
    left="has children that outlive it",
    right="inherits them",
    impact=Impact.BY_DESIGN,
    next=(
        "start the subtree in a pid namespace of its own (unshare -pf COMMAND), or prctl(2) "
        "with PR_SET_CHILD_SUBREAPER in its first process"
    ),
    brief="{left}: its orphans become children of {right} {side}",
    kernel=_find,
)
