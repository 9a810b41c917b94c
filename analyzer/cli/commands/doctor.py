"""cranalyze doctor: what this host lets us see, why not, and what to do."""

from __future__ import annotations

from typing import Final

from analyzer.cli import options as opt
from analyzer.cli.output import coloured, columns, emit

EXAMPLES: Final = (
    "cranalyze doctor",
    "sudo cranalyze doctor --json",
)


def run(*, json: opt.AsJson = False) -> None:
    """Show what this host lets cranalyze see.

    And why it does not, and what to do about it.
    """
    from analyzer.doctor import capabilities
    from analyzer.writers import doctor as writer

    found = capabilities()
    emit(writer.to_json(found) if json else writer.to_text(found, columns(), colour=coloured()))
