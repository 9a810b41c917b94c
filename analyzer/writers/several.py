"""Several reports at once: a line each for people, or a line of JSON each for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from analyzer.core.text import printable, shorten, width
from analyzer.report.impact import rank
from analyzer.writers.json import document
from analyzer.writers.terminal import MIN_WIDTH, headline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.report.value import Report

_HEADS: Final = ("CONTAINER", "PID", "TASKS", "ANSWER")
_MOST_NAME: Final = 30


def to_text(reports: Sequence[Report], columns: int) -> str:
    """Return a table, a line for each report; a line says so where there are none."""
    if not reports:
        return "no containers here\n"
    rows = [_HEADS, *map(_row, reports)]
    most = max(min(max(width(row[0]) for row in rows), _MOST_NAME), len(_HEADS[0]))
    numbers = [max(len(row[at]) for row in rows) for at in (1, 2)]
    lines = []
    for name, pid, tasks, answer in rows:
        cut = shorten(name, most, keep_end=False)
        start = f"{cut}{' ' * (most - width(cut))}  {pid:>{numbers[0]}}  {tasks:>{numbers[1]}}  "
        room = max(columns, MIN_WIDTH) - width(start)
        lines.append(f"{start}{shorten(answer, room, keep_end=False)}".rstrip())
    return "".join(f"{line}\n" for line in lines)


def to_json_lines(reports: Sequence[Report]) -> str:
    """Return JSON Lines: each report's document (docs/json.md) on a line of its own."""
    return "".join(f"{json.dumps(document(report), separators=(',', ':'))}\n" for report in reports)


def _row(report: Report) -> tuple[str, str, str, str]:
    subject = report.subject
    name = subject.name or f"{subject.comm} ({subject.pid})"
    kind = f"{subject.runtime} container " if subject.runtime else ""
    called = name.removeprefix(kind)
    named = f"{subject.runtime}:{called}" if kind else called
    return printable(named), str(subject.pid), str(subject.tasks), _answer(report)


def _answer(report: Report) -> str:
    """Return the answer and, of what speaks against it, the worst."""
    impacts = [entry.impact for entry in report.objects if entry.gates and entry.impact]
    impacts += [one.impact for one in report.crossings if one.gates]
    worst = min(impacts, key=rank, default=None)
    status = headline(report).partition(":")[0]
    if worst is None:
        return status if status == "contained" else printable(headline(report))
    count = sum(1 for entry in report.objects if entry.gates and entry.impact)
    crosses = sum(1 for one in report.crossings if one.gates)
    parts = [f"{count} held outside"] if count else []
    parts += [f"{crosses} across"] if crosses else []
    return f"{status}: {worst.value} ({', '.join(parts)})"
