"""What a list of things of the whole machine is told in: columns (`-o`, `-n`) and a filter."""

from __future__ import annotations

import json as encoder
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from analyzer.cli.output import columns, emit, note
from analyzer.cli.parameters import Exit
from analyzer.cli.selection import encoding
from analyzer.core.errors import BadInputError, no_such
from analyzer.core.model import JSON_FORMAT
from analyzer.core.text import valid, wrap
from analyzer.core.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analyzer.lookup.columns import Field
    from analyzer.report.expression import Node

T = TypeVar("T")


@dataclass(frozen=True)
class Listed(Generic[T]):
    """What is listed: in `columns` (none: in words), and only what `filter` holds for."""

    fields: Mapping[str, Field[T]]
    columns: tuple[Field[T], ...]
    headings: bool
    filter: Node | None

    def kept(self, things: Sequence[T]) -> tuple[T, ...]:
        """Return the things that the filter holds for, and say so where that is not all."""
        from analyzer.lookup.columns import kept

        if self.filter is None:
            return tuple(things)
        left = kept(self.fields, things, self.filter)
        if len(left) < len(things):
            note(f"cranalyze: {len(left):,} of {len(things):,} are listed (-Q)")
        return left

    def table(self, things: Sequence[T], command: str, *, json: bool) -> str:
        """Return things in the columns that were asked for, as lines of text or as JSON."""
        from analyzer.lookup.columns import Told
        from analyzer.writers.columns import render

        told = Told(self.columns, tuple(things))
        if not json:
            return render(told, headings=self.headings, encoding=encoding(stdout=True))
        names = [column.name for column in self.columns]
        values = zip(*(map(_plain, told.values(column)) for column in self.columns), strict=True)
        envelope = {
            "cranalyze": JSON_FORMAT,
            "command": command,
            "exit_code": 0,
            "rows": [dict(zip(names, row, strict=True)) for row in values],
            "errors": [],
        }
        return f"{encoder.dumps(envelope, indent=1)}\n"


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON
    return valid(value) if isinstance(value, str) else value


def chosen(
    fields: Mapping[str, Field[T]],
    usual: Sequence[str],
    columns_: str | None,
    filter_: str | None,
    *,
    noheadings: bool,
    tree: bool = False,
) -> Listed[T]:
    """Return what the options ask for; BadInputError for what is no column, or no filter."""
    from analyzer.lookup.columns import chosen, parsed

    if columns_ is None and noheadings:
        raise BadInputError("-n goes with columns: -o COL,...")
    if columns_ is not None and tree:
        raise BadInputError("-o COL,... makes a table: no tree has columns")
    return Listed(
        fields,
        () if columns_ is None else chosen(fields, columns_, usual),
        not noheadings,
        None if filter_ is None else parsed(fields, filter_),
    )


def say_columns(fields: Mapping[str, Field[Any]]) -> None:
    """Print columns with their types and meanings, and exit."""
    wide = max(map(len, fields))
    for field in fields.values():
        indent = f"{field.name:{wide}}  {field.type:8} "
        for line in wrap(field.meaning, columns(), indent, len(indent)):
            emit(f"{line}\n")
    raise Exit


def of_namespaces(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    """Print the columns of namespaces and exit, if that is wanted."""
    if wanted:
        from analyzer.lookup.namespaces import FIELDS

        say_columns(FIELDS)


def of_things(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    """Print the columns of things and exit, if that is wanted."""
    if wanted:
        from analyzer.lookup.things import FIELDS

        say_columns(FIELDS)


def namespace_types(text: str | None) -> frozenset[str]:
    """Return the types of a comma list; BadInputError for one that there is not."""
    from analyzer.kinds import namespace_kinds

    known = tuple(namespace_kinds())
    if text is None:
        return frozenset()
    words = {word.strip().lower().removesuffix("ns") for word in text.split(",") if word.strip()}
    for word in words:
        if word not in known:
            raise no_such("no type of namespace", word, known)
    if not words:
        raise BadInputError(f"-t needs a type: {', '.join(known)}")
    return frozenset(words)
