"""One thing of a report, explained: an object by its number, a finding by its id.

The number is what a report calls an object (``objref``) and of that report alone; the id is what a
baseline calls a finding (``identities``), and is the same in the next run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError
from analyzer.core.model import Side
from analyzer.core.text import printable
from analyzer.kinds import registry, title_of
from analyzer.lookup.explain import explained
from analyzer.relations import relations
from analyzer.report.wording import counts, held, listing, tie_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.report.crossed import Crossed
    from analyzer.report.value import Report, ReportObject
    from analyzer.report.waive import Waived

_MOST: Final = 6


def is_thing(word: str) -> bool:
    """Tell whether a word is a number or an id, and no name."""
    return word.isascii() and (word.isdecimal() or _is_id(word))


def _is_id(word: str) -> bool:
    return len(word) == 16 and all(letter in "0123456789abcdef" for letter in word)  # noqa: PLR2004


def explained_thing(word: str, report: Report) -> str:
    """Return what a thing of a report is, and what its kind or relation means, as text.

    BadInputError where the report has no such thing; it lists every object.
    """
    told = list(_told(word, report))
    if not told:
        what = "finding of this id" if _is_id(word) else f"object no. {word}"
        raise BadInputError(
            f"{printable(word)}: no {what} in this report; --json has objref and identities"
        )
    return "\n\n".join(told) + "\n"


def _told(word: str, report: Report) -> Iterator[str]:
    kinds: dict[str, None] = {}
    for entry in report.objects:
        if word == str(entry.objref) or word in entry.identities:
            yield from _object(entry)
            kinds[entry.kind] = None
    for one in report.crossings:
        if word in one.identities:
            yield from _crossing(one)
            kinds[one.relation] = None
    yield from map(explained, kinds)


def _object(entry: ReportObject) -> Iterator[str]:
    kind = registry()[entry.kind]
    name = f"{kind.title} {entry.name}" if entry.name else title_of(entry.kind, entry.objref)
    means = f" ({entry.impact.value})" if entry.impact else ""
    yield f"{printable(name)}, no. {entry.objref}: {entry.verdict.value}{means}: {counts(entry)}."
    yield from _sides({side: held(entry, side) for side in (Side.OUTSIDE, Side.INSIDE)})
    yield from _known(entry.waived, entry.identities)


def _crossing(one: Crossed) -> Iterator[str]:
    relation = relations()[one.relation]
    yield f"{printable(one.title)} ({one.impact.value})."
    yield from _sides({
        side: list(dict.fromkeys(tie_words(tie, relation) for tie in one.of(side)))
        for side in (Side.OUTSIDE, Side.INSIDE)
    })  # fmt: skip
    yield from _known(one.waived, one.identities)


def _sides(said: dict[Side, list[str]]) -> Iterator[str]:
    for side, words in said.items():
        more = [f"{len(words) - _MOST} more"] if len(words) > _MOST else []
        if words:
            yield printable(f"{side.value}: {listing([*words[:_MOST], *more])}.")


def _known(waived: Waived | None, identities: tuple[str, ...]) -> Iterator[str]:
    if waived is not None and not waived.part:
        yield f"It is known ({printable(waived.words)}), and does not decide."
    if identities:
        yield f"As a finding it is {listing(identities)}: the same in the next run."
