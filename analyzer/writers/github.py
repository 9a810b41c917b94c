"""Annotations for a workflow of GitHub's: a line a finding, and one with the answer.

See "Workflow commands for GitHub Actions": what parts their words is escaped, so that no name of a
stranger's is a command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import Impact, Side, Status, Verdict
from analyzer.core.text import printable
from analyzer.kinds import registry
from analyzer.report.alike import folded
from analyzer.report.wording import counts, ends, held
from analyzer.writers.terminal import headline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.report.value import Report

_MOST: Final = 50
_LEVEL: Final = {Status.LEAKS: "error", Status.UNDECIDED: "warning", Status.CONTAINED: "notice"}


def render(report: Report) -> str:
    """Return the annotations as lines."""
    subject = report.subject.name or f"{report.subject.comm} ({report.subject.pid})"
    lines = list(_findings(report))
    more = len(lines) - _MOST
    lines = lines[:_MOST] + ([_line("notice", subject, f"and {more} more")] if more > 0 else [])
    lines += [_line("warning", "policy", warning) for warning in report.warnings]
    lines += list(_preflight(report))
    level = "notice" if report.advisory else _LEVEL.get(report.status, "error")
    return "".join([*lines, _line(level, subject, headline(report))])


def _findings(report: Report) -> Iterator[str]:
    level = "warning" if report.advisory else "error"
    for finding in report.findings:
        if finding.gates:
            yield _line(level, finding.message, finding.detail)
    for one in folded(report.crossings):
        if one.alone or one.waived is not None or one.impact is Impact.BY_DESIGN:
            continue
        said = ends(one, Side.OUTSIDE)
        how = level if one.gates and one.stable else "warning"
        yield _line(how, one.title, f"{one.impact.value}: {'; '.join(said)}")
    for entry in report.objects:
        if entry.verdict is Verdict.CONTAINED or entry.waived is not None or not entry.gates:
            continue
        name = f"{registry()[entry.kind].title} {entry.name or ''}".rstrip()
        how = level if entry.verdict in {Verdict.USAGE_LEAK, Verdict.OVERCOUNT} else "warning"
        who = "; ".join(held(entry, Side.OUTSIDE)[:4])
        yield _line(how, name, f"{counts(entry)}{f': {who}' if who else ''}")


def _preflight(report: Report) -> Iterator[str]:
    """Yield what CRIU stops at, and what it would do in all."""
    if report.preflight is None:
        return
    from analyzer.report.bundles import answer, everything_of

    for one in everything_of(report.preflight):
        if one.first.outcome.stops:
            advice = (f"{title}: {words}" for title, words in one.advice(everything=False))
            yield _line("error", one.title, "; ".join([*one.things[:4], *advice]))
    refused = report.preflight.refuses
    yield _line("error" if refused else "notice", "CRIU", answer(report.preflight))


def _line(level: str, title: str, text: str) -> str:
    head = _escaped(title).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={head}::{_escaped(text)}\n"


def _escaped(text: str) -> str:
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
