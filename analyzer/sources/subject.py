"""The subtree that is asked for, among the tasks of a reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.check.subtree import INSIDE, task_sides
from analyzer.core.errors import TargetVanishedError, UnseenError
from analyzer.memory.distinct import unique
from analyzer.sources import tasks as task_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analyzer.core.errors import CranalyzeError
    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Engine
    from analyzer.sources.tasks import Tasks


def subtree(engine: Engine, tasks: Tasks, pid: int | None, others: Sequence[int]) -> U64:
    """Return the tasks of the subtree of `pid` and `others`, of None all, sorted by address.

    TargetVanishedError where there is no such process, UnseenError where it was not found, and
    errors as `require_root`.
    """
    if pid is None:
        return unique(tasks.address)
    if tasks.row_of(pid) < 0:
        raise _absent(engine, pid)
    side = task_sides(tasks.table, tasks.known_as(pid), known(tasks, others))
    return unique(tasks.address[side == INSIDE])


def _absent(engine: Engine, pid: int) -> CranalyzeError:
    if not engine.live and not engine.lost:
        return TargetVanishedError(f"no process {pid} in the core")
    if not engine.live:
        return UnseenError(f"no process {pid} in the core, which is cut off or incomplete")
    if task_list.exists(pid):
        return UnseenError(f"process {pid} is there, but could not be found in memory: try again")
    return TargetVanishedError(f"no process {pid}: it has exited, or never was")


def known(tasks: Tasks, pids: Iterable[int]) -> list[int]:
    """Return what the tables call the processes that there are."""
    return [tid for tid in map(tasks.known_as, pids) if tid > 0]


def start_time(tasks: Tasks, pid: int) -> int:
    """Return when a process started, as the table of tasks has it."""
    return int(tasks.table["start_time"][tasks.row_of(pid)])
