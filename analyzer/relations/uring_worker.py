"""uring-worker: an io_uring whose submissions are taken by a kernel thread of the other side.

With IORING_SETUP_SQPOLL a thread of the process that made the ring does what is put into it, with
that process's credentials and descriptors; whoever else has the ring, or one attached to it
(IORING_SETUP_ATTACH_WQ), lets it act (io_uring/sqpoll.c, `io_sq_data.thread`). The other workers of
a ring are threads of who submits: on its own side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.memory.distinct import member
from analyzer.relations._anonymous import IO_URING, anonymous, data_of
from analyzer.relations._tasks import sided, tasks
from analyzer.relations.base import Related, Relation, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World

_NOBODY: Final = np.empty(0, np.uint64)


def _find(world: World) -> Iterator[Related]:
    opened = world.once(anonymous).get(IO_URING)
    if opened is None:
        return
    read = world.memory.gather(data_of(world, opened), "io_ring_ctx", {"sq": "sq_data"})
    polling = np.where(read.ok, read["sq"], np.uint64(0))
    poller = world.memory.gather(polling, "io_sq_data", {"thread": "thread"})
    found = world.once(tasks)
    row, there = found.row(np.where(poller.ok, poller["thread"], np.uint64(0)))
    at = np.flatnonzero(there & (polling != 0))
    ours = member(opened[at], world.inside.get("FILE", _NOBODY))
    yield Related(
        "FILE", opened[at], TASK, found.address[row[at]], role=words(len(at), "ring"),
        impact=sided(ours, Impact.REACHES_OUT, Impact.LOST),
    )  # fmt: skip


RELATION: Final = Relation(
    name="uring-worker",
    title="has its submissions done by a thread of the other side",
    plural="have their submissions done by threads of the other side",
    back="does what an io_uring of the other side submits",
    left="can submit to it",
    right="does what is submitted",
    impact=Impact.REACHES_OUT,
    next=(
        "close the ring in the process that did not make it, which has it by fork(2) or SCM_RIGHTS"
    ),
    kernel=_find,
)
