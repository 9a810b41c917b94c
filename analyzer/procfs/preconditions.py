"""What has to hold of a reading of /proc, before what it shows can be all who hold something.

A reading that lacks a process, or what one has, may lack a holder: nothing of it is *consistent
with containment* then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import UNKNOWN_PARENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analyzer.procfs.gaps import GapLog
    from analyzer.procfs.tasks import Task

_KTHREADD: Final = 2
_SHOWN: Final = 5
_ALONE: Final = "nobody came meanwhile"
_WHOLE: Final = {None: "it has no marker of its end", True: "", False: "it was cut short"}


def of_reading(
    tasks: Sequence[Task], log: GapLog, arrived: Mapping[int, int] | None, *, whole: bool | None
) -> dict[str, str]:
    """Return why each precondition does not hold, by its name; "" where it does.

    `whole` tells whether a dump has its end, None where it does not say; `arrived` is of `moved`.
    """
    refused, lacking = log.counts()
    return {
        "initial pid namespace": "" if _has_kthreadd(tasks) else "kthreadd is not among them",
        "nothing refused": f"see below what could not be read: {refused}" if refused else "",
        "nothing missing": f"see below what is not in it: {lacking}" if lacking else "",
        "complete": _WHOLE[whole],
        "all parents": _of_no_parents(tasks),
        _ALONE: _came(arrived),
    }


def _has_kthreadd(tasks: Sequence[Task]) -> bool:
    return any(task.tid == _KTHREADD and task.stat.kthread for task in tasks)


def _of_no_parents(tasks: Sequence[Task]) -> str:
    known = {0, *(task.tgid for task in tasks)} - {UNKNOWN_PARENT}
    lost = {task.tgid for task in tasks if task.leader and task.stat.ppid not in known}
    return f"{_processes(lost)} whose parents were not read" if lost else ""


def _came(arrived: Mapping[int, int] | None) -> str:
    if arrived is None:
        return "it does not say who came while it was made"
    return f"{_processes(arrived)} that came while it was made" if arrived else ""


def _processes(pids: set[int] | Mapping[int, int]) -> str:
    shown = ", ".join(map(str, sorted(pids)[:_SHOWN])) + (", ..." if len(pids) > _SHOWN else "")
    noun = "process" if len(pids) == 1 else "processes"
    return f"there {'is' if len(pids) == 1 else 'are'} {len(pids)} {noun} (pid {shown})"
