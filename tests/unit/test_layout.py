"""The layout: three columns of bands, few crossings, the same for equal input."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analyzer.scene.layout import LEFT, MIDDLE, RIGHT, three_columns

if TYPE_CHECKING:
    import numpy.typing as npt

Numbers = list[int]


@st.composite
def drawings(draw: st.DrawFn) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    count = draw(st.integers(0, 12))
    column = draw(st.lists(st.integers(LEFT, RIGHT), min_size=count, max_size=count))
    band = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    edges = draw(st.lists(ends, max_size=20)) if count else []
    return column, band, [a for a, _ in edges], [b for _, b in edges]


def placed(
    column: Numbers, band: Numbers, source: Numbers, target: Numbers, sweeps: int = 4
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    numbers = (np.array(values, np.int64) for values in (column, band, source, target))
    return three_columns(*numbers, sweeps=sweeps)


def crossings(column: Numbers, source: Numbers, target: Numbers, y: npt.NDArray[np.float64]) -> int:
    """Return how many pairs of straight edges from the middle to one other column cross."""
    ends = [
        (column[b], y[a], y[b]) if column[a] == MIDDLE else (column[a], y[b], y[a])
        for a, b in zip(source, target, strict=True)
        if MIDDLE in {column[a], column[b]} and column[a] != column[b]
    ]
    return sum(
        (p[1] - q[1]) * (p[2] - q[2]) < 0
        for at, p in enumerate(ends)
        for q in ends[:at]
        if p[0] == q[0]
    )


@given(drawings())
def test_nodes_keep_their_column_their_band_and_their_distance(
    drawing: tuple[Numbers, Numbers, Numbers, Numbers],
) -> None:
    column, band, *_ = drawing
    x, y = placed(*drawing)
    assert x.tolist() == column
    for place in (LEFT, MIDDLE, RIGHT):
        rows = sorted((i for i, c in enumerate(column) if c == place), key=lambda i: y[i])
        assert [band[i] for i in rows] == sorted(band[i] for i in rows)
        assert all(y[b] - y[a] > 1 - 1e-9 for a, b in pairwise(rows))


@given(drawings())
def test_the_same_input_gives_the_same_picture(
    drawing: tuple[Numbers, Numbers, Numbers, Numbers],
) -> None:
    first, second = placed(*drawing), placed(*drawing)
    assert first[1].tobytes() == second[1].tobytes()


def test_sweeps_take_crossings_away() -> None:
    random = np.random.default_rng(1)
    column = [LEFT] * 40 + [MIDDLE] * 60 + [RIGHT] * 40
    order = random.permutation(60)
    source = list(range(40)) + list(range(100, 140))
    target = [40 + int(order[i]) for i in range(40)] + [40 + int(order[i]) for i in range(20, 60)]
    flat = [0] * len(column)
    before = crossings(column, source, target, placed(column, flat, source, target, 0)[1])
    after = crossings(column, source, target, placed(column, flat, source, target)[1])
    assert after < before / 20


def test_a_lone_holder_stands_beside_what_it_holds() -> None:
    column = [MIDDLE] * 9 + [RIGHT]
    _, y = placed(column, [0] * 10, [9], [8])
    assert y[9] == y[8]
