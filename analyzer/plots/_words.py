"""What plots say alike: of what they are, what an object is called, who is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import Side, Status, Verdict
from analyzer.core.values import NamedTuple
from analyzer.kinds import registry, title_of
from analyzer.plots._style import BODY, drawable, fitting
from analyzer.scene.scene import process_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.report.value import Report, ReportObject

_MOST: Final = 2.2  # inches of a name
VERDICTS: Final = {
    Verdict.USAGE_LEAK: "referenced from outside",
    Verdict.OVERCOUNT: "fewer counted than held",
    Verdict.UNSTABLE: "kept changing",
    Verdict.UNKNOWN: "could not be decided",
    Verdict.CONTAINED: "contained",
}
"""What a legend says of each verdict, in the order in which it does."""


def about(report: Report) -> str:
    """Return which subtree a report is of, and of when."""
    subject = report.subject
    rules = "" if subject.rules == "modern" else f", rules {subject.rules}"
    comm, host = (fitting(drawable(name), BODY, _MOST) for name in (subject.comm, subject.host))
    root = f"pid {subject.pid} ({comm}) on {host}"
    source = drawable(report.source.words)
    return f"{root}, from {source}, {drawable(subject.collected_at)}{rules}{gaps(report)}"


def gaps(report: Report) -> str:
    """Return a word on what could not be read, "" when all was."""
    unread = "; not all could be read" if report.incomplete else ""
    return unread or ("; gaps in what was read" if report.gaps else "")


def finding(report: Report, said: str) -> str:
    """Return `said`, which speaks of leaks, with the word for a report that is undecided."""
    return f"undecided: {said}" if report.status is Status.UNDECIDED else said


def object_label(entry: ReportObject) -> str:
    """Return what an object is called: its name, with its kind where the name does not tell it."""
    title = registry()[entry.kind].title
    if not entry.name:
        return title_of(entry.kind, entry.objref)
    name = drawable(entry.name)
    whose = " (the host's)" if entry.initial else ""
    is_path = registry()[entry.kind].path and name.startswith("/")
    if is_path or name.startswith(title.split(" ")[0]):
        return f"{name}{whose}"
    return f"{title} {name}{whose}"


def leaks(report: Report) -> list[ReportObject]:
    """Return the objects of a report that are not contained."""
    return [entry for entry in report.objects if entry.verdict is not Verdict.CONTAINED]


class Keeper(NamedTuple):
    """Who holds something, for people: a process, or what no process leads to."""

    key: str
    label: str
    side: Side


def kept(report: Report) -> list[tuple[ReportObject, frozenset[Keeper]]]:
    """Return each object with the processes that hold it, and the holders that no process leads to.

    A process is called what its first thread is, whichever of them holds. cranalyze itself is left
    out.
    """
    names = process_names(report)
    known: dict[str, Keeper] = {}
    return [(entry, frozenset(_keepers(entry, names, known))) for entry in report.objects]


def _keepers(
    entry: ReportObject, names: dict[int, str], known: dict[str, Keeper]
) -> Iterator[Keeper]:
    for holder in entry.holders:
        if holder.side is Side.OBSERVER:
            continue
        own = holder.led_by(holder.side)
        if not own:
            label = title_of(holder.kind, holder.objref)
            yield Keeper(f"{holder.kind}:{holder.objref}", label, holder.side)
        for task in own:
            key = f"TASK:{task.tgid}"
            if key not in known:
                comm = drawable(names.get(task.tgid, task.comm))
                known[key] = Keeper(key, f"{comm} ({task.tgid})", task.side)
            yield known[key]
