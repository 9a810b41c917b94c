"""Which object of one snapshot is which of another.

By kernel address, where the snapshots can be compared: they are of one boot, and have raw addresses
or hashes under one key (`meta["address_key"]`). The kernel uses the memory of an object again for
the next of its kind (open files are SLAB_TYPESAFE_BY_RCU), so an object is the same only if what
cannot change of it is the same too: kind, device, inode, mount, the mode that it was opened for.

Without addresses an object is what a process holds at some place: the process by id and start, the
descriptor (or other place), device, inode and mount; a namespace is its inode number.

Of two boots, hosts or subjects no such thing is the same. There a finding is known by what is the
same in the next run too (`analyzer.report.waive.identity`), as it is by a baseline.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, TypeVar

from analyzer.core.errors import BadInputError
from analyzer.core.model import TASK, Side
from analyzer.kinds import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from analyzer.report.crossed import Crossed, Tie
    from analyzer.report.value import Report, ReportObject
    from analyzer.snapshot.tables import Table

T = TypeVar("T")

_ACCESS: Final = 0o3  # O_ACCMODE
_TICK: Final = 10_000_000  # /proc gives the start of a process in hundredths of a second
_FACTS: Final = ("address", "ino", "dev", "mnt_id", "flags")


class By(StrEnum):
    """What things of several snapshots are told apart by."""

    ADDRESS = "address"
    HOLDER = "holder"
    NAME = "name"

    @property
    def words(self) -> str:
        """Return it as it is said: "by kernel address and inode"."""
        return _WORDS[self]


_WORDS: Final = {
    By.ADDRESS: "by kernel address and inode",
    By.HOLDER: "by process, descriptor and inode (no addresses that compare)",
    By.NAME: "by kind, path, descriptors and programs outside, as a baseline does",
}


def same_subject(reports: Sequence[Report]) -> None:
    """Raise BadInputError unless all reports are of one process of one boot."""
    first = reports[0]
    for other in reports[1:]:
        if other.subject.boot_id != first.subject.boot_id:
            raise BadInputError(
                "the snapshots are of different boots or machines: their objects have nothing in "
                f"common ({first.subject.collected_at} and {other.subject.collected_at})"
            )
        if root(other) != root(first):
            raise BadInputError(
                f"the snapshots are of different processes (pid {first.subject.pid} and "
                f"{other.subject.pid}): name those of one, or --pid N"
            )


def how(reports: Sequence[Report]) -> By:
    """Return by what the things of these reports are told apart."""
    if not all(_one_subject(reports[0], other) for other in reports[1:]):
        return By.NAME
    metas = [report.snapshot.meta for report in reports]
    said = {(meta["addresses"], meta.get("address_key")) for meta in metas}
    ((addresses, key), *others) = said
    comparable = addresses == "raw" or (addresses == "hashed" and key is not None)
    lone = len(reports) == 1 and addresses == "hashed"
    return By.ADDRESS if not others and (comparable or lone) else By.HOLDER


def root(report: Report) -> tuple[int, int]:
    """Return the first process of a report's subject: its id, and when it started, in ticks."""
    pid = report.subject.pid
    return pid, _starts(report)[pid]


def _one_subject(one: Report, other: Report) -> bool:
    """Tell whether two subjects of one boot have a first process in common: others may end."""
    return one.subject.boot_id == other.subject.boot_id and bool(_roots(one) & _roots(other))


def _roots(report: Report) -> set[tuple[int, int | None]]:
    starts = _starts(report)
    return {(pid, starts.get(pid)) for pid in (report.subject.pid, *report.subject.roots)}


def identified(report: Report, by: By) -> Iterator[tuple[Hashable, ReportObject]]:
    """Yield the objects of a whole report, each with what it is known by."""
    keys = Keys(report, by)
    for entry in report.objects:
        yield keys.of_object(entry), entry


