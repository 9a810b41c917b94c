"""What is seen of a subject that is watched, for people: a line an event, as it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.changes.watching import PROCESSES, Sort
from analyzer.core.model import Side
from analyzer.core.text import printable
from analyzer.relations import relations
from analyzer.report.crossed import Crossed
from analyzer.report.value import ReportObject
from analyzer.report.wording import held, number, tie_words, verdict_words
from analyzer.writers.diff import called
from analyzer.writers.terminal import Line

if TYPE_CHECKING:
    from analyzer.changes.between import Change
    from analyzer.changes.watching import Event, Grown

_MOST: Final = 2  # holders in a line
_STYLES: Final = {Sort.NEW: "bad", Sort.GROWTH: "unsure", Sort.UNREAD: "unsure",
                  Sort.ENDED: "unsure", Sort.GONE: "good"}  # fmt: skip


def line(event: Event) -> Line:
    """Return an event as one line of printable text."""
    ignored = event.change is not None and not event.change.decides
    style = "" if event.sort is Sort.NEW and ignored else _STYLES.get(event.sort, "")
    return Line(f"{printable(event.at)} {event.sort.value}: {said(event)}", style)


def said(event: Event) -> str:
    """Return what an event is, in printable words."""
    if event.change is not None:
        return _changed(event.change)
    return growing(event.grown) if event.grown is not None else printable(event.words)


def growing(grown: Grown) -> str:
    """Return "fd of worker (123): pipes +12 in 5 readings (4 to 16)"."""
    rise = grown.rise
    more = f"+{number(rise.more)} in {rise.readings} readings"
    span = f"({number(rise.first)} to {number(rise.last)})"
    what = printable(grown.what)
    if grown.pid is None:
        whose = "" if grown.what == PROCESSES else "fd of all together: "
        return f"{whose}{what} {more} {span}"
    return f"fd of {printable(grown.comm)} ({grown.pid}): {what} {more} {span}"


def _changed(change: Change) -> str:
    one = change.now if change.now is not None else change.was
    parts = [called(change)]
    if isinstance(one, ReportObject):
        parts = [f"{parts[0]}, {verdict_words(one)}", *held(one, Side.OUTSIDE)[:_MOST]]
    elif isinstance(one, Crossed):
        relation = relations()[one.relation]
        ends = dict.fromkeys(tie_words(tie, relation) for tie in one.of(Side.OUTSIDE))
        remark = f", {one.waived.words}" if one.waived and not one.waived.part else ""
        parts = [f"{parts[0]} ({one.impact.value}{remark})", *list(ends)[:_MOST]]
    return printable("; ".join([*parts, *change.how]))
