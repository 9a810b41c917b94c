"""Sets of addresses, and what leads from one to another."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.check.links import Way, reach, rows_of, ways
from analyzer.memory import distinct
from analyzer.sources.nodes import Nodes


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


def addresses(*values: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array(values, np.uint64)


NODES = Nodes(
    {
        "A": addresses(1, 2, 9),
        "B": addresses(10, 11, 12, 20, 21),
        "C": addresses(30),
        "D": addresses(5),
    }
)


def way(kind: str, start: list[int], to: str, end: list[int]) -> Way:
    return Way(
        NODES.find(kind, addresses(*start))[0],
        NODES.find(to, addresses(*end))[0],
    )


def test_nodes_are_numbered_by_kind_and_address() -> None:
    numbers, there = NODES.find("B", addresses(21, 10, 13, 12))
    assert there.tolist() == [True, True, False, True]
    assert numbers[there].tolist() == [7, 3, 5]
    assert not NODES.find("E", addresses(1))[1].any()
    chosen = {"C": addresses(30, 31), "A": addresses(9, 1), "E": addresses(1)}
    mask = NODES.mask(chosen)
    assert np.flatnonzero(mask).tolist() == [0, 2, 8]
    found = {kind: at.tolist() for kind, at in NODES.addresses(mask).items()}
    assert found == {"A": [1, 9], "C": [30]}


def test_what_is_reached_leads_on_over_kinds_and_rings() -> None:
    ways = [
        way("A", [1, 2, 9], "B", [10, 11, 12]),
        way("B", [11, 20], "B", [20, 21]),
        way("B", [21], "A", [1]),
        way("B", [21], "C", [30]),
        way("C", [], "B", []),
    ]
    found = NODES.addresses(reach(NODES.mask({"A": addresses(2), "D": addresses(5)}), ways))
    told = {kind: at.tolist() for kind, at in found.items()}
    assert told == {"A": [1, 2], "B": [10, 11, 20, 21], "C": [30], "D": [5]}
    back = reach(NODES.mask({"C": addresses(30)}), [one.back() for one in ways])
    assert NODES.addresses(back)["A"].tolist() == [2]


def test_nothing_is_reached_from_nothing() -> None:
    nothing = NODES.mask({})
    assert not reach(nothing, [way("A", [1], "B", [10])]).any()
    assert not reach(nothing, []).any()


@pytest.mark.parametrize("few", [1, 3, 40])
def test_rows_of_each_value_are_those_that_were_asked_for(few: int) -> None:
    random = np.random.default_rng(few)
    values = random.integers(0, few, 5_000).astype(np.uint64)
    rows = np.flatnonzero(random.integers(0, 2, 5_000))
    found = distinct.groups(values, rows)
    assert {value: at.tolist() for value, at in found.items()} == {
        value: [row for row in rows.tolist() if values[row] == value]
        for value in set(values[rows].tolist())
    }
    assert distinct.groups(values, rows[:0]) == {}


@pytest.mark.parametrize("lying", ["in runs", "mixed"])
def test_marked_ways_are_the_same_however_groups_lie(lying: str) -> None:
    """Runs of a group are cut out as they are; where groups alternate, they are sorted."""
    random = np.random.default_rng(3)
    group = random.integers(0, 4, 4_000).astype(np.int16)
    group = np.sort(group) if lying == "in runs" else group
    way = Way(random.integers(0, 100, 4_000), random.integers(0, 100, 4_000))
    for over in (group >= 0, group < 0, group == 2, random.integers(0, 2, 4_000) > 0):
        found = [
            pair
            for part in ways(group, way, over)
            for pair in zip(part.start.tolist(), part.end.tolist(), strict=True)
        ]
        rows = np.flatnonzero(over)
        rows = rows[np.argsort(group[rows], kind="stable")]
        assert found == [*zip(way.start[rows].tolist(), way.end[rows].tolist(), strict=True)]


def test_rows_of_numbers_one_after_the_other_are_told_at_once() -> None:
    keys = np.arange(3, 9)
    wanted = np.array([2, 3, 8, 9, -5, 1 << 40, 5])
    assert rows_of(keys, wanted).tolist() == [-1, 0, 5, -1, -1, -1, 2]
    assert rows_of(keys[::-1], wanted).tolist() == [-1, 5, 0, -1, -1, -1, 3]
    assert rows_of(keys[::2], wanted).tolist() == [-1, 0, -1, -1, -1, -1, 1]


def test_what_ascends_is_found_where_it_is_though_something_comes_twice() -> None:
    random = np.random.default_rng(11)
    for spread in (1_500, 3_000, 100_000):
        among = np.sort(random.integers(0, spread, 2_000).astype(np.uint64))
        known = set(among.tolist())
        for values in (among, among[::2], np.sort(random.integers(0, spread, 1_500))):
            at, there = distinct.find(among, values.astype(np.uint64))
            assert there.tolist() == [value in known for value in values.tolist()]
            assert (among[at[there]] == values[there]).all()


def test_runs_end_where_another_value_begins() -> None:
    assert distinct.runs(np.array([3, 3, -1, 7, 7, 7], np.int16)).tolist() == [2, 3, 6]
    assert distinct.runs(np.array([5])).tolist() == [1]
    assert distinct.runs(np.empty(0, np.int16)).tolist() == []
