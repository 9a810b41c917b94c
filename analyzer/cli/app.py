"""The commands as a program of typer's; what each takes and does is in its own file in `commands/`.

Only the command that is asked for is imported and made whole: of the others, there is the line
that help says of them.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from typing import TYPE_CHECKING, Annotated, Any, Final, get_type_hints

import typer

from analyzer.cli.commands import COMMANDS
from analyzer.cli.output import emit
from analyzer.cli.parameters import Exit, Option, Parameter
from analyzer.core import program

if TYPE_CHECKING:
    from collections.abc import Callable, Container

_WIDTH: Final = 76  # of 80 columns, two steps of indentation are help's


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - how typer calls it
    if wanted:
        from analyzer.core.version import __version__

        emit(f"cranalyze {__version__}\n")
        raise Exit


Version = Annotated[
    bool, Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
]


def cranalyze(context: typer.Context, *, version: Version = False) -> None:
    """Find the kernel objects of a process subtree that are referenced from outside it."""
    del version
    if context.invoked_subcommand is None:
        emit(f"{context.get_help()}\n")
        raise Exit(2)


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
    made.callback(invoke_without_command=True)(_typed(cranalyze))
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
        made.command(name, epilog=about)(_typed(command.run))
        return
    group = typer.Typer(rich_markup_mode=None)
    group.callback(invoke_without_command=True)(_typed(command.run))
    for below in command.COMMANDS:
        _add(group, below, importlib.import_module(f"{command.__name__}.{below}"))
    made.add_typer(group, name=name, epilog=about)


def _typed(run: Callable[..., None]) -> Callable[..., None]:
    """Return the function with typer's own words for what it takes."""
    hints = get_type_hints(run, include_extras=True)
    takes = inspect.signature(run)

    @functools.wraps(run)
    def called(**given: Any) -> None:  # noqa: ANN401 - whatever it takes
        run(**given)

    called.__annotations__ = {name: _of_typer(hint) for name, hint in hints.items()}
    parameters = [
        one.replace(annotation=called.__annotations__[name])
        for name, one in takes.parameters.items()
    ]
    called.__signature__ = takes.replace(parameters=parameters)  # type: ignore[attr-defined]
    return called


def _of_typer(hint: Any) -> Any:  # noqa: ANN401 - a type hint
    declared = getattr(hint, "__metadata__", (None,))[0]
    if not isinstance(declared, Parameter):
        return hint
    make = typer.Option if isinstance(declared, Option) else typer.Argument
    return Annotated[hint.__origin__, make(*declared.names, **declared.more)]


def _listed() -> None:
    raise AssertionError  # what can be run is whole


def _examples(lines: tuple[str, ...]) -> str:
    said = dict.fromkeys(program.here(line, _WIDTH) for line in lines)
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for example in said for line in example)
