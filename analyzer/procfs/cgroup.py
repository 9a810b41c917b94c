"""/proc/PID/cgroup: the task's place in each cgroup hierarchy, ``ID:CONTROLLERS:PATH`` a line."""

from __future__ import annotations

from typing import Final

from analyzer.procfs.homes import home, weight
from analyzer.procfs.parse import decode, malformed

_FIELDS: Final = 3


def unified(data: bytes) -> str | None:
    """Return the path in the hierarchy of version 2, None where there is none."""
    found = (line[3:] for line in data.splitlines() if line.startswith(b"0::"))
    path = next(found, None)
    return None if path is None else decode(path)


def parse(data: bytes, where: str) -> str | None:
    """Return the path that says most of where the task lives: that of a container, or of a unit.

    Else that in the unified hierarchy (cgroups(7): id 0), or else in the first one; None for an
    empty file: a kernel without cgroups. BadInputError for a malformed line.
    """
    found = paths(data, where)
    if not found:
        return None
    usual = next((path for number, path in found if number == "0"), found[0][1])
    return max([usual, *(path for _, path in found)], key=lambda path: weight(home(path)))


def paths(data: bytes, where: str) -> list[tuple[str, str]]:
    """Return the number of each hierarchy and the path in it; BadInputError as `parse`."""
    found = []
    for number, line in enumerate(data.splitlines(), 1):
        field = line.split(b":", 2)
        if len(field) < _FIELDS:
            raise malformed(where, number, "expected ID:CONTROLLERS:PATH")
        found.append((decode(field[0]), decode(field[2])))
    return found
