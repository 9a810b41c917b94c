"""What changed from one report to another, for people: the answer first, then what is new.

What is new is told as a report tells it, and so is what is gone; of what changed, how.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.changes.between import Answer, Way
from analyzer.changes.circumstances import span
from analyzer.core.text import printable, wrap
from analyzer.core.values import NamedTuple
from analyzer.report.crossed import Crossed
from analyzer.report.part import part
from analyzer.report.value import Finding, ReportObject
from analyzer.report.wording import listing, many, number
from analyzer.writers.terminal import MIN_WIDTH, Line, found, named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from analyzer.changes.between import Change, Changes, Found
    from analyzer.changes.growth import Growth
    from analyzer.report.value import Report

_MOST: Final = 25  # lines of a sort
_STYLES: Final = {Answer.NEW: "bad", Answer.UNDECIDED: "unsure", Answer.NOTHING_NEW: "good"}
_NEXT: Final = {
    Answer.NEW: "close or reopen what is new, or say that it is known (--policy, --ignore).",
    Answer.UNDECIDED: "read it once more when it is quieter, or with --freeze.",
    Answer.NOTHING_NEW: "nothing.",
}
_BECAME: Final = {
    Way.NEW: "new",
    Way.GONE: "gone",
    Way.CHANGED: "changed",
    Way.KEPT: "as before",
}


class _Sort(NamedTuple):
    word: str
    changes: tuple[Change, ...]


def render(changes: Changes, width: int = 80, *, everything: bool = False) -> list[Line]:
    """Return what changed as lines of at most `width` cells (never less than MIN_WIDTH)."""
    wide = max(width, MIN_WIDTH)
    lines = _wrapped(headline(changes), wide, _STYLES[changes.answer])
    lines += _wrapped(about(changes), wide, "faint")
    for remark in changes.remarks:
        lines += _wrapped(printable(remark), wide, "unsure")
    blocks = [
        *_told(changes, Way.NEW, wide, everything=everything),
        *_told(changes, Way.GONE, wide, everything=everything),
        *_listed(changes, Way.CHANGED, wide, everything=everything),
        *(_listed(changes, Way.KEPT, wide, everything=True) if everything else ()),
        *_growth(changes, wide, everything=everything),
    ]
    for block in blocks:
        lines += [Line(""), *block]
    for warning in changes.after.warnings:
        lines += [Line(""), *_wrapped(printable(warning), wide, "unsure", 2, "* ")]
    return [*lines, Line(""), *_wrapped(f"next: {_NEXT[changes.answer]}", wide, "", 6)]


def headline(changes: Changes) -> str:
    """Return the answer: one sentence."""
    said = [
        f"{words} {way.value}"
        for way in Way
        if (words := _counts(changes, way)) and way != Way.KEPT
    ]
    kept = _counts(changes, Way.KEPT)
    told = "; ".join([*said, *([f"{kept} as before"] if kept else [])])
    match changes.answer:
        case Answer.NEW:
            return f"something is new: {told}"
        case Answer.UNDECIDED:
            return f"undecided whether anything is new{f': {told}' if told else ''}"
        case Answer.NOTHING_NEW:
            lead = "nothing new that decides" if changes.of(Way.NEW) else "nothing new"
            return f"{lead}{f': {told}' if told else ': nothing crosses the border in either'}"


def about(changes: Changes) -> str:
    """Return which two readings these are, and how things are known again."""
    one, other = changes.before.subject, changes.after.subject
    first, second = (_subject(report) for report in (changes.before, changes.after))
    whose = first if first == second else f"{first}, and {second}"
    when = [printable(subject.collected_at) or "some time" for subject in (one, other)]
    apart = "" if changes.seconds is None else f", {span(changes.seconds)} apart"
    return f"{whose}; {when[0]} and {when[1]}{apart}; told apart {changes.by.words}"


def _subject(report: Report) -> str:
    subject = report.subject
    called = f"{printable(subject.called)}: " if subject.called else ""
    host = printable(subject.host) or "a machine without name"
    return f"{called}pid {subject.pid} ({printable(subject.comm)}) on {host}"


def _counts(changes: Changes, way: Way) -> str:
    sorts = (
        _Sort("leak", changes.objects),
        _Sort("crossing", changes.crossings),
        _Sort("other finding", changes.findings),
    )
    counts = [(sum(1 for c in sort.changes if c.way is way), sort.word) for sort in sorts]
    return listing([many(count, word) for count, word in counts if count])


def narrowed(changes: Changes, way: Way) -> Report:
    """Return the report that has what became so, with that alone: the second, or what is gone."""
    report = changes.before if way is Way.GONE else changes.after
    told = [c.was if way is Way.GONE else c.now for c in changes.of(way)]
    return part(
        report,
        {one.objref for one in told if isinstance(one, ReportObject)},
        [one for one in told if isinstance(one, Crossed)],
        [one for one in told if isinstance(one, Finding)],
    )


def _told(changes: Changes, way: Way, wide: int, *, everything: bool) -> Iterator[list[Line]]:
    """Yield what is new or gone as a report tells it, and what was or is there all the same."""
    if not (told := changes.of(way)):
        return
    yield [Line(f"{_BECAME[way]}:", "title")]
    yield from found(narrowed(changes, way), wide, everything=everything)
    still = [change for change in told if change.was and change.now]
    if still:
        names = listing(_some([called(change) for change in still], everything=everything))
        yield _wrapped(f"{still[0].how[0]}: {names}", wide, "", 2)


def _listed(changes: Changes, way: Way, wide: int, *, everything: bool) -> Iterator[list[Line]]:
    told = changes.of(way)
    if not told:
        return
    lines = [Line(f"{_BECAME[way]}:", "title")]
    for change in told if everything else told[:_MOST]:
        said = "; ".join(map(printable, change.how))
        what = called(change)
        lines += _wrapped(f"{what}: {said}" if said else what, wide, "", 4, "* ")
    rest = len(told) - _MOST
    if rest > 0 and not everything:
        lines += _wrapped(f"* and {number(rest)} more (--all lists them)", wide, "", 2)
    yield lines


def called(change: Change) -> str:
    """Return what something is called."""
    return name_of(change.now or change.was)


def name_of(one: Found | None) -> str:
    """Return "open file /x", what a crossing or another finding says of itself."""
    if isinstance(one, ReportObject):
        from analyzer.kinds import registry

        title = registry()[one.kind].title
        return named(one) if named(one).startswith(f"{title}:[") else f"{title} {named(one)}"
    if isinstance(one, Crossed):
        return printable(one.title)
    return printable(f"{one.message}: {one.detail}") if isinstance(one, Finding) else ""


def _growth(changes: Changes, wide: int, *, everything: bool) -> Iterator[list[Line]]:
    before, after = (_total(changes.growth, end) for end in ("before", "after"))
    rows = [one for one in changes.growth if one.stayed and (one.more or everything)]
    if not rows and before == after:
        return
    lines = _wrapped(f"descriptors inside: {number(after)}, were {number(before)}", wide, "title")
    by_who: dict[str, list[Growth]] = {}
    for one in rows:
        by_who.setdefault(who(one), []).append(one)
    shown = list(by_who.items()) if everything else list(by_who.items())[:_MOST]
    for name, types in shown:
        lines += _wrapped(f"{name}: {', '.join(map(grown, types))}", wide, "", 4, "* ")
    if len(by_who) > len(shown):
        rest = number(len(by_who) - len(shown))
        lines += _wrapped(f"* and {rest} more (--all lists them)", wide, "", 2)
    for word, gone in (("new", "before"), ("gone", "after")):
        others = [one for one in changes.growth if getattr(one, gone) is None]
        names = list(dict.fromkeys(map(who, others)))
        if names:
            count = number(sum(abs(one.more) for one in others))
            said = listing(_some(names, everything=everything))
            lines += _wrapped(f"{word}, with {count} descriptors: {said}", wide, "", 4, "* ")
    yield lines


def who(one: Growth) -> str:
    """Return "worker (123)", or the name of all that are called so."""
    comm = printable(one.comm)
    return comm if one.pid is None else f"{comm} ({one.pid})"


def grown(one: Growth) -> str:
    """Return "pipes +12 (4 to 16)"."""
    more = f"{one.more:+,} ({number(one.before or 0)} to {number(one.after or 0)})"
    return f"{printable(one.what)} {more if one.more else number(one.after or 0)}"


def _total(told: Iterable[Growth], end: str) -> int:
    return sum(getattr(one, end) or 0 for one in told)


def _some(names: Sequence[str], *, everything: bool) -> list[str]:
    most = len(names) if everything else 3
    rest = [f"{number(len(names) - most)} more"] if len(names) > most else []
    return [*names[:most], *rest]


def _wrapped(text: str, wide: int, style: str = "", indent: int = 2, first: str = "") -> list[Line]:
    return [Line(line, style) for line in wrap(text, wide, first, indent)]
