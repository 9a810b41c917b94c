"""The pages of the columns: of the tables, and of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import SCHEMAS, Basis, Rules, Side, Status, Verdict
from analyzer.report import columns as listing
from analyzer.report import filters
from scripts.docs import markdown as md

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.core.model import ColumnSpec


_FRAME: Final = {
    "i64": ("int64", "Int64"),
    "u64": ("uint64", "UInt64"),
    "bool": ("bool", "boolean"),
    "category": ("category", "category"),
    "text": ("object (str)", "object (str)"),
}
_EXPORTED: Final = {
    "i64": "int64",
    "u64": "uint64",
    "bool": "bool",
    "category": "string",
    "text": "string",
}


_TABLES: Final = (
    "The tables of a snapshot: `Snapshot.tasks`, `.objects` and so on in Python, `NAME.parquet` in "
    "a `*.crz`, and what `cranalyze export` writes. What is not known is missing, never 0."
)


def columns_page() -> str:
    """Return docs/columns.md."""
    parts = [
        md.NOTE,
        "# Columns",
        _TABLES,
        md.table(
            ("type", "in a frame", "where values may be missing", "exported"),
            [(name, *dtypes, _EXPORTED[name]) for name, dtypes in _FRAME.items()],
        ),
    ]
    for schema in SCHEMAS.values():
        parts += [f"## {schema.name}", described(schema.columns)]
    parts += ["# Words", *(_words(name, words) for name, words in _WORDS.items())]
    return md.page(parts)


_WORDS: Final = {
    "side": [side.value for side in Side],
    "verdict": [verdict.value for verdict in Verdict],
    "basis": [basis.value for basis in Basis],
    "rules": [rules.value for rules in Rules],
    "status": [status.value for status in Status],
}


def _words(name: str, words: Iterable[str]) -> str:
    return f"- {name}: {', '.join(f'`{word}`' for word in words)}"


def described(columns: Iterable[ColumnSpec]) -> str:
    """Return the table that tells what columns mean."""
    rows = [
        (
            f"`{c.name}`",
            c.type,
            "yes" if c.nullable else "",
            md.cell(c.meaning + (f" ({c.unit})" if c.unit else "")),
        )
        for c in columns
    ]
    return md.table(("column", "type", "may be missing", "meaning"), rows)


def report_columns_page() -> str:
    """Return docs/report-columns.md."""
    rows = [(f"`{c.name}`", c.type, c.of, md.cell(c.meaning)) for c in listing.COLUMNS]
    parts = [md.NOTE, "# Columns of a report (`-o`)", md.docstring(listing.__doc__)]
    parts += [f"The default: `{','.join(listing.DEFAULT)}`. With `-o +COL,...` these come first."]
    parts += [md.table(("column", "type", "of", "meaning"), rows)]
    parts += ["# Filters (`-Q`)", md.docstring(filters.__doc__)]
    return md.page(parts)
