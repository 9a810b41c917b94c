"""How many may hold files of a descriptor table by more than its descriptors.

System calls while they last, asynchronous requests (io_submit(2), struct aio_kiocb), and those of
an io_uring: then a file has more references than descriptors, and nothing tells how many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.procfs import calls

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from analyzer.procfs.fs import ProcFs
    from analyzer.procfs.sharing import Groups
    from analyzer.procfs.tasks import Task
    from analyzer.relations.shown import Shown


def of_tables(
    fs: ProcFs, machine: str, groups: Groups, tables: Iterable[int], shown: Shown
) -> Mapping[int, int]:
    """Return how many do so of some tables, by number; what is not known is left out."""
    found = {table: _of_tasks(fs, machine, groups[table]) for table in tables}
    return {
        table: count + sum(task.tgid in shown.submitters for task in groups[table])
        for table, count in found.items()
        if count is not None
    }


def _of_tasks(fs: ProcFs, machine: str, tasks: Sequence[Task]) -> int | None:
    told = [_of_task(fs, machine, task, shared=len(tasks) > 1) for task in tasks]
    return None if None in told else sum(map(bool, told))


def _of_task(fs: ProcFs, machine: str, task: Task, *, shared: bool) -> bool | None:
    try:
        return calls.holds(fs.read(f"{task.folder}/syscall"), machine, shared=shared)
    except OSError:
        return None
