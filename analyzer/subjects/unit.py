"""unit:NAME: the processes of a unit of systemd's, and all that they started in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError, nearest
from analyzer.core.text import printable
from analyzer.procfs.homes import unescaped
from analyzer.subjects.base import Family, Form, Subject, of_group

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from analyzer.subjects.base import Machine

SUFFIXES: Final = (".service", ".scope", ".slice", ".socket", ".mount", ".swap")


def groups(machine: Machine) -> dict[str, set[str]]:
    """Return the paths of the groups of every unit that has processes, by its name."""
    found: dict[str, set[str]] = {}
    for process in machine.processes:
        for path in process.cgroups:
            for unit, group in _units(path):
                found.setdefault(unit, set()).add(group)
    return found


def _units(path: str) -> Iterator[tuple[str, str]]:
    parts = path.split("/")
    for at, part in enumerate(parts):
        if part.endswith(SUFFIXES):
            yield unescaped(part), "/".join(parts[: at + 1])


def _find(name: str, machine: Machine) -> Iterable[Subject]:
    known = groups(machine)
    wanted = name if name.endswith(SUFFIXES) else f"{name}.service"
    paths = known.get(name) or known.get(wanted)
    if not paths:
        near = nearest(wanted, known) if known else "; there are no units here"
        raise BadInputError(f"unit:{printable(name)}: no such unit has processes{near}")
    called = name if name in known else wanted
    found = [of_group(f"unit {called}", path, machine) for path in sorted(paths)]
    return [_of_systemd(one) for one in found if one is not None]


def _of_systemd(one: Subject) -> Subject:
    return Subject(
        one.words, one.roots, "systemd", one.words.removeprefix("unit "), one.name, one.group,
        one.test, starts=False,
    )  # fmt: skip


FAMILY: Final = Family(
    "unit",
    "Groups of processes",
    (Form("unit:NAME", "a unit of systemd: unit:nginx.service"),),
    _find,
)
