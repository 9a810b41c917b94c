"""What memory was asked, and what it answered: to tell later whether that is still so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Answer = tuple[npt.NDArray[Any], ...]


class Log:
    """The questions that were asked of memory one after the other, and their answers.

    What follows from answers alone, as does what is asked next, is the same where they all are.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._asked: list[tuple[Callable[[], Answer], Answer]] = []

    def keep(self, ask: Callable[[], Answer]) -> Answer:
        """Ask something, and return the answer. It is kept, so nobody may write to it."""
        answer = ask()
        for column in answer:
            column.setflags(write=False)
        self._asked.append((ask, answer))
        return answer

    def holds(self) -> bool:
        """Ask all of it again, up to the first other answer; tell whether there was none."""
        return all(all(map(np.array_equal, ask(), answer)) for ask, answer in self._asked)
