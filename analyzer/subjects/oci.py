"""runc:ID, crun:ID: a container that an OCI runtime was asked for by hand."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Final

from analyzer.subjects._runtimes import Told, found
from analyzer.subjects.base import Family, Form, Subject
from analyzer.subjects.commands import Answer, ask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.subjects.base import Machine


def _look(tool: str, name: str) -> tuple[list[Told], Answer]:
    answer = ask([tool, "state", "--", name])
    try:
        said = json.loads(answer.text or "{}")
        pid, state = int(said.get("pid", 0)), str(said.get("status", ""))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return [], Answer(reason=f"{tool} state: not understood")
    return ([Told(name, state, pid, name)] if state else []), answer


def _find(tool: str, name: str, machine: Machine) -> Iterable[Subject]:
    return found(f"{tool}:{name}", name, machine, (tool,), partial(_look, tool))


FAMILIES: Final = tuple(
    Family(
        tool,
        "Containers",
        (Form(f"{tool}:ID", f"a container that {tool} was asked for by hand"),),
        partial(_find, tool),
        bare=True,
        tools=(tool,),
    )
    for tool in ("runc", "crun")
)
