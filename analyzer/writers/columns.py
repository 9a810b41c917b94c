r"""A listing as a table of columns (`-o COL,...`), for people, for awk, and as JSON.

As lsfd's: a heading, numbers to the right, "-" for what is missing, 1 and 0 for true and false. A
line has as many words as there are columns, whatever names strangers chose: a blank in a cell is
``\x20``, but in the last column, which is not padded either. No cell is cut.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Protocol

from analyzer.core.text import printable, valid, width
from analyzer.core.values import replace
from analyzer.writers.json import document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.report.listing import Column, Listing, Value
    from analyzer.report.value import Report

_MISSING: Final = "-"
_GAP: Final = " "


class Told(Protocol):
    """Rows and the columns that they are told in: of a report, or of a list of things."""

    @property
    def columns(self) -> Sequence[Any]:
        """The columns: each has a name and a type."""

    def values(self, column: Any, /) -> list[Value]:  # noqa: ANN401 - a column of these
        """Return the values of one column."""


def render(listing: Told, *, headings: bool = True, encoding: str = "utf-8") -> str:
    """Return a listing as lines of text; what `encoding` has no character for is escaped."""
    last = len(listing.columns) - 1
    columns = [
        _cells(listing, column, headings=headings, encoding=encoding, last=at == last)
        for at, column in enumerate(listing.columns)
    ]
    widths = [max(map(width, column), default=0) for column in columns]
    told = enumerate(zip(columns, widths, listing.columns, strict=True))
    padded = [_padded(column, most, spec, last=at == last) for at, (column, most, spec) in told]
    return "".join(f"{_GAP.join(line)}\n" for line in zip(*padded, strict=True))


def render_json(report: Report, listing: Listing) -> str:
    """Return the envelope of the report as JSON, with `rows` of just these columns as its objects.

    Each row is one object (one line) with the names of the columns as keys; what is missing is
    null.
    """
    envelope = document(replace(report, objects=()))
    del envelope["objects"]
    names = [column.name for column in listing.columns]
    values = zip(*(map(_plain, listing.values(column)) for column in listing.columns), strict=True)
    encode = json.JSONEncoder(check_circular=False).encode
    rows = ",\n  ".join(encode(dict(zip(names, row, strict=True))) for row in values)
    parts = [f'"{key}": {encode(value)}' for key, value in envelope.items()]
    listed = f"[\n  {rows}]" if rows else "[]"
    return "{" + ",\n ".join([*parts, f'"rows": {listed}']) + "}\n"


def _cells(
    listing: Told,
    column: Any,  # noqa: ANN401 - as above
    *,
    headings: bool,
    encoding: str,
    last: bool,
) -> list[str]:
    known: dict[tuple[type, Value], str] = {}  # 1 is not True here
    cells = [column.name] if headings else []
    for value in listing.values(column):
        key = (type(value), value)
        if key not in known:
            known[key] = _cell(value, encoding, last=last)
        cells.append(known[key])
    return cells


def _cell(value: Value, encoding: str, *, last: bool) -> str:
    if value is None or value == "":
        return _MISSING
    if isinstance(value, bool):
        return str(int(value))
    text = printable(str(value)).encode(encoding, "backslashreplace").decode(encoding)
    return text if last else text.replace(" ", r"\x20")


def _plain(value: Value) -> Any:  # noqa: ANN401 - any JSON
    return valid(value) if isinstance(value, str) else value


def _padded(cells: Sequence[str], most: int, column: Column, *, last: bool) -> list[str]:
    if column.type == "number":
        return [" " * (most - width(cell)) + cell for cell in cells]
    return list(cells) if last else [cell + " " * (most - width(cell)) for cell in cells]
