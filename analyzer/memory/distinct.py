"""Sets of addresses as sorted arrays: what follows searches them anyway, and here alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from analyzer.memory.bpf import Mask

    Rows = npt.NDArray[np.intp]
    Numbers = npt.NDArray[np.uint64] | npt.NDArray[np.int64]

_T = TypeVar("_T", bound=np.generic)


# It pays to sort so many values before they are searched for among more than those few.
_MANY: Final = 1000
_FEW: Final = 100
_HANDFUL: Final = 8  # a look at every value for each of these is quicker than any search
# A table is worth making for at least one look in so many of its entries, and has so much room.
_RARE: Final = 4
_ROOM: Final = 4
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: multiples are far apart


def unique(*parts: npt.NDArray[_T]) -> npt.NDArray[_T]:
    """Return the distinct values of all parts, sorted; addresses, if there are no parts."""
    values: npt.NDArray[Any] = np.concatenate(parts) if parts else np.empty(0, np.uint64)
    values.sort()
    if not len(values):
        return values
    first = np.empty(len(values), np.bool_)
    first[0] = True
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return values[first]


def find(among: Numbers, values: Numbers, *, sorter: Rows | None = None) -> tuple[Rows, Mask]:
    """Return the place in the sorted array `among` of each value, and which of them are there.

    Where one is not, its place means nothing, but is one of `among`; where that is empty, nothing
    is there, and all places are 0: only what is there may be looked up. With `sorter`, the argsort
    of an `among` that is in no order, places are in that.
    """
    if not len(among):
        return np.zeros(len(values), np.intp), np.zeros(len(values), np.bool_)
    ordered = among if sorter is None else among[sorter]
    many = len(values) >= _MANY and len(among) >= _FEW
    if not many:
        at, there = _there(ordered, values, ordered.searchsorted(values))
    elif (values[1:] >= values[:-1]).all():
        at, there = _merged(ordered, values)
    elif len(values) * _RARE < len(among):
        at, there = _there(ordered, values, _searched(ordered, values))
    else:
        at, there = _looked_up(ordered, values)
    return at if sorter is None else sorter[at], there


def _merged(among: Numbers, values: Numbers) -> tuple[Rows, Mask]:
    # Where all are there, each comes once more than without it.
    if len(values) * _RARE >= len(among) and values.dtype == among.dtype:
        both = np.concatenate((among, values))
        both.sort(kind="stable")  # which merges what is sorted
        twice = np.flatnonzero(both[1:] == both[:-1])
        if len(twice) == len(values):
            at, there = _there(among, values, twice - np.arange(len(twice)))
            if there.all():
                return at, there
    return _there(among, values, among.searchsorted(values))


def _looked_up(among: Numbers, values: Numbers) -> tuple[Rows, Mask]:
    # A search misses the processor's cache at nearly every step, a look into a table once.
    bits = (len(among) * _ROOM).bit_length()
    table = np.full(1 << bits, -1, np.int32)
    table[_slots(among, bits)[::-1]] = np.arange(len(among) - 1, -1, -1)  # the first one stays
    at = table[_slots(values, bits)].astype(np.intp)
    there = among[at] == values
    other = np.flatnonzero(~there & (at >= 0))  # what has its slot is another
    at[other], there[other] = _there(among, values[other], _searched(among, values[other]))
    return np.maximum(at, 0), there


def _slots(values: Numbers, bits: int) -> npt.NDArray[np.uint64]:
    return (values.astype(np.uint64, copy=False) * _SPREAD) >> np.uint64(64 - bits)


def _there(among: Numbers, values: Numbers, at: Rows) -> tuple[Rows, Mask]:
    at = np.minimum(at, len(among) - 1)
    return at, among[at] == values


def _searched(among: Numbers, values: Numbers) -> Rows:
    # In their order: else nearly every step of every search misses the processor's cache.
    order = values.argsort()
    at = np.empty(len(values), np.intp)
    at[order] = among.searchsorted(values[order])
    return at


def one_of(values: npt.NDArray[Any], few: Iterable[object]) -> Mask:
    """Tell which of the values are one of a few; np.isin() would sort them, or import numpy.ma."""
    found = np.zeros(values.shape, np.bool_)
    for one in few:
        found |= values == one
    return found


def runs(values: npt.NDArray[Any]) -> Rows:
    """Return where each run of equal values ends: one beyond its last row."""
    last = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=last[:-1])
    return np.flatnonzero(last) + 1


def groups(values: Numbers, rows: Rows) -> dict[int, Rows]:
    """Return which of some rows have each value, in their order; for few distinct values."""
    found: dict[int, Rows] = {}
    values = values[rows]
    while len(rows):  # a frequent one comes soon, and leaves few to be looked at again
        same = values == values[0]
        # An index is quicker than a mask where a mask goes up and down.
        found[int(values[0])] = rows[np.flatnonzero(same)]
        rest = np.flatnonzero(~same)
        rows, values = rows[rest], values[rest]
    return found


def member(values: Numbers, among: Numbers) -> Mask:
    """Tell which of the values are in the set `among`."""
    return one_of(values, among) if len(among) <= _HANDFUL else find(among, values)[1]
