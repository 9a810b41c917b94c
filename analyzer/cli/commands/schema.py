"""cranalyze schema: what the JSON of a command is made of."""

from __future__ import annotations

from typing import Final

from analyzer.cli import options as opt
from analyzer.cli.output import emit

EXAMPLES: Final = (
    "cranalyze schema who",
    "cranalyze schema check > check.schema.json",
)


def run(command: opt.SchemaOf = None) -> None:
    """Print the JSON Schema of what a command writes with --json.

    Without COMMAND, list the commands that have one.
    """
    if command is None:
        emit("".join(f"{one.value}\n" for one in opt.Described))
        return
    from analyzer.writers import schema

    emit(schema.render(command.value))
