"""Which tasks share a descriptor table, an fs_struct, an mm or signal handlers.

The threads of one process always share their mm and their signal handlers (clone(2): CLONE_THREAD
needs CLONE_SIGHAND, which needs CLONE_VM), so one of them is asked. A descriptor table or an
fs_struct can be unshared by a thread: each thread is first compared with the others of its process,
and only one of each kind with other processes. Where nobody can be asked, the threads of a process
are taken to share both.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from analyzer.procfs.gaps import refusal
from analyzer.procfs.kcmp import What
from analyzer.procfs.tasks import Task, again

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from analyzer.procfs.fs import ProcFs
    from analyzer.procfs.gaps import GapLog
    from analyzer.procfs.identity import Identity
    from analyzer.procfs.stat import Stat

Groups = list[list[Task]]

_OF_PROCESS: Final = (What.VM, What.SIGHAND)
_UNTOLD: Final = (
    "who else has the same address space, descriptor table, root and working directory "
    "or signal handlers is not known"
)


def holds(what: What, stat: Stat) -> bool:
    """Tell whether a task has such an object: a zombie has only its signal handlers left."""
    if what is What.SIGHAND:
        return stat.state != "X"
    return not stat.exiting and not (what is What.VM and stat.kthread)


class Sharing:
    """Asks `identity` for groups of tasks; what it cannot answer goes to `log`.

    `full` are the tasks of interest (by tid), which are told apart from each other; of the others
    it matters only with which of these they share.
    """

    def __init__(self, fs: ProcFs, identity: Identity, full: Collection[int], log: GapLog) -> None:
        self._fs = fs
        self._identity = identity
        self._full = full
        self._log = log

    def groups(self, what: What, tasks: Sequence[Task], *, everybody: bool = False) -> Groups:
        """Return the groups of tasks that share one object, those of interest first.

        With `everybody`, the groups of the tasks of no interest are returned too.
        """
        holders = [task for task in tasks if holds(what, task.stat)]
        units = self._units(what, holders)
        units.sort(key=lambda unit: not self._concerns(unit))
        pivots = len(units) if everybody else sum(map(self._concerns, units))
        answer = self._identity.classes(what, [(unit[0].tid, 0) for unit in units], pivots)
        self._blame([unit[0] for unit in units], answer.failed)
        merged = _merge(units, answer.number)
        confirmed = [self._confirmed(what, group) for group in merged]
        return [group for group in confirmed if group]

    def _concerns(self, unit: Iterable[Task]) -> bool:
        return any(task.tid in self._full for task in unit)

    def _units(self, what: What, tasks: Sequence[Task]) -> Groups:
        """Return the groups within each process."""
        units: Groups = []
        for process in by_process(tasks).values():
            if len(process) == 1 or what in _OF_PROCESS:
                units.append(process)
                continue
            if not self._identity.certain:
                units += self._presumed(what, process)
                continue
            answer = self._identity.classes(what, [(task.tid, 0) for task in process])
            self._blame(process, answer.failed)
            units += _merge([[task] for task in process], answer.number)
        return units

    def _presumed(self, what: What, process: list[Task]) -> Groups:
        """Take threads to share what nearly all share, unless they show other descriptors."""
        if what is not What.FILES:
            return [process]
        groups: dict[object, list[Task]] = {}
        first = self._descriptors(process[0])
        for task in process:
            groups.setdefault(self._descriptors(task) or first, []).append(task)
        return list(groups.values())

    def _descriptors(self, task: Task) -> object:
        try:
            links = self._fs.links(f"{task.folder}/fd")
        except OSError:
            return None
        return frozenset(zip(links.names, links.targets, strict=True))

    def _blame(self, asked: Sequence[Task], failed: Mapping[int, int]) -> None:
        for index, code in failed.items():
            if code != errno.ESRCH:
                self._log.add(refusal("shared tables", "kcmp", code, _UNTOLD), asked[index].tgid)

    def _confirmed(self, what: What, group: list[Task]) -> list[Task]:
        # Tasks that gave up their object between two calls are equal: both have none.
        if len({task.tgid for task in group}) == 1 or not self._fs.is_live():
            return group
        now = [again(self._fs, task) for task in group]
        pairs = zip(group, now, strict=True)
        return [task for task, stat in pairs if stat is not None and holds(what, stat)]


def by_process(tasks: Iterable[Task]) -> dict[int, list[Task]]:
    """Return the tasks of each process, by its id."""
    found: dict[int, list[Task]] = {}
    for task in tasks:
        found.setdefault(task.tgid, []).append(task)
    return found


def _merge(units: Groups, number: Sequence[int]) -> Groups:
    merged: dict[int, list[Task]] = {}
    for unit, group in zip(units, number, strict=True):
        if group >= 0:
            merged.setdefault(group, []).extend(unit)
    return list(merged.values())
