"""Sets of addresses, and what leads from one to another."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.memory import distinct
from analyzer.sources.reach import Step, reach


@pytest.mark.parametrize("known", [0, 1, 99, 100, 5_000])
@pytest.mark.parametrize("count", [0, 1, 999, 1_000, 5_000])
def test_values_are_found_where_they_are_however_many(known: int, count: int) -> None:
    random = np.random.default_rng(known * 7 + count)
    loose = random.permutation(np.arange(known, dtype=np.uint64) * np.uint64(2))
    values = random.integers(0, 2 * known + 3, count).astype(np.uint64)
    for among, sorter in ((np.sort(loose), None), (loose, np.argsort(loose))):
        at, there = distinct.find(among, values, sorter=sorter)
        assert there.tolist() == [v % 2 == 0 and v < 2 * known for v in values.tolist()]
        assert (among[at[there]] == values[there]).all()
        assert ((at >= 0) & (at < max(known, 1))).all()
    assert distinct.unique(values, values).tolist() == sorted(set(values.tolist()))


@pytest.mark.parametrize("step", [8, 64, 192, 4096, 1 << 20, 0x9E3779B97F4A7C15])
def test_values_are_found_whatever_lies_between_them(step: int) -> None:
    """Objects of a slab are evenly apart; some distance may put many into one slot of a table."""
    every = np.arange(4_000, dtype=np.uint64) * np.uint64(step) + np.uint64(0xFFFF_8880_0000_0000)
    among, values = np.sort(every[::2]), every[::-1]
    at, there = distinct.find(among, values)
    assert there.tolist() == [False, True] * 2_000
    assert (among[at[there]] == values[there]).all()


@pytest.mark.parametrize("dtype", ["i2", "i4", "i8"])
def test_numbers_of_any_width_are_found_among_those_of_another(dtype: str) -> None:
    values = np.arange(-1_000, 1_000, dtype=np.int64).astype(dtype)
    at, there = distinct.find(np.arange(-1_000, 1_000, 2), values[::-1])
    assert there.tolist() == [bool(n % 2) for n in range(2_000)]
    assert at[there].tolist() == [*range(999, -1, -1)]


def numbers(*values: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array(values, np.uint64)


def test_what_is_reached_leads_on_over_kinds_and_rings() -> None:
    steps = [
        Step("A", numbers(1, 2, 9), "B", numbers(10, 11, 12)),
        Step("B", numbers(11, 20), "B", numbers(20, 21)),
        Step("B", numbers(21), "A", numbers(1)),
        Step("B", numbers(21), "C", numbers(30)),
        Step("C", numbers(), "B", numbers()),
    ]
    found = reach({"A": numbers(2), "D": numbers(5)}, steps)
    told = {kind: at.tolist() for kind, at in found.items()}
    assert told == {"A": [1, 2], "B": [10, 11, 20, 21], "C": [30], "D": [5]}


def test_nothing_is_reached_from_nothing() -> None:
    assert reach({}, [Step("A", numbers(1), "B", numbers(2))]) == {}
