"""TASK: a thread; where every walk starts. It holds objects, and is not judged itself.

A task has one reference to each of its nsproxy, files_struct, mm, fs_struct, sighand_struct and
credentials (kernel/fork.c, copy_process()). A zombie has given up all but its sighand and
credentials; a kernel thread has no mm (one it borrows, kthread_use_mm(), pins mm_count, not
mm_users). A leader's objects are not its threads': each is asked for its own.

A task is also the user of the struct pid that names it, and that pins the pid namespace it was made
in (kernel/pid.c, alloc_pid()).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import TASK, Fact
from analyzer.kinds import _blocked, io_uring, tty
from analyzer.kinds.base import (
    ALL_RULES,
    SINCE_LINUX_CR,
    Association,
    Edges,
    Judged,
    Kind,
    Pointer,
    State,
)
from analyzer.kinds.pid import innermost

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Memory

_PF_KTHREAD: Final = 0x00200000
_EXIT_ZOMBIE: Final = 0x20  # include/linux/sched.h

MM: Final = Association("mm", "runs in it", ALL_RULES)
PID: Final = Association("pid", "is a member")


def _walk(memory: Memory, tasks: U64) -> Iterator[Edges]:
    read = memory.gather(tasks, "task_struct", {"mm": "mm", "flags": "flags", "pid": "thread_pid"})
    own = np.flatnonzero(read.ok & (read["mm"] != 0) & (read["flags"] & _PF_KTHREAD == 0))
    yield Edges(MM, "MM", own, read["mm"][own])
    alive = np.flatnonzero(read.ok & (read["pid"] != 0))
    namespace, _ = innermost(memory, read["pid"][alive])
    known = namespace != 0
    yield Edges(PID, "PID_NS", alive[known], namespace[known])
    yield from _blocked.walk(memory, tasks)
    yield from io_uring.of_tasks(memory, tasks)
    yield from tty.of_tasks(memory, tasks)


def _state(memory: Memory, tasks: U64) -> Mapping[str, npt.NDArray[Any]]:
    read = memory.gather(
        tasks,
        "task_struct",
        {"signal": "signal", "exit": "exit_state", "code": "exit_code"},
    )
    pids = memory.gather(read["signal"], "signal_struct", {"pids": "pids"})
    zombie = read.ok & (read["exit"] & _EXIT_ZOMBIE != 0)
    return {
        **{
            name: _number(memory, pids["pids"][:, index], pids.ok)
            for name, index in (("task.group", 2), ("task.session", 3))  # PIDTYPE_PGID, _SID
        },
        "zombie.status": np.ma.masked_array(read["code"], ~zombie),
    }


def _number(memory: Memory, pids: U64, ok: Mask) -> np.ma.MaskedArray[Any, Any]:
    first = pids + np.uint64(memory.offset("pid", "numbers"))
    read = memory.gather(np.where(ok & (pids != 0), first, np.uint64(0)), "upid", {"nr": "nr"})
    return np.ma.masked_array(read["nr"], ~read.ok)


_FACTS: Final = (
    Fact("task.group", "number", "process group of a process"),
    Fact("task.session", "number", "session of a process"),
    Fact("zombie.status", "number", "status of one that exited and was not waited for (wait(2))"),
)

KIND: Final = Kind(
    name=TASK,
    struct="task_struct",
    title="task",
    plural="tasks",
    message="task",
    order=0,
    rank=99,
    counters=(),
    judged=Judged.NOT,
    rules=ALL_RULES,
    pointers=(
        Pointer(("nsproxy",), "NSPROXY", Association("nsproxy", "uses it", ALL_RULES)),
        Pointer(("files",), "FILE_TABLE", Association("files", "uses it", ALL_RULES)),
        Pointer(("fs",), "FS", Association("fs", "uses it", SINCE_LINUX_CR)),
        Pointer(("sighand",), "SIGHAND", Association("sighand", "uses it", SINCE_LINUX_CR)),
        Pointer(("cred",), "CRED", Association("cred", "acts with it")),
        Pointer(("real_cred",), "CRED", Association("real_cred", "owns it")),
    ),
    walk=_walk,
    walk_associations=(MM, PID, *_blocked.ASSOCIATIONS, *io_uring.OF_TASKS, tty.CONTROLLING),
    state=State(_FACTS, _state),
    of_process=True,
)
