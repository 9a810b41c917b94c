"""Sets of addresses as sorted arrays: what follows searches them anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from analyzer.memory.bpf import U64, Mask


def unique(*parts: U64) -> U64:
    """Return the distinct values of all parts, sorted."""
    values = np.sort(np.concatenate(parts)) if parts else np.empty(0, np.uint64)
    if not len(values):
        return values
    first = np.empty(len(values), np.bool_)
    first[0] = True
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return values[first]


def member(values: U64, among: U64) -> Mask:
    """Tell which of the values are in the set `among`."""
    if not len(among):
        return np.zeros(len(values), np.bool_)
    at = np.searchsorted(among, values)
    np.minimum(at, len(among) - 1, out=at)
    result: Mask = among[at] == values
    return result
