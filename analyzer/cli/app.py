"""The commands put together; what each takes and does is in its own file in `commands/`."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from analyzer.cli.commands import (
    census,
    check,
    collect,
    demo,
    doctor,
    export,
    graph,
    namespaces,
    plot,
    procdump,
    report,
    schema,
    who,
)
from analyzer.cli.output import emit
from analyzer.core import program

_WIDTH: Final = 76  # of 80 columns, two steps of indentation are help's

app: Final = typer.Typer(
    name="cranalyze",
    epilog="Exit: 0 done or contained, 16 leaks, 3 undecided, 2 bad input, 4 not permitted, "
    "5 the target vanished, 70 an internal error.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - how typer calls it
    if wanted:
        from analyzer.core.version import __version__

        emit(f"cranalyze {__version__}\n")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
]


@app.callback(invoke_without_command=True)
def cranalyze(context: typer.Context, *, version: Version = False) -> None:
    """Find the kernel objects of a process subtree that are referenced from outside it."""
    del version
    if context.invoked_subcommand is None:
        emit(f"{context.get_help()}\n")
        raise typer.Exit(2)


def _examples(lines: tuple[str, ...]) -> str:
    said = dict.fromkeys(program.here(line, _WIDTH) for line in lines)
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for example in said for line in example)


_COMMANDS: Final = (
    collect, report, check, who, namespaces, census, graph, plot, export, doctor, demo, procdump,
    schema,
)  # fmt: skip
for _command in _COMMANDS:
    _name = _command.__name__.rpartition(".")[2]
    app.command(_name, epilog=_examples(_command.EXAMPLES))(_command.run)
