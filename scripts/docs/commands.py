"""The page of the commands: what is said of one is its docstring and the help of its options.

Only attributes that the parameter objects of every supported typer have are looked at.
"""

from __future__ import annotations

import importlib
import inspect
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args, get_type_hints

import typer

from analyzer.cli.app import app
from analyzer.core import errors, program, settings
from scripts.docs import markdown as md

if TYPE_CHECKING:
    from collections.abc import Iterator


EXIT_CODES: Final = {
    errors.EXIT_OK: "done; `check`: the subtree is contained",
    errors.EXIT_LEAK: "`check` (or `report --check`) found a leak (EBUSY, as the system call of "
    "2009 returned); `diff`, `watch`: something is new that decides",
    errors.EXIT_UNDECIDED: "`check` or `diff` could not decide: something is unknown, unstable, or "
    "could not be read; `who`: not found, but not all could be read",
    1: "`who`: there is no such object",
    errors.EXIT_USAGE: "usage, or bad input",
    errors.EXIT_PERMISSION: "not permitted",
    errors.EXIT_VANISHED: "the process vanished before it was read; `watch`: it ended",
    errors.EXIT_INTERNAL: "an internal error: please report it",
    130: "interrupted",
    141: "the reader of the output went away",
}
ENVIRONMENT: Final = {
    "NO_COLOR, FORCE_COLOR": "No colours; colours even when the output is no terminal.",
    "COLUMNS": "How wide a report for people is, at most 120.",
    "XDG_CONFIG_HOME": "Where cranalyze.toml is looked for (~/.config without it).",
    "CRANALYZE_DEBUG": "1 shows where an internal error is from.",
}


class Parameter(NamedTuple):
    """An option or argument: how it is written, what it means, what it is without being given."""

    written: str
    meaning: str
    default: str


class Command(NamedTuple):
    """A command by its path ("cranalyze check"); `about` are paragraphs."""

    path: str
    about: tuple[str, ...]
    arguments: tuple[Parameter, ...]
    options: tuple[Parameter, ...]
    examples: tuple[str, ...]

    @property
    def usage(self) -> str:
        """The command as it is typed."""
        options = ["[OPTIONS]"] if self.options else []
        return " ".join([self.path, *options, *(argument.written for argument in self.arguments)])


def commands() -> list[Command]:
    """Return the program itself and then its commands, in the order of its help."""
    top: Any = typer.main.get_command(app())
    return [_command("cranalyze", top), *_below("cranalyze", top)]


def _below(path: str, group: Any) -> Iterator[Command]:  # noqa: ANN401 - click's, wherever it is
    for name, found in group.commands.items():
        yield _command(f"{path} {name}", found)
        if hasattr(found, "commands"):
            yield from _below(f"{path} {name}", found)


def _command(path: str, found: Any) -> Command:  # noqa: ANN401 - as above
    module = importlib.import_module(found.callback.__module__)
    hints = get_type_hints(found.callback)
    said = [
        (p.param_type_name, _parameter(p, hints.get(p.name)))
        for p in found.params
        if not getattr(p, "hidden", False)
    ]
    return Command(
        path,
        tuple(" ".join(part.split()) for part in (found.help or "").split("\n\n")),
        tuple(made for kind, made in said if kind == "argument"),
        tuple(made for kind, made in said if kind == "option"),
        tuple(map(program.anywhere, getattr(module, "EXAMPLES", ()))),
    )


def _parameter(found: Any, hint: Any) -> Parameter:  # noqa: ANN401 - as above
    choices = _choices(hint)
    value = found.metavar or ("|".join(choices) if choices else "N" if hint is int else "TEXT")
    if found.param_type_name == "argument":
        written = value if found.required else f"[{value}]"
        written += "..." if found.nargs < 0 else ""
    else:
        names = ", ".join(found.opts) + "".join(f"/{name}" for name in found.secondary_opts)
        written = names if found.is_flag else f"{names} {value}"
    default = found.default.value if isinstance(found.default, Enum) else found.default
    shown = isinstance(default, str | int | float) and not isinstance(default, bool)
    return Parameter(written, found.help or "", str(default) if shown else "")


def _choices(hint: Any) -> list[str]:  # noqa: ANN401 - a type hint
    for one in (hint, *get_args(hint)):
        if inspect.isclass(one) and issubclass(one, Enum):
            return [str(member.value) for member in one]
    return []


def _row(one: Parameter) -> tuple[str, str, str]:
    return f"`{md.cell(one.written)}`", md.cell(one.meaning), one.default and f"`{one.default}`"


def commands_page() -> str:
    """Return docs/commands.md."""
    parts = [
        md.NOTE,
        "# Commands",
        md.table(
            ("code", "the program exits with it when"),
            [(str(code), said) for code, said in EXIT_CODES.items()],
        ),
    ]
    for command in commands():
        parts += [f"## {command.path}", md.block("sh", [command.usage]), *command.about]
        rows = [_row(one) for one in (*command.arguments, *command.options)]
        if rows:
            parts.append(md.table(("", "meaning", "default"), rows))
        if command.examples:
            parts += ["Examples:", md.block("sh", command.examples)]
    parts += ["# Settings", md.docstring(settings.__doc__)]
    parts += [
        "# Environment",
        md.table(
            ("variable", "meaning"),
            [(f"`{name}`", md.cell(meaning)) for name, meaning in ENVIRONMENT.items()],
        ),
    ]
    return md.page(parts)
