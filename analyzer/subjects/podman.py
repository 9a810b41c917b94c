"""podman:NAME: a container of podman's, by name or id; a rootless one of others by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.subjects._runtimes import found, inspected
from analyzer.subjects.base import Family, Form, Subject

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.subjects.base import Machine


def _find(name: str, machine: Machine) -> Iterable[Subject]:
    return found(f"podman:{name}", name, machine, ("podman",), inspected("podman"))


FAMILY: Final = Family(
    "podman",
    "Containers",
    (Form("podman:NAME", "a container of podman, by name or id"),),
    _find,
    bare=True,
    tools=("podman",),
)
