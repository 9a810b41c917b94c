"""What `lsof -F` prints: a field a line, each with a letter before it.

A process is a line ``pPID`` and its fields (``RPARENT``, ``cNAME``, ``uUSER``), an open file a line
``fFD`` and its own (``tTYPE``, ``iINODE``, ``nNAME``); with -F0 they end in a NUL, and a set of
them in a newline.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from analyzer.procfs.captures import _lsof
from analyzer.procfs.captures.base import Capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.procfs.captures.told import Told

_HEAD: Final = re.compile(rb"(\A|\n)p[0-9]{1,9}[\n\0][gRKcuLZf]")

_Fields = dict[bytes, bytes]


def read(told: Told, data: bytes) -> None:
    """Add what a text says of processes and their files."""
    pid = 0
    processes: set[int] = set()
    seen: set[bytes] = set()
    for line, record in _records(data):
        if b"p" in record:
            pid, seen = _process(told, line, record), set()
            if pid and pid in processes:
                told.damage(line, "a process twice: what follows is of another, or of another time")
                pid = 0
            processes.add(pid)
        elif b"f" not in record:
            told.damage(line, "expected pPID or fFD")
        elif pid and record[b"f"] in seen:
            told.damage(line, "a file twice: the line of another process is lost before it")
            pid = 0
        elif pid:
            if _lsof.is_one(record[b"f"]):
                seen.add(record[b"f"])
            row = (record.get(key, b"") for key in (b"f", b"a", b"t", b"d", b"i", b"n"))
            _lsof.add(told, pid, _lsof.Row(*row))


def _process(told: Told, line: int, record: _Fields) -> int:
    """Add a process; return its number, 0 for a thread, which repeats what its process has."""
    if b"K" in record:
        return 0
    parent, user = record.get(b"R", b""), record.get(b"u", b"")
    number = _lsof.process(told, record[b"p"], record.get(b"c"), parent, user)
    if not number:
        told.damage(line, "expected a process id")
    return number


def _records(data: bytes) -> Iterator[tuple[int, _Fields]]:
    """Yield each process and each file: its line, and its fields by their letters."""
    nul = b"\0" in data
    record: _Fields = {}
    first = 1
    for line, text in enumerate(data.split(b"\n"), 1):
        for field in text.split(b"\0") if nul else (text,):
            if field[:1] in {b"p", b"f"} and record:
                yield first, record
                record = {}
            if not record:
                first = line
            if field:
                record.setdefault(field[:1], field[1:])
    if record:
        yield first, record


CAPTURE: Final = Capture(
    name="lsof -F",
    head=_HEAD,
    read=read,
    lacks=f"namespaces, {_lsof.LACKS}",
    remarks="what `lsof -n -P -F > DUMP` printed: the tree, and what is open",
)
