"""What memory was asked, and what it answered: to tell later whether that is still so.

Of a long answer only a digest is kept: the answers of a large subtree are larger than what follows
from them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Column = npt.NDArray[Any]
    Answer = tuple[Column, ...]

_LONG: Final = 1 << 15  # bytes of a column
_WORD: Final = 8
_ALL: Final = (1 << 64) - 1
# Odd: times one of them no difference of a word is 0. Random: two that make up for each other do
# so once in 2**64 times.
_FACTORS: Final = np.frombuffer(os.urandom(_LONG), np.uint64) | np.uint64(1)
_FACTOR: Final = 0x9E3779B97F4A7C15


class Log:
    """The questions that were asked of memory one after the other, and their answers.

    What follows from answers alone, as does what is asked next, is the same where they all are.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._asked: list[tuple[Callable[[], Answer], tuple[Column | int, ...]]] = []

    def keep(self, ask: Callable[[], Answer]) -> Answer:
        """Ask something, and return the answer. It may be kept, so nobody may write to it."""
        answer = ask()
        for column in answer:
            column.setflags(write=False)
        self._asked.append((ask, (*map(_kept, answer),)))
        return answer

    def holds(self) -> bool:
        """Ask all of it again, up to the first other answer; tell whether there was none."""
        return all(all(map(_same, ask(), kept)) for ask, kept in self._asked)


def _kept(column: Column) -> Column | int:
    return column if column.nbytes <= _LONG else digest(column)


def _same(column: Column, kept: Column | int) -> bool:
    if isinstance(kept, int):
        return digest(column) == kept
    return np.array_equal(column, kept)


def digest(column: Column) -> int:
    """Return a number for all bytes of a column that tells it from any other of its type."""
    data = np.ascontiguousarray(column).reshape(-1).view(np.uint8)
    whole = len(data) // _WORD * _WORD
    words = data[:whole].view(np.uint64)
    found = len(data) + int.from_bytes(data[whole:].tobytes(), "little") * _FACTOR
    for start in range(0, len(words), len(_FACTORS)):
        part = words[start : start + len(_FACTORS)]
        found = found * _FACTOR + int(part.dot(_FACTORS[: len(part)])) & _ALL
    return found
