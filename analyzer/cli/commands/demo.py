"""cranalyze demo: a small leaking container, checked and explained."""

from __future__ import annotations

from typing import Final

from analyzer.cli.output import coloured, columns, emit

EXAMPLES: Final = (
    "sudo cranalyze demo",
    "cranalyze demo",
)


def run() -> None:
    """Start a small leaking container, and explain.

    Everything is its own, and nothing is left behind.
    """
    from analyzer.demo import show

    for part in show.play(columns(80), colour=coloured()):
        emit(part)
