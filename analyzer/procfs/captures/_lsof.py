r"""What the two forms of lsof's output have in common: where a descriptor leads, and escapes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from analyzer.core.values import NamedTuple
from analyzer.procfs.parse import decode

if TYPE_CHECKING:
    from analyzer.procfs.captures.told import Told

LACKS: Final = (
    "offsets, flags, locks, which files are mapped where, threads; of a process whose name has a "
    "newline in it lsof 4.95 tells nothing, and of one with brackets no parent"
)

_PLACES: Final = {b"cwd": "cwd", b"rtd": "root", b"txt": "exe"}
_ORPHANS: Final = frozenset({b"1", b"2"})
_SOCKETS: Final = frozenset(
    {b"unix", b"IPv4", b"IPv6", b"sock", b"netlink", b"pack", b"raw", b"raw6", b"icmp", b"SCTP"}
)
_SPACES: Final = frozenset({b"uts", b"ipc", b"mnt", b"net", b"pid", b"user", b"cgroup", b"time"})
_ESCAPED: Final = re.compile(rb"\\(n|t|r|b|f|\\|x[0-9a-f]{2})")
_MEANT: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f", b"\\": b"\\"}
_REFUSED: Final = re.compile(
    rb"/proc/[0-9]+/(fd/[0-9]+|fd|cwd|root|exe) \((readlink|opendir): [^)]*\)"
)


class Row(NamedTuple):
    """One file of a process, by lsof's columns; FD is `where` and `access`."""

    where: bytes
    access: bytes
    kind: bytes
    device: bytes
    node: bytes
    name: bytes


def is_one(where: bytes) -> bool:
    """Tell whether a process has one file at most that is called so in column FD."""
    return where.isdigit() or where in {b"cwd", b"rtd"}


def add(told: Told, pid: int, row: Row) -> None:
    """Add one file of a process."""
    where, name = row.where, row.name
    if _REFUSED.fullmatch(name):
        if where.isdigit() or where == b"NOFD":
            told.refused(pid)
    elif where.isdigit():
        told.file(pid, int(where), decode(_target(*row[2:])), row.access)
    elif where in _PLACES and name.startswith(b"/"):
        told.link(f"{pid}/{_PLACES[where]}", decode(plain(name)))


def process(told: Told, pid: bytes, name: bytes | None, parent: bytes, user: bytes) -> int:
    """Add a process; return its number, 0 for what is none."""
    known = {} if name is None else {"Name": plain(name)}
    # lsof 4.95 says 0 too where a name has brackets that it does not understand.
    if parent.isdigit() and (parent != b"0" or pid in _ORPHANS):
        known["PPid"] = parent
    if user.isdigit():
        known["Uid"] = user
    number = told.process(pid, **known)
    if number:
        told.open(number)
    return number


def _target(kind: bytes, device: bytes, node: bytes, name: bytes) -> bytes:
    """Return what /proc/PID/fd/N says of it."""
    if kind == b"FIFO" and name == b"pipe" and node.isdigit():
        return b"pipe:[%s]" % node
    if kind in _SOCKETS:
        # The number of an internet socket, and of a packet socket, is where others have a device.
        number = device if device.isdigit() else node
        if number.isdigit():
            return b"socket:[%s]" % number
    if kind == b"a_inode":
        return b"anon_inode:" + re.sub(rb":[0-9,.]+\]$", b"]", name)
    return b"%s:[%s]" % (name, node) if name in _SPACES and node.isdigit() else plain(name)


def plain(name: bytes) -> bytes:
    """Return a name without the escapes that lsof makes."""
    return _ESCAPED.sub(_meant, name) if b"\\" in name else name


def _meant(match: re.Match[bytes]) -> bytes:
    word = match[1]
    return bytes([int(word[1:], 16)]) if word.startswith(b"x") else _MEANT[word]
