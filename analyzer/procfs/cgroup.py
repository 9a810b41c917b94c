"""/proc/PID/cgroup: the task's place in each cgroup hierarchy, ``ID:CONTROLLERS:PATH`` a line."""

from __future__ import annotations

from typing import Final

from analyzer.procfs.parse import decode, malformed

_FIELDS: Final = 3


def unified(data: bytes) -> str | None:
    """Return the path in the hierarchy of version 2, None where there is none."""
    found = (line[3:] for line in data.splitlines() if line.startswith(b"0::"))
    path = next(found, None)
    return None if path is None else decode(path)


def parse(data: bytes, where: str) -> str | None:
    """Return the path in the unified hierarchy (cgroups(7): id 0), or else in the first one.

    None for an empty file: a kernel without cgroups. BadInputError for a malformed line.
    """
    first: bytes | None = None
    for number, line in enumerate(data.splitlines(), 1):
        field = line.split(b":", 2)
        if len(field) < _FIELDS:
            raise malformed(where, number, "expected ID:CONTROLLERS:PATH")
        if field[0] == b"0":
            return decode(field[2])
        if first is None:
            first = field[2]
    return None if first is None else decode(first)
