"""What `cranalyze census` says, for people and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from analyzer.core.model import JSON_FORMAT
from analyzer.core.text import printable, valid, wrap
from analyzer.core.values import fields
from analyzer.report.wording import many
from analyzer.writers.terminal import MIN_WIDTH, Line
from analyzer.writers.terminal import to_text as joined

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analyzer.lookup.census import Census, Residual

_MOST: Final = 40
_COLUMNS: Final = ("objects", "refcount", "named", "unnamed", "unstable")


def to_json(census: Census) -> str:
    """Return the census as JSON, ending in a newline: kinds, and the residual object by object."""
    residual = [fields(one) for one in census.residual]
    for one in residual:
        one["name"] = None if one["name"] is None else valid(one["name"])
    envelope = {
        "cranalyze": JSON_FORMAT,
        "command": "census",
        "exit_code": census.exit_code,
        "exact": census.exact,
        "tasks": census.tasks,
        "references": census.references,
        "kinds": [fields(kind) for kind in census.kinds],
        "residual": residual,
        "gaps": list(census.gaps),
        "limits": list(census.limits),
        "errors": [],
    }
    return f"{json.dumps(envelope, indent=1)}\n"


def to_text(
    census: Census, width: int = 80, *, colour: bool = False, about: Sequence[str] = ()
) -> str:
    """Return the census as lines of at most `width` cells; `about` says what it is of."""
    cells = max(width, MIN_WIDTH)
    lines = [Line(text) for one in about for text in wrap(printable(one), cells, "", 2)]
    return joined([*lines, *_lines(census, cells)], colour=colour)


def _lines(census: Census, cells: int) -> Iterator[Line]:
    for text in wrap(_headline(census), cells):
        yield Line(text, "good" if census.exact else "bad")
    for limit in census.limits:
        yield from (Line(text) for text in wrap(printable(limit), cells))
    yield Line("")
    yield Line(f"{'kind':12}" + "".join(f"{name:>11}" for name in _COLUMNS))
    for kind in census.kinds:
        numbers = (getattr(kind, name) for name in _COLUMNS)
        told = ("-" if number is None else f"{number:,}" for number in numbers)
        yield Line(f"{kind.kind:12}" + "".join(f"{cell:>11}" for cell in told))
    others = [one for one in census.residual if not one.initial]
    if others:
        yield Line("")
        yield Line("refcount and what is named differ:")
    for one in others[:_MOST]:
        yield from (Line(text) for text in wrap(_residual(one), cells, "  ", 4))
    if len(others) > _MOST:
        yield Line(f"  and {len(others) - _MOST:,} more (--json lists them)")
    host = sum(one.initial for one in census.residual)
    if host:
        are = "is" if host == 1 else "are"
        said = (
            f"{many(host, 'initial namespace')} {are} the kernel's own too: no equality is claimed."
        )
        yield Line("")
        yield from (Line(text) for text in wrap(said, cells))
    for gap in census.gaps:
        yield from (Line(text, "bad") for text in wrap(printable(gap), cells, "gap: ", 5))


def _headline(census: Census) -> str:
    about = f"{many(census.references, 'reference')} of {many(census.tasks, 'task')}"
    if census.exact:
        return f"every reference is named: {about}"
    if census.limits:
        return f"whether every reference is named cannot be told: {about} are here"
    left = sum(kind.unnamed or 0 for kind in census.kinds)
    over = sum(kind.overnamed or 0 for kind in census.kinds)
    more = f", {over:,} named that the kernel does not count" if over else ""
    return f"{many(left, 'reference')} {'is' if left == 1 else 'are'} not named{more}: {about}"


def _residual(one: Residual) -> str:
    name = f" {printable(one.name)}" if one.name else f" no. {one.objref}"
    moved = ", moved while it was read" if not one.stable else ""
    return f"{one.kind}{name}: refcount {one.refcount}, named {one.named}{moved}"
