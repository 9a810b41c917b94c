"""session: a process whose session, or process group, is led by a process on the other side.

setsid(2) makes a session, and who has not called it is in that of its parent: job control reaches
it (a hangup, a Ctrl-C), and it cannot be restored without its leader. The leader is the process
whose pid the session has (`signal_struct.pids[PIDTYPE_SID]`, include/linux/pid.h). In a pid
namespace in which the leader has no number, getsid(2) is 0. One whose leader is gone is of nobody's
side: see `session_left`. Nobody leads the kernel's first session and group (`init_struct_pid`,
kernel/pid.c: that of the idle task), in which whatever process 1 has not taken out of it stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.kinds.pid import innermost
from analyzer.relations._tasks import tasks, upid
from analyzer.relations.base import Related, Relation
from analyzer.relations.shown import Tied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64, Mask
    from analyzer.relations.base import World
    from analyzer.relations.shown import Shown

ROLES: Final = (("session", 3), ("process group", 2))  # PIDTYPE_SID, PIDTYPE_PGID


def _find(world: World) -> Iterator[Related]:
    found = world.once(tasks)
    leads = np.flatnonzero(found.leads)
    pids = world.memory.gather(found["signal"][leads], "signal_struct", {"pids": "pids"})
    for role, index in ROLES:
        pid = pids["pids"][:, index]
        row, there = found.with_pid(pid)
        there &= pids.ok & (row != leads) & (found["tgid"][row] != 0)
        there &= world.host | (found.inside[leads] != found.inside[row])
        if not there.any():
            continue
        member, leader = leads[there], row[there]
        numbers = found["tgid"][leader].tolist()
        hidden = _hidden(world, found["pid"][member], pid[there]).tolist()
        said = [
            f"{role} {number}{' (0 inside)' if zero else ''}"
            for number, zero in zip(numbers, hidden, strict=True)
        ]
        yield Related(
            TASK,
            found.address[member],
            TASK,
            found.address[leader],
            detail=np.array(said, object),
        )


def _hidden(world: World, members: U64, pids: U64) -> Mask:
    """Tell which of `pids` have no number where each of `members` lives."""
    space, _ = innermost(world.memory, members)
    at = world.memory.gather(members, "pid", {"level": "level"})["level"]
    known, _ = upid(world, pids, at)
    level = world.memory.gather(pids, "pid", {"level": "level"})["level"]
    mask: Mask = (level < at) | (known != space)
    return mask


def _from_proc(shown: Shown) -> Iterator[Tied]:
    for task in shown.leaders():
        for role, number in (("session", task.session), ("process group", task.group)):
            leader = shown.tasks.get(number)
            if leader is not None and leader.leads and leader is not task:
                zero = " (0 inside)" if task.hidden.get(role) else ""
                yield Tied(task.key, leader.key, f"{role} {number}{zero}")


RELATION: Final = Relation(
    name="session",
    title="in a session or process group led from the other side",
    plural="in sessions or process groups led from the other side",
    left="is in it",
    right="leads it",
    impact=Impact.LOST,
    next=(
        "start the subtree in a session of its own: setsid -w COMMAND; CRIU: --shell-job, if "
        "the leader is in the same pid namespace"
    ),
    brief="{left}: in {detail}, led by {right} {side}",
    kernel=_find,
    from_proc=_from_proc,
)
