"""Columns as Arrow arrays, made from buffers.

`pyarrow.array` does the same, and imports pandas, where there is one, to ask whether its argument
is from there: that takes longer than all the rest of what writes a file. The layouts are those of
https://arrow.apache.org/docs/format/Columnar.html.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from analyzer.core.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.snapshot.tables import Array, Mask

_MOST_TEXT: Final = (1 << 31) - 1  # offsets are int32


def numbers(values: Array, gone: Mask | None = None, kind: Any = None) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return an array of numbers or booleans, null where `gone`; `kind` is its Arrow type.

    By default the type is that of the values.
    """
    kind = pa.from_numpy_dtype(values.dtype) if kind is None else kind
    plain = np.packbits(values, bitorder="little") if values.dtype == np.bool_ else values
    data = pa.py_buffer(np.ascontiguousarray(plain))
    return pa.Array.from_buffers(kind, len(values), [_validity(gone), data])


def texts(words: Sequence[bytes | None], kind: Any) -> Any:  # noqa: ANN401 - as above
    """Return an array of `kind` (binary or string) of bytes, null for None.

    Raises BadInputError for more than one such array can hold.
    """
    lengths = np.fromiter((len(word or b"") for word in words), np.int64, len(words))
    if int(lengths.sum()) > _MOST_TEXT:
        raise BadInputError("more than 2 GiB of text in one column: too much for a file")
    offsets = np.zeros(len(words) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    gone = np.fromiter((word is None for word in words), np.bool_, len(words))
    data = pa.py_buffer(b"".join(word or b"" for word in words))
    return pa.Array.from_buffers(kind, len(words), [_validity(gone), pa.py_buffer(offsets), data])


def strings(words: Sequence[str | None]) -> Any:  # noqa: ANN401 - as above
    """Return an array of text, which has to be valid Unicode, null for None."""
    return texts([None if word is None else word.encode() for word in words], pa.string())


def chosen(codes: Array, words: Sequence[str]) -> Any:  # noqa: ANN401 - as above
    """Return a dictionary array of `codes` into `words`, null for a negative one."""
    return pa.DictionaryArray.from_arrays(
        numbers(codes.astype(np.int32), codes < 0), strings(words)
    )


def _validity(gone: Mask | None) -> Any:  # noqa: ANN401 - as above
    if gone is None or not gone.any():
        return None
    return pa.py_buffer(np.packbits(~gone, bitorder="little"))
