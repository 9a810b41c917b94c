"""What container runtimes have in common: ids from cgroups, names from a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.core.errors import BadInputError
from analyzer.core.text import printable
from analyzer.core.values import NamedTuple
from analyzer.procfs.homes import short
from analyzer.subjects.base import (
    Subject,
    called,
    containers,
    of_container,
    there_are,
)
from analyzer.subjects.commands import Answer, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from analyzer.subjects.base import Container, Machine


class Told(NamedTuple):
    """What a runtime says of a container: its id, its state, the pid of its init (0: none)."""

    id: str
    state: str
    pid: int
    name: str


def told(answer: Answer) -> list[Told]:
    """Return the containers of an answer: id, state, pid and name in a line."""
    found = []
    for fields in answer.lines:
        if len(fields) >= len(Told._fields) and fields[2].strip().lstrip("-").isdecimal():
            name = fields[3].strip().removeprefix("/")
            pid = max(int(fields[2]), 0)
            found.append(Told(fields[0].strip(), fields[1].strip(), pid, name))
    return found


def inspected(tool: str, *more: str) -> Callable[[str], tuple[list[Told], Answer]]:
    """Return what asks a command that has docker's `container inspect` for a name."""

    def look(name: str) -> tuple[list[Told], Answer]:
        form = "{{.Id}}\t{{.State.Status}}\t{{.State.Pid}}\t{{.Name}}"
        answer = ask([tool, "container", "inspect", "--format", form, *more, "--", name])
        return told(answer), answer

    return look


def found(
    asked: str,
    name: str,
    machine: Machine,
    runtimes: Sequence[str],
    look: Callable[[str], tuple[list[Told], Answer]],
) -> list[Subject]:
    """Return the containers of some runtimes that are meant by an id, its beginning, or a name.

    BadInputError for none: it says what there is, and why the command could not help.
    """
    own = [one for one in containers(machine) if one.runtime in runtimes]
    by_id = called(name, own)
    if by_id:
        return [of_container(one) for one in by_id]
    if not machine.live:
        raise BadInputError(
            f"{printable(asked)}: no such container{there_are(own)} (names are not kept: say an id)"
        )
    said, answer = look(name)
    if not said:
        raise BadInputError(f"{printable(asked)}: {_why(answer)}{there_are(own)}")
    return [_subject(asked, one, own, machine, runtimes[0]) for one in said]


def _why(answer: Answer) -> str:
    return answer.reason or "no such container"


def _subject(
    asked: str, one: Told, own: Iterable[Container], machine: Machine, runtime: str
) -> Subject:
    known = next((container for container in own if container.id == one.id), None)
    running = any(process.pid == one.pid for process in machine.processes)
    if known is None and not running:
        state = printable(one.state) or "stopped"
        what = f"{runtime} container {printable(_known_as(one))}"
        raise BadInputError(f"{printable(asked)}: {what} is not running ({state}): no processes")
    if known is not None:
        made = of_container(known, one.name)
        return Subject(
            made.words, (one.pid,) if running else made.roots, made.runtime, made.container,
            made.name, made.group,
        )  # fmt: skip
    name = one.name or short(one.id)
    words = f"{runtime} container {_known_as(one)}"
    group = next((p.home.group for p in machine.processes if p.pid == one.pid), "")
    return Subject(words, (one.pid,), runtime, one.id or name, name, group)


def _known_as(one: Told) -> str:
    """Return "web (0123456789ab)": the name, and the id if it is another."""
    return one.name if one.name and one.id in {one.name, ""} else f"{one.name} ({short(one.id)})"
