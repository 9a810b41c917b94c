"""Which list of semaphore undos each task has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.core.model import TASK

if TYPE_CHECKING:
    from analyzer.kinds.base import U64
    from analyzer.relations.base import World


def undoing(world: World) -> tuple[U64, U64]:
    """Return the tasks that have a list of semaphore undos, and those (`world.once(undoing)`)."""
    address = world.all(TASK)
    read = world.memory.gather(address, "task_struct", {"list": "sysvsem.undo_list"})
    at = np.flatnonzero(read.ok & (read["list"] != 0))
    return address[at], read["list"][at]
