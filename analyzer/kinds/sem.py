"""SEM: struct sem_array, a set of System V semaphores.

A set belongs to its IPC namespace and ends with it, or with semctl(2), IPC_RMID (ipc/sem.c). No
process holds one: who uses it is told by what it keeps of them (`relations.sysv_semaphore`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import Fact
from analyzer.kinds.base import Judged, Kind, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory


def _names(memory: Memory, addresses: U64) -> npt.NDArray[np.object_]:
    read = memory.gather(addresses, "sem_array", {"id": "sem_perm.id", "key": "sem_perm.key"})
    pairs = zip(read["id"].tolist(), read["key"].tolist(), strict=True)
    return np.array([f"semid {n} (key {key & 0xFFFFFFFF:#010x})" for n, key in pairs], object)


def _state(memory: Memory, addresses: U64) -> Mapping[str, npt.NDArray[Any]]:
    read = memory.gather(addresses, "sem_array", {"count": "sem_nsems"})
    return {"sem.count": np.ma.masked_array(read["count"], ~read.ok)}


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
