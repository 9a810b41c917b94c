"""Columns of what a question to the whole machine lists: for tables, filters and scripts.

Those of a report are rows of its own (`analyzer.report.columns`); here a row is one thing, and a
column asks it. The filter language is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from analyzer.core.errors import BadInputError, no_such
from analyzer.core.values import dataclass
from analyzer.report import filters
from analyzer.report.expression import matching, names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from analyzer.report.expression import Node
    from analyzer.report.listing import Value

T = TypeVar("T")


@dataclass(frozen=True)
class Field(Generic[T]):
    """One column: its name, its type, what it means, and how a thing is asked for it."""

    name: str
    type: Literal["string", "number", "boolean"]
    meaning: str
    get: Callable[[T], Value]


@dataclass(frozen=True)
class Told(Generic[T]):
    """Things and the columns that they are told in."""

    columns: tuple[Field[T], ...]
    rows: tuple[T, ...]

    def values(self, column: Field[T]) -> list[Value]:
        """Return the values of one column, a plain Python object per thing."""
        return [column.get(row) for row in self.rows]


def chosen(fields: Mapping[str, Field[T]], text: str, usual: Sequence[str]) -> tuple[Field[T], ...]:
    """Return the columns of a comma list, in any case; after a + they follow the `usual` ones.

    Raises BadInputError, which lists the columns, for one that there is not.
    """
    words = [word.strip().upper() for word in text.removeprefix("+").split(",")]
    if not any(words):
        raise BadInputError(f"no column is named; columns are: {', '.join(fields)}")
    for word in words:
        if word not in fields:
            raise no_such("no column", word, fields)
    names = (*usual, *words) if text.startswith("+") else words
    return tuple(fields[name] for name in dict.fromkeys(names))


def parsed(fields: Mapping[str, Field[T]], text: str) -> Node:
    """Return the filter of these columns that `text` says; FilterError where it says none."""
    return filters.parse(text, {name: field.type for name, field in fields.items()})


def kept(fields: Mapping[str, Field[T]], things: Sequence[T], node: Node) -> tuple[T, ...]:
    """Return the things that a filter holds for."""
    values = {name: [fields[name].get(thing) for thing in things] for name in names_of(node)}
    holds = matching(node, len(things), values).tolist()
    return tuple(thing for thing, holding in zip(things, holds, strict=True) if holding)
