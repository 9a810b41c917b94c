"""The parts of a page as HTML: every function makes one, of a report, with every name escaped.

What a name is made of is shown, not done: it goes through `printable` first (no control character,
no mark of direction, no byte that is no UTF-8 is left), then through `html.escape`. The words are
those of the terminal (`wording`, `terminal`), so that the two cannot disagree.
"""

from __future__ import annotations

import html
import os
from collections import Counter
from typing import TYPE_CHECKING, Final

from analyzer.core.model import Basis, Rules, Side, Status, Verdict
from analyzer.core.text import printable
from analyzer.core.version import __version__
from analyzer.report import alike, inventory
from analyzer.report.wording import CONCLUSIONS, ends, number, plural
from analyzer.scene import palette
from analyzer.scene.scene import CROSSING, UNNAMED
from analyzer.writers import terminal
from analyzer.writers.svg import mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analyzer.report.crossed import Crossed
    from analyzer.report.value import Gap, Report, ReportObject

_MOST_GAPS: Final = 1000
_MOST_CROSSINGS: Final = 500
_MOST_ENDS: Final = 20  # of one side of one

BASES: Final = {
    Basis.PROVEN: "the kernel's own reference count was read and compared",
    Basis.RECONSTRUCTED: "the references of all processes of a whole dump were counted: what the "
    "kernel holds itself is not among them",
    Basis.WITNESSED: "holders were seen, but the reference count was not: a leak that is seen is "
    "one, and what is not seen is not ruled out",
    Basis.STRUCTURAL: "judged by which side its holders are on; it has too many kinds of holders "
    "for arithmetic",
}
_STATUS: Final = {
    Status.LEAKS: Verdict.USAGE_LEAK,
    Status.UNDECIDED: Verdict.UNKNOWN,
    Status.CONTAINED: Verdict.CONTAINED,
    Status.ERROR: Verdict.USAGE_LEAK,
}


def text(value: str) -> str:
    """Return a string from anywhere as harmless HTML text, also within an attribute."""
    return html.escape(printable(value))


def status_mark(report: Report) -> str:
    """Return the shape that stands before the answer."""
    return verdict_mark(_STATUS[report.status])


def subject_line(report: Report) -> str:
    """Return which process, and where."""
    subject = report.subject
    called = f"{subject.called}: " if subject.called else ""
    return text(f"{called}pid {subject.pid} ({subject.comm}) on {subject.host}")


def next_step(report: Report) -> str:
    """Return how to go on; that more could be listed is for a terminal, a page lists all."""
    return text(terminal.next_step(report).partition("; --")[0].removesuffix(".") + ".")


def dump(report: Report) -> str:
    """Return what the dump has that the report is made of, and what it lacks; "" if of no dump."""
    told = _inventory(report)
    when = ", ".join(filter(None, (report.source.words, report.subject.collected_at)))
    lines = (f"From {when}.", *told) if told else ()
    return "".join(f'<p class="hint">{text(line)}</p>' for line in lines)


def findings(report: Report) -> str:
    """Return what else speaks against the subtree."""
    return "".join(
        f'<p class="finding"><strong>{text(found.message)}</strong> {text(found.detail)}'
        f"{found.remark}</p>"
        for found in report.findings
    )


def crossings(report: Report) -> str:
    """Return a table of what crosses the border without being counted."""
    crossings = alike.told(report)
    if not crossings:
        return ""
    told = alike.folded(sorted(crossings, key=lambda one: bool(_known(one))))
    rows = "".join(map(_crossing, told[:_MOST_CROSSINGS]))
    rest = sum(len(one.alike) or 1 for one in told[_MOST_CROSSINGS:])
    more = f"<p>and {number(rest)} more; <code>--json</code> has all.</p>" if rest > 0 else ""
    return (
        f'<section class="crossings" aria-labelledby="crossings"><h2 id="crossings">'
        f"{text(terminal.across(report))}</h2>"
        '<div class="wide"><table class="gaps"><thead><tr><th scope="col">what<th scope="col">means'
        f'<th scope="col">inside<th scope="col">outside</tr></thead><tbody>{rows}</tbody></table>'
        f"</div>{more}</section>"
    )


def preflight(report: Report) -> str:
    """Return what a checkpoint would do, where that was asked for."""
    if report.preflight is None:
        return ""
    from analyzer.writers import preflight as writer

    return writer.html(report.preflight, text, everything=True)


