"""`each` instead of `all`: what is said of every one of none is said of nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def each(answers: Iterable[object]) -> bool:
    """Is every answer true? There has to be one: a list that is empty by mistake is no proof."""
    given = list(answers)
    assert given, "nothing was asked: the list is empty"
    return all(given)
