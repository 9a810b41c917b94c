"""A table as numpy columns: what every source builds and everything else reads.

`Table` is deliberately little: columns by name, a mask for what is missing, codes and a vocabulary
for the category columns. Arrow and pandas are made from it at the edges (`snapshot.py`), so that a
check of 100,000 files imports neither.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.values import dataclass, field
from analyzer.memory.distinct import groups, one_of, runs, unique

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from analyzer.core.model import ColumnSpec, Schema

    Array = npt.NDArray[Any]
    Mask = npt.NDArray[np.bool_]

_SELDOM: Final = 8  # a column that is asked less often is not worth sorting
_LONG: Final = 16  # rows of a run that is worth while
DTYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "i64": np.dtype(np.int64),
    "u64": np.dtype(np.uint64),
    "bool": np.dtype(np.bool_),
    "category": np.dtype(np.int16),
    "text": np.dtype(object),
}


@dataclass(frozen=True)
class Table:
    """Columns of equal length that follow `schema`.

    `columns[name]` has the dtype of DTYPES; a category holds codes into `vocabulary[name]`, -1
    when missing; `missing[name]` marks what is missing in a nullable column of another type (the
    value there is 0, False or None) and may be absent when nothing is.
    """

    schema: Schema
    columns: Mapping[str, Array]
    missing: Mapping[str, Mask] = field(default_factory=dict)
    vocabulary: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.columns[self.schema.columns[0].name])

    def __getitem__(self, name: str) -> Array:
        """Return a column as it is stored (codes for a category)."""
        return self.columns[name]

    def known(self, name: str) -> Mask:
        """Return where a value of column `name` is known."""
        if self.schema.column(name).type == "category":
            result: Mask = self.columns[name] >= 0
            return result
        if name in self.missing:
            return ~self.missing[name]
        return np.ones(len(self), np.bool_)

    def code(self, name: str, value: str) -> int:
        """Return the code of `value` in the category column `name`, -2 when it never occurs."""
        words = self.vocabulary[name]
        return words.index(value) if value in words else -2

    def words(self, name: str) -> Array:
        """Return a category column as an object array of str (None when missing)."""
        return np.array([*self.vocabulary[name], None], dtype=object)[self.columns[name]]

    def words_of(self, name: str, rows: Array) -> frozenset[str]:
        """Return the words of a category that some rows (or a mask of them) have."""
        codes = unique(self.columns[name][rows]).tolist()
        return frozenset(self.vocabulary[name][code] for code in codes if code >= 0)

    def value(self, name: str, row: int) -> Any:  # noqa: ANN401 - the columns differ in type
        """Return one value as a plain Python object, None when it is missing."""
        column = self.columns[name]
        if self.schema.column(name).type == "category":
            code = int(column[row])
            return self.vocabulary[name][code] if code >= 0 else None
        if name in self.missing and self.missing[name][row]:
            return None
        value = column[row]
        return value.item() if isinstance(value, np.generic) else value

    def row(self, index: int) -> dict[str, Any]:
        """Return one row as a dict of plain Python objects."""
        return {column.name: self.value(column.name, index) for column in self.schema.columns}

    def where(self, name: str, wanted: Iterable[Any]) -> Array:
        """Return the rows, in their order, where a column has one of the values `wanted`.

        Categories are asked by their codes. What is missing counts as its stored value. A column
        that is asked often is sorted once: then an answer costs as much as is in it.
        """
        column = self.columns[name]
        if column.dtype == object:
            return self._where_text(name, frozenset(wanted))
        keys = unique(np.asarray(wanted)).astype(column.dtype)
        found = self._indexes.get(name)
        if found is None:
            self._asked[name] = self._asked.get(name, 0) + 1
            if self._asked[name] < _SELDOM:
                return np.flatnonzero(np.isin(column, keys))
            order = np.argsort(column, kind="stable")
            found = self._indexes[name] = order, column[order]
        order, values = found
        first, last = (np.searchsorted(values, keys, side).tolist() for side in ("left", "right"))
        parts = [order[slice(*ends)] for ends in zip(first, last, strict=True)]
        return parts[0] if len(parts) == 1 else np.sort(np.concatenate([order[:0], *parts]))

    def ends(self, name: str) -> Array:
        """Return where the runs of equal values in a column end (`distinct.runs`)."""
        if name not in self._ends:
            self._ends[name] = runs(self.columns[name])
        return self._ends[name]

    def rows(self, name: str, *words: str) -> Array:
        """Return the rows, in their order, where a category is one of `words`.

        A source writes one kind after the other: then an answer costs as much as is in it.
        """
        codes, wanted = self.columns[name], [self.code(name, word) for word in words]
        ends = self.ends(name)
        if len(ends) * _LONG > len(codes):
            return np.flatnonzero(one_of(codes, wanted))
        chosen = np.flatnonzero(one_of(codes[ends - 1], wanted))
        first, last = np.append(0, ends)[chosen].tolist(), ends[chosen].tolist()
        parts = [*map(np.arange, first, last)]
        return parts[0] if len(parts) == 1 else np.concatenate([ends[:0], *parts])

    def _where_text(self, name: str, wanted: frozenset[str]) -> Array:
        if name not in self._texts:
            index: dict[str | None, list[int]] = {}
            for row, text in enumerate(self.columns[name].tolist()):
                index.setdefault(text, []).append(row)
            self._texts[name] = index
        rows = (row for text in wanted for row in self._texts[name].get(text, ()))
        return np.array(sorted(rows), np.intp)

    @cached_property
    def _asked(self) -> dict[str, int]:
        return {}

    @cached_property
    def _indexes(self) -> dict[str, tuple[Array, Array]]:
        return {}

    @cached_property
    def _ends(self) -> dict[str, Array]:
        return {}

    @cached_property
    def _texts(self) -> dict[str, dict[str | None, list[int]]]:
        return {}

    def take(self, rows: Array) -> Table:
        """Return the table of the given row numbers (or of a boolean mask)."""
        return Table(
            self.schema,
            {name: column[rows] for name, column in self.columns.items()},
            {name: mask[rows] for name, mask in self.missing.items()},
            self.vocabulary,
        )


def build(
    schema: Schema,
    columns: Mapping[str, Array | Sequence[Any] | None],
    *,
    missing: Mapping[str, Mask] | None = None,
    vocabulary: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    """Build a table; a nullable column that is not given is missing throughout.

    Category columns are given as codes with their `vocabulary`, or as a sequence of str. A None in
    a sequence is a missing value. Raises ValueError for unequal lengths or a column that is
    neither given nor nullable.
    """
    lengths = {len(column) for column in columns.values() if column is not None}
    if len(lengths) > 1:
        msg = f"columns of table {schema.name} differ in length: {sorted(lengths)}"
        raise ValueError(msg)
    count = lengths.pop() if lengths else 0
    out: dict[str, Array] = {}
    without: dict[str, Mask] = {}
    words: dict[str, tuple[str, ...]] = {}
    for spec in schema.columns:
        given = columns.get(spec.name)
        if given is None and count and not spec.nullable:
            msg = f"table {schema.name} lacks its column {spec.name}"
            raise ValueError(msg)
        mask = (missing or {}).get(spec.name)
        known_words = (vocabulary or {}).get(spec.name)
        values, mask, spelled = _column(spec, given, count, mask, known_words)
        out[spec.name] = values
        if spec.type == "category":
            words[spec.name] = spelled
        elif mask is not None and mask.any():
            without[spec.name] = mask
    return Table(schema, out, without, words)


def rows_by_kind(objects: Table, chosen: Mask) -> dict[str, Array]:
    """Return the chosen objects by their kinds, of kinds of which there are any."""
    found = groups(objects["kind"], np.flatnonzero(chosen))
    return {objects.vocabulary["kind"][code]: rows for code, rows in found.items()}


def only_used(table: Table) -> Table:
    """Return the table without the words that no row of a category column has."""
    columns, words = dict(table.columns), dict(table.vocabulary)
    for name, vocabulary in table.vocabulary.items():
        codes = unique(table[name])
        codes = codes[codes >= 0]
        place = np.full(len(vocabulary) + 1, -1, np.int16)  # the last is that of a missing word
        place[codes] = np.arange(len(codes))
        columns[name], words[name] = place[table[name]], tuple(vocabulary[code] for code in codes)
    return Table(table.schema, columns, table.missing, words)


def empty(schema: Schema) -> Table:
    """Return a table of no rows."""
    return build(schema, {})


def absent(values: Iterable[object]) -> Mask:
    """Mark the values that are None."""
    # Ten times as fast as `is` one by one.
    mask: Mask = np.asarray(values, object) == None  # noqa: E711
    return mask


def _column(
    spec: ColumnSpec,
    given: Array | Sequence[Any] | None,
    count: int,
    mask: Mask | None,
    words: Sequence[str] | None,
) -> tuple[Array, Mask | None, tuple[str, ...]]:
    dtype = DTYPES[spec.type]
    if given is None:
        fill = -1 if spec.type == "category" else (None if spec.type == "text" else 0)
        # One value in the place of all: most columns of most objects are not known.
        nothing = np.broadcast_to(np.array(fill, dtype), count)
        return nothing, np.broadcast_to(np.True_, count), tuple(words or ())
    if spec.type == "category":
        codes, spelled = _codes(given, words)
        return codes, None, spelled
    if spec.type == "text":
        column = _objects(given)
        gone = absent(column)
        return column, gone if mask is None else mask | gone, ()
    if isinstance(given, np.ndarray) and given.dtype != object:
        return given.astype(dtype, copy=False), mask, ()
    gone = absent(given)
    column = np.array([0 if v is None else v for v in given], dtype)
    return column, gone if mask is None else mask | gone, ()


def _objects(given: Array | Sequence[Any]) -> Array:
    if isinstance(given, np.ndarray) and given.dtype == object:
        return given
    column = np.empty(len(given), object)
    column[:] = list(given)
    return column


def _codes(
    given: Array | Sequence[Any], words: Sequence[str] | None
) -> tuple[Array, tuple[str, ...]]:
    if isinstance(given, np.ndarray) and given.dtype != object:
        return given.astype(np.int16, copy=False), tuple(words or ())
    spelled = list(words or ())
    index = {word: code for code, word in enumerate(spelled)}
    codes = np.empty(len(given), np.int16)
    for row, word in enumerate(given):
        if word is None:
            codes[row] = -1
            continue
        if word not in index:
            index[word] = len(spelled)
            spelled.append(word)
        codes[row] = index[word]
    return codes, tuple(spelled)


def with_columns(
    table: Table, columns: Mapping[str, Array], missing: Mapping[str, Mask] | None = None
) -> Table:
    """Return the table with some columns (not category ones) replaced."""
    absent = {name: mask for name, mask in table.missing.items() if name not in columns}
    absent |= {name: mask for name, mask in (missing or {}).items() if mask.any()}
    cast = {
        name: column.astype(DTYPES[table.schema.column(name).type], copy=False)
        for name, column in columns.items()
    }
    return Table(table.schema, {**table.columns, **cast}, absent, table.vocabulary)
