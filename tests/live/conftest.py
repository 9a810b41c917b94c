"""What the live tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from analyzer.memory.probe import open_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.memory.reader import Memory


@pytest.fixture
def memory() -> Iterator[Memory]:
    """The kernel's memory, closed again."""
    with open_memory() as opened:
        yield opened
