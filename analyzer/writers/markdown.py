r"""The report as Markdown, to paste into an issue: the answer, a table of what leaks, who holds it.

The table is worst first, and bundled as the report for people is: the host's namespaces are one
row, libraries that are shared since fork another. What is long is folded (``<details>``).

A name may hold pipes, backticks, tags, ``@somebody`` or ``#1``. Whatever a stranger wrote is in a
code span, where GitHub and GitLab make nothing of it; prose of a snapshot is left as it is only
while it is harmless. The text is CommonMark with GitHub's tables.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from analyzer.core.model import Impact, Side, Verdict
from analyzer.core.text import printable, shorten
from analyzer.kinds import registry
from analyzer.report import alike, facts, inventory, wording
from analyzer.report.grouping import Bundle, cut
from analyzer.report.wording import (
    counts,
    ends,
    few,
    held,
    known_words,
    listing,
    meaning,
    nouns,
    number,
    plural,
    verdict_words,
    whose,
)
from analyzer.writers.terminal import across, headline, named, next_step

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from analyzer.report.crossed import Crossed
    from analyzer.report.grouping import Group
    from analyzer.report.value import Gap, Report, ReportObject

_MOST_ROWS: Final = 25
_MOST_NAMES: Final = 3
_MOST_HOLDERS: Final = 4
_MOST_GAPS: Final = 10
_NAME_CELLS: Final = 300  # letters of a name: an issue takes 65,536; --all has the whole names
_LONGEST_RUN: Final = 8  # of backticks: cmark takes no run of 80 for a code span

_HARMLESS: Final = re.compile(r"(?!.*\bgh-\d)[A-Za-z0-9 ,.:;()/'%+-]*", re.IGNORECASE)
_LINK: Final = re.compile(r"://|www\.", re.IGNORECASE)

_SAID: Final = {
    Verdict.USAGE_LEAK: "referenced from outside",
    Verdict.OVERCOUNT: "more users than references",
    Verdict.UNSTABLE: "kept changing",
    Verdict.UNKNOWN: "undecided",
    Verdict.CONTAINED: "contained",
}
_HEADER: Final = ("object", "verdict", "users", "refcount", "outside", "held outside by")


def render(report: Report, *, everything: bool = False) -> str:
    """Return the report as Markdown; with `everything`, nothing is left out of its lists."""
    blocks = [
        f"### {headline(report)}",
        _about(report),
        *(
            f"**{prose(finding.message)}**: {prose(finding.detail)}{finding.remark}"
            for finding in report.findings
        ),
        *(f"Known: {prose(words)}" for words in known_words(report)),
        *(f"**Policy**: {prose(warning)}" for warning in report.warnings),
        *_crossings(report, everything=everything),
        *_objects(report, everything=everything),
        *_messages(report, everything=everything),
        *_preflight(report, everything=everything),
        *_unseen(report, everything=everything),
        _details("How this was collected", _facts(report)),
        f"Next: {next_step(report)}",
    ]
    return "\n\n".join(blocks) + "\n"


def code(text: str) -> str:
    r"""Return `text` as a code span that shows it as it is, in a table too.

    What does not print is escaped; so are backticks (``\x60``) when there are many in a row.
    """
    said = printable(text)
    longest = max(map(len, re.findall("`+", said)), default=0)
    if longest > _LONGEST_RUN:
        said, longest = said.replace("`", r"\x60"), 0
    fence = "`" * (longest + 1)
    apart = " " if said[:1] in {"`", " "} or said[-1:] in {"`", " "} else ""
    if not said.strip():
        apart = ""  # a span of nothing but spaces keeps them all
    return f"{fence}{apart}{said or ' '}{apart}{fence}".replace("|", r"\|")


def prose(text: str) -> str:
    """Return words as they are, or as a code span when a reader could make anything of them."""
    if _HARMLESS.fullmatch(text) and not _LINK.search(text):
        return text
    return code(text)


def _about(report: Report) -> str:
    subject = report.subject
    others = subject.tasks - 1
    also = f" and {number(others)} other {plural(others, 'task')}" if others else ""
    called = f"{prose(subject.called)}: " if subject.called else ""
    return (
        f"{called}pid {subject.pid} ({code(subject.comm)}){also} on {code(subject.host)}, "
        f"Linux {prose(subject.kernel)}, {prose(subject.collected_at)}"
    )


# --- the table


def _objects(report: Report, *, everything: bool) -> Iterator[str]:
    shown, left = cut(report.groups, _MOST_ROWS if not everything else None)
    leaks = [group for group in shown if group.bundle is not Bundle.CONTAINED]
    if leaks:
        rows = [_row(group, everything=everything) for group in leaks]
        if left:
            rows.append((f"and {nouns(left)} more (--all lists them)", "", "", "", "", ""))
        yield _table(_HEADER, rows, numbers=range(2, 5))
    bundled = [group for group in shown if len(group.objects) > 1 or _is_bundle(group)]
    if everything:
        for group in bundled:
            yield _details(
                f"{nouns(group.objects)}: {_SAID[group.objects[0].verdict]}", _members(group)
            )
    singles = [group.objects[0] for group in leaks if not _is_bundle(group)]
    if singles:
        yield _details("Who holds them", _held(singles, everything=everything))


def _is_bundle(group: Group) -> bool:
    alone = group.bundle is Bundle.UNSTABLE and len(group.objects) == 1
    return group.bundle is not Bundle.SINGLE and not alone


def _row(group: Group, *, everything: bool) -> tuple[str, ...]:
    if group.bundle is Bundle.ALIKE:
        return _alike(group, everything=everything)
    if _is_bundle(group):
        return (*_bundled(group, everything=everything), "", "", "", "")
    entry = group.objects[0]
    refcount = "?" if entry.refcount is None else number(entry.refcount)
    title, state = _title(entry, everything=everything), facts.words(entry.facts)
    return (
        f"{title}<br>{_name(state, everything=everything)}" if state else title,
        verdict_words(entry),
        number(entry.users),
        refcount,
        number(entry.outside),
        "<br>".join(_holders(entry, Side.OUTSIDE, everything=everything)),
    )


def _alike(group: Group, *, everything: bool) -> tuple[str, ...]:
    first = group.objects[0]
    names = [_name(named(entry), everything=everything) for entry in group.objects[:_MOST_NAMES]]
    rest = len(group.objects) - len(names)
    more = [f"{number(rest)} more"] if rest else []
    held = _holders(first, Side.OUTSIDE, everything=everything)
    alike = [f"and {number(len(group.objects) - 1)} more in the same way"] if held else []
    return (
        f"{nouns(group.objects)}: {listing([*names, *more])}",
        verdict_words(first),
        *(
            _span(getattr(entry, name) for entry in group.objects)
            for name in ("users", "refcount", "outside")
        ),
        "<br>".join([*held, *alike]),
    )


def _span(found: Iterable[int | None]) -> str:
    """Return what a count of several is: "2 each", "1 to 3 each"."""
    known = [count for count in found if count is not None]
    if not known:
        return "?"
    least, most = min(known), max(known)
    return f"{number(least)} each" if least == most else f"{number(least)} to {number(most)} each"


def _bundled(group: Group, *, everything: bool) -> tuple[str, str]:
    what = nouns(group.objects)
    match group.bundle:
        case Bundle.HOST:
            kinds = [registry()[entry.kind] for entry in group.objects]
            names = list(dict.fromkeys(kind.namespace for kind in kinds if kind.namespace))
            shared = f"the host's {listing(names)} {plural(len(names), 'namespace')}"
            how = (whose(group)[2:] or "shared") + meaning(group)
            return shared if names else "the set of namespaces", how
        case Bundle.CODE:
            return wording.code(group.objects), "shared since fork"
        case Bundle.STDIO:
            names = [_name(named(entry), everything=everything) for entry in group.objects]
            who = "outside" if group.origin is None else f"{code(group.origin[1])} "
            of = f"{who}({group.origin[0]})" if group.origin else who
            return f"standard streams: {', '.join(names)}", f"shared with {of}{meaning(group)}"
        case Bundle.POSSIBLE:
            return what, f"{wording.POSSIBLE}, by {code(wording.suspects(group.objects))}"
        case Bundle.CONSISTENT:
            return what, wording.CONSISTENT
        case _:
            return what, _SAID[group.objects[0].verdict]


def _name(text: str, *, everything: bool) -> str:
    return code(text if everything else shorten(text, _NAME_CELLS))


def _title(entry: ReportObject, *, everything: bool = True) -> str:
    kind = registry()[entry.kind].title
    if not entry.name:
        return f"{kind} no. {entry.objref}"
    name = _name(named(entry), everything=everything)
    return name if entry.name.startswith(f"{kind}:[") else f"{kind} {name}"


def _members(group: Group) -> str:
    return "\n".join(f"- {_title(entry)}: {counts(entry)}" for entry in group.objects)


def _held(entries: Iterable[ReportObject], *, everything: bool) -> str:
    lines = []
    for entry in entries:
        lines.append(f"- {_title(entry, everything=everything)}: {counts(entry)}")
        if entry.unexplained > 0 and registry()[entry.kind].unseen:
            lines.append(f"  - what can hold it unnamed: {registry()[entry.kind].unseen}")
        for side in (Side.OUTSIDE, Side.INSIDE, Side.OBSERVER, Side.UNPLACED):
            held = _holders(entry, side, everything=everything)
            lines += [f"  - {side.value}: {holder}" for holder in held]
    return "\n".join(lines)


def _holders(entry: ReportObject, side: Side, *, everything: bool) -> list[str]:
    said = held(entry, side)
    most = len(said) if everything or len(said) <= _MOST_HOLDERS else _MOST_HOLDERS - 1
    kept = [_name(words, everything=everything) for words in said[:most]]
    return [*kept, f"and {number(len(said) - most)} more"] if len(said) > most else kept


# --- what crosses without being counted


def _crossings(report: Report, *, everything: bool) -> Iterator[str]:
    crossings = report.crossings if everything else alike.told(report)
    if not crossings:
        return
    told = [c for c in crossings if everything or c.impact is not Impact.BY_DESIGN]
    told = told if everything else alike.folded(told)
    most = len(told) if everything else _MOST_ROWS
    rows = [_crossing(one, everything=everything) for one in told[:most]]
    left = len(crossings) - sum(len(one.alike) or 1 for one in told[:most])
    if left:
        rows.append((f"and {number(left)} more (--all lists them)", "", "", ""))
    yield f"**{across(report)}**"
    yield _table(("what crosses", "impact", "inside", "outside"), rows)


def _crossing(one: Crossed, *, everything: bool) -> tuple[str, ...]:
    more = ["decides"] * one.gates + ["kept changing"] * (not one.stable)
    words = one.impact.value + (f" ({', '.join(more)})" if more else "")
    both = (_ends(one, side, everything=everything) for side in (Side.INSIDE, Side.OUTSIDE))
    return (_what(one, everything=everything), words, *both)


def _what(one: Crossed, *, everything: bool) -> str:
    if one.alike:
        called = alike.names(one)
        return one.title + (f"<br>{_name(few(called), everything=everything)}" if called else "")
    name = _name(one.title.removesuffix(f": {one.called}"), everything=everything)
    return f"{name}: {one.called}"


def _ends(one: Crossed, side: Side, *, everything: bool) -> str:
    said = ends(one, side)
    most = len(said) if everything else _MOST_HOLDERS
    more = [f"and {number(len(said) - most)} more"] if len(said) > most else []
    return "<br>".join([*(_name(tie, everything=everything) for tie in said[:most]), *more])


# --- what a checkpoint would do


def _preflight(report: Report, *, everything: bool) -> Iterator[str]:
    if report.preflight is not None:
        from analyzer.writers import preflight

        yield from preflight.markdown(report.preflight, _table, code, _block, everything=everything)


# --- the rest


def _messages(report: Report, *, everything: bool) -> Iterator[str]:
    shown, _ = cut(report.groups, None if everything else _MOST_ROWS)
    entries = [e for group in shown if everything or not _is_bundle(group) for e in group.objects]
    lines = [printable(line) for e in entries for line in (e.message or "").split("\n") if line]
    if lines:
        yield _details("In the words of the patch of 2009", _block(lines))


def _block(lines: Sequence[str]) -> str:
    text = "\n".join(line.replace("```", r"\x60\x60\x60") for line in lines)
    return f"```text\n{text}\n```"


def _unseen(report: Report, *, everything: bool) -> Iterator[str]:
    most = len(report.gaps) if everything else _MOST_GAPS
    lines = [f"- {prose(note)}" for note in report.notes]
    lines += [f"- {_gap(gap)}" for gap in report.gaps[:most]]
    if len(report.gaps) > most:
        lines.append(f"- and {number(len(report.gaps) - most)} more (--all lists them)")
    if lines:
        yield "**What could not be seen**\n\n" + "\n".join(lines)


def _gap(gap: Gap) -> str:
    reason = os.strerror(gap.errno) if gap.errno else ""
    cause = ": ".join(part for part in (prose(gap.syscall), reason) if part)
    said = f"{prose(gap.where)} ({cause})" if cause else prose(gap.where)
    return f"{said}: {prose(gap.effect)}" if gap.effect else said


def _facts(report: Report) -> str:
    subject, summary = report.subject, report.summary
    init = {True: "yes", False: "no", None: "not known"}[subject.container_init]
    rows = [
        ("source", prose(subject.source)),
        *(("the dump", prose(line)) for line in _inventory(report)),
        ("rules", subject.rules.value),
        ("held still", f"{subject.frozen_seconds * 1000:.0f} ms" if subject.frozen else "no"),
        ("init of a container", init),
        ("boot id", code(subject.boot_id)),
        ("objects judged", f"{number(summary.checked)} of {number(summary.objects)}"),
        ("references from inside", number(summary.references)),
        ("not named", number(summary.unnamed)),
    ]
    return _table(("fact", "value"), rows)


def _inventory(report: Report) -> tuple[str, ...]:
    told = report.inventory
    return () if told is None else inventory.words(told, report.subject.pid)


def _table(
    header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Container[int] = ()
) -> str:
    rules = ["---:" if column in numbers else "---" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rules, *rows))


def _details(summary: str, content: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{content}\n\n</details>"
