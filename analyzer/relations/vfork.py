"""vfork: a process that waits until the child on the other side executes a program or exits.

The parent of a vfork(2) is in state D meanwhile, and no signal wakes it but SIGKILL. The child's
`vfork_done` points to what the parent waits for, which is on the parent's kernel stack
(kernel/fork.c, wait_for_vfork_done()): so it is told who waits, whoever the parent is by now. That
the two share an address space as well (vfork(2), not CLONE_VFORK alone) the count of that shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.relations._tasks import KTHREAD, tasks
from analyzer.relations.base import Related, Relation, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World

_STACK: Final = 1 << 14  # THREAD_SIZE of x86-64 and arm64


def _find(world: World) -> Iterator[Related]:
    found = world.once(tasks)
    # kthread(9) keeps something else there.
    own = found.good & (found["vfork"] != 0) & (found["flags"] & KTHREAD == 0)
    at = np.flatnonzero(own)
    order = np.argsort(found["stack"], kind="stable")
    stacks = found["stack"][order]
    place = np.searchsorted(stacks, found["vfork"][at], side="right") - 1
    there = (place >= 0) & (found["vfork"][at] - stacks[place] < _STACK)
    at, row = at[there], order[place[there]]
    yield Related(
        TASK, found.address[at], TASK, found.address[row], role=words(len(at), "vfork child")
    )


RELATION: Final = Relation(
    name="vfork",
    title="waited for by the parent of a vfork(2) on the other side",
    plural="waited for by parents of vfork(2) on the other side",
    left="is waited for",
    right="waits until it executes a program or exits",
    impact=Impact.LOST,
    next="wait until the child has executed its program (execve(2)), or end it",
    brief="{left}: {right} {side} waits for it since vfork(2)",
    kernel=_find,
)
