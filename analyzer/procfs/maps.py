"""/proc/PID/maps: the mappings of an address space (proc_pid_maps(5)).

Only mappings of a file are returned: those that have a device or an inode, or of which these are
not known, as in images of CRIU, but the path. The kernel escapes
newlines in the path; a path of a file without a name ends with " (deleted)".
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from typing import Final

from analyzer.core.values import NamedTuple
from analyzer.procfs.parse import decode, device, malformed, number, unescape

_FIELDS: Final = 5  # range, permissions, offset, device, inode; then the path, if there is one

_LINE: Final = re.compile(rb"^([0-9a-f]+)-[0-9a-f]+ (\S.*)$", re.MULTILINE)
_PERMISSIONS: Final = re.compile(rb"[r-][w-][x-][sp-]")


class Mapping(NamedTuple):
    """One mapping: start address, permissions ("r-xp"), device as makedev(3), inode, path.

    Device and inode are None where they are not known.
    """

    start: int
    permissions: str
    dev: int | None
    ino: int | None
    path: str


def parse(data: bytes, where: str) -> list[Mapping]:
    """Parse the file's content; BadInputError for a malformed line."""
    usual = _LINE.findall(data)
    if len(usual) == data.count(b"\n"):
        with suppress(ValueError, IndexError):
            pairs = ((start, _rest(rest)) for start, rest in usual)
            return [Mapping(_start(start), *told) for start, told in pairs if told is not None]
    return _slowly(data, where)


def _slowly(data: bytes, where: str) -> list[Mapping]:
    """Do as `parse`, whatever the lines look like."""
    found: list[Mapping] = []
    for row, line in enumerate(data.split(b"\n"), 1):
        span, _, rest = line.partition(b" ")  # a path may end with blanks
        if not line.strip():
            continue
        try:
            told = _rest(rest)
            if told is not None:
                found.append(Mapping(_start(span.partition(b"-")[0]), *told))
        except IndexError:
            raise malformed(
                where, row, "expected START-END PERMS OFFSET DEV INODE [PATH]"
            ) from None
        except ValueError:
            raise malformed(where, row, "expected hexadecimal numbers and rwxp") from None
    return found


def _start(word: bytes) -> int:
    return number(word, base=16)


# All processes that run one program have the same lines but for the addresses.
@lru_cache(maxsize=1 << 14)
def _rest(line: bytes) -> tuple[str, int | None, int | None, str] | None:
    """Return permissions, device, inode and path; None for what maps no file."""
    field = line.split(None, _FIELDS - 1)
    path = decode(unescape(field[4])) if len(field) == _FIELDS else ""
    if field[3] == b"0" and field[2] == b"00:00":
        return (_permissions(field[0]), None, None, path) if path.startswith("/") else None
    major, _, minor = field[2].partition(b":")
    return (
        _permissions(field[0]),
        device(major, minor, base=16),
        number(field[3], below=1 << 64),
        path,
    )


def _permissions(word: bytes) -> str:
    if not _PERMISSIONS.fullmatch(word):
        raise ValueError(word)
    return word.decode()
