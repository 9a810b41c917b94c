"""What `lsof` prints without -F: a table, a line for each file, the widths as they are needed.

All columns between COMMAND and NAME end where their heads end (FD has two letters more), and any
of DEVICE, SIZE/OFF and NODE may be empty: so a word belongs to the column that it ends with. What
COMMAND has of letters that take more than one byte moves the rest of its line, by what PID tells.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from analyzer.procfs.captures import _lsof
from analyzer.procfs.captures.base import Capture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.procfs.captures.told import Told

_HEAD: Final = re.compile(rb"(?:\A|\n)COMMAND +PID .*\bFD +TYPE\b.*\bNAME *(?:\n|\Z)")
_WORD: Final = re.compile(rb"\S+")
_NEEDED: Final = frozenset({b"COMMAND", b"PID", b"USER", b"FD", b"TYPE", b"NAME"})
_FD: Final = re.compile(rb"([0-9]+|[A-Za-z]{2,4}|[Ll][0-9A-Fa-f]{2})([rwu-]?)[ a-zA-Z]?")
_WARNING: Final = (b"lsof: ", b"      Output information may be incomplete.")


def read(told: Told, data: bytes) -> None:
    """Add what a table says of processes and their files."""
    ends: dict[bytes, int] = {}
    for number, line in enumerate(data.split(b"\n"), 1):
        if _HEAD.match(line):
            ends = {match[0]: match.end() for match in _WORD.finditer(line)}
            if not ends.keys() >= _NEEDED:
                told.damage(number, "expected the heads of lsof's table")
                ends = {}
        elif line and not line.startswith(_WARNING):
            row = _row(line, ends) if ends else None
            if row is None:
                told.damage(number, "expected a line of lsof's table")
            else:
                _add(told, row, number)


def _row(line: bytes, ends: Mapping[bytes, int]) -> dict[bytes, bytes] | None:
    """Return the columns of a line, None for what is none; FD without what follows the number."""
    command, pid = (*_WORD.finditer(line, 0, ends[b"TYPE"]), None, None)[:2]
    if command is None or pid is None or not pid[0].isdigit():
        return None
    moved = pid.end() - ends[b"PID"]
    found = {b"COMMAND": command[0], b"PID": pid[0]}
    at = pid.end()
    for name in [name for name in ends if name not in {b"COMMAND", b"PID", b"NAME", b"FD"}]:
        end = ends[name] + moved
        word = line[:end].rpartition(b" ")[2]
        found[name] = word if len(line) >= end and end - len(word) >= at else b""
        if name == b"USER":
            at, found[b"FD"], found[b"ACCESS"] = _fd(line, end)
        elif found[name]:
            at = end
    name_at = ends[b"NAME"] - len(b"NAME") + moved
    found[b"NAME"] = line[name_at:]
    return found if found[b"FD"] and line[name_at - 1 : name_at] in {b" ", b""} else None


def _fd(line: bytes, start: int) -> tuple[int, bytes, bytes]:
    """Return where FD ends, and its number (or word) and access mode."""
    word = _WORD.search(line, start)
    told = None if word is None else _FD.fullmatch(word[0])
    return (start, b"", b"") if word is None or told is None else (word.end(), told[1], told[2])


def _add(told: Told, row: Mapping[bytes, bytes], line: int) -> None:
    if row.get(b"TID"):
        return  # a thread repeats what its process has
    parent, user = row.get(b"PPID", b""), row.get(b"USER", b"")
    pid = _lsof.process(told, row[b"PID"], row[b"COMMAND"], parent, user)
    if not pid:
        told.damage(line, "expected a process id")
        return
    columns = (b"FD", b"ACCESS", b"TYPE", b"DEVICE", b"NODE", b"NAME")
    _lsof.add(told, pid, _lsof.Row(*(row.get(column, b"") for column in columns)))


CAPTURE: Final = Capture(
    name="lsof",
    head=_HEAD,
    read=read,
    lacks=f"who is whose child (but with -R), namespaces, {_lsof.LACKS}",
    remarks="`lsof -n > DUMP`; with -R it has parents, without it `ps -ef` beside it tells them",
)
