"""The names of all containers of a runtime, asked for once: cgroup paths have the ids alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.values import replace
from analyzer.procfs.homes import short
from analyzer.subjects.commands import ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.subjects.base import Subject

_TOOLS: Final = ("podman", "docker")


def with_names(found: Sequence[Subject]) -> list[Subject]:
    """Return the subjects with the names that their runtimes tell within the time that they have.

    One that does not answer leaves ids.
    """
    runtimes = {one.runtime for one in found if one.name == short(one.container)}
    names: dict[str, str] = {}
    for tool in _TOOLS:
        if tool in runtimes:
            said = ask([tool, "ps", "--no-trunc", "--format", "{{.ID}}\t{{.Names}}"])
            names |= {fields[0]: fields[1] for fields in said.lines if len(fields) > 1}
    return [_named(one, names.get(one.container, "")) for one in found]


def _named(one: Subject, name: str) -> Subject:
    if not name:
        return one
    return replace(one, name=name, words=f"{one.runtime} container {name} ({short(one.container)})")
