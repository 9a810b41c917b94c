"""SEM: struct sem_array, a set of System V semaphores.

A set belongs to its IPC namespace and ends with it, or with semctl(2), IPC_RMID (ipc/sem.c). No
process holds one: who uses it is told by what it keeps of them (`relations.sysv_semaphore`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import Fact
from analyzer.kinds._told import fields, ipc_names
from analyzer.kinds.base import Judged, Kind, State

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from analyzer.kinds.base import U64, Told
    from analyzer.memory.reader import Memory


def _names(memory: Memory, addresses: U64) -> npt.NDArray[np.object_]:
    read = memory.gather(addresses, "sem_array", {"id": "sem_perm.id", "key": "sem_perm.key"})
    return ipc_names("semid", read)


def _state(memory: Memory, addresses: U64) -> Told:
    return fields(memory.gather(addresses, "sem_array", {"sem.count": "sem_nsems"}))


_FACTS: Final = (Fact("sem.count", "number", "semaphores of a System V set"),)

KIND: Final = Kind(
    name="SEM",
    struct="sem_array",
    title="semaphore set",
    plural="semaphore sets",
    message="sem",
    order=126,
    rank=94,
    counters=(),
    judged=Judged.NOT,
    names=_names,
    state=State(_FACTS, _state),
    derived=True,
)
