"""IO_CONTEXT: struct io_context, the I/O priority and scheduling of a task.

Shared after clone(2) with CLONE_IO: a disk scheduler takes all that have it for one, and
ioprio_set(2) on one of them is for all (block/blk-ioc.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import Fact
from analyzer.kinds.base import Judged, Kind, Known, State

if TYPE_CHECKING:
    from analyzer.kinds.base import U64, Told
    from analyzer.memory.reader import Memory


def _state(memory: Memory, addresses: U64) -> Told:
    read = memory.gather(addresses, "io_context", {"users": "active_ref.counter"})
    return {"io_context.tasks": Known(read["users"], read.ok)}


TASKS: Final = Fact("io_context.tasks", "number", "tasks that share an I/O context")

KIND: Final = Kind(
    name="IO_CONTEXT",
    struct="io_context",
    title="I/O context",
    plural="I/O contexts",
    message="io_context",
    order=131,
    rank=94,
    counters=(),
    judged=Judged.NOT,
    state=State((TASKS,), _state),
    derived=True,
)
