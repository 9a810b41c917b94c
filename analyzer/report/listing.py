"""The rows of a report: as fine as the columns they are told in (`analyzer.report.columns`)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

from analyzer.core.model import TASK
from analyzer.core.values import NamedTuple, dataclass
from analyzer.sources.meta import boot_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from analyzer.report.holders import Holder, TaskRef
    from analyzer.report.value import Report, ReportObject
    from analyzer.snapshot.value import Snapshot

Level = Literal["object", "reference", "process", "thread"]
LEVELS: Final[tuple[Level, ...]] = ("object", "reference", "process", "thread")

Value = str | int | bool | None


class Inode(NamedTuple):
    """What the snapshot knows of an object, beyond its report: mostly of files.

    `owner` and `parent` are the inodes of the namespaces that a namespace is owned by, and is a
    child of; `relations` what the object has to do with across the border, uncounted; `ends` who is
    at the other ends of each, by objref. `here` tells whether the snapshot is of this boot of this
    machine, whose users have names.
    """

    mode: int | None
    flags: int | None
    pos: int | None
    mnt_id: int | None
    deleted: bool | None
    machine: str
    here: bool = False
    owner: int | None = None
    parent: int | None = None
    relations: str | None = None
    ends: Callable[[], Mapping[int, str]] = dict


class Task(NamedTuple):
    """A thread as its row of tasks tells it; a process is its first thread."""

    tid: int
    tgid: int
    ppid: int
    comm: str
    kthread: bool
    nspid: int | None
    cgroup: str | None
    uid: int | None


class Row(NamedTuple):
    """One row: an object (number `at` of the report), and as much else as its level asks for."""

    at: int
    entry: ReportObject
    inode: Inode
    holder: Holder | None = None
    process: Task | None = None
    thread: Task | None = None


@dataclass(frozen=True)
class Column:
    """One column: its name, lsfd's type of it, what it means, and what a row must be to have it.

    `get` returns its value for a row that is at least so fine; None is missing.
    """

    name: str
    type: Literal["string", "number", "boolean"]
    meaning: str
    of: Level
    get: Callable[[Row], Value]


@dataclass(frozen=True)
class Listing:
    """Rows of a report and the columns that they are told in."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def values(self, column: Column) -> list[Value]:
        """Return the values of one column, a plain Python object per row."""
        return [column.get(row) for row in self.rows]


def listing(report: Report, columns: Sequence[Column], level: Level = "object") -> Listing:
    """Return the rows that `columns` ask for, or finer ones where `level` is finer.

    They are in the order of the report (worst first), then of the holders (inside first), then of
    the tasks.
    """
    return Listing(tuple(columns), tuple(_rows(report, finest(columns, level))))


def finest(columns: Iterable[Column], level: Level = "object") -> Level:
    """Return the finest level that `columns` (or `level`) need."""
    return LEVELS[max(map(LEVELS.index, (level, *(column.of for column in columns))))]


def with_finer(rows: Sequence[Row], keep: Sequence[bool], level: Level) -> tuple[Row, ...]:
    """Return the rows of `level` that have a finer row which is kept, each once."""
    depth = {"object": 1, "reference": 2, "process": 3, "thread": 4}[level]
    found: dict[tuple[int, ...], Row] = {}
    for row, wanted in zip(rows, keep, strict=True):
        if wanted:
            found.setdefault(_key(row)[:depth], row)
    return tuple(found.values())


# --- how rows are made


def _rows(report: Report, level: Level) -> Iterator[Row]:
    fine = LEVELS.index(level)
    known = _tasks(report.snapshot) if fine > 1 else {}
    led = cache(lambda tasks: _led(tasks, known, every=level == "thread"))
    for at, (entry, inode) in enumerate(zip(report.objects, _inodes(report), strict=True)):
        if not fine or not entry.holders:
            yield Row(at, entry, inode)
            continue
        for holder in entry.holders:
            if fine == 1 or not holder.tasks:
                yield Row(at, entry, inode, holder)
                continue
            for process, thread in led(_own(holder)):
                yield Row(at, entry, inode, holder, process, thread)


