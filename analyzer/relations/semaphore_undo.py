"""semaphore-undo: processes of both sides that undo semaphore operations as if they were one.

After clone(2) with CLONE_SYSVSEM what one has done with SEM_UNDO is undone not at its end but at
that of the last that shares the list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import Impact
from analyzer.relations._ipc import by_task
from analyzer.relations._undo import undoing
from analyzer.relations.base import Relation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import Related, World


def _find(world: World) -> Iterator[Related]:
    tasks, lists = world.once(undoing)
    yield by_task(world, tasks, "SEM_UNDO", lists, "CLONE_SYSVSEM")


RELATION: Final = Relation(
    name="semaphore-undo",
    title="shares its list of semaphore undos with the other side",
    plural="share their lists of semaphore undos with the other side",
    left="has it",
    right="is what they share",
    impact=Impact.SHARED_STATE,
    next="unshare(2) with CLONE_SYSVSEM in one of them, or start it anew by fork(2)",
    shared=True,
    leads_to=("SEM_UNDO",),
    kernel=_find,
)
