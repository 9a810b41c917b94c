"""What is new, gone or changed from one report to another: one frozen value, for every writer.

Both reports are made with the same options and with all objects. What is compared is what a report
finds: leaks, what crosses the border uncounted, and what else speaks against the subtree. It is
new if it was not found before, be it that the thing is new or that it was contained. What decides
in the second report and did not in the first makes the answer.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from analyzer.changes import circumstances
from analyzer.changes.growth import growth
from analyzer.changes.identity import By, Keys, how, matched
from analyzer.core.errors import EXIT_LEAK, EXIT_OK, EXIT_UNDECIDED
from analyzer.core.model import Basis, Side, Status, Verdict
from analyzer.core.notebook import display
from analyzer.core.values import NamedTuple, dataclass
from analyzer.report.crossed import Crossed
from analyzer.report.value import Finding, ReportObject
from analyzer.report.wording import number

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping

    from analyzer.changes.growth import Growth
    from analyzer.report.holders import TaskRef
    from analyzer.report.value import Report

    _People = Mapping[Hashable, str]
    _Keyed = Iterator[tuple[Hashable, Hashable, "Found"]]

Found = ReportObject | Crossed | Finding
"""What a report finds."""

LEAKS: Final = (Verdict.USAGE_LEAK, Verdict.OVERCOUNT)
"""The verdicts that are a leak."""

_MOST_NAMED: Final = 3


class Way(StrEnum):
    """What became of something that a report found."""

    NEW = "new"
    GONE = "gone"
    CHANGED = "changed"
    KEPT = "kept"


class Answer(StrEnum):
    """Whether there is anything new that decides."""

    NEW = "new"
    UNDECIDED = "undecided"
    NOTHING_NEW = "nothing new"


_EXITS: Final = {
    Answer.NEW: EXIT_LEAK,
    Answer.UNDECIDED: EXIT_UNDECIDED,
    Answer.NOTHING_NEW: EXIT_OK,
}


class Change(NamedTuple):
    """One thing that was found in either report.

    `was` and `now` are it in each, None where it is not there at all; `how` says in words what is
    another than it was. What is new was there all the same if `was` is something: contained.
    """

    way: Way
    was: Found | None
    now: Found | None
    how: tuple[str, ...] = ()

    @property
    def decides(self) -> bool:
        """Tell whether it decides now and did not before."""
        return _decides(self.now) and not _decides(self.was)

    @property
    def unsure(self) -> bool:
        """Tell whether it may be new, and whether it is could not be decided."""
        doubts = _doubtful(self.now) and not (_found(self.was) or _doubtful(self.was))
        return doubts or (_doubtful(self.was) and _decides(self.now))


class Tally(NamedTuple):
    """How many things of a sort are new, gone, changed and the same."""

    new: int = 0
    gone: int = 0
    changed: int = 0
    kept: int = 0

    @property
    def before(self) -> int:
        """Return how many there were."""
        return self.gone + self.changed + self.kept

    @property
    def after(self) -> int:
        """Return how many there are."""
        return self.new + self.changed + self.kept


@dataclass(frozen=True)
class Changes:
    """What changed `before` and `after`; `by` is how a thing is known again.

    `objects`, `crossings` and `findings` are what was found in either, in the order of the reports:
    what is kept too. `every` counts all objects, contained ones too, None where those are not known
    again. `seconds` is how much later the second was read.
    """

    before: Report
    after: Report
    by: By
    seconds: float | None
    remarks: tuple[str, ...]
    objects: tuple[Change, ...]
    crossings: tuple[Change, ...]
    findings: tuple[Change, ...]
    every: Tally | None
    growth: tuple[Growth, ...]
    answer: Answer

    @property
    def exit_code(self) -> int:
        """Return what a command exits with that tells of this."""
        return _EXITS[self.answer]

    @property
    def all(self) -> tuple[Change, ...]:
        """Return all that was found in either."""
        return (*self.findings, *self.objects, *self.crossings)

    def of(self, way: Way) -> list[Change]:
        """Return what became so."""
        return [change for change in self.all if change.way is way]

    def __str__(self) -> str:
        """Say it as `cranalyze diff` does."""
        text: str = display("changes_text", self)
        return text

    def __repr__(self) -> str:
        """Say in one line what became of how many."""
        counts = tally(self.all)
        said = ", ".join(f"{n} {way.value}" for way, n in zip(Way, counts, strict=True))
        return f"<Changes, {self.answer.value}: {said}>"

    def _repr_html_(self) -> str:
        html: str = display("changes", self)
        return html


def between(before: Report, after: Report) -> Changes:
    """Return what changed from one report to another.

    Both have all objects (`ReportOptions.all`), and are made with the same options.
    """
    by = how((before, after))
    keyed = _by_name if by is By.NAME else _by_itself
    pairs = list(matched(keyed(before, by), keyed(after, by)))
    crossings = circumstances.relations_known(before, after)
    changes = [_change(was, now, by) for was, now in pairs]
    told = [
        change
        for change in changes
        if (_found(change.was) or _found(change.now))
        and (crossings or not isinstance(change.now or change.was, Crossed))
    ]
    return Changes(
        before,
        after,
        by,
        circumstances.seconds_between(before, after),
        circumstances.remarks(before, after, by),
        tuple(_of(told, ReportObject)),
        tuple(_of(told, Crossed)),
        tuple(_of(told, Finding)),
        None if by is By.NAME else _presence(pairs),
        growth(before, after, by),
        _answer(changes, before, after),
    )


def tally(changes: Iterable[Change]) -> Tally:
    """Return how many of some changes are of each way."""
    ways = [change.way for change in changes]
    return Tally(*(ways.count(way) for way in Way))


def _answer(changes: Iterable[Change], before: Report, after: Report) -> Answer:
    told = list(changes)
    if any(change.decides and not change.unsure for change in told):
        return Answer.NEW
    if after.accepted:
        return Answer.NOTHING_NEW
    doubts = after.status is Status.UNDECIDED and before.status is not Status.UNDECIDED
    if doubts or after.incomplete or any(change.unsure for change in told):
        return Answer.UNDECIDED
    return Answer.NOTHING_NEW


def _of(changes: Iterable[Change], sort: type[Found]) -> Iterator[Change]:
    return (change for change in changes if isinstance(change.now or change.was, sort))


def _presence(pairs: Iterable[tuple[Found | None, Found | None]]) -> Tally:
    there = [
        (was is not None, now is not None)
        for was, now in pairs
        if isinstance(now or was, ReportObject)
    ]
    new, gone, both = (there.count(one) for one in ((False, True), (True, False), (True, True)))
    return Tally(new=new, gone=gone, kept=both)


# --- what is known again


def _by_itself(report: Report, by: By) -> _Keyed:
    keys = Keys(report, by)
    for entry in report.objects:
        yield keys.of_object(entry), None, entry
    for one in report.crossings:
        yield keys.of_crossing(one), None, one
    for finding in report.findings:
        yield finding.finding, None, finding


def _by_name(report: Report, by: By) -> _Keyed:
    """Yield what is found; equal ones are told apart by inode, where that is the same."""
    del by
    for entry in report.objects:
        if _found(entry):
            yield (entry.kind, *entry.identities), (entry.ino, entry.dev), entry
    for one in report.crossings:
        yield (one.relation, *one.identities), None, one
    for finding in report.findings:
        yield finding.finding, None, finding


def _found(one: Found | None) -> bool:
    """Tell whether it is something that a report finds, and not contained or undecided."""
    if isinstance(one, ReportObject):
        return one.verdict in LEAKS
    return one is not None


def _doubtful(one: Found | None) -> bool:
    if isinstance(one, ReportObject):
        return one.gates and one.verdict in {Verdict.UNSTABLE, Verdict.UNKNOWN}
    return isinstance(one, Crossed) and one.gates and not one.stable


def _decides(one: Found | None) -> bool:
    return one is not None and _found(one) and one.gates and not _doubtful(one)


# --- what is another than it was


def _change(was: Found | None, now: Found | None, by: By) -> Change:
    doubted = _undecided(was) or _undecided(now)
    if _found(now) and not _found(was) and not doubted:
        return Change(Way.NEW, was, now, () if was is None else ("was there, and contained",))
    if _found(was) and not _found(now) and not doubted:
        return Change(Way.GONE, was, now, () if now is None else ("is there, and contained",))
    said: tuple[str, ...] = ()
    if isinstance(was, ReportObject) and isinstance(now, ReportObject):
        said = tuple(_of_object(was, now, by))
    elif isinstance(was, Crossed) and isinstance(now, Crossed):
        said = tuple(_of_crossing(was, now, by))
    elif isinstance(was, Finding) and isinstance(now, Finding):
        said = tuple(_of_gate(was, now))
    return Change(Way.CHANGED if said else Way.KEPT, was, now, said)


def _undecided(one: Found | None) -> bool:
    return isinstance(one, ReportObject) and one.verdict in {Verdict.UNSTABLE, Verdict.UNKNOWN}


def _of_object(was: ReportObject, now: ReportObject, by: By) -> Iterator[str]:
    if was.verdict is not now.verdict:
        yield f"{_VERDICTS[now.verdict]}, was {_VERDICTS[was.verdict]}"
    if was.impact is not now.impact and was.impact and now.impact:
        yield f"{now.impact.value}, was {was.impact.value}"
    if was.name and now.name and was.name != now.name and by is not By.NAME:
        yield f"is called {now.name}, was {was.name}"
    if by is By.NAME and (was.ino, was.dev) != (now.ino, now.dev) and _lasts(was, now):
        yield f"inode {now.ino}, was {was.ino}"
    if not now.initial:  # whose counts everybody changes
        yield from _counted(was, now)
        if by is not By.NAME:
            yield from _whose(_outside(was), _outside(now), "held")
    yield from _of_gate(was, now)


_VERDICTS: Final = {
    Verdict.USAGE_LEAK: "referenced from outside",
    Verdict.OVERCOUNT: "of more users than references",
    Verdict.UNSTABLE: "unstable",
    Verdict.UNKNOWN: "undecided",
    Verdict.CONTAINED: "contained",
}


def _lasts(was: ReportObject, now: ReportObject) -> bool:
    """Tell whether both are files with a path: other inodes are numbered at each boot."""
    return all((one.name or "").startswith("/") for one in (was, now))


def _counted(was: ReportObject, now: ReportObject) -> Iterator[str]:
    if was.users != now.users:
        yield f"{number(now.users)} held from inside, was {number(was.users)}"
    if Basis.STRUCTURAL in {was.basis, now.basis}:
        return
    if was.outside != now.outside:
        yield f"{number(now.outside)} held from outside, was {number(was.outside)}"
    if was.unexplained != now.unexplained:
        yield f"{number(now.unexplained)} held by nobody known, was {number(was.unexplained)}"


def _outside(entry: ReportObject) -> _People:
    tasks = (
        task
        for holder in entry.holders
        if holder.holds_from(Side.OUTSIDE)
        for task in holder.led_by(Side.OUTSIDE)
    )
    return _people(tasks)


def _of_crossing(was: Crossed, now: Crossed, by: By) -> Iterator[str]:
    if was.alone != now.alone:
        yield "wholly inside now" if now.alone else "crosses the border now"
    if was.stable != now.stable:
        yield "did not move this time" if now.stable else "kept changing while it was read"
    if by is not By.NAME:
        yield from _whose(_ends(was), _ends(now), "with")
    yield from _of_gate(was, now)


def _ends(one: Crossed) -> _People:
    ends: dict[Hashable, str] = {}
    for tie in one.ties:
        ends |= _people(tie.tasks) or {tie.words: tie.words}
    return ends


def _people(tasks: Iterable[TaskRef]) -> _People:
    return {task.tgid: f"{task.comm} ({task.tgid})" for task in tasks}


def _whose(was: _People, now: _People, word: str) -> Iterator[str]:
    new, gone = ([name for who, name in one.items() if who not in other]
                 for one, other in ((now, was), (was, now)))  # fmt: skip
    by = f"{word} by" if word == "held" else word
    if new:
        yield f"now {by} {_named(new)}"
    if gone:
        yield f"no longer {by} {_named(gone)}"


def _named(words: list[str]) -> str:
    rest = len(words) - _MOST_NAMED
    shown = words[:_MOST_NAMED]
    return ", ".join(shown) + (f" and {number(rest)} more" if rest > 0 else "")


def _of_gate(was: Found, now: Found) -> Iterator[str]:
    if _found(was) and _found(now) and was.gates != now.gates:
        yield "decides now" if now.gates else "does not decide any more"
