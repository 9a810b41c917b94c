"""What of a report is listed, and how: columns (`-o COL,...`, `-n`) and a filter (`-Q`)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from analyzer.cli.output import columns, emit, note
from analyzer.cli.parameters import Exit
from analyzer.core.errors import BadInputError
from analyzer.core.text import wrap
from analyzer.core.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.report.expression import Node
    from analyzer.report.listing import Column, Row
    from analyzer.report.value import Report


@dataclass(frozen=True)
class Selection:
    """What is listed: in `columns` (none: the whole report), and only what `filter` holds for."""

    columns: tuple[Column, ...] = ()
    headings: bool = True
    filter: Node | None = None


WHOLE: Final = Selection()


def chosen_selection(
    columns: str | None, filter_: str | None, *, noheadings: bool, whole: bool = False
) -> Selection:
    """Return the selection that the options ask for; `whole` is a form that has no columns.

    Raises BadInputError for columns or filters that cannot be read, and for what does not go
    together.
    """
    if columns is None and noheadings:
        raise BadInputError("-n goes with columns: -o COL,...")
    if columns is not None and whole:
        raise BadInputError("-o COL,... makes a table, or JSON with --json: no other form has any")
    if columns is None and filter_ is None:
        return WHOLE
    from analyzer.report.columns import parse_columns
    from analyzer.report.filters import parse

    return Selection(
        () if columns is None else parse_columns(columns),
        not noheadings,
        None if filter_ is None else parse(filter_),
    )


def list_columns(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    """Print all columns with their types and meanings, and exit, if that is wanted."""
    if not wanted:
        return
    from analyzer.report.columns import COLUMNS

    wide = max(len(column.name) for column in COLUMNS)
    for column in COLUMNS:
        indent = f"{column.name:{wide}}  {column.type:8} "
        for line in wrap(column.meaning, columns(), indent, len(indent)):
            emit(f"{line}\n")
    raise Exit


def narrowed(report: Report, selection: Selection) -> Report:
    """Return the report with only the objects that the filter holds for; the answer stays."""
    if selection.filter is None:
        return report
    from analyzer.report.part import with_objects

    told = {row.entry.objref for row in _filtered(report, selection)}
    _say(len(told), len(report.objects))
    return with_objects(report, told)


def table(report: Report, selection: Selection, *, json: bool, stdout: bool) -> str:
    """Return the report in the columns of the selection, as lines of text or as JSON."""
    from analyzer.report.listing import Listing
    from analyzer.writers import columns as writer

    listed = Listing(selection.columns, tuple(_filtered(report, selection)))
    if selection.filter is not None:
        _say(len({row.at for row in listed.rows}), len(report.objects))
    if json:
        return writer.render_json(report, listed)
    return writer.render(listed, headings=selection.headings, encoding=encoding(stdout=stdout))


def encoding(*, stdout: bool) -> str:
    """Return the encoding of what is written: stdout's, UTF-8 in a file."""
    return sys.stdout.encoding if stdout and sys.stdout is not None else "utf-8"


def _filtered(report: Report, selection: Selection) -> Sequence[Row]:
    from analyzer.report.expression import columns_of, matches
    from analyzer.report.listing import finest, listing, with_finer

    if selection.filter is None:
        return listing(report, selection.columns).rows
    level = finest(selection.columns)
    rows = listing(report, selection.columns, finest(columns_of(selection.filter), level)).rows
    return with_finer(rows, matches(selection.filter, rows).tolist(), level)


def _say(told: int, of: int) -> None:
    if told < of:
        note(f"cranalyze: {told:,} of {of:,} objects are listed (-Q); the answer is of all")