def _known(one: Crossed) -> str:
    """Return why a crossing does not decide: a runtime's doing, or a rule of a policy."""
    if one.waived is None or one.waived.part:
        return ""
    return f" ({one.waived.words})"


def _crossing(one: Crossed) -> str:
    both = (
        "<br>".join(map(text, ends(one, side, _MOST_ENDS))) for side in (Side.INSIDE, Side.OUTSIDE)
    )
    title = text(one.title)
    if called := alike.names(one)[:_MOST_CROSSINGS]:
        title = f"<details><summary>{title}</summary>{'<br>'.join(map(text, called))}</details>"
    moved = "" if one.stable else ", kept changing"
    decides = " (decides)" if one.gates else _known(one)
    cells = (title, text(f"{one.impact.value}{decides}{moved}"), *both)
    row = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr data-impact="{one.impact.word}">{row}</tr>'


def numbers(report: Report) -> str:
    """Return the summary as figures."""
    summary = report.summary
    leaks, doubts = summary.usage_leak + summary.overcount, summary.unknown + summary.unstable
    concluded = Counter(entry.conclusion for entry in report.objects)
    shown = (
        (summary.checked, f"{plural(summary.checked, 'object')} judged"),
        (leaks, "referenced from outside"),
        (doubts, "undecided"),
        *((concluded[one], words) for one, words in CONCLUSIONS.items() if concluded[one]),
        (summary.contained, "contained"),
        (report.subject.tasks, f"{plural(report.subject.tasks, 'task')} inside"),
        (summary.references, f"{plural(summary.references, 'reference')} from inside"),
        (summary.unnamed, f"{plural(summary.unnamed, 'reference')} not named"),
        (sum(summary.crossings.values()), "crossing uncounted"),
    )
    cells = "".join(f"<div><dt>{name}</dt><dd>{number(count)}</dd></div>" for count, name in shown)
    return f'<dl class="numbers">{cells}</dl>'


def legend(shown: Iterable[tuple[str, str]], *, folds: bool) -> str:
    """Return what the shapes and colours mean, of the (class, shape) pairs that are drawn."""
    drawn = set(shown)
    words = [
        (side.value, look.cytoscape, f"process {_SIDE_WORDS[side]}")
        for side, look in palette.SIDES.items()
    ]
    words += [
        (side.value, palette.HOLDER, f"other holder {_SIDE_WORDS[side]}") for side in palette.SIDES
    ]
    words += [(v.value, look.cytoscape, words_of(v)) for v, look in palette.VERDICTS.items()]
    words.append((CROSSING.lower(), palette.CROSSING.cytoscape, "crosses uncounted"))
    words.append((UNNAMED, palette.UNNAMED.cytoscape, "not named"))
    items = [
        f"<li>{mark(look, shape)}{word}</li>"
        for look, shape, word in words
        if (look, shape) in drawn
    ]
    if folds:
        items.append('<li><i class="stack" aria-hidden="true"></i>several alike</li>')
    if not items:
        return ""
    return f'<ul class="legend" aria-label="Legend">{"".join(items)}</ul>'


_SIDE_WORDS: Final = {
    Side.INSIDE: "inside",
    Side.OUTSIDE: "outside",
    Side.OBSERVER: "of cranalyze",
    Side.UNPLACED: "inside or outside",
}


def unseen(report: Report) -> str:
    """Return what could not be read."""
    if not report.gaps and not report.notes and not report.incomplete:
        return ""
    notes = "".join(f"<li>{text(note)}</li>" for note in report.notes)
    if report.incomplete:
        notes += "<li>A part of the subtree could not be read.</li>"
    gaps = "".join(map(_gap, report.gaps[:_MOST_GAPS]))
    rest = len(report.gaps) - _MOST_GAPS
    more = f"<p>and {number(rest)} more; <code>--json</code> has all.</p>" if rest > 0 else ""
    listed = f'<div class="wide"><table class="gaps"><thead><tr><th scope="col">what<th scope="col">call<th scope="col">error<th scope="col">what that does</tr></thead><tbody>{gaps}</tbody></table></div>'  # noqa: E501
    return (
        '<section aria-labelledby="unseen"><h2 id="unseen">What could not be seen</h2>'
        f"{f'<ul>{notes}</ul>' if notes else ''}{listed if gaps else ''}{more}</section>"
    )


