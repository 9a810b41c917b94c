"""lxc:NAME: a container of lxc's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.subjects._runtimes import Told, found
from analyzer.subjects.base import Family, Form, Subject
from analyzer.subjects.commands import Answer, ask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.subjects.base import Machine


def _look(name: str) -> tuple[list[Told], Answer]:
    answer = ask(["lxc-info", "-s", "-p", "-H", f"--name={name}"])
    words = [word for word in answer.text.split() if not word.endswith(":")]  # "State: RUNNING"
    if answer.reason or not words:
        return [], answer
    pid = next((int(word) for word in words if word.isdecimal()), 0)
    return [Told(name, words[0].lower(), pid, name)], answer


def _find(name: str, machine: Machine) -> Iterable[Subject]:
    return found(f"lxc:{name}", name, machine, ("lxc",), _look)


FAMILY: Final = Family(
    "lxc",
    "Containers",
    (Form("lxc:NAME", "a container of lxc"),),
    _find,
    bare=True,
    tools=("lxc-info",),
)
