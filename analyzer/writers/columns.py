r"""A listing as a table of columns (`-o COL,...`), for people, for awk, and as JSON.

As lsfd's: a heading, numbers to the right, "-" for what is missing, 1 and 0 for true and false. A
line has as many words as there are columns, whatever names strangers chose: a blank in a cell is
``\x20``, but in the last column, which is not padded either. Only for a terminal (a `width`) are
long cells cut, and only as far as is needed.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from analyzer.writers.json import document
from analyzer.writers.text import printable, shorten, valid, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.listing import Column, Listing, Value
    from analyzer.report import Report

_MISSING: Final = "-"
_GAP: Final = " "
_NARROWEST: Final = 12  # a cell is not cut to less than this


def render(
    listing: Listing, cells: int | None = None, *, headings: bool = True, encoding: str = "utf-8"
) -> str:
    """Return a listing as lines of text; with `cells`, cut to fit a terminal that wide if it can.

    What `encoding` has no character for is escaped.
    """
    last = len(listing.columns) - 1
    columns = [
        _cells(listing, column, headings=headings, encoding=encoding, last=at == last)
        for at, column in enumerate(listing.columns)
    ]
    widths = [max(map(width, column), default=0) for column in columns]
    if cells is not None:
        widths = _fitted(widths, listing.columns, cells)
    mark = "…" if _knows("…", encoding) else "~"
    told = enumerate(zip(columns, widths, listing.columns, strict=True))
    padded = [
        _padded(column, most, spec, mark, last=at == last) for at, (column, most, spec) in told
    ]
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
    listing: Listing, column: Column, *, headings: bool, encoding: str, last: bool
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


def _knows(char: str, encoding: str) -> bool:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


# The widest text gives way first, down to the next widest, and so on.
def _fitted(widths: Sequence[int], columns: Sequence[Column], cells: int) -> list[int]:
    fitted = list(widths)
    texts = [at for at, column in enumerate(columns) if column.type == "string"]
    while texts and sum(fitted) + len(fitted) - 1 > cells:
        widest = max(texts, key=lambda at: fitted[at])
        if fitted[widest] <= max(_NARROWEST, len(columns[widest].name)):
            break
        fitted[widest] -= 1
    return fitted


def _padded(cells: Sequence[str], most: int, column: Column, mark: str, *, last: bool) -> list[str]:
    cut = [shorten(cell, most).replace("…", mark) if width(cell) > most else cell for cell in cells]
    if column.type == "number":
        return [" " * (most - width(cell)) + cell for cell in cut]
    return cut if last else [cell + " " * (most - width(cell)) for cell in cut]
