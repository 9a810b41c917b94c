"""The table of a page, what narrows it, and every object with its holders.

A row is chosen by the link that its name is: without scripts it leads to the object's details
below, with them it shows these beside the graph.
"""

from __future__ import annotations

import html
from collections import Counter
from typing import TYPE_CHECKING, Final

from analyzer.core.model import Basis, Impact, Side, Verdict
from analyzer.core.text import printable, shorten
from analyzer.kinds import registry
from analyzer.report import facts
from analyzer.report.grouping import Bundle
from analyzer.report.wording import (
    CONCLUSIONS,
    POSSIBLE,
    counts,
    held,
    may_hold,
    nouns,
    number,
    verdict_words,
)
from analyzer.scene import palette
from analyzer.writers.page_parts import BASES, text, verdict_mark, words_of
from analyzer.writers.svg import mark
from analyzer.writers.terminal import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analyzer.report.crossed import Crossed
    from analyzer.report.value import Report, ReportObject

MOST_ROWS: Final = 2000
"""How many objects a page lists, the worst first."""

_MOST_HOLDERS: Final = 100  # lines, of one side of one object
_NAME: Final = 120  # letters of a name in a title, and in a long table; the details have all of it
_LONG: Final = 1000  # rows: more get columns of fixed widths, which browsers lay out faster
_HELD: Final = 110  # letters of its holders there
_HELD_WHOLE: Final = 400  # in a table that is not long

_COLUMNS: Final = (
    ("kind", "kind of kernel object", "text"),
    ("name", "what people call it", "text"),
    ("verdict", "what the check says, worst first", "verdict"),
    ("means", "what it means to have it in common, worst first", "impact"),
    ("users", "references counted from inside", "number"),
    ("refcount", "the object's own count", "number"),
    ("outside", "references of named holders outside", "number"),
    ("unnamed", "references that nobody could name", "number"),
    ("holders outside", "named holders outside of the subtree, and how they hold", "text"),
)


def filters(objects: Sequence[ReportObject], crossings: Sequence[Crossed]) -> str:
    """Return the search box and what else narrows the table: used by scripts, hidden without.

    What something means narrows the list of what crosses uncounted, too.
    """
    kinds = Counter(entry.kind for entry in objects)
    verdicts = Counter(entry.verdict for entry in objects)
    calm = set(verdicts) == {Verdict.CONTAINED}
    options = "".join(
        f'<option value="{kind}">{text(registry()[kind].title)} ({number(kinds[kind])})</option>'
        for kind in sorted(kinds, key=lambda kind: registry()[kind].title)
    )
    meant = Counter(entry.impact for entry in objects if entry.impact is not None)
    meant += Counter(one.impact for one in crossings)
    means = "".join(
        f'<option value="{impact.word}">{impact.value} ({number(meant[impact])})</option>'
        for impact in Impact
        if meant[impact]
    )
    boxes = "".join(
        f'<label><input type="checkbox" value="{verdict.value}"'
        f"{' checked' if calm or verdict is not Verdict.CONTAINED else ''}>"
        f"{verdict_mark(verdict)}{words_of(verdict)} <b>{number(verdicts[verdict])}</b></label>"
        for verdict in Verdict
        if verdicts[verdict]
    )
    return (
        '<div id="filters" role="search" aria-label="Objects">'
        '<label class="find"><span>Search</span><input id="find" type="search" '
        'placeholder="pid, process, path, inode, kind, address" autocomplete="off" '
        'spellcheck="false"></label>'
        '<label class="kind"><span>Kind</span><select id="kind">'
        f'<option value="">every kind ({number(len(objects))})</option>{options}</select></label>'
        f'<label class="kind"{"" if means else " hidden"}><span>Means</span><select id="impact">'
        f'<option value="">anything ({number(meant.total())})</option>{means}</select></label>'
        f'<fieldset id="verdicts"{"" if boxes else " hidden"}><legend>Show</legend>'
        f"{boxes}</fieldset>"
        '<label class="order"><span>Sort by</span><select id="order"></select></label>'
        '<button type="button" id="held" hidden></button></div>'
    )


