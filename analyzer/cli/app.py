"""The commands put together; what each takes and does is in its own file in `commands/`.

Only the command that is asked for is imported and made whole: of the others, there is the line
that help says of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from analyzer.cli.output import emit
from analyzer.core import program

if TYPE_CHECKING:
    from collections.abc import Container

_WIDTH: Final = 76  # of 80 columns, two steps of indentation are help's

COMMANDS: Final = {
    "collect": "Keep the reference graph of a subtree in a file.",
    "report": "Say what a snapshot shows.",
    "check": "Tell whether a subtree is contained.",
    "diff": "Tell what is new, gone and changed between two snapshots.",
    "watch": "Check a subject again and again, and tell what becomes of it.",
    "who": "Tell who still holds an object, on the whole machine.",
    "namespaces": "List all namespaces of the machine, and what keeps each.",
    "census": "Count and name every reference of the whole machine.",
    "graph": "Write the reference graph of a snapshot: who holds what.",
    "plot": "Draw what a snapshot shows.",
    "export": "Write the tables of snapshots, and verdicts, for other tools.",
    "fleet": "Check the snapshots of many machines, and compare them.",
    "explain": "Say what a word of a report means.",
    "doctor": "Show what this host lets cranalyze see.",
    "demo": "Start a small leaking container, and explain.",
    "procdump": "Dump /proc for a later collect --proc.",
    "schema": "Print the JSON Schema of what a command writes with --json.",
}
"""The commands, in the order of help, and its line for each: the first that `run` says of it."""


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - how typer calls it
    if wanted:
        from analyzer.core.version import __version__

        emit(f"cranalyze {__version__}\n")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
]


def cranalyze(context: typer.Context, *, version: Version = False) -> None:
    """Find the kernel objects of a process subtree that are referenced from outside it."""
    del version
    if context.invoked_subcommand is None:
        emit(f"{context.get_help()}\n")
        raise typer.Exit(2)


def app(whole: Container[str] = COMMANDS) -> typer.Typer:
    """Return the program, in which the commands in `whole` can be run, and the others listed."""
    made = typer.Typer(
        name="cranalyze",
        epilog="Exit: 0 done or contained, 16 leaks, 3 undecided, 2 bad input, 4 not permitted, "
        "5 the target vanished, 70 an internal error.",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    )
    made.callback(invoke_without_command=True)(cranalyze)
    for name, line in COMMANDS.items():
        if name in whole:
            _add(made, name, importlib.import_module(f"analyzer.cli.commands.{name}"))
        else:
            made.command(name, help=line)(_listed)
    return made


def _add(made: typer.Typer, name: str, command: Any) -> None:  # noqa: ANN401 - a module
    """Add a command, or the group of those that its package has."""
    about = _examples(command.EXAMPLES)
    if not hasattr(command, "COMMANDS"):
        made.command(name, epilog=about)(command.run)
        return
    group = typer.Typer(rich_markup_mode=None)
    group.callback(invoke_without_command=True)(command.run)
    for below in command.COMMANDS:
        _add(group, below, importlib.import_module(f"{command.__name__}.{below}"))
    made.add_typer(group, name=name, epilog=about)


def _listed() -> None:
    raise AssertionError  # what can be run is whole


def _examples(lines: tuple[str, ...]) -> str:
    said = dict.fromkeys(program.here(line, _WIDTH) for line in lines)
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for example in said for line in example)
