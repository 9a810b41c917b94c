"""All that a reading met as numbers, and what they lead to over references, or back."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analyzer.check import links
from analyzer.core.values import dataclass
from analyzer.memory.distinct import find

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask

    Numbers = npt.NDArray[np.int32]

_NOBODY = np.empty(0, np.uint64)


@dataclass(frozen=True)
class Nodes:
    """What was met, numbered from 0: kind by kind, each in the order of its sorted addresses.

    A set of nodes is a mask of all of them.
    """

    met: Mapping[str, U64]

    @cached_property
    def first(self) -> Mapping[str, int]:
        """Return the number of the first node of each kind."""
        before = np.cumsum([0, *map(len, self.met.values())]).tolist()
        return dict(zip(self.met, before, strict=False))

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(map(len, self.met.values()))

    def find(self, kind: str, addresses: U64) -> tuple[Numbers, Mask]:
        """Return the numbers of addresses, and which were met: of others it means nothing."""
        at, there = find(self.met.get(kind, _NOBODY), addresses)
        return (at + self.first.get(kind, 0)).astype(np.int32), there

    def of_kind(self, kind: str) -> slice:
        """Return which nodes are of a kind."""
        first = self.first.get(kind, 0)
        return slice(first, first + len(self.met.get(kind, _NOBODY)))

    def mask(self, chosen: Mapping[str, U64]) -> Mask:
        """Return the set of those addresses that were met, given by kind."""
        mask = np.zeros(len(self), np.bool_)
        for kind, addresses in chosen.items():
            numbers, there = self.find(kind, addresses)
            mask[numbers[there]] = True
        return mask

    def addresses(self, mask: Mask) -> dict[str, U64]:
        """Return the sorted addresses of a set by kind, of kinds of which there are any."""
        found = {kind: at[mask[self.of_kind(kind)]] for kind, at in self.met.items()}
        return {kind: at for kind, at in found.items() if len(at)}


class Way(NamedTuple):
    """Ways from nodes to nodes, row by row."""

    start: Numbers
    end: Numbers

    def take(self, rows: Mask) -> Way:
        """Return the chosen ones."""
        return Way(self.start[rows], self.end[rows])

    def back(self) -> Way:
        """Return the ways back."""
        return Way(self.end, self.start)


def reach(seeds: Mask, ways: Iterable[Way]) -> Mask:
    """Return the seeds and all that the ways lead to from them."""
    ways = [*ways]
    if not ways:
        return seeds
    start, end = (np.concatenate(column) for column in zip(*ways, strict=True))
    return links.reach(seeds, start, end)
