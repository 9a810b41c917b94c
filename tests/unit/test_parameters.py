"""Lines that are read without typer: as it would read them."""

from __future__ import annotations

import functools
import importlib
import inspect
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, get_args, get_type_hints
from unittest import mock

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from analyzer.cli.app import app
from analyzer.cli.commands import COMMANDS
from analyzer.cli.parameters import Option, UnclearError, read

if TYPE_CHECKING:
    from collections.abc import Callable

SINGLE: Final = [name for name in COMMANDS if name != "fleet"]  # that is a group
ODD: Final = ["-", "--", "-x", "--nix", "x", "", "5", "-5", "a=b", "\udcff", "-h"]


def function(command: str) -> Callable[..., None]:
    run: Callable[..., None] = importlib.import_module(f"analyzer.cli.commands.{command}").run
    return run


def lines(command: str) -> st.SearchStrategy[list[str]]:
    """Return lines of the options of a command, and of what is none."""
    names, choices = [], {*ODD}
    for hint in get_type_hints(function(command), include_extras=True).values():
        for declared in getattr(hint, "__metadata__", ()):
            if isinstance(declared, Option):
                names += [name for both in declared.names for name in both.split("/")]
        for kind in (hint, *get_args(getattr(hint, "__origin__", None))):
            if inspect.isclass(kind) and issubclass(kind, StrEnum):
                choices |= {*kind}
    name, value = st.sampled_from(names or ODD), st.sampled_from(sorted(map(str, choices)))
    pair = st.tuples(name, value)
    words = st.one_of(
        name.map(lambda one: [one]), value.map(lambda one: [one]), pair.map(list),
        pair.map(lambda both: ["=".join(both)]), pair.map(lambda both: ["".join(both)]),
    )  # fmt: skip
    return st.lists(words, max_size=4).map(lambda parts: [word for part in parts for word in part])


@functools.cache
def typers(command: str) -> tuple[Any, list[dict[str, Any]]]:
    """Return typer's command, and what it has called `run` with."""
    calls: list[dict[str, Any]] = []
    module = importlib.import_module(f"analyzer.cli.commands.{command}")

    @functools.wraps(module.run)
    def noted(**takes: object) -> None:
        calls.append(takes)

    with mock.patch.object(module, "run", noted):
        return typer.main.get_command(app({command})), calls


def by_typer(command: str, line: list[str]) -> dict[str, Any]:
    made, calls = typers(command)
    with made.make_context("cranalyze", [command, *line]) as context:
        context.command.invoke(context)
    return _asked(calls.pop())


def of_python(command: str, takes: dict[str, Any]) -> dict[str, Any]:
    """Return all that `run` would get: what is left out has its default."""
    bound = inspect.signature(function(command)).bind(**takes)
    bound.apply_defaults()
    return _asked(bound.arguments)


def _asked(takes: dict[str, Any]) -> dict[str, Any]:
    """Return these without the option that is done once it is met."""
    return {name: value for name, value in takes.items() if name != "list_columns"}


@pytest.mark.parametrize("command", SINGLE)
@given(data=st.data())
def test_a_line_is_read_as_typer_reads_it(command: str, data: st.DataObject) -> None:
    line = data.draw(lines(command))
    try:
        takes = read(function(command), line)
    except UnclearError:
        return
    assert of_python(command, takes) == by_typer(command, line)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (
            "check",
            [
                "4711",
                "--json",
                "--source=procfs",
                "--freeze",
                "--no-freeze",
                "-o",
                "KIND",
                "--output",
                "-",
            ],
        ),
        ("check", ["web", "db", "-o", "+PID", "-o", "out.json", "--for", "criu", "--ignore", ""]),
        ("who", ["4711:3", "-", "--json", "-o", "KIND", "-n"]),
        ("diff", ["a.crz", "b.crz", "--pid", "7"]),
        ("census", []),
        ("explain", ["NET_NS", "--from", "-"]),
    ],
)
def test_what_is_right_needs_no_typer(command: str, line: list[str]) -> None:
    assert of_python(command, read(function(command), line)) == by_typer(command, line)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("check", ["--help"]),
        ("check", ["--list-columns"]),
        ("check", ["1", "--output"]),
        ("check", ["1", "--output", "--json"]),
        ("check", ["1", "--source", "nix"]),
        ("check", ["1", "--json=1"]),
        ("check", ["--", "1"]),
        ("check", ["-nH"]),
        ("watch", ["1", "-n", "0"]),
        ("diff", ["a.crz"]),
        ("census", ["1"]),
        ("fleet", ["report", "here"]),
    ],
)
def test_what_there_is_something_to_say_of_is_typers(command: str, line: list[str]) -> None:
    with pytest.raises(UnclearError):
        read(function(command), line)
