"""One layout for every picture: three columns, inside tasks | objects | outside holders.

A column is divided into bands, one under the other, in order; within its band a node may move. A
few sweeps put each node at the mean height of its neighbours (the barycentre heuristic of Sugiyama,
Tagawa and Toda, 1981), which takes most crossings away; then each column moves up or down to where
its neighbours are, without changing its order. Only numbers here: what a node or a band is, the
caller knows. Equal input gives equal coordinates.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

LEFT: Final = 0
MIDDLE: Final = 1
RIGHT: Final = 2

_BAND_GAP: Final = 0.6
_SWEEPS: Final = 4

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def three_columns(
    column: Integers, band: Integers, source: Integers, target: Integers, *, sweeps: int = _SWEEPS
) -> tuple[Floats, Floats]:
    """Return x and y (float64, one each per node) for nodes in columns and bands.

    `column` is LEFT, MIDDLE or RIGHT and `band` any number, per node; `source` and `target` are
    indices of nodes, per edge, in either direction. x is the column; y grows downwards, one unit a
    row, and the middle column is centred at 0.
    """
    members = [np.flatnonzero(column == place) for place in (LEFT, MIDDLE, RIGHT)]
    links = _between(column, source, target)
    order = [rows[np.argsort(band[rows], kind="stable")] for rows in members]
    y = np.zeros(len(column))
    for place in (LEFT, MIDDLE, RIGHT):
        y[order[place]] = _stacked(band[order[place]])
    for sweep in range(sweeps):
        for place in (MIDDLE, LEFT, RIGHT) if sweep % 2 else (LEFT, RIGHT, MIDDLE):
            rows = members[place]
            wanted = _means(y, links)[rows]
            order[place] = rows[np.lexsort((y[rows], wanted, band[rows]))]
            y[order[place]] = _stacked(band[order[place]])
    for place in (LEFT, RIGHT):
        rows = order[place]
        wanted = _means(y, links)[rows]
        y[rows] = _spread(wanted, _stacked(band[rows]))
    return column.astype(np.float64), y


def _between(column: Integers, source: Integers, target: Integers) -> tuple[Integers, Integers]:
    """Return the edges that join two columns, each in both directions."""
    crossing = column[source] != column[target]
    ends = source[crossing], target[crossing]
    return np.concatenate(ends), np.concatenate(ends[::-1])


def _means(y: Floats, links: tuple[Integers, Integers]) -> Floats:
    """Return the mean height of each node's neighbours, its own where there are none."""
    here, there = links
    degree = np.bincount(here, minlength=len(y))
    total = np.bincount(here, weights=y[there], minlength=len(y))
    means: Floats = np.where(degree > 0, total / np.maximum(degree, 1), y)
    return means


def _stacked(band: Integers) -> Floats:
    """Return heights one row apart, a gap between bands, centred at 0."""
    if not len(band):
        return np.zeros(0)
    gaps = np.concatenate([[0], np.cumsum(np.diff(band) != 0)])
    heights = np.arange(len(band)) + gaps * _BAND_GAP
    centred: Floats = heights - heights[-1] / 2
    return centred


def _spread(wanted: Floats, stacked: Floats) -> Floats:
    """Return heights near the wanted ones (least squares), at least as far apart as `stacked`.

    In the same order: isotonic regression of what is left of `wanted` without the least distances.
    """
    blocks: list[tuple[float, int]] = []
    for shift in (wanted - stacked).tolist():
        mean, size = shift, 1
        while blocks and blocks[-1][0] >= mean:
            other, more = blocks.pop()
            mean, size = (mean * size + other * more) / (size + more), size + more
        blocks.append((mean, size))
    shifts: Floats = np.repeat([mean for mean, _ in blocks], [size for _, size in blocks])
    return stacked + shifts
