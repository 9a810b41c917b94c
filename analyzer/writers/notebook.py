"""What Jupyter shows of a snapshot, a report and an object: a sentence and a short table.

Plain HTML: no script, no class, no colour, so that it looks like the tables of the page that it is
put into, light or dark, and needs no trust. Everything that a process or a file may call itself is
printable and escaped. Long lists are cut after MOST rows and say how many more there are.

`page` is the other way: the whole interactive page of a report, in a frame of its own that can
reach nothing outside of it.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Basis, Side
from analyzer.core.notebook import Page
from analyzer.core.text import printable, shorten
from analyzer.kinds import registry
from analyzer.report import alike, wording
from analyzer.report.grouping import Bundle
from analyzer.report.wording import VERDICTS, counts, ends, few, held, nouns, number, plural
from analyzer.writers.terminal import headline, named

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    from analyzer.changes.between import Changes
    from analyzer.lookup.value import Answer
    from analyzer.report.crossed import Crossed
    from analyzer.report.value import Report, ReportObject
    from analyzer.snapshot.value import Snapshot

MOST: Final = 20
"""How many rows a table has at most."""

_MOST_HOLDERS: Final = 3
_WIDEST: Final = 200  # cells: a name may be 4 KB long
_WORD: Final = ' style="text-align:left"'  # Jupyter sets every cell to the right
_NUMBER: Final = ' style="text-align:right"'
_BASES: Final = {
    Basis.PROVEN: "proven by the kernel's own count",
    Basis.RECONSTRUCTED: "by the holders of a whole dump",
    Basis.WITNESSED: "witnessed: the kernel's own count is not known, or moved",
    Basis.STRUCTURAL: "judged by who holds it",
}
_SIDES: Final = (Side.OUTSIDE, Side.INSIDE, Side.OBSERVER, Side.UNPLACED)
_COLUMNS: Final = ("object", "name", "verdict", "users", "refcount", "held from outside by")
_OF_CROSSINGS: Final = ("crosses uncounted", "means", "inside", "outside")
_OF_HOLDERS: Final = ("side", "holder")
_OF_KINDS: Final = ("kind", "objects", "references to them")


def page(report: Report, height: int) -> Page:
    """Return the interactive page of a report, as ``report --html`` writes it, in a frame."""
    from analyzer.writers.page import render

    return Page(render(report), height)


def report(made: Report) -> str:
    """Return a report as HTML: the answer, what was looked at, and the worst objects."""
    code = _in(made, lambda bundle: bundle is Bundle.CODE)
    told = _in(made, lambda bundle: bundle is not Bundle.CODE)
    across = [_crossing(one) for one in alike.folded(alike.told(made))]
    parts = [_said(headline(made), _about(made))]
    parts += [_line(f"{finding.message}: {finding.detail}") for finding in made.findings]
    parts += _table(_OF_CROSSINGS, across[:MOST])
    if across[MOST:]:
        parts.append(_line(f"and {number(len(across) - MOST)} more: see .crossings"))
    parts += _table(_COLUMNS, [_row(one) for one in told[:MOST]], numbers={3, 4})
    if told[MOST:]:
        parts.append(_line(f"and {nouns(told[MOST:])} more: see .objects"))
    if code:
        parts.append(_line(f"{wording.code(code)} mapped by both sides since fork"))
    parts += [_line(note) for note in made.notes]
    if made.gaps:
        thing = plural(len(made.gaps), "thing")
        parts.append(_line(f"{number(len(made.gaps))} {thing} could not be read: see .gaps"))
    return _block(parts)


def entry(one: ReportObject) -> str:
    """Return an object of a report as HTML: its verdict, its numbers, and who holds it."""
    title = f"{registry()[one.kind].title} {named(one)}: {VERDICTS[one.verdict]}"
    said = [(side.value, who) for side in _SIDES for who in _held(one, side)]
    parts = [_said(title, f"{counts(one)} ({_BASES[one.basis]})")]
    parts += _table(_OF_HOLDERS, said[:MOST])
    if said[MOST:]:
        parts.append(_line(f"and {number(len(said) - MOST)} more: see .holders"))
    if one.message:
        parts.append(_line(f"kernel: {one.message}"))
    return _block(parts)


def snapshot(taken: Snapshot) -> str:
    """Return a snapshot as HTML: of what, how much, and the kinds of objects in it."""
    rows = sorted(_kinds(taken), key=lambda row: (-row[1], row[0]))
    shown = [(kind, number(many), number(held)) for kind, many, held in rows[:MOST]]
    meta = taken.meta
    about = f"{meta['host']}, Linux {meta['kernel']}, {meta['collected_at']}"
    parts = [_said(f"{taken!r}"[1:-1], about), *_table(_OF_KINDS, shown, numbers={1, 2})]
    if rows[MOST:]:
        parts.append(_line(f"and {number(len(rows) - MOST)} more kinds: see .objects"))
    return _block(parts)


def changes(found: Changes) -> str:
    """Return what changed as HTML: what `cranalyze diff` prints, as it is."""
    return f"<pre>{html.escape(changes_text(found))}</pre>"


def changes_text(found: Changes) -> str:
    """Return what changed as `cranalyze diff` prints it."""
    from analyzer.writers.diff import render
    from analyzer.writers.terminal import to_text

    return to_text(render(found))


def answer(found: Answer) -> str:
    """Return the answer to a word as HTML: what `cranalyze who` prints, as it is."""
    return f"<pre>{html.escape(answer_text(found))}</pre>"


def answer_text(found: Answer) -> str:
    """Return the answer to a word as `cranalyze who` prints it."""
    from analyzer.writers.who import to_text

    return to_text([found], []).rstrip()


def _kinds(taken: Snapshot) -> Iterator[tuple[str, int, int]]:
    """Yield the kinds that occur, how many objects, and how many references to them."""
    objects, references = taken.tables["objects"], taken.tables["references"]
    words = objects.vocabulary["kind"]
    order = np.argsort(objects["objref"])
    at = np.searchsorted(objects["objref"], references["target"], sorter=order)
    held = np.bincount(objects["kind"][order[at]], minlength=len(words)).tolist()
    many = np.bincount(objects["kind"], minlength=len(words)).tolist()
    for word, count, references_to in zip(words, many, held, strict=True):
        if count:
            yield registry()[word].plural, count, references_to


def _about(made: Report) -> str:
    subject = made.subject
    tasks = f"{number(subject.tasks)} {plural(subject.tasks, 'task')}"
    return (
        f"pid {subject.pid} ({subject.comm}), {tasks}, on {subject.host}, Linux {subject.kernel}, "
        f"{subject.collected_at}"
    )


def _in(made: Report, wanted: Callable[[Bundle], bool]) -> list[ReportObject]:
    return [one for group in made.groups if wanted(group.bundle) for one in group.objects]


def _row(one: ReportObject) -> tuple[str, ...]:
    held = _held(one, Side.OUTSIDE)
    more = [f"and {number(len(held) - _MOST_HOLDERS)} more"] if held[_MOST_HOLDERS:] else []
    unnamed = [f"{number(one.unexplained)} not named"] if one.unexplained > 0 else []
    return (
        registry()[one.kind].title,
        named(one),
        VERDICTS[one.verdict],
        number(one.users),
        "?" if one.refcount is None else number(one.refcount),
        "; ".join([*held[:_MOST_HOLDERS], *more, *unnamed]),
    )


def _crossing(one: Crossed) -> tuple[str, ...]:
    title = f"{one.title} ({few(called)})" if (called := alike.names(one)) else one.title
    said = ("; ".join(ends(one, side, _MOST_HOLDERS)) for side in (Side.INSIDE, Side.OUTSIDE))
    return (title, one.impact.value, *said)


def _held(one: ReportObject, side: Side) -> list[str]:
    return held(one, side)


def _said(sentence: str, about: str) -> str:
    return f"<p><b>{_text(sentence)}</b><br>{_text(about)}</p>"


def _line(text: str) -> str:
    return f"<p>{_text(text)}</p>"


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Container[int] = ()
) -> list[str]:
    if not rows:
        return []
    styles = [_NUMBER if column in numbers else _WORD for column in range(len(columns))]
    head = "".join(f"<th{s}>{_text(c)}</th>" for s, c in zip(styles, columns, strict=True))
    body = (
        "".join(f"<td{s}>{_text(c)}</td>" for s, c in zip(styles, row, strict=True)) for row in rows
    )
    lines = "\n".join(f"<tr>{cells}</tr>" for cells in body)
    return [f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>"]


def _text(text: str) -> str:
    return html.escape(shorten(printable(text), _WIDEST))


def _block(parts: Iterable[str]) -> str:
    return "<div>\n" + "\n".join(parts) + "\n</div>"
