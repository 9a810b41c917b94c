"""What CRIU would do, for people: blocks of a terminal's report, and a part of the Markdown.

The commands are one line each, however long: they are to be copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.text import printable, wrap
from analyzer.criu import Outcome
from analyzer.report.bundles import TITLES, answer, bundled, removals, verdict
from analyzer.report.wording import number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from analyzer.report.bundles import Bundled
    from analyzer.report.preflight import Preflight

_MOST: Final = 4
_MOST_RULES: Final = 12  # of what is dumped in silence
_INDENT: Final = 11

Part = tuple[str, str]
"""A line, and how it is to look."""


def blocks(told: Preflight, width: int, *, everything: bool) -> Iterator[list[Part]]:
    """Yield blocks of lines of at most `width` cells, but for commands."""
    style = "bad" if not told.possible else "unsure" if told.refuses else "good"
    yield _lines(answer(told), width, style, first="* ", indent=2)
    for outcome in Outcome:
        many = bundled(told, outcome)
        most = len(many) if everything or outcome is not Outcome.SILENT else _MOST_RULES
        for one in many[:most]:
            yield list(_block(one, outcome, width, everything=everything))
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


def _block(one: Bundled, outcome: Outcome, width: int, *, everything: bool) -> Iterator[Part]:
    first = one.first
    yield from _lines(f"CRIU {TITLES[outcome]}: {first.at}", width, "title", first="* ", indent=2)
    most = len(one.things) if everything else _MOST
    for at, words in enumerate(one.things[:most]):
        yield from _lines(words, width, first=f"  {'' if at else 'it is':8} ")
    if len(one.things) > most:
        yield from _lines(
            f"and {number(len(one.things) - most)} more (--all lists them)", width,
            first=f"  {'':8} ",
        )  # fmt: skip
    for title, words in (
        ("says", first.message),
        ("option", _some(one.options, everything=everything)),
        ("instead", "" if one.options else first.remove),
        ("then", first.then),
    ):
        if words:
            yield from _lines(printable(words), width, first=f"  {title:8} ")


def _some(options: tuple[str, ...], *, everything: bool) -> str:
    most = len(options) if everything else 1
    more = f" and {number(len(options) - most)} more like it" if len(options) > most else ""
    return f"{' '.join(options[:most])}{more}" if options else ""


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
    rows = []
    for outcome in Outcome:
        for one in bundled(told, outcome):
            most = len(one.things) if everything else _MOST
            more = [f"and {number(len(one.things) - most)} more"] if len(one.things) > most else []
            things = "<br>".join([*map(code, one.things[:most]), *more])
            option = _some(one.options, everything=everything)
            how = code(option) if option else one.first.remove
            rows.append((TITLES[outcome], one.first.at, things, how, one.first.then))
    if rows:
        yield table(("CRIU", "what", "where", "option, or what to do", "afterwards"), rows)
    if not told.possible:
        yield f"Cannot: remove {code(removals(told))}."
    yield block([printable(told.dump), printable(told.restore)])
    if told.verified is not None:
        yield verdict(told.verified) + "."
        if told.verified.said:
            yield block([printable(text) for text in told.verified.said[:_MOST]])


__all__ = ["blocks", "markdown"]
