"""session-left: a session or process group whose leader is gone, with processes of both sides.

A hangup of its terminal or a signal to the group reaches all of them still, and a restore can make
it only with a process that has its number (include/linux/pid.h: the struct pid of the leader stays
as long as anybody is in its group or session).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.relations._tasks import tasks, upid
from analyzer.relations.base import Related, Relation, words
from analyzer.relations.session import ROLES
from analyzer.relations.shown import Tied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World
    from analyzer.relations.shown import Shown


def _find(world: World) -> Iterator[Related]:
    found = world.once(tasks)
    leads = np.flatnonzero(found.leads & (found["nsproxy"] != 0))
    pids = world.memory.gather(found["signal"][leads], "signal_struct", {"pids": "pids"})
    both = pids["pids"][:, ROLES[0][1]] == pids["pids"][:, ROLES[1][1]]
    for role, index in ROLES:
        pid = pids["pids"][:, index]
        first, good = world.memory.pointers(pid + np.uint64(world.memory.offset("pid", "tasks")))
        _, number = upid(world, pid, np.zeros(len(pid), np.int64))  # the kernel's own has none
        gone = pids.ok & good & (pid != 0) & (first == 0) & (number != 0)
        at = np.flatnonzero(gone if role == "session" else gone & ~both)
        said = words(len(at), role)
        said[both[at]] = "session and process group"
        yield Related(TASK, found.address[leads[at]], "PID", pid[at], role=said)


def _from_proc(shown: Shown) -> Iterator[Tied]:
    if not shown.whole:  # one that was not shown is not gone
        return
    for task in shown.leaders():
        if task.exiting or task.kthread:
            continue
        both = task.session == task.group
        for role, number in (("session", task.session), ("process group", task.group)):
            if number and number not in shown.tasks and not (both and role != "session"):
                said = "session and process group" if both else role
                yield Tied(task.key, ("PID", number), role=said)


RELATION: Final = Relation(
    name="session-left",
    title="in a session or process group whose leader is gone, with processes outside",
    plural="in sessions or process groups whose leaders are gone, with processes outside",
    left="is in it",
    right="led it",
    impact=Impact.LOST,
    next="start the subtree in a session of its own: setsid -w COMMAND",
    shared=True,
    leads_to=("PID",),
    kernel=_find,
    from_proc=_from_proc,
)
