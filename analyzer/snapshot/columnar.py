"""Tables as Parquet and back: where pyarrow is met, and what a stranger's Parquet may not do.

Text is read as a dictionary and never expanded by Arrow, so that a megabyte named a million times
stays a megabyte. Row counts and sizes are looked at in the Parquet footer before a page is decoded.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analyzer.core import limits
from analyzer.core.errors import BadInputError
from analyzer.snapshot import arrow
from analyzer.snapshot.tables import DTYPES, build

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.core.model import ColumnSpec, Schema
    from analyzer.snapshot.tables import Array, Mask, Table

MAX_ROWS: Final = 64_000_000
MAX_DECODED: Final = 8 << 30
MAX_TEXT: Final = 1 << 16  # bytes of one text: PATH_MAX is 4096 (include/uapi/linux/limits.h)
LEAST_ROWS: Final = 100_000
ROWS_A_BYTE: Final = 8  # three facts of each of a million objects, all alike, take 0.35 bytes each
MAX_COLUMNS: Final = 256
_WORDS: Final = frozenset({"category", "text"})  # types of which the columns are dictionaries
_MOST_WORDS: Final = 32_000  # categories are int16 codes

_TYPES: Final[Mapping[str, Any]] = {
    "i64": pa.int64(),
    "u64": pa.uint64(),
    "bool": pa.bool_(),
    "category": pa.dictionary(pa.int32(), pa.string()),
    "text": pa.binary(),
}


def to_parquet(table: Table) -> bytes:
    """Return a table as the bytes of a Parquet file (zstd)."""
    arrays = [_to_arrow(table, spec) for spec in table.schema.columns]
    fields = [
        pa.field(spec.name, _TYPES[spec.type], nullable=spec.nullable)
        for spec in table.schema.columns
    ]
    sink = pa.BufferOutputStream()
    # Numbers are many different ones: a dictionary of them takes more than they do.
    words = [spec.name for spec in table.schema.columns if spec.type in _WORDS]
    made = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    pq.write_table(made, sink, compression="zstd", use_dictionary=words)
    return bytes(sink.getvalue())


def from_parquet(content: bytes, schema: Schema, rows: int, name: str) -> Table:
    """Return the table in the bytes of a Parquet file that is to have `rows` rows.

    Raises BadInputError, with `name` in it, for anything that is not such a table.
    """
    try:
        metadata = pq.read_metadata(pa.BufferReader(content))
        _check_sizes(metadata, rows, len(content), name)
        present = _check_schema(metadata.schema.to_arrow_schema(), schema, name)
        words = [spec.name for spec in present if spec.type in _WORDS]
        with limits.memory_of(len(content)):
            file = pq.ParquetFile(
                pa.BufferReader(content), metadata=metadata, read_dictionary=words
            )
            read = file.read(columns=[spec.name for spec in present], use_threads=False)
            columns = {
                spec.name: _from_arrow(read.column(spec.name), spec, name) for spec in present
            }
    except MemoryError as error:
        most = limits.memory(len(content)) >> 20
        said = f"{len(content):,} bytes may not take more than {most:,} MiB of memory"
        raise BadInputError(f"{name}: {said}: refused") from error
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise BadInputError(f"{name}: not a readable Parquet table: {_brief(error)}") from error
    return build(
        schema,
        {column: values for column, (values, _, _) in columns.items()},
        missing={column: gone for column, (_, gone, _) in columns.items() if gone is not None},
        vocabulary={column: words for column, (_, _, words) in columns.items() if words},
    )


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _to_arrow(table: Table, spec: ColumnSpec) -> Any:  # noqa: ANN401 - pyarrow has no types
    column = table[spec.name]
    if spec.type == "category":
        return arrow.chosen(column, table.vocabulary[spec.name])
    if spec.type == "text":
        raw = [None if value is None else os.fsencode(value) for value in column.tolist()]
        return arrow.texts(raw, pa.binary())
    return arrow.numbers(column, table.missing.get(spec.name))


def _check_sizes(metadata: Any, rows: int, size: int, name: str) -> None:  # noqa: ANN401 - as above
    if metadata.num_columns > MAX_COLUMNS:
        raise BadInputError(f"{name}: {metadata.num_columns} columns: refused")
    # Not the column chunks: over a damaged description of one, pyarrow 26 ends the process.
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    counted = sum(group.num_rows for group in groups)
    if metadata.num_rows != rows or counted != rows:
        raise BadInputError(
            f"{name}: {metadata.num_rows} rows where the manifest states {rows}: damaged"
        )
    sizes = [group.total_byte_size for group in groups]
    decoded = max(sum(sizes), rows * 8 * metadata.num_columns)
    most = LEAST_ROWS + ROWS_A_BYTE * size
    if rows > most:
        raise BadInputError(
            f"{name}: {rows:,} rows in {size:,} bytes (the limit is {most:,}): refused"
        )
    if rows > MAX_ROWS or decoded > MAX_DECODED or min([*sizes, rows]) < 0:
        raise BadInputError(
            f"{name}: would unpack to {rows:,} rows, {decoded >> 20:,} MiB "
            f"(the limits are {MAX_ROWS:,} and {MAX_DECODED >> 20:,}): refused"
        )


def _check_schema(found: Any, schema: Schema, name: str) -> list[ColumnSpec]:  # noqa: ANN401
    present = []
    for spec in schema.columns:
        at = found.get_all_field_indices(spec.name)
        if not at and spec.nullable:  # written before the column came into being
            continue
        if len(at) != 1:
            raise BadInputError(f"{name}: column {spec.name} is there {len(at)} times, not once")
        stored = found.field(at[0]).type
        if not _fits(stored, spec):
            raise BadInputError(f"{name}: column {spec.name} is {stored}, not {_TYPES[spec.type]}")
        present.append(spec)
    return present


def _fits(stored: Any, spec: ColumnSpec) -> bool:  # noqa: ANN401 - as above
    if pa.types.is_dictionary(stored):
        wanted = {"category": pa.types.is_string, "text": pa.types.is_binary}.get(spec.type)
        return wanted is not None and bool(wanted(stored.value_type))
    return bool(stored == _TYPES[spec.type])


Read = tuple["Array", "Mask | None", tuple[str, ...]]


def _from_arrow(chunked: Any, spec: ColumnSpec, name: str) -> Read:  # noqa: ANN401 - as above
    if chunked.null_count and not spec.nullable:
        raise BadInputError(f"{name}: column {spec.name} lacks values that it must have: damaged")
    array = pa.concat_arrays(chunked.unify_dictionaries().chunks) if chunked.num_chunks else None
    if array is None:
        return np.empty(0, DTYPES[spec.type]), None, ()
    array.validate(full=True)
    if spec.type in _WORDS:
        return _decode_words(array, spec, name)
    values, gone = _filled(array, 0)
    return values, gone, ()


def _filled(array: Any, value: int) -> tuple[Array, Mask | None]:  # noqa: ANN401 - as above
    """Return the values, `value` where there is none, and where that is; None for nowhere.

    What Array.to_numpy and Array.fill_null do too, but they import pandas (see `arrow`).
    """
    if not len(array):
        return np.empty(0, _dtype(array)), None
    valid, data = array.buffers()
    rows = slice(array.offset, array.offset + len(array))
    plain = _bits(data) if array.type == pa.bool_() else np.frombuffer(data, _dtype(array))
    values = plain[rows].copy()
    if not array.null_count:
        return values, None
    gone = ~_bits(valid)[rows]
    values[gone] = value
    return values, gone


def _dtype(array: Any) -> np.dtype[Any]:  # noqa: ANN401 - as above
    return np.dtype("bool" if array.type == pa.bool_() else str(array.type))


def _bits(buffer: Any) -> Mask:  # noqa: ANN401 - as above
    return np.unpackbits(np.frombuffer(buffer, np.uint8), bitorder="little").astype(np.bool_)


def _decode_words(array: Any, spec: ColumnSpec, name: str) -> Read:  # noqa: ANN401 - as above
    indices, _ = _filled(array.indices.cast(pa.int64()), -1)
    words = array.dictionary.to_pylist()
    if None in words:
        raise BadInputError(f"{name}: column {spec.name} has a word that is none: damaged")
    longest = max(map(len, words), default=0)
    if longest > MAX_TEXT:
        raise BadInputError(f"{name}: column {spec.name} has a text of {longest:,} bytes: refused")
    if spec.type == "text":
        texts = np.array([*(os.fsdecode(word) for word in words), None], dtype=object)
        return texts[indices], None, ()
    used = np.unique(indices[indices >= 0])
    spelled = tuple(dict.fromkeys(words[index] for index in used.tolist()))
    if len(spelled) > _MOST_WORDS:
        raise BadInputError(f"{name}: column {spec.name} has {len(spelled)} words: refused")
    number = {word: code for code, word in enumerate(spelled)}
    codes = np.full(len(words) + 1, -1, np.int16)
    codes[used] = [number[words[index]] for index in used.tolist()]
    return codes[indices], None, spelled
