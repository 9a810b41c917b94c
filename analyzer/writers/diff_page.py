"""The page of what changed: tables of what is new, gone and changed, and who has more descriptors.

It is whole and static: no script is in it, and its policy allows only its own styles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.changes.between import Answer, Way
from analyzer.core.model import Side, Verdict
from analyzer.relations import relations
from analyzer.report.crossed import Crossed
from analyzer.report.value import ReportObject
from analyzer.report.wording import held, number, tie_words
from analyzer.writers import diff, static_page
from analyzer.writers.page_parts import facts, made, text, verdict_mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analyzer.changes.between import Change, Changes, Found
    from analyzer.changes.growth import Growth

_MOST_ENDS: Final = 20
_MARKS: Final = {
    Answer.NEW: Verdict.USAGE_LEAK,
    Answer.UNDECIDED: Verdict.UNKNOWN,
    Answer.NOTHING_NEW: Verdict.CONTAINED,
}
_TITLES: Final = {
    Way.NEW: "New",
    Way.GONE: "Gone",
    Way.CHANGED: "Changed",
    Way.KEPT: "As before",
}
_HEADS: Final = ("what", "means", "outside", "inside", "how it changed")


def render(changes: Changes) -> str:
    """Return the page as HTML, valid UTF-8."""
    answer = diff.headline(changes)
    remarks = "".join(f'<p class="finding">{text(one)}</p>' for one in changes.remarks)
    head = (
        '<header class="top"><p class="brand">cranalyze <span>what changed</span></p>'
        f"<h1>{verdict_mark(_MARKS[changes.answer])}{text(answer)}</h1>"
        f'<p class="next">{text(diff.about(changes))}</p>{remarks}</header>'
    )
    sections = [*(_section(way, changes.of(way)) for way in Way), _growth(changes.growth)]
    readings = _reading("The first", facts(changes.before))
    readings += _reading("The second", facts(changes.after))
    body = f"{head}<main>{''.join(sections)}</main>"
    body += f'<div class="more">{readings}</div><footer><p>{made()}</p></footer>'
    return static_page.whole(answer, body)


def _section(way: Way, told: Sequence[Change]) -> str:
    if not told:
        return ""
    title = f"{_TITLES[way]}: {number(len(told))}"
    return static_page.pane(way.value, title, _HEADS, [_row(change) for change in told])


def _row(change: Change) -> list[str]:
    one = change.now if change.now is not None else change.was
    told = change.was if change.way is Way.GONE else one
    impact = getattr(told, "impact", None)
    means = "" if impact is None else impact.value
    means += " (decides)" if change.decides else ""
    sides = [_lines(_ends(told, side)) for side in (Side.OUTSIDE, Side.INSIDE)]
    return [text(diff.called(change)), text(means), *sides, _lines(change.how)]


def _ends(one: Found | None, side: Side) -> list[str]:
    if isinstance(one, ReportObject):
        return held(one, side)
    if isinstance(one, Crossed):
        relation = relations()[one.relation]
        return list(dict.fromkeys(tie_words(tie, relation) for tie in one.of(side)))
    return []


def _lines(words: Sequence[str]) -> str:
    more = [f"and {number(len(words) - _MOST_ENDS)} more"] * (len(words) > _MOST_ENDS)
    return "<br>".join(map(text, [*words[:_MOST_ENDS], *more]))


def _growth(told: Iterable[Growth]) -> str:
    rows = [
        [
            text(diff.who(one)),
            text(one.what),
            *map(_count, (one.before, one.after)),
            f"{one.more:+,}",
        ]
        for one in told
        if one.more
    ]
    heads = ("process", "descriptors", "before", "after", "more")
    return (
        static_page.pane("descriptors", "Descriptors inside", heads, rows, "diff numbered")
        if rows
        else ""
    )


def _grown(one: Growth) -> list[str]:
    numbers = [*map(_count, (one.before, one.after)), f"{one.more:+,}"]
    return [text(diff.who(one)), text(one.what), *numbers]


def _count(count: int | None) -> str:
    return "not there" if count is None else number(count)


def _reading(title: str, told: str) -> str:
    return f"<section><h2>{title}</h2>{told}</section>"
