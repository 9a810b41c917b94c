"""sysv-semaphore: a set of System V semaphores that processes of both sides use.

The kernel remembers who last changed each semaphore (`sem.sempid`), who waits for one, and whose
operations are to be undone (`sem_undo`, by its list); who only ever read is told nowhere. The set
is the namespace's: nobody holds it (ipc/sem.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.memory.distinct import find
from analyzer.memory.walk import rings
from analyzer.relations._ipc import by_pid, by_task, objects, waiting
from analyzer.relations._undo import undoing
from analyzer.relations.base import Relation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import Related, World

_MOST: Final = 32000  # SEMMSL
_QUEUE: Final = ("sem_queue", "list", "sleeper")


def _find(world: World) -> Iterator[Related]:
    memory = world.memory
    sets = objects(world, 0, "sem_array", "sem_perm")
    if not len(sets):
        return
    read = memory.gather(sets, "sem_array", {"count": "sem_nsems"})
    count = np.where(read.ok, read["count"], 0).astype(np.int64).clip(0, _MOST)
    owner = np.repeat(np.arange(len(sets)), count)
    ordinal = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    size = memory.layout.sizeof("sem") or 0
    first = sets + np.uint64(memory.offset("sem_array", "sems"))
    single = first[owner] + (ordinal * size).astype(np.uint64)
    last = memory.gather(single, "sem", {"pid": "sempid"})
    yield by_pid(world, np.where(last.ok, last["pid"], np.uint64(0)), "SEM", sets[owner], "changed")
    for name in ("pending_alter", "pending_const"):
        for struct, at, its in (("sem_array", sets, sets), ("sem", single, sets[owner])):
            yield waiting(world, at + np.uint64(memory.offset(struct, name)), "SEM", its, _QUEUE)
    undo = rings(memory, sets + np.uint64(memory.offset("sem_array", "list_id")))
    entry = undo.value - np.uint64(memory.offset("sem_undo", "list_id"))
    lists = memory.gather(entry, "sem_undo", {"list": "ulp"})
    tasks, theirs = world.once(undoing)
    order = np.argsort(lists["list"], kind="stable")
    place, there = find(lists["list"], theirs, sorter=order)
    at = sets[undo.owner[place[there]]]
    yield by_task(world, tasks[there], "SEM", at, "undoes at its end")


RELATION: Final = Relation(
    name="sysv-semaphore",
    title="uses semaphores that the other side uses",
    plural="use semaphores that the other side uses",
    left="uses it",
    right="is what they use",
    impact=Impact.SHARED_STATE,
    next=(
        "start the subtree in an IPC namespace of its own (unshare -i COMMAND, podman run --ipc "
        "private)"
    ),
    shared=True,
    leads_to=("SEM",),
    kernel=_find,
    unseen="who only read the values",
)
