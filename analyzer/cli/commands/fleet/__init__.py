"""cranalyze fleet: snapshots of many machines."""

from __future__ import annotations

from typing import Final

import typer  # noqa: TC002 - it looks at the annotation

from analyzer.cli.output import emit
from analyzer.cli.parameters import Exit

EXAMPLES: Final = (
    "cranalyze fleet check '/srv/snapshots/*.crz' -o /srv/fleet",
    "cranalyze fleet report /srv/fleet",
)

COMMANDS: Final = {
    "check": "Check snapshots where they are, and keep what is found.",
    "report": "Tell what a fleet has in common, and which host is unlike.",
    "plot": "Draw who has what, or since when.",
}
"""The commands of the group, and the line that help has of each."""


def run(context: typer.Context) -> None:
    """Check the snapshots of many machines, and compare them."""
    if context.invoked_subcommand is None:
        emit(f"{context.get_help()}\n")
        raise Exit(2)
