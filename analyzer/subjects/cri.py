"""cri:ID: a container of containerd or CRI-O, as crictl(1) lists it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.subjects._runtimes import Told, found, told
from analyzer.subjects.base import Family, Form, Subject
from analyzer.subjects.commands import Answer, ask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.subjects.base import Machine

_FORM: Final = "{{.status.id}}\t{{.status.state}}\t{{.info.pid}}\t{{.status.metadata.name}}"


def _look(name: str) -> tuple[list[Told], Answer]:
    answer = ask(["crictl", "inspect", "--output", "go-template", "--template", _FORM, "--", name])
    return told(answer), answer


def _find(name: str, machine: Machine) -> Iterable[Subject]:
    return found(f"cri:{name}", name, machine, ("containerd", "cri-o"), _look)


FAMILY: Final = Family(
    "cri",
    "Containers",
    (Form("cri:ID", "a container of containerd or CRI-O, by id"),),
    _find,
    tools=("crictl",),
)
