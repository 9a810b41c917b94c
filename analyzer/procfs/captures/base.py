"""What a capture is: how it is recognised, how it is read, and what it does not tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.core.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable
    from re import Pattern

    from analyzer.procfs.captures.told import Told


@dataclass(frozen=True)
class Capture:
    """What one tool prints: `name` is the command, `head` is found in the start of its output.

    `read` adds what a text says to what was told. `lacks` says what cannot be known from it.
    Those of lower `order` are asked first.
    """

    name: str
    head: Pattern[bytes]
    read: Callable[[Told, bytes], None]
    lacks: str
    remarks: str = ""
    order: int = 0
