"""Arrays made from buffers are those that pyarrow.array makes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.snapshot import arrow

MASKS = st.lists(st.booleans(), max_size=40)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int32", "bool"])
@given(mask=MASKS, more=st.data())
def test_numbers(dtype: str, mask: list[bool], more: st.DataObject) -> None:
    drawn = more.draw(st.lists(st.integers(0, 1), min_size=len(mask), max_size=len(mask)))
    values, gone = np.array(drawn, dtype), np.array(mask, np.bool_)
    made = arrow.numbers(values, gone)
    made.validate(full=True)
    assert made.equals(pa.array(values, mask=gone))
    assert arrow.numbers(values).equals(pa.array(values))


def test_numbers_that_are_not_contiguous() -> None:
    values = np.arange(10)[::-3]
    assert arrow.numbers(values).to_pylist() == values.tolist()


@given(st.lists(st.none() | st.binary(max_size=5), max_size=40))
def test_bytes(words: list[bytes | None]) -> None:
    made = arrow.texts(words, pa.binary())
    made.validate(full=True)
    assert made.equals(pa.array(words, pa.binary()))


@given(st.lists(st.none() | st.text(max_size=5), max_size=40))
def test_strings(words: list[str | None]) -> None:
    made = arrow.strings(words)
    made.validate(full=True)
    assert made.equals(pa.array(words, pa.string()))


@given(st.lists(st.integers(-1, 2), max_size=40))
def test_categories(codes: list[int]) -> None:
    made = arrow.chosen(np.array(codes, np.int16), ("a", "b", "é"))
    made.validate(full=True)
    assert made.to_pylist() == [None if code < 0 else ("a", "b", "é")[code] for code in codes]
