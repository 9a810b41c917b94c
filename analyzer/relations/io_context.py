"""io-context: processes of both sides with one I/O priority (clone(2), CLONE_IO)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.relations._ipc import by_task
from analyzer.relations.base import Relation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import Related, World


def _find(world: World) -> Iterator[Related]:
    address = world.all(TASK)
    read = world.memory.gather(address, "task_struct", {"context": "io_context"})
    at = np.flatnonzero(read.ok & (read["context"] != 0))
    yield by_task(world, address[at], "IO_CONTEXT", read["context"][at], "CLONE_IO")


RELATION: Final = Relation(
    name="io-context",
    title="shares its I/O priority with the other side (CLONE_IO)",
    plural="share their I/O priority with the other side (CLONE_IO)",
    left="has it",
    right="is what they share",
    impact=Impact.SHARED_STATE,
    next="start the process anew, by fork(2) or without CLONE_IO",
    shared=True,
    leads_to=("IO_CONTEXT",),
    kernel=_find,
)
