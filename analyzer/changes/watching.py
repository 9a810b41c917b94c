"""One subject read again and again: what became of it since the reading before, as events.

Between two readings the last one is kept, and the numbers of a few before it: as much as the
machine has, however long it takes. A leak that could not be decided in between is not new again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.changes.between import LEAKS, Way, between
from analyzer.changes.growth import holdings
from analyzer.changes.identity import root
from analyzer.check.subtree import INSIDE
from analyzer.core.errors import TargetVanishedError
from analyzer.core.model import Verdict
from analyzer.core.values import NamedTuple
from analyzer.report.value import ReportObject
from analyzer.report.wording import listing, many

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

    from analyzer.changes.between import Change, Changes
    from analyzer.changes.trend import Rise, Trends
    from analyzer.report.value import Report

MOST: Final = 100
"""Events of one sort that a reading tells one by one."""

PROCESSES: Final = "processes"
_DOUBTS: Final = (Verdict.UNSTABLE, Verdict.UNKNOWN)


class Sort(StrEnum):
    """What an event is."""

    START = "start"
    NEW = "new"
    GONE = "gone"
    CHANGED = "changed"
    GROWTH = "growth"
    UNREAD = "unread"
    ENDED = "ended"
    END = "end"


class Grown(NamedTuple):
    """What grows: the descriptors of a type that a process has; `pid` None is all of them."""

    pid: int | None
    comm: str
    what: str
    rise: Rise


class Grower(NamedTuple):
    """What may grow; of all processes together `pid` is None."""

    pid: int | None
    start: int
    comm: str
    what: str


class Event(NamedTuple):
    """One event of a reading: numbered from 1, and of when it was made (RFC 3339)."""

    sort: Sort
    reading: int
    at: str
    words: str = ""
    change: Change | None = None
    grown: Grown | None = None


class Watch:
    """What was seen so far: `new_leaks` and crossings that decide; `counts` of all events."""

    def __init__(self, trends: Trends[Grower], *, everything: bool = False) -> None:
        """Begin; with `everything`, what only changed is an event too."""
        self._trends, self._all = trends, everything
        self._doubted: set[Hashable] = set()
        self.last: Report | None = None
        self.readings = 0
        self.new_leaks = self.new_crossings = 0
        self.lost = False
        self.counts: dict[str, int] = {
            sort.value: 0 for sort in (Sort.NEW, Sort.GONE, Sort.CHANGED, Sort.GROWTH)
        }

    @property
    def grew(self) -> int:
        """Return how often something was seen to grow."""
        return self.counts[Sort.GROWTH]

    @property
    def contained(self) -> bool:
        """Tell whether the subject is there, and its last reading found nothing that decides."""
        return not self.lost and self.last is not None and self.last.accepted

    def see(self, report: Report) -> list[Event]:
        """Take in the next reading; TargetVanishedError where its process is another by now."""
        last = self.last
        if (
            last is not None
            and not self.lost
            and report.subject.pid == last.subject.pid
            and root(report) != root(last)
        ):
            raise TargetVanishedError(f"process {last.subject.pid} exited, and its pid was reused")
        begins = last is None or self.lost or not _processes(last) & _processes(report)
        self.last, self.lost = report, False
        self.readings += 1
        made = [self._event(Sort.START, report, _start(report))] if begins else []
        if begins:
            self._trends.see({})
        if last is not None:
            made += self._changed(between(last, report))
        return [*made, *self._growth(report)]

    def lose(self, at: str, why: str) -> list[Event]:
        """Take in that the subject is not there; it may be started again, and then begins anew."""
        if self.lost:
            return []
        self.lost = True
        return [Event(Sort.ENDED, self.readings, at, why)]

    def _event(self, sort: Sort, report: Report, words: str = "") -> Event:
        return Event(sort, self.readings, report.subject.collected_at, words)

    def _changed(self, changes: Changes) -> Iterator[Event]:
        news = [change for change in changes.all if self._is_new(change)]
        for change in news:
            if change.decides:
                is_leak = isinstance(change.now, ReportObject)
                self.new_leaks += is_leak
                self.new_crossings += not is_leak
        self._remember(changes)
        others = [one for one in changes.of(Way.CHANGED) if one not in news]
        told = {Sort.NEW: news, Sort.GONE: changes.of(Way.GONE), Sort.CHANGED: others}
        for sort, several in told.items():
            self.counts[sort] += len(several)
            if sort is Sort.CHANGED and not self._all:
                continue
            for change in several[:MOST]:
                yield self._event(sort, changes.after)._replace(change=change)
            if len(several) > MOST:
                rest = f"{len(several) - MOST:,} more"
                yield self._event(sort, changes.after, rest)

    def _is_new(self, change: Change) -> bool:
        if change.way is Way.NEW:
            return True
        again = isinstance(change.was, ReportObject) and _key(change.was) in self._doubted
        return change.way is Way.CHANGED and change.decides and not again

    def _remember(self, changes: Changes) -> None:
        """Keep which leaks could not be decided this time."""
        told = self._doubted | {
            _key(change.now)
            for change in changes.objects
            if isinstance(change.was, ReportObject) and isinstance(change.now, ReportObject)
            if change.was.verdict not in _DOUBTS
        }
        doubted = {_key(one) for one in changes.after.objects if one.verdict in _DOUBTS}
        self._doubted = told & doubted

    def _growth(self, report: Report) -> Iterator[Event]:
        risen = self._trends.see(_numbers(report))
        of_one = {one.what for one in risen if one.pid is not None}
        shown = [one for one in risen if one.pid is not None or one.what not in of_one]
        self.counts[Sort.GROWTH] += len(shown)
        for one in shown[:MOST]:
            grown = Grown(one.pid, one.comm, one.what, risen[one])
            yield self._event(Sort.GROWTH, report)._replace(grown=grown)


def _processes(report: Report) -> set[tuple[int, int]]:
    """Return the processes inside: their ids, and when they started."""
    tasks = report.snapshot.tables["tasks"]
    first = (tasks["tid"] == tasks["tgid"]) & (report.verdicts.border.task_side == INSIDE)
    return set(zip(tasks["tid"][first].tolist(), tasks["start_time"][first].tolist(), strict=True))


def _key(entry: ReportObject) -> Hashable:
    return entry.kind, entry.address, entry.ino, entry.name


def _start(report: Report) -> str:
    crossings = [one for one in report.crossings if not one.alone]
    leaks = [entry for entry in report.objects if entry.verdict in LEAKS]
    others = [finding for finding in report.findings if not finding.informs]
    counts = [many(len(leaks), "leak"), many(len(crossings), "crossing")]
    counts += [many(len(others), "other finding")] if others else []
    decide = sum(one.gates for found in (leaks, crossings, others) for one in found)
    descriptors = many(sum(one.number for one in holdings(report)), "descriptor")
    return f"{report.status.value}: {listing(counts)}, {decide:,} decide; {descriptors}"


def _numbers(report: Report) -> Mapping[Grower, int]:
    """Return what may grow: descriptors by process and type, those of all, and the processes."""
    found: dict[Grower, int] = {}
    for one in holdings(report):
        found[Grower(one.pid, one.start, one.comm, one.what)] = one.number
        together = Grower(None, 0, "", one.what)
        found[together] = found.get(together, 0) + one.number
    tasks = report.snapshot.tables["tasks"]
    inside = report.verdicts.border.task_side == INSIDE
    found[Grower(None, 0, "", PROCESSES)] = len(np.unique(tasks["tgid"][inside]))
    return found
