"""What moved while /proc was read: who came, and who ran.

Who came is in a second listing of processes, and was not in the first: what it holds was not read.
A dump keeps the `stat` of all that were there at its end, where it has what was read twice
(`fs.again`). Who ran may have given away what it had, after that was looked for elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError
from analyzer.procfs import stat, status
from analyzer.procfs.tasks import numbers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from analyzer.procfs.fs import ProcFs
    from analyzer.procfs.status import Status
    from analyzer.procfs.tasks import Task

_RUNS: Final = "R"
_OLDEST: Final = 64  # generations that came meanwhile: a file may have a circle


def arrived(fs: ProcFs, tasks: Sequence[Task], observer: int) -> dict[int, int] | None:
    """Return who came since `tasks` were read, and its parent; None where a dump does not say.

    A kernel thread has no files, and a process that ended holds nothing any more. What `observer`
    started meanwhile (the tools of a script) is gone when it is.
    """
    now = _now(fs)
    if fs.copied and not now:
        return None
    first = {task.tgid: task.stat.start_ticks for task in tasks if task.leader}
    new = {
        pid: one.ppid
        for pid, one in now.items()
        if first.get(pid) != one.start_ticks and not (one.kthread or one.exiting)
    }
    return {pid: parent for pid, parent in new.items() if _known(parent, new) != observer}


def _now(fs: ProcFs) -> dict[int, stat.Stat]:
    try:
        pids = numbers(fs, fs.again("").rstrip("/"))
    except OSError:
        return {}
    found = {}
    for pid in pids:
        path = fs.again(f"{pid}/stat")
        try:
            found[pid] = stat.parse(fs.read(path), fs.name(path))
        except (OSError, BadInputError):
            continue  # it ended
    return found


def _known(pid: int, new: Mapping[int, int]) -> int:
    """Return the first ancestor that was there before, or the process itself."""
    for _ in range(_OLDEST):
        if pid not in new:
            break
        pid = new[pid]
    return pid


def ran(fs: ProcFs, tasks: Sequence[Task], tids: Collection[int]) -> set[int]:
    """Return which of some tasks ran since they were read, or may have.

    A task that rests had as many context switches then as it has now: who ran since was switched
    away from, which is counted (nvcsw and nivcsw, __schedule() of kernel/sched/core.c), or runs.
    """
    return {task.tid for task in tasks if task.tid in tids and not _rested(fs, task)}


def counted(fs: ProcFs, tasks: Sequence[Task], tids: Collection[int]) -> bool:
    """Tell whether it is told at all how often any of some tasks had been switched to by then."""
    some = [task for task in tasks if task.tid in tids]
    return not some or any(_later(fs, task) is not None for task in some)


def _later(fs: ProcFs, task: Task) -> Status | None:
    path = fs.again(f"{task.tgid}/task/{task.tid}/status")
    try:
        return status.parse(fs.read(path), fs.name(path))
    except (OSError, BadInputError):
        return None


def _rested(fs: ProcFs, task: Task) -> bool:
    now = _later(fs, task)
    if now is None or _RUNS in {now.state, task.stat.state}:
        return False
    return all(task.switches) and now.switches == task.switches