def table(objects: Sequence[ReportObject]) -> str:
    """Return the table: a row for each object."""
    heads = "".join(
        f'<th scope="col" data-sort="{sort}" title="{title}"'
        f"{' aria-sort=ascending' if sort == 'verdict' else ''}>{name}</th>"
        for name, title, sort in _COLUMNS
    )
    whole = len(objects) <= _LONG
    rows = (
        "\n".join(_row(entry, whole=whole) for entry in objects)
        or '<tr><td colspan="9">Nothing to list.</td></tr>'
    )
    long = ' class="long"' if len(objects) > _LONG else ""
    return (
        f'<div class="rows"><table id="table"{long}><caption>The objects that were judged, '
        "worst first. Choosing one shows all of its holders.</caption>"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def cut(report: Report, listed: Sequence[ReportObject]) -> str:
    """Return a line on what is not listed."""
    total, told = len(report.objects), {entry.objref for entry in listed}
    left = [entry for entry in report.objects if entry.objref not in told]
    if not left:
        return ""
    alike = {e.objref for g in report.groups if g.bundle is Bundle.ALIKE for e in g.objects}
    like = " like others that are listed" if all(e.objref in alike for e in left) else ""
    return (
        f'<p class="hint">{number(len(told))} of {number(total)} objects are listed, the worst '
        f"first; left out: {text(nouns(left))}{like}. <code>--json</code> has all of them.</p>"
    )


def details(objects: Sequence[ReportObject]) -> str:
    """Return every object with its holders: what the table's rows lead to."""
    if not objects:
        return ""
    said = "\n".join(map(_detail, objects))
    return (
        '<section id="details" aria-labelledby="all"><h2 id="all">Every object, with its holders'
        f"</h2>\n{said}\n</section>"
    )


def _anchor(entry: ReportObject) -> str:
    return f"{entry.kind}-{entry.objref}"


def _row(entry: ReportObject, *, whole: bool) -> str:
    counted = map(_figure, (entry.users, entry.refcount, entry.outside))
    cells = "".join(f'<td class="n">{figure}</td>' for figure in counted) + _unnamed(entry)
    held = "; ".join(_held(entry, Side.OUTSIDE) or may_hold(entry))
    held = shorten(held, _HELD_WHOLE if whole else _HELD, keep_end=False)
    name = html.escape(shorten(named(entry), _NAME))
    said = text(entry.name or "") if whole and _is_long(entry) else ""
    title = f' title="{said}"' if said else ""
    impact = "" if entry.impact is None else entry.impact.word
    means = "" if entry.impact is None else entry.impact.value
    return (
        f'<tr data-key="{entry.kind}:{entry.objref}" data-verdict="{entry.verdict.value}"'
        f' data-impact="{impact}">'
        f"<td>{html.escape(registry()[entry.kind].title)}</td>"
        f'<th scope="row"><a href="#{_anchor(entry)}"{title}>{name}</a></th>'
        f"<td><span>{verdict_mark(entry.verdict)}{words_of(entry.verdict)}</span>{_aside(entry)}</td>"
        f"<td>{means}</td>{cells}<td>{html.escape(held)}</td></tr>"
    )


def _aside(entry: ReportObject) -> str:
    """Return what stands beside a verdict: what is concluded, or that it does not count."""
    said = [] if entry.gates else ["ignored"]
    said += [entry.conclusion.value] if entry.conclusion in CONCLUSIONS else []
    return "".join(f" <span>({word})</span>" for word in said)


def _is_long(entry: ReportObject) -> bool:
    return len(printable(entry.name or "")) > _NAME


def _figure(count: int | None) -> str:
    return "?" if count is None else number(count)


def _unnamed(entry: ReportObject) -> str:
    """Return the cell of what is left of the count, where it is a sum of references."""
    if entry.basis is Basis.STRUCTURAL:
        return '<td class="n" title="judged by its holders, not by its count">&ndash;</td>'
    return f'<td class="n">{_figure(None if entry.refcount is None else entry.unnamed)}</td>'


def _held(entry: ReportObject, side: Side) -> list[str]:
    return held(entry, side)


def _detail(entry: ReportObject) -> str:
    title = html.escape(f"{registry()[entry.kind].title} {shorten(named(entry), _NAME)}")
    return (
        f'<details id="{_anchor(entry)}"><summary>{verdict_mark(entry.verdict)}{title}: '
        f"{verdict_words(entry)}</summary><p>{text(counts(entry))}.</p>"
        f"<dl>{''.join(_pairs(entry))}</dl></details>"
    )


def _pairs(entry: ReportObject) -> Iterator[str]:
    """Yield what is known of an object, as terms and what they are."""
    if entry.name and _is_long(entry):
        yield f'<dt>name<dd class="name">{text(entry.name)}'
    if state := facts.words(entry.facts):
        yield f"<dt>state<dd>{text(state)}"
    for side in (Side.OUTSIDE, Side.INSIDE, Side.OBSERVER, Side.UNPLACED):
        yield from _holders(side, entry)
    if said := may_hold(entry):
        yield f"<dt>{POSSIBLE}{''.join(f'<dd>{html.escape(line)}' for line in said)}"
    if entry.unexplained > 0 and registry()[entry.kind].unseen:
        yield f"<dt>can hold it unnamed<dd>{text(registry()[entry.kind].unseen)}"
    if entry.message:
        yield f"<dt>kernel<dd class=code>{'<br>'.join(map(text, entry.message.splitlines()))}"
    yield f"<dt>{entry.basis.value}<dd>{BASES[entry.basis]}"
    places = {"inode": entry.ino, "device": entry.dev, "address": entry.address}
    for name, value in places.items():
        if value is not None:
            yield f"<dt>{name}<dd class=code>{value}"


def _holders(side: Side, entry: ReportObject) -> Iterator[str]:
    said = held(entry, side)
    if not said:
        return
    name = "of cranalyze" if side is Side.OBSERVER else f"held {side.value}"
    kept = [f"<dd>{html.escape(line)}" for line in said[:_MOST_HOLDERS]]
    rest = len(said) - _MOST_HOLDERS
    more = f"<dd>and {number(rest)} more; --json has all" if rest > 0 else ""
    marked = mark(side.value, palette.SIDES[side].cytoscape)
    yield f"<dt>{marked}{name}{''.join(kept)}{more}"
