"""in-ipc-namespace: which sets of semaphores and message queues are in an IPC namespace.

They belong to it and end with it, and nobody holds them: that is no crossing of any border, and is
told of whole machines alone, to who asks for one by its id, in whatever namespace it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.memory.trees import xarrays
from analyzer.relations.base import Related, Relation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import I64, U64
    from analyzer.relations.base import World


def _find(world: World) -> Iterator[Related]:
    memory, spaces = world.memory, world.all("IPC_NS")
    # The order of `ids` is that of ipc/util.h: semaphores, messages, segments.
    read = memory.gather(
        spaces,
        "ipc_namespace",
        {"sets": "ids[0].ipcs_idr.idr_rt.xa_head", "queues": "ids[1].ipcs_idr.idr_rt.xa_head"},
    )
    found = xarrays(memory, np.where(read.ok, read["sets"], np.uint64(0)))
    sets = found.value - np.uint64(memory.offset("sem_array", "sem_perm"))
    own = memory.gather(sets, "sem_array", {"id": "sem_perm.id"})
    yield _related(spaces[found.owner], "SEM", sets, own["id"])
    found = xarrays(memory, np.where(read.ok, read["queues"], np.uint64(0)))
    queues = found.value - np.uint64(memory.offset("msg_queue", "q_perm"))
    own = memory.gather(queues, "msg_queue", {"id": "q_perm.id"})
    yield _related(spaces[found.owner], "MSG", queues, own["id"])


def _related(spaces: U64, kind: str, at: U64, ids: I64) -> Related:
    return Related("IPC_NS", spaces, kind, at, slot=ids.astype(np.int64))


RELATION: Final = Relation(
    name="in-ipc-namespace",
    title="in an IPC namespace",
    plural="in IPC namespaces",
    left="has it in it",
    right="is in it",
    impact=Impact.BY_DESIGN,
    next="ipcrm(1) in that namespace",
    told=False,
    leads_to=("SEM", "MSG"),
    kernel=_find,
)
