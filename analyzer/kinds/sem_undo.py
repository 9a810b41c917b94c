"""SEM_UNDO: struct sem_undo_list, what is undone of semaphore operations at a process's end.

The threads of a process share one, and so do processes made by clone(2) with CLONE_SYSVSEM: what
one did with SEM_UNDO is undone when the last of them has ended (ipc/sem.c, exit_sem()).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import Fact
from analyzer.kinds.base import Judged, Kind, Known, State

if TYPE_CHECKING:
    from analyzer.kinds.base import U64, Told
    from analyzer.memory.reader import Memory


def _state(memory: Memory, addresses: U64) -> Told:
    read = memory.gather(addresses, "sem_undo_list", {"users": "refcnt.refs.counter"})
    return {"sem_undo.tasks": Known(read["users"], read.ok)}


_FACTS: Final = (Fact("sem_undo.tasks", "number", "tasks that share a list of semaphore undos"),)

KIND: Final = Kind(
    name="SEM_UNDO",
    struct="sem_undo_list",
    title="list of semaphore undos",
    plural="lists of semaphore undos",
    message="sem_undo",
    order=129,
    rank=94,
    counters=(),
    judged=Judged.NOT,
    state=State(_FACTS, _state),
    derived=True,
)
