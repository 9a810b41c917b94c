"""The tables of objects and references, put together from columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import OBJECTS, REFERENCES
from analyzer.kinds import associations, registry
from analyzer.snapshot import tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analyzer.core.model import Schema
    from analyzer.snapshot.tables import Array, Mask, Table

_Column = tuple["Array", "Mask"]
_Chunk = tuple[int, "Mapping[str, _Column]"]

_FILLS: Final = {"text": None, "category": -1}


class Graph:
    """Grows by chunks of equal kind; objects are numbered from 1 in the order of adding."""

    def __init__(self) -> None:
        self._objects: list[_Chunk] = []
        self._references: list[_Chunk] = []
        self._count = 0
        self._kinds = tuple(registry())
        self._associations = tuple(associations())
        self._details: dict[str, int] = {}

    def objects(self, kind: str, count: int, **columns: Sequence[Any] | Array) -> int:
        """Add `count` objects with some of the columns of `model.OBJECTS`; return the first objref.

        A None in a column is a missing value.
        """
        first = self._count + 1
        self._count += count
        code = np.full(count, self._kinds.index(kind), np.int16)
        same = {"stable": np.ones(count, np.bool_), "initial": np.zeros(count, np.bool_)}
        self._objects.append(_chunk(OBJECTS, count, {"kind": code, **same, **columns}))
        return first

    def references(
        self,
        holder_kind: str,
        association: str,
        holder: Sequence[int] | Array,
        target: Sequence[int] | Array,
        **columns: Sequence[Any] | Array,
    ) -> None:
        """Add references of one association: weight 1, `slot` and `detail` as given."""
        count = len(holder)
        if "detail" in columns:
            columns["detail"] = self._codes(columns["detail"])
        self._references.append(
            _chunk(
                REFERENCES,
                count,
                {
                    "holder_kind": np.full(count, self._kinds.index(holder_kind), np.int16),
                    "association": np.full(count, self._associations.index(association), np.int16),
                    "holder": holder,
                    "target": target,
                    "weight": np.ones(count, np.int64),
                    **columns,
                },
            )
        )

    def _codes(self, words: Sequence[str | None] | Array) -> Array:
        known = self._details
        codes = [-1 if w is None else known.setdefault(w, len(known)) for w in words]
        return np.array(codes, np.int16)

    def tables(self) -> dict[str, Table]:
        """Return the tables of objects and references."""
        numbers = np.arange(1, self._count + 1)
        words = {"holder_kind": self._kinds, "association": self._associations}
        return {
            "objects": _table(OBJECTS, self._objects, {"kind": self._kinds}, objref=numbers),
            "references": _table(
                REFERENCES, self._references, {**words, "detail": tuple(self._details)}
            ),
        }


def _chunk(schema: Schema, count: int, columns: Mapping[str, Sequence[Any] | Array]) -> _Chunk:
    """Return values as arrays: what they were made of is let go of."""
    return count, {n: _column(column, schema.column(n).type) for n, column in columns.items()}


def _table(
    schema: Schema, chunks: list[_Chunk], words: Mapping[str, Sequence[str]], **given: Array
) -> Table:
    columns: dict[str, Array] = dict(given)
    missing: dict[str, Array] = {}
    for spec in schema.columns:
        used = any(spec.name in chunk for _, chunk in chunks)
        if spec.name in given or not used:
            continue
        parts = [chunk.get(spec.name) or _nothing(count, spec.type) for count, chunk in chunks]
        columns[spec.name] = np.concatenate([values for values, _ in parts])
        if spec.nullable and spec.type != "category":
            missing[spec.name] = np.concatenate([gone for _, gone in parts])
    return tables.build(schema, columns, missing=missing, vocabulary=words)


def _nothing(count: int, kind: str) -> _Column:
    return np.full(count, _FILLS.get(kind, 0), tables.DTYPES[kind]), np.ones(count, np.bool_)


def _column(values: Sequence[Any] | Array, kind: str) -> _Column:
    dtype = tables.DTYPES[kind]
    if isinstance(values, np.ndarray) and values.dtype != object:
        return values.astype(dtype, copy=False), np.zeros(len(values), np.bool_)
    gone = tables.absent(values)
    fill = _FILLS.get(kind, 0)
    out = np.empty(len(values), dtype)
    out[:] = [fill if value is None else value for value in values] if gone.any() else list(values)
    return out, gone
