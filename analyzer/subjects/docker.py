"""docker:NAME: a container of docker's, by name or id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.subjects._runtimes import found, inspected
from analyzer.subjects.base import Family, Form, Subject

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.subjects.base import Machine


def _find(name: str, machine: Machine) -> Iterable[Subject]:
    return found(f"docker:{name}", name, machine, ("docker",), inspected("docker"))


FAMILY: Final = Family(
    "docker",
    "Containers",
    (Form("docker:NAME", "a container of docker, by name or id"),),
    _find,
    bare=True,
    tools=("docker",),
)
