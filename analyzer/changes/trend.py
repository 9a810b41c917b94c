"""What grows: numbers of which the last readings rise, and are not merely noise.

A number is looked at over its last readings, all pairs of them. It grows if nearly all later ones
are larger than the earlier ones (Kendall's rank correlation) and the median of the slopes (Theil
1950, Sen 1968) over all of that is at least so much: one reading that is far out moves neither, and
what goes up and down, as a cache does, is no growth. Once it is told, the count begins anew.

What is kept is so many numbers of each thing that is there, and nothing of what is gone.
"""

from __future__ import annotations

from collections import deque
from itertools import combinations
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from analyzer.core.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

K = TypeVar("K")

READINGS: Final = 5
LEAST: Final = 4
_RISING: Final = 0.8  # of all pairs
_FEWEST: Final = 3


class Rise(NamedTuple):
    """Something that grows: its number in the first and in the last of so many readings."""

    first: int
    last: int
    readings: int

    @property
    def more(self) -> int:
        """Return how much more it is."""
        return self.last - self.first


class Trends(Generic[K]):
    """The last numbers of each thing; `least` is what one has to grow by over `readings`."""

    def __init__(self, readings: int = READINGS, least: int = LEAST) -> None:
        """Begin without any; ValueError for fewer readings than tell a trend."""
        if readings < _FEWEST:
            raise ValueError(readings)
        self._readings, self._least = readings, least
        self._seen: dict[K, deque[int]] = {}

    def __len__(self) -> int:
        """Return of how many things numbers are kept."""
        return len(self._seen)

    def see(self, numbers: Mapping[K, int]) -> dict[K, Rise]:
        """Take in one reading, and return what grows; what is not in it is forgotten."""
        kept = {key: self._seen.get(key) or deque(maxlen=self._readings) for key in numbers}
        self._seen = kept
        risen = {}
        for key, number in numbers.items():
            last = kept[key]
            last.append(number)
            if len(last) == self._readings and self._rises(last):
                risen[key] = Rise(last[0], last[-1], len(last))
                last.clear()
                last.append(number)  # the next run starts where this one ended
        return risen

    def _rises(self, numbers: deque[int]) -> bool:
        if numbers[-1] - numbers[0] < self._least:
            return False
        pairs = list(combinations(enumerate(numbers), 2))
        slopes = sorted((y - x) / (j - i) for (i, x), (j, y) in pairs)
        signs = sum((slope > 0) - (slope < 0) for slope in slopes)
        half = len(slopes) // 2
        middle = slopes[half] if len(slopes) % 2 else (slopes[half - 1] + slopes[half]) / 2
        return signs >= _RISING * len(pairs) and middle * (len(numbers) - 1) >= self._least
