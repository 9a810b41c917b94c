"""machine:NAME: what systemd-machined knows by that name: a container of systemd-nspawn's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.subjects._runtimes import Told, found
from analyzer.subjects.base import Family, Form, Subject
from analyzer.subjects.commands import Answer, ask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.subjects.base import Machine


def _look(name: str) -> tuple[list[Told], Answer]:
    answer = ask(["machinectl", "show", "--property=Leader", "--property=State", "--", name])
    said = dict(line.partition("=")[::2] for line in answer.text.splitlines())
    leader = said.get("Leader", "")
    if not leader.isdecimal():
        return [], answer
    return [Told(name, said.get("State", ""), int(leader), name)], answer


def _find(name: str, machine: Machine) -> Iterable[Subject]:
    return found(f"machine:{name}", name, machine, ("nspawn",), _look)


FAMILY: Final = Family(
    "machine",
    "Containers",
    (Form("machine:NAME", "a machine of systemd's (machinectl): a container of systemd-nspawn"),),
    _find,
    bare=True,
    tools=("machinectl",),
)
