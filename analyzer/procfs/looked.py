"""What statx(2) says of what a link in /proc leads to, and how a dump keeps it.

It is a file for each link, cranalyze/looked/PID/fd/N, and for each mount, mount/ID:
``MODE RDEV SIZE DEV MOUNT``, -1 for a mount that is not told. /proc itself has no word for the type
of an open file, nor for the mount of a working directory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.procfs import glance
from analyzer.relations.shown import Looked

if TYPE_CHECKING:
    from collections.abc import Sequence

_FOLDER: Final = "cranalyze/looked"
_FIELDS: Final = 5
_MOST: Final = 1 << 64


def kept(name: str) -> str:
    """Return where a dump keeps it."""
    return f"{_FOLDER}/{name}"


def ask(paths: Sequence[str]) -> list[bytes | None]:
    """Ask the running kernel; None for what it does not say."""
    if not paths:
        return []
    return [
        None
        if isinstance(at, int) or not at.mode
        else b"%d %d %d %d %d" % (at.mode, at.rdev, at.size, at.dev, at.mnt_id)
        for at in glance.look(paths)
    ]


def parse(data: bytes | None) -> Looked | None:
    """Parse what a dump keeps; None for what is no such line: then it is not known."""
    try:
        mode, rdev, size, dev, mount = map(int, (data or b"").split())
    except ValueError:
        return None
    if not all(0 <= number < _MOST for number in (mode, rdev, size, dev)):
        return None
    return Looked(mode, rdev, size, dev, mount if 0 <= mount < _MOST else None)
