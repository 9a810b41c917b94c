"""What CRIU would do, for people: blocks of a terminal's report, parts of Markdown and of a page.

The commands are one line each, however long: they are to be copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.text import printable, wrap
from analyzer.core.values import NamedTuple
from analyzer.criu import Outcome
from analyzer.report.bundles import TITLES, answer, bundled, everything_of, removals, verdict
from analyzer.report.wording import number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from analyzer.report.bundles import Bundled
    from analyzer.report.preflight import Preflight

_MOST: Final = 4
_MOST_RULES: Final = 12  # of what is dumped in silence

Part = tuple[str, str]
"""A line, and how it is to look."""


def blocks(told: Preflight, width: int, *, everything: bool) -> Iterator[list[Part]]:
    """Yield blocks of lines of at most `width` cells, but for commands: the answer, and why."""
    style = "bad" if not told.possible else "unsure" if told.refuses else "good"
    yield _lines(answer(told), width, style, indent=2)
    for outcome in Outcome:
        many = bundled(told, outcome)
        most = len(many) if everything or outcome is not Outcome.SILENT else _MOST_RULES
        for one in many[:most]:
            yield list(_block(one, width, everything=everything))
        if len(many) > most:
            words = f"and {number(len(many) - most)} more that it {TITLES[outcome]} (--all)"
            yield _lines(words, width, "title", first="* ", indent=2)
    yield list(_commands(told, width))
    if told.verified is not None:
        style = "good" if told.verified.agrees else "unsure"
        lines = _lines(verdict(told.verified), width, style, first="* ", indent=2)
        for text in told.verified.said[:_MOST]:
            lines += _lines(printable(text), width, first=f"  {'says':8} ")
        yield lines


def _block(one: Bundled, width: int, *, everything: bool) -> Iterator[Part]:
    yield from _lines(one.title, width, "title", first="* ", indent=2)
    most = len(one.things) if everything else _MOST
    for at, words in enumerate(one.things[:most]):
        yield from _lines(words, width, first=f"  {'' if at else 'it is':8} ")
    if len(one.things) > most:
        yield from _lines(
            f"and {number(len(one.things) - most)} more (--all lists them)", width,
            first=f"  {'':8} ",
        )  # fmt: skip
    for title, words in one.advice(everything=everything):
        yield from _lines(words, width, first=f"  {title:8} ")


def _commands(told: Preflight, width: int) -> Iterator[Part]:
    if not told.possible:
        yield from _lines(f"cannot: remove {removals(told)}", width, "bad", first="  ", indent=4)
    if told.runtime:
        words = (
            f"{printable(told.runtime)} runs this container: a checkpoint made by its runtime has "
            "what is left to that, also without these commands"
        )
        yield from _lines(words, width, first="  ", indent=4)
    which = "" if told.possible else " (when that is done)"
    for title, command in (("to dump", told.dump), ("to restore", told.restore)):
        yield f"  {title}{which}:", "faint"
        yield f"    {printable(command)}", ""


def _lines(
    text: str, width: int, style: str = "", *, first: str = "", indent: int = 0
) -> list[Part]:
    return [(line, style) for line in wrap(text, width, first, max(indent, len(first)))]


class Row(NamedTuple):
    """What one rule applies to, as a row of a table: each of `things`, and how many `more`."""

    does: str
    at: str
    things: tuple[str, ...]
    more: str
    option: str
    remove: str
    then: str


HEADINGS: Final = ("CRIU", "what", "where", "option, or what to do", "afterwards")


def rows(told: Preflight, *, everything: bool) -> Iterator[Row]:
    """Yield the rows of the table, the worst first."""
    for one in everything_of(told):
        most = len(one.things) if everything else _MOST
        left = len(one.things) - most
        yield Row(
            TITLES[one.first.outcome],
            one.first.at,
            one.things[:most],
            f"and {number(left)} more" if left > 0 else "",
            one.some(everything=everything),
            one.first.remove,
            one.first.then,
        )


def _how(row: Row, code: Callable[[str], str]) -> str:
    return code(row.option) if row.option else row.remove


def html(told: Preflight, text: Callable[[str], str], *, everything: bool) -> str:
    """Return a section of a page; `text` makes any words harmless."""

    def code(words: str) -> str:
        return f"<code>{text(printable(words))}</code>"

    heads = "".join(f'<th scope="col">{head}' for head in HEADINGS)
    made = []
    for row in rows(told, everything=everything):
        things = "<br>".join(map(text, [*row.things, *[row.more] * bool(row.more)]))
        cells = (row.does, text(row.at), things, _how(row, code), text(row.then))
        made.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    listed = (
        f'<div class="wide"><table class="gaps"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(made)}</tbody></table></div>"
    )
    said = [f"Cannot: remove {text(removals(told))}."] * (not told.possible)
    if told.verified is not None:
        said.append(f"{text(verdict(told.verified))}.")
    commands = "\n".join(text(printable(one)) for one in (told.dump, told.restore))
    return (
        f'<section class="criu" aria-labelledby="criu"><h2 id="criu">{text(answer(told))}</h2>'
        f"{listed if made else ''}"
        f"{''.join(f'<p>{one}</p>' for one in said)}"
        f'<pre tabindex="0">{commands}</pre></section>'
    )


def markdown(
    told: Preflight,
    table: Callable[..., str],
    code: Callable[[str], str],
    block: Callable[[Sequence[str]], str],
    *,
    everything: bool,
) -> Iterator[str]:
    """Yield paragraphs; `table`, `code` and `block` are those of the Markdown writer."""
    yield f"**{answer(told)}**"
    made = []
    for row in rows(told, everything=everything):
        things = "<br>".join([*map(code, row.things), *[row.more] * bool(row.more)])
        made.append((row.does, row.at, things, _how(row, code), row.then))
    if made:
        yield table(HEADINGS, made)
    if not told.possible:
        yield f"Cannot: remove {code(removals(told))}."
    yield block([printable(told.dump), printable(told.restore)])
    if told.verified is not None:
        yield verdict(told.verified) + "."
        if told.verified.said:
            yield block([printable(text) for text in told.verified.said[:_MOST]])


__all__ = ["HEADINGS", "Row", "blocks", "html", "markdown", "rows"]
