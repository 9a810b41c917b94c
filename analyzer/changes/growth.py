"""Descriptors by who holds them, and of what type: how many, and how many more than before."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.changes.identity import By, ticks
from analyzer.check.links import association_flags
from analyzer.check.subtree import INSIDE
from analyzer.core.values import NamedTuple
from analyzer.kinds.base import Slot

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from analyzer.check.subtree import Border
    from analyzer.report.value import Report
    from analyzer.snapshot.tables import Table

    _Who = tuple[int, int] | str

_ANONYMOUS: Final = "anon_inode:"
_TYPES: Final = {
    stat.S_IFREG: "files",
    stat.S_IFDIR: "directories",
    stat.S_IFCHR: "character devices",
    stat.S_IFBLK: "block devices",
    stat.S_IFIFO: "pipes",
    stat.S_IFSOCK: "sockets",
}
_NAMED: Final = {"pipe": stat.S_IFIFO, "socket": stat.S_IFSOCK}
OTHERS: Final = "others"


class Holding(NamedTuple):
    """How many descriptors of one type a process has.

    `start` is when it started, in ticks since boot. A table that several processes share is told
    of the one with the lowest id.
    """

    pid: int
    start: int
    comm: str
    what: str
    number: int


class Growth(NamedTuple):
    """How many descriptors of one type somebody has, and had; None where he was not there.

    `pid` is None where a name stands for all processes that are called so.
    """

    pid: int | None
    comm: str
    what: str
    before: int | None
    after: int | None

    @property
    def more(self) -> int:
        """Return how many more there are than before."""
        return (self.after or 0) - (self.before or 0)

    @property
    def stayed(self) -> bool:
        """Tell whether he is there before and after."""
        return self.before is not None and self.after is not None


def holdings(report: Report) -> list[Holding]:
    """Return the descriptors of the processes inside, by process and type."""
    snapshot, border = report.snapshot, report.verdicts.border
    tasks, objects, references = (snapshot.tables[n] for n in ("tasks", "objects", "references"))
    is_fd = association_flags(references, lambda one: one.slot is Slot.DESCRIPTOR)
    rows = np.flatnonzero(is_fd & (border.reference_side == INSIDE) & (references["weight"] > 0))
    files, which = np.unique(border.target_row[rows], return_inverse=True)
    types = _types(objects, files)
    known = list(dict.fromkeys(types))
    codes = np.array([known.index(word) for word in types], np.int64)[which.reshape(-1)]
    pairs = np.stack((border.holder_row[rows], border.by_task[rows], codes), axis=1)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    leaders = _leaders(border, tasks)
    sums: dict[tuple[int, str], int] = {}
    for (holder, by_task, code), count in zip(found.tolist(), counts.tolist(), strict=True):
        leader = int(tasks["tgid"][holder]) if by_task else leaders.get(holder)
        if leader is not None:
            key = leader, known[code]
            sums[key] = sums.get(key, 0) + count
    start = ticks(tasks)
    names = dict(zip(tasks["tid"].tolist(), tasks["comm"].tolist(), strict=True))
    return [
        Holding(pid, start.get(pid, 0), names.get(pid, ""), what, count)
        for (pid, what), count in sorted(sums.items())
    ]


def growth(before: Report, after: Report, by: By) -> tuple[Growth, ...]:
    """Return the descriptors of two reports by holder and type, what grew most first."""
    was, now = (_summed(report, by) for report in (before, after))
    comms = {**was.comms, **now.comms}
    made = [
        Growth(
            who[0] if isinstance(who, tuple) else None,
            comms[who],
            what,
            was.counts.get((who, what), 0) if who in was.comms else None,
            now.counts.get((who, what), 0) if who in now.comms else None,
        )
        for who, what in dict.fromkeys((*was.counts, *now.counts))
    ]
    return tuple(sorted(made, key=lambda one: (-one.more, one.pid or 0, one.comm, one.what)))


class _Summed(NamedTuple):
    """Descriptors by who holds them (a process by id and start, or a name) and of what type."""

    comms: Mapping[_Who, str]
    counts: Mapping[tuple[_Who, str], int]


def _summed(report: Report, by: By) -> _Summed:
    tasks = report.snapshot.tables["tasks"]
    start = ticks(tasks)
    first = (report.verdicts.border.task_side == INSIDE) & (tasks["tid"] == tasks["tgid"])
    inside = zip(tasks["tid"][first].tolist(), tasks["comm"][first].tolist(), strict=True)
    comms: dict[_Who, str] = {
        comm if by is By.NAME else (pid, start[pid]): comm for pid, comm in inside
    }
    counts: dict[tuple[_Who, str], int] = {}
    for one in holdings(report):
        who: _Who = one.comm if by is By.NAME else (one.pid, one.start)
        comms[who] = one.comm
        counts[who, one.what] = counts.get((who, one.what), 0) + one.number
    return _Summed(comms, counts)


def _leaders(border: Border, tasks: Table) -> Mapping[int, int]:
    """Return the lowest of the processes inside that have a thing, by its row."""
    rows = np.flatnonzero(border.by_task & (border.reference_side == INSIDE))
    pids = tasks["tgid"][border.holder_row[rows]]
    order = np.argsort(-pids, kind="stable")
    return dict(zip(border.target_row[rows][order].tolist(), pids[order].tolist(), strict=True))


def _types(objects: Table, rows: npt.NDArray[np.intp]) -> list[str]:
    names, modes = objects["name"][rows].tolist(), objects["mode"][rows].tolist()
    known = objects.known("mode")[rows].tolist()
    return [
        _type(name or "", mode if there else None)
        for name, mode, there in zip(names, modes, known, strict=True)
    ]


def _type(name: str, mode: int | None) -> str:
    if name.startswith(_ANONYMOUS):
        return name.removeprefix(_ANONYMOUS).strip("[]")
    if mode is None:  # /proc tells the name alone
        mode = _NAMED.get(name.partition(":")[0], stat.S_IFREG)
    return _TYPES.get(stat.S_IFMT(mode), OTHERS)