def _key(row: Row) -> tuple[int, ...]:
    return (
        row.at,
        id(row.holder),  # the report keeps its holders: none is made anew
        -1 if row.process is None else row.process.tgid,
        -1 if row.thread is None else row.thread.tid,
    )


def _inodes(report: Report) -> Iterator[Inode]:
    import numpy as np  # not at the top: the names of the columns are completed by the shell

    from analyzer.report.endpoints import endpoints

    objects = report.snapshot.tables["objects"]
    refs = np.array([entry.objref for entry in report.objects], np.int64)
    order = np.argsort(objects["objref"], kind="stable")
    told = objects.take(order[np.searchsorted(objects["objref"], refs, sorter=order)])
    columns = []
    for name in ("mode", "flags", "pos", "mnt_id", "deleted"):
        values, known = told[name].tolist(), told.known(name).tolist()
        columns.append([v if k else None for v, k in zip(values, known, strict=True)])
    machine = str(report.snapshot.meta["machine"])
    here = bool(boot_id()) and report.snapshot.meta["boot_id"] == boot_id()
    more = [_above(report.snapshot, refs, name) for name in ("owner", "parent")]
    crossing = _relations(report)
    names = [crossing.get(ref) for ref in refs.tolist()]
    many = len(refs)
    ends = cache(lambda: endpoints(report))  # for who asks for them
    told_all = zip(
        *columns, [machine] * many, [here] * many, *more, names, [ends] * many, strict=True
    )
    return (Inode._make(fact) for fact in told_all)


def _above(snapshot: Snapshot, refs: Any, association: str) -> list[int | None]:  # noqa: ANN401 - numpy is imported late
    """Return the inode of what each object has by an association, where it has one."""
    import numpy as np

    objects, references = snapshot.tables["objects"], snapshot.tables["references"]
    is_so = references["association"] == references.code("association", association)
    rows = np.flatnonzero(
        is_so & (references["holder_kind"] != references.code("holder_kind", TASK))
    )
    held = dict(
        zip(references["holder"][rows].tolist(), references["target"][rows].tolist(), strict=True)
    )
    there = np.isin(objects["objref"], list(held.values())) & objects.known("ino")
    inode = dict(
        zip(objects["objref"][there].tolist(), objects["ino"][there].tolist(), strict=True)
    )
    return [inode.get(held.get(ref, 0)) for ref in refs.tolist()]


def _relations(report: Report) -> dict[int, str]:
    found: dict[int, dict[str, None]] = {}
    for one in report.crossings:
        ties = one.ties if one.meeting is None else (*one.ties, one.meeting)
        for objref in [tie.objref for tie in ties if tie.objref is not None]:
            found.setdefault(objref, {})[one.relation] = None
    return {objref: ",".join(names) for objref, names in found.items()}


def _tasks(snapshot: Snapshot) -> Mapping[int, Task]:
    tasks = snapshot.tables["tasks"]
    columns = []
    for name in Task._fields:
        values, known = tasks[name].tolist(), tasks.known(name).tolist()
        columns.append([v if k else None for v, k in zip(values, known, strict=True)])
    return {row[0]: Task(*row) for row in zip(*columns, strict=True)}


# Of what is held from one side the tasks of that side are told, unless there are none.
def _own(holder: Holder) -> tuple[TaskRef, ...]:
    return holder.led_by(holder.side)


def _led(
    tasks: tuple[TaskRef, ...], known: Mapping[int, Task], *, every: bool
) -> tuple[tuple[Task, Task], ...]:
    if every:
        return tuple((known.get(t.tgid, known[t.tid]), known[t.tid]) for t in tasks)
    first: dict[int, int] = {}
    for task in tasks:
        first.setdefault(task.tgid, task.tid)
    return tuple((known.get(tgid, known[tid]), known[tid]) for tgid, tid in first.items())
