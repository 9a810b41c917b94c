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
from analyzer.kinds import _blocked, exec_state, io_uring, tty
from analyzer.kinds._named_types import signals, texts
from analyzer.kinds.base import (
    ALL_RULES,
    SINCE_LINUX_CR,
    Association,
    Edges,
    Judged,
    Kind,
    Known,
    Pointer,
    State,
)
from analyzer.kinds.io_context import TASKS
from analyzer.kinds.pid import innermost

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask, Told
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
    yield from exec_state.of_tasks(memory, tasks)


def _state(memory: Memory, tasks: U64) -> Told:
    read = memory.gather(
        tasks,
        "task_struct",
        {"signal": "signal", "exit": "exit_state", "code": "exit_code", "leader": "group_leader",
         "pid": "thread_pid", "ptrace": "ptrace", "parent": "parent", "vfork": "vfork_done",
         "own": "pending.signal.sig", "io": "io_context"},
    )  # fmt: skip
    pids = memory.gather(
        read["signal"], "signal_struct", {"pids": "pids", "all": "shared_pending.signal.sig"}
    )
    tracer = memory.gather(read["parent"], "task_struct", {"number": "pid"})
    shares = memory.gather(read["io"], "io_context", {"tasks": "active_ref.counter"})
    zombie = read.ok & (read["exit"] & _EXIT_ZOMBIE != 0)
    leads = read.ok & (read["leader"] == tasks)
    session = pids["pids"][:, 3]
    hidden = pids.ok & leads & _hidden(memory, read["pid"], session)
    masks = _first(read["own"]) | _first(pids["all"])
    pending = texts([signals(mask) for mask in masks.tolist()])
    return {
        **{
            name: _number(memory, pids["pids"][:, index], pids.ok & leads)
            for name, index in (("task.group", 2), ("task.session", 3))  # PIDTYPE_PGID, _SID
        },
        "session.hidden": np.where(hidden, "session of another pid namespace", "").astype(object),
        "zombie.status": Known(read["code"], zombie & leads),
        "task.tracer": Known(tracer["number"], read.ok & (read["ptrace"] != 0)),
        "task.pending": np.where(read.ok & pids.ok & ~zombie, pending, ""),
        "io_context.tasks": Known(
            shares["tasks"], read.ok & shares.ok & (read["io"] != 0) & (shares["tasks"] > 1)
        ),
        "task.vfork": np.where(read.ok & (read["vfork"] != 0), "in vfork(2)", "").astype(object),
    }


def _first(words: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Return the first 64 signals of a sigset_t: all that there are."""
    return words.reshape(len(words), -1)[:, 0].astype(np.uint64)


def _hidden(memory: Memory, pids: U64, others: U64) -> Mask:
    """Tell which of `others` have no number in the innermost pid namespace of each of `pids`."""
    space, _ = innermost(memory, pids)
    own = memory.gather(pids, "pid", {"level": "level"})
    other = memory.gather(others, "pid", {"level": "level"})
    stride = np.uint64(memory.layout.sizeof("upid") or 0)
    first = np.uint64(memory.offset("pid", "numbers"))
    deep = own.ok & other.ok & (other["level"] >= own["level"])
    at = np.where(deep, others + first + own["level"].astype(np.uint64) * stride, np.uint64(0))
    known = memory.gather(at, "upid", {"ns": "ns"})
    mask: Mask = own.ok & other.ok & ~(deep & known.ok & (known["ns"] == space))
    return mask


def _number(memory: Memory, pids: U64, ok: Mask) -> Known:
    first = pids + np.uint64(memory.offset("pid", "numbers"))
    read = memory.gather(np.where(ok & (pids != 0), first, np.uint64(0)), "upid", {"nr": "nr"})
    return Known(read["nr"], read.ok)


_FACTS: Final = (
    Fact("task.group", "number", "process group of a process"),
    Fact("task.session", "number", "session of a process"),
    Fact(
        "session.hidden",
        "text",
        "said of a process whose session has no number where it is",
        plain=True,
    ),
    Fact("zombie.status", "number", "status of one that exited and was not waited for (wait(2))"),
    Fact("task.tracer", "number", "the thread that traces it (ptrace(2))"),
    Fact("task.pending", "text", "signals that wait for it to take them", plain=True),
    TASKS,
    Fact("task.vfork", "text", "said of one whose parent waits for it (vfork(2))", plain=True),
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
    walk_associations=(
        MM,
        PID,
        *_blocked.ASSOCIATIONS,
        *io_uring.OF_TASKS,
        tty.CONTROLLING,
        exec_state.EXECUTED,
    ),
    state=State(_FACTS, _state),
    of_process=True,
)
