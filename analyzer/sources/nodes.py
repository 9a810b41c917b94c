"""All that a reading met, as numbers."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from analyzer.core.values import dataclass
from analyzer.memory.distinct import find

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask

    Numbers = npt.NDArray[np.intp]

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
        known = self.met.get(kind, _NOBODY)
        if addresses is known:
            return self._numbers(kind), np.ones(len(known), np.bool_)
        at, there = find(known, addresses)
        return at + self.first.get(kind, 0), there

    def _numbers(self, kind: str) -> Numbers:
        part = self.of_kind(kind)
        return np.arange(part.start, part.stop)

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
