r"""What `lsof -F` printed, read as far as it goes as a dump of /proc.

A process is a line ``pPID`` and its fields (``RPARENT``, ``cNAME``, ``uUSER``), an open file a line
``fFD`` and its own (``tTYPE``, ``iINODE``, ``nNAME``); with -F0 they end in a NUL. It knows who has
what open, and the tree. When processes started, their namespaces, offsets and flags it does not
know, and of a mapped file not where it is: a dump that lacks these files says so.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Final

from analyzer.procfs import refusals
from analyzer.procfs.parse import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.procfs.contents import Contents

HEAD: Final = re.compile(rb"p[0-9]{1,9}[\n\0][gRKcuLZ]")
"""How such a text begins."""

_PLACES: Final = {b"cwd": "cwd", b"rtd": "root", b"txt": "exe"}
_SOCKETS: Final = frozenset({b"unix", b"IPv4", b"IPv6", b"sock", b"netlink", b"pack"})
_SPACES: Final = frozenset({b"uts", b"ipc", b"mnt", b"net", b"pid", b"user", b"cgroup", b"time"})
_ESCAPED: Final = re.compile(rb"\\(n|t|r|b|f|\\|x[0-9a-f]{2})")
_MEANT: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f", b"\\": b"\\"}
_NO_DESCRIPTORS: Final = b"NOFD"

_Fields = dict[bytes, bytes]


def fill(contents: Contents, data: bytes) -> None:
    """Add what a text says of processes and their files to `contents`."""
    refused: refusals.Refusals = {}
    pid = ""
    for record in _records(data):
        if b"p" in record:
            pid = decode(record[b"p"]) if record[b"p"].isdigit() else ""
            # With -K each thread repeats what its process has.
            pid = "" if b"K" in record else pid
            if pid and b"R" in record:
                contents.entries[f"{pid}/status"] = _status(pid, record)
                contents.folders.add(f"{pid}/fd")
        elif pid:
            _add(contents, refused, pid, record)
    if refused:
        contents.entries[refusals.PATH] = refusals.text(refused).encode()


def _records(data: bytes) -> Iterator[_Fields]:
    """Yield the fields of each process and each file, by their letters."""
    end = b"\0" if b"\0" in data else b"\n"
    record: _Fields = {}
    for part in data.split(end):
        field = part.lstrip(b"\n") if end == b"\0" else part
        if field[:1] in {b"p", b"f"} and record:
            yield record
            record = {}
        if field:
            record.setdefault(field[:1], field[1:])
    if record:
        yield record


def _status(pid: str, record: _Fields) -> bytes:
    name = record.get(b"c", b"?")
    user = record.get(b"u", b"0")
    told = (b"Name", name), (b"Tgid", pid.encode()), (b"PPid", record[b"R"]), (b"Uid", user)
    return b"".join(b"%s:\t%s\n" % pair for pair in told)


def _add(contents: Contents, refused: refusals.Refusals, pid: str, record: _Fields) -> None:
    where, name = record.get(b"f", b""), record.get(b"n", b"")
    if where == _NO_DESCRIPTORS:
        refused[refusals.OPEN, f"{pid}/fd"] = errno.EACCES
    elif where.isdigit():
        contents.entries.setdefault(f"{pid}/fd/{int(where)}", decode(_link(record)))
    elif where in _PLACES and name.startswith(b"/") and b": Permission denied)" not in name:
        contents.entries.setdefault(f"{pid}/{_PLACES[where]}", decode(_plain(name)))


def _link(record: _Fields) -> bytes:
    """Return what /proc/PID/fd/N says of it."""
    kind, name, ino = (record.get(key, b"") for key in (b"t", b"n", b"i"))
    if kind == b"FIFO" and name == b"pipe" and ino:
        return b"pipe:[%s]" % ino
    if kind in _SOCKETS and (ino or record.get(b"d", b"")).isdigit():
        return b"socket:[%s]" % (ino or record[b"d"])
    if kind == b"a_inode":
        return b"anon_inode:" + re.sub(rb":[0-9]+\]$", b"]", name)
    return b"%s:[%s]" % (name, ino) if name in _SPACES and ino else _plain(name)


def _plain(name: bytes) -> bytes:
    return _ESCAPED.sub(_meant, name)


def _meant(match: re.Match[bytes]) -> bytes:
    word = match[1]
    return bytes([int(word[1:], 16)]) if word.startswith(b"x") else _MEANT[word]