def messages(objects: Sequence[ReportObject]) -> str:
    """Return the messages of the kernel that would have refused a checkpoint."""
    said = "\n".join(text(line) for e in objects if e.message for line in e.message.split("\n"))
    if not said:
        return ""
    return (
        '<section class="messages" aria-labelledby="log">'
        '<h2 id="log">What the kernel would have said</h2>'
        "<p>The messages of the checkpoint patches of 2009. Their two numbers include the "
        "reference that the kernel's object hash held itself.</p>"
        f'<details class="log"><summary>The messages</summary><pre tabindex="0">{said}</pre>'
        "</details></section>"
    )


def reading() -> str:
    """Return how to read the page."""
    bases = "".join(f"<dt>{basis.value}</dt><dd>{said}.</dd>" for basis, said in BASES.items())
    verdicts = "".join(
        f"<dt>{verdict_mark(verdict)}{words_of(verdict)}</dt><dd>{_MEANINGS[verdict]}</dd>"
        for verdict in Verdict
    )
    return (
        "<p>An object of the kernel is <em>contained</em> when every reference to it is held from "
        "inside the subtree: then its <em>users</em> are its <em>refcount</em>. Where the count is "
        "larger, somebody outside holds one too, and the subtree cannot be checkpointed, moved or "
        "taken down on its own.</p>"
        f'<div class="two"><dl>{verdicts}</dl><dl>{bases}</dl></div>'
    )


_MEANINGS: Final = {
    Verdict.USAGE_LEAK: "It has references that are not the subtree's.",
    Verdict.OVERCOUNT: "More users were found than it has references: something was counted twice, "
    "or changed.",
    Verdict.UNSTABLE: "Two readings of it disagreed.",
    Verdict.UNKNOWN: "Its count could not be read, or something that touches it could not. It is "
    "possible that it leaks where somebody outside has what looks like it, and consistent with "
    "containment where all who could hold it were read, and do not.",
    Verdict.CONTAINED: "Every reference to it is the subtree's.",
}


def facts(report: Report) -> str:
    """Return where, when and how the snapshot was taken."""
    subject = report.subject
    init = {True: "yes", False: "no", None: "not known"}[subject.container_init]
    frozen = f"for {subject.frozen_seconds * 1000:.0f} ms" if subject.frozen else "no"
    without = "" if report.source.refcounts else ", without reference counts"
    shown = (
        ("process", f"{subject.pid} ({subject.comm})"),
        ("tasks inside", number(subject.tasks)),
        ("init of a container", init),
        ("host", subject.host),
        ("kernel", f"Linux {subject.kernel}"),
        ("boot", subject.boot_id),
        ("read at", subject.collected_at),
        ("read from", report.source.words + without),
        ("held still", frozen),
        ("rules", _RULES[subject.rules]),
        ("read by", f"cranalyze {report.snapshot.meta.get('tool_version', '')}"),
    )
    cells = "".join(f"<div><dt>{name}</dt><dd>{text(value)}</dd></div>" for name, value in shown)
    return f'<dl class="facts">{cells}</dl>'


def _inventory(report: Report) -> tuple[str, ...]:
    told = report.inventory
    return () if told is None else inventory.words(told, report.subject.pid)


_RULES: Final = {
    Rules.MODERN: "modern: every kind of a 6.x kernel",
    Rules.LINUX_CR: "linux-cr: as the last of the checkpoint patches judged",
    Rules.SEED: "seed: as the first of the checkpoint patches, of 2009, judged",
}


def made() -> str:
    """Return who made the page."""
    return text(f"Made by cranalyze {__version__}. This page is whole: it loads nothing.")


def words_of(verdict: Verdict) -> str:
    """Return what a verdict is called."""
    return verdict.value.replace("_", " ")


def verdict_mark(verdict: Verdict) -> str:
    """Return the shape of a verdict, to stand before its name."""
    return mark(verdict.value, palette.VERDICTS[verdict].cytoscape)


def _gap(gap: Gap) -> str:
    error = os.strerror(gap.errno) if gap.errno else ""
    cells = (gap.where, gap.syscall, error, gap.effect)
    return f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in cells)}</tr>"
