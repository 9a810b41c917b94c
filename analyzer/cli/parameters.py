"""What a command takes, declared once; a line of which there is nothing to say is read by that.

Typer is made for all that there is to say of a line: it gives help, tells what is wrong, completes.
To import it and to make a command of it takes a sixth of the time of a small check. It gets the
same declarations (`analyzer.cli.app`), and a test holds that it reads each line as `read` does.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, get_args, get_origin

from analyzer.core.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


class Exit(Exception):  # noqa: N818 - no error
    """The command is done, and this is its exit code."""

    def __init__(self, code: int = 0) -> None:
        """Exit with this code."""
        super().__init__(code)
        self.code = code


class UnclearError(Exception):
    """There is something to say of the line: help, or what is wrong with it."""


class Parameter:
    """What a command takes, said in an `Annotated`."""

    def __init__(self, *names: str, **more: Any) -> None:  # noqa: ANN401 - as typer takes them
        """Be called so, an argument by no name; `more` is as in `typer.Option`, `.Argument`."""
        self.names = names
        self.more = more


class Option(Parameter):
    """An option; a flag is called ``--yes``, or ``--yes/--no``."""


class Argument(Parameter):
    """An argument."""


class _Slot(NamedTuple):
    """Where values go: which parameter of the function, are they many, of which type."""

    parameter: str
    many: bool
    type: type
    declared: Parameter


def read(run: Callable[..., None], words: Iterable[str]) -> dict[str, Any]:
    """Return what a command is to be called with; UnclearError where typer is to read the words."""
    slots = _slots(run)
    flags = {
        name: (slot.parameter, value)
        for slot in slots
        if slot.type is bool and "callback" not in slot.declared.more
        for names in slot.declared.names
        for name, value in zip(names.split("/"), (True, False), strict=False)
    }
    valued = {name: slot for slot in slots for name in slot.declared.names}
    places = _places([slot for slot in slots if not slot.declared.names])
    given: dict[str, Any] = {}
    left = iter(words)
    for word in left:
        if word in flags:
            given.update([flags[word]])
            continue
        slot, text = _asked(word, left, valued, places)
        value = _value(slot.type, text)
        given[slot.parameter] = [*given.get(slot.parameter, ()), value] if slot.many else value
    if not {slot.parameter for slot in slots} <= given.keys() | _defaults(run):
        raise UnclearError
    return given


def _slots(run: Callable[..., None]) -> list[_Slot]:
    from inspect import get_annotations  # get_type_hints takes three times as long

    hints = get_annotations(run, eval_str=True)
    return [_slot(name, hint) for name, hint in hints.items() if name != "return"]


def _slot(name: str, hint: Any) -> _Slot:  # noqa: ANN401 - a type hint
    declared = getattr(hint, "__metadata__", (None,))[0]
    if not isinstance(declared, Parameter):  # typer's own context
        raise UnclearError
    kind = next(iter(get_args(hint.__origin__)), hint.__origin__)  # of `str | None`: str
    many = get_origin(kind) is list
    return _Slot(name, many, get_args(kind)[0] if many else kind, declared)


def _places(arguments: list[_Slot]) -> Iterator[_Slot]:
    for slot in arguments:
        yield slot
        while slot.many:
            yield slot
    raise UnclearError  # there are more words than places


def _asked(
    word: str, left: Iterator[str], valued: Mapping[str, _Slot], places: Iterator[_Slot]
) -> tuple[_Slot, str]:
    """Return what a word is about, and the value that it has, or that is the next word."""
    if word == "-" or not word.startswith("-"):
        return next(places), word
    option, sign, text = word.partition("=") if word.startswith("--") else (word, "", "")
    if option not in valued:
        raise UnclearError
    if not sign:
        text = next(left, "--")
        if text.startswith("-") and text != "-":  # forgotten, more often than meant
            raise UnclearError
    return valued[option], text


def _value(kind: type, text: str) -> str:
    if kind is str:
        return text
    if issubclass(kind, StrEnum) and text in tuple(kind):
        return kind(text)
    raise UnclearError  # a number, a flag that is no flag here, or no such word


def _defaults(run: Any) -> set[str]:  # noqa: ANN401 - what of a function is not of any callable
    positional = run.__code__.co_varnames[: run.__code__.co_argcount]
    without = len(positional) - len(run.__defaults__ or ())
    return {*positional[without:], *(run.__kwdefaults__ or ())}
