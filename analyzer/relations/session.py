"""session: a process whose session, or process group, is led by a process on the other side.

setsid(2) makes a session, and who has not called it is in that of its parent: job control reaches
it (a hangup, a Ctrl-C), and it cannot be restored without its leader. The leader is the process
whose pid the session has (`signal_struct.pids[PIDTYPE_SID]`, include/linux/pid.h); it may have
exited, and is then nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.relations.base import Related, Relation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World

_ROLES: Final = (("session", 3), ("process group", 2))  # PIDTYPE_SID, PIDTYPE_PGID


def _find(world: World) -> Iterator[Related]:
    memory, tasks = world.memory, world.all(TASK)
    read = memory.gather(
        tasks, "task_struct", {"leader": "group_leader", "signal": "signal", "pid": "thread_pid"}
    )
    leads = np.flatnonzero(read.ok & (read["leader"] == tasks) & (read["pid"] != 0))
    pids = memory.gather(read["signal"][leads], "signal_struct", {"pids": "pids"})
    by_pid = np.argsort(read["pid"][leads])
    known = read["pid"][leads][by_pid]
    for role, index in _ROLES:
        pid = pids["pids"][:, index]
        at = np.searchsorted(known, pid).clip(max=len(known) - 1)
        there = np.flatnonzero(pids.ok & (known[at] == pid))
        leader = tasks[leads[by_pid[at[there]]]]
        member = tasks[leads[there]]
        other = leader != member
        number = memory.gather(leader[other], "task_struct", {"tgid": "tgid"})["tgid"]
        yield Related(
            TASK, member[other], TASK, leader[other],
            detail=np.array([f"{role} {n}" for n in number.tolist()], object),
            role=np.full(int(other.sum()), role, object),
        )  # fmt: skip


RELATION: Final = Relation(
    name="session",
    title="in a session or process group led from the other side",
    plural="in sessions or process groups led from the other side",
    left="is in it",
    right="leads it",
    impact=Impact.LOST,
    next="setsid(2) in the first process of the container (setsid -w, podman does it)",
    kernel=_find,
    procfs=True,
)