class Keys:
    """What the objects, ends and crossings of one report are known by, in another as well."""

    def __init__(self, report: Report, by: By) -> None:
        """Index the objects of a report; `by` is no name."""
        self._facts = _facts(report.snapshot.tables["objects"])
        self._by = by
        self._starts = _starts(report)

    def of_object(self, entry: ReportObject) -> Hashable:
        """Return what an object is known by."""
        return self._of(entry.kind, entry.objref, lambda: self._place(entry))

    def of_crossing(self, one: Crossed) -> Hashable:
        """Return what a crossing is known by: what it is, and what its ends have in common."""
        common = one.meeting or one.ties[-1]
        return one.relation, one.impact, self._tie(common)

    def _of(self, kind: str, objref: int, place: Callable[[], Hashable]) -> Hashable:
        facts = self._facts[objref - 1]
        if self._by is By.ADDRESS and facts[0] is not None:
            return kind, facts
        _, ino, dev, mount, _ = facts
        return (kind, ino) if registry()[kind].namespace else (kind, ino, dev, mount, place())

    def _tie(self, tie: Tie) -> Hashable:
        if tie.objref is None:
            return TASK, tie.tid, self._starts.get(tie.tid or 0, 0)
        led = [(self._starts.get(task.tgid, 0), task.tgid, tie.via) for task in tie.tasks]
        return self._of(tie.kind, tie.objref, lambda: min(led, default=None))

    def _place(self, entry: ReportObject) -> Hashable:
        """Return the first of the places at which processes inside hold an object."""
        places = [
            (self._starts.get(task.tgid, 0), task.tgid, holder.association, holder.slot or 0)
            for holder in entry.holders
            if holder.side is Side.INSIDE
            for task in holder.tasks
            if task.side is Side.INSIDE
        ]
        return min(places, default=None)


def matched(
    before: Iterable[tuple[Hashable, Hashable, T]], after: Iterable[tuple[Hashable, Hashable, T]]
) -> Iterator[tuple[T | None, T | None]]:
    """Yield what is of one key in both, in pairs, and what is in one alone, with None.

    Each comes with its key, and with what tells several of one key apart where that is the same.
    """
    left, right = _grouped(before), _grouped(after)
    for key in dict.fromkeys((*left, *right)):
        yield from _paired(left.get(key, {}), right.get(key, {}))


def _grouped(
    given: Iterable[tuple[Hashable, Hashable, T]],
) -> dict[Hashable, dict[Hashable, list[T]]]:
    found: dict[Hashable, dict[Hashable, list[T]]] = {}
    for key, finer, thing in given:
        found.setdefault(key, {}).setdefault(finer, []).append(thing)
    return found


def _paired(
    left: Mapping[Hashable, list[T]], right: Mapping[Hashable, list[T]]
) -> Iterator[tuple[T | None, T | None]]:
    for finer, things in left.items():
        yield from zip(things, right.get(finer, ()), strict=False)
    yield from zip_longest(_beyond(left, right), _beyond(right, left))


def _beyond(own: Mapping[Hashable, list[T]], other: Mapping[Hashable, list[T]]) -> Iterator[T]:
    for finer, things in own.items():
        yield from things[len(other.get(finer, ())) :]


def ticks(tasks: Table) -> Mapping[int, int]:
    """Return when each thread started, in hundredths of a second since boot, by its id."""
    return dict(zip(tasks["tid"].tolist(), (tasks["start_time"] // _TICK).tolist(), strict=True))


def _starts(report: Report) -> Mapping[int, int]:
    return ticks(report.snapshot.tables["tasks"])


def _facts(objects: Table) -> list[tuple[Any, ...]]:
    """Return by row the address, and what cannot change of an object; None is not known."""
    columns = []
    for name in _FACTS:
        values = objects[name] & _ACCESS if name == "flags" else objects[name]
        known = zip(values.tolist(), objects.known(name).tolist(), strict=True)
        columns.append([value if there else None for value, there in known])
    return list(zip(*columns, strict=True))
