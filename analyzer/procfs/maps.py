"""/proc/PID/maps: the mappings of an address space (proc_pid_maps(5)).

Only mappings of a file are returned: those that have a device or an inode. The kernel escapes
newlines in the path; a path of a file without a name ends with " (deleted)".
"""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple

from analyzer.procfs.parse import decode, malformed, number, unescape

_FIELDS: Final = 5  # range, permissions, offset, device, inode; then the path, if there is one

_PERMISSIONS: Final = re.compile(rb"[r-][w-][x-][sp-]")
_U32: Final = 1 << 32


class Mapping(NamedTuple):
    """One mapping: start address, permissions ("r-xp"), device as makedev(3), inode, path."""

    start: int
    permissions: str
    dev: int
    ino: int
    path: str


def parse(data: bytes, where: str) -> list[Mapping]:
    """Parse the file's content; BadInputError for a malformed line."""
    found: list[Mapping] = []
    for row, line in enumerate(data.split(b"\n"), 1):
        field = line.split(None, _FIELDS)
        if not field:
            continue
        if len(field) < _FIELDS:
            raise malformed(where, row, "expected START-END PERMS OFFSET DEV INODE [PATH]")
        if field[4] != b"0" or field[3] != b"00:00":
            try:
                found.append(_mapping(field))
            except ValueError:
                raise malformed(where, row, "expected hexadecimal numbers and rwxp") from None
    return found


def _permissions(word: bytes) -> str:
    if not _PERMISSIONS.fullmatch(word):
        raise ValueError(word)
    return word.decode()


def _mapping(field: list[bytes]) -> Mapping:
    major, _, minor = field[3].partition(b":")
    return Mapping(
        start=number(field[0].partition(b"-")[0], base=16),
        permissions=_permissions(field[1]),
        dev=os.makedev(number(major, base=16, below=_U32), number(minor, base=16, below=_U32)),
        ino=number(field[4], below=1 << 64),
        path=decode(unescape(field[_FIELDS])) if len(field) > _FIELDS else "",
    )
