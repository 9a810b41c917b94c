"""A filter as a tree: what it says, as text and of rows (see `analyzer.report.filters`)."""

from __future__ import annotations

import operator
from itertools import repeat
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from analyzer.core.text import valid
from analyzer.core.values import NamedTuple, dataclass, field
from analyzer.report.columns import by_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from analyzer.report.listing import Column, Row, Value

    Mask = npt.NDArray[np.bool_]

Type = Literal["string", "number", "boolean"]


@dataclass(frozen=True)
class Name:
    """The value of a column; its `type` is known where it is none of a report's."""

    name: str
    type: Type | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Constant:
    """A value as it is written."""

    value: str | float | bool


@dataclass(frozen=True)
class Compare:
    """Two operands of one type; `op` is ==, !=, <, <=, > or >=."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Match:
    """A string that a regular expression is found in, or with `negated` is not."""

    left: Node
    pattern: str
    negated: bool = False


@dataclass(frozen=True)
class Not:
    """The opposite."""

    part: Node


@dataclass(frozen=True)
class And:
    """All of two or more parts."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Or:
    """Any of two or more parts."""

    parts: tuple[Node, ...]


Node = Name | Constant | Compare | Match | Not | And | Or

ORDERED: Final = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
EQUAL: Final = frozenset({"==", "!="})


def type_of(node: Node) -> Type:
    """Return the type of what a node gives."""
    if isinstance(node, Name):
        return node.type or by_name()[node.name].type
    if isinstance(node, Constant) and not isinstance(node.value, bool):
        return "string" if isinstance(node.value, str) else "number"
    return "boolean"


def to_text(node: Node) -> str:  # noqa: PLR0911 - one a node
    """Return a filter as text; `parse` gives the same one back."""
    match node:
        case Name(name):
            return name
        case Constant(value):
            return _written(value)
        case Compare(op, left, right):
            return f"{_operand(left)} {op} {_operand(right)}"
        case Match(left, pattern, negated):
            return f"{_operand(left)} {'!~' if negated else '=~'} {_written(pattern)}"
        case Not(part):
            return f"not {_operand(part)}"
        case And(parts):
            return " and ".join(map(_operand, parts))
        case Or(parts):
            return " or ".join(map(_operand, parts))


def columns_of(node: Node) -> tuple[Column, ...]:
    """Return the columns that a filter asks for, each once."""
    return tuple(by_name()[name] for name in names_of(node))


def matches(node: Node, rows: Sequence[Row]) -> Mask:
    """Return for which rows a filter holds; they must be as fine as its columns need."""
    values = {column.name: [column.get(row) for row in rows] for column in columns_of(node)}
    return matching(node, len(rows), values)


def names_of(node: Node) -> tuple[str, ...]:
    """Return the names of the columns that a filter asks for, each once."""
    return tuple(dict.fromkeys(_names(node)))


def matching(node: Node, size: int, values: Mapping[str, list[Value]]) -> Mask:
    """Return for which of `size` rows a filter holds, of which these are the values, by column."""
    return _holds(node, _Rows(size, values))


# --- writing


def _written(value: str | float | bool) -> str:  # noqa: FBT001 - a value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _operand(node: Node) -> str:
    text = to_text(node)
    return text if isinstance(node, Name | Constant) else f"({text})"


def _names(node: Node) -> Iterator[str]:
    match node:
        case Name(name):
            yield name
        case Compare(_, left, right):
            yield from (*_names(left), *_names(right))
        case Match(left):
            yield from _names(left)
        case Constant():
            pass
        case Not(part):
            yield from _names(part)
        case And(parts) | Or(parts):
            for part in parts:
                yield from _names(part)


# --- judging rows


class _Rows(NamedTuple):
    size: int
    values: Mapping[str, list[Value]]


def _holds(node: Node, rows: _Rows) -> Mask:  # noqa: PLR0911 - one a node
    match node:
        case Name(name):
            return np.array([bool(value) for value in rows.values[name]], np.bool_)
        case Constant(value):
            return np.full(rows.size, value is True)
        case Compare(op, left, right):
            return _compared(op, left, right, rows)
        case Match(left, pattern, negated):
            return _found(_values(left, rows), pattern) ^ negated
        case Not(part):
            return ~_holds(part, rows)
        case And(parts):
            every: Mask = np.logical_and.reduce([_holds(part, rows) for part in parts])
            return every
        case Or(parts):
            some: Mask = np.logical_or.reduce([_holds(part, rows) for part in parts])
            return some


def _compared(op: str, left: Node, right: Node, rows: _Rows) -> Mask:
    pairs = zip(_values(left, rows), _values(right, rows), strict=False)
    if op in EQUAL:
        same = np.fromiter((a is not None and a == b for a, b in pairs), np.bool_, rows.size)
        return same if op == "==" else ~same
    ordered = ORDERED[op]
    known = (a is not None and b is not None and ordered(a, b) for a, b in pairs)
    return np.fromiter(known, np.bool_, rows.size)


def _values(node: Node, rows: _Rows) -> Iterable[Value | float]:
    if isinstance(node, Name):
        return rows.values[node.name]
    if isinstance(node, Constant):
        return repeat(node.value, rows.size)
    return list(map(bool, _holds(node, rows)))


def _found(values: Iterable[Value | float], pattern: str) -> Mask:
    from pyarrow import compute

    from analyzer.snapshot import arrow

    listed = list(values)
    distinct = list({value for value in listed if isinstance(value, str)})
    texts = arrow.strings(list(map(valid, distinct)))
    hits = compute.match_substring_regex(texts, pattern).to_pylist()
    found = {value for value, hit in zip(distinct, hits, strict=True) if hit}
    return np.fromiter((value in found for value in listed), np.bool_, len(listed))
