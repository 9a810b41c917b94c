"""System V objects of the IPC namespaces that were met, and the tasks that they remember."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.core.model import TASK
from analyzer.memory.trees import xarrays
from analyzer.memory.walk import rings
from analyzer.relations._tasks import tasks
from analyzer.relations.base import Related, words

if TYPE_CHECKING:
    from analyzer.kinds.base import U64
    from analyzer.relations.base import World


def objects(world: World, ids: int, struct: str, permissions: str) -> U64:
    """Return the objects of `ids` (ipc/util.h: 0 semaphores, 1 queues) of all namespaces."""
    memory = world.memory
    read = memory.gather(
        world.all("IPC_NS"), "ipc_namespace", {"head": f"ids[{ids}].ipcs_idr.idr_rt.xa_head"}
    )
    found = xarrays(memory, np.where(read.ok, read["head"], np.uint64(0)))
    address: U64 = found.value - np.uint64(memory.offset(struct, permissions))
    return address


def by_pid(world: World, pids: U64, kind: str, at: U64, role: str) -> Related:
    """Return the relations of the processes with these struct pids to the objects."""
    found = world.once(tasks)
    row, there = found.with_pid(pids)
    return Related(
        TASK, found["leader"][row[there]], kind, at[there], role=words(int(there.sum()), role)
    )


def by_task(world: World, who: U64, kind: str, at: U64, role: str) -> Related:
    """Return the relations of the tasks at these addresses to the objects."""
    found = world.once(tasks)
    row, there = found.row(who)
    return Related(
        TASK, found["leader"][row[there]], kind, at[there], role=words(int(there.sum()), role)
    )


def waiting(world: World, heads: U64, kind: str, at: U64, place: tuple[str, str, str]) -> Related:
    """Return the tasks that sleep in lists: `place` is the struct, its link, and its task."""
    struct, link, task = place
    listed = rings(world.memory, heads)
    address = listed.value - np.uint64(world.memory.offset(struct, link))
    read = world.memory.gather(address, struct, {"task": task})
    who = np.where(read.ok, read["task"], np.uint64(0))
    return by_task(world, who, kind, at[listed.owner], "waits")
