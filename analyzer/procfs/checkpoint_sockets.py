"""Sockets in images of CRIU, in the tables that /proc/PID/net has of each network namespace.

Which unix sockets are connected to which no file of /proc tells: see `analyzer.procfs.peers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.procfs.diag import Ends
from analyzer.procfs.protobuf import content, number, numbers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.procfs.protobuf import Fields

_INET, _UNIX, _NETLINK = 4, 5, 13  # of fd_types, images/fdinfo.proto
_SPACE: Final = {_INET: 18, _UNIX: 16, _NETLINK: 13}  # the field of the network namespace
TYPES: Final = frozenset(_SPACE)
"""The types of files that are sockets with a number of their own."""

_ESTABLISHED, _LISTEN = 1, 10  # include/net/tcp_states.h
_ACCEPTS: Final = 1 << 16  # __SO_ACCEPTCON, include/linux/net.h
_CONNECTED, _UNCONNECTED = 3, 1  # SS_*, include/uapi/linux/net.h
_RAW: Final = 3  # SOCK_RAW
_TABLES: Final = {6: "tcp", 17: "udp"}  # by protocol
_WORD: Final = 1 << 32
_HEAD: Final = b"as the kernel heads this table\n"


def tables(socks: Iterable[tuple[int, Fields]], own: int) -> dict[int, dict[str, bytes]]:
    """Return by network namespace (`own` of those that do not say) the tables, by their names."""
    found: dict[int, dict[str, bytes]] = {}
    for kind, said in socks:
        told = _line(kind, said)
        if told is not None:
            name, line = told
            table = found.setdefault(number(said, _SPACE[kind]) or own, {})
            table[name] = table.get(name, _HEAD) + line
    return found


def ends(socks: Iterable[tuple[int, Fields]], own: int) -> dict[int, dict[int, Ends]]:
    """Return by network namespace, as `tables`, the other ends of unix sockets, by inode."""
    found: dict[int, dict[int, Ends]] = {}
    for kind, said in socks:
        if kind == _UNIX:
            space = number(said, _SPACE[kind]) or own
            found.setdefault(space, {})[number(said, 2)] = Ends(number(said, 8))
    return found


def _line(kind: int, said: Fields) -> tuple[str, bytes] | None:
    if kind == _UNIX:
        return "unix", _of_unix(said)
    return _internet(said) if kind == _INET else ("netlink", _netlink(said))


def _of_unix(said: Fields) -> bytes:
    state = number(said, 4)
    flags = _ACCEPTS if state == _LISTEN else 0
    connection = _CONNECTED if state == _ESTABLISHED else _UNCONNECTED
    name = content(said, 11)
    called = name.replace(b"\0", b"@") if name[:1] == b"\0" else name.rstrip(b"\0")
    head = b"0: 00000002 00000000 %08X %04X %02X %5d" % (
        flags, number(said, 3) & 0xFFFF, connection, number(said, 2),
    )  # fmt: skip
    return head + (b" " + called if called and b"\n" not in called else b"") + b"\n"


def _internet(said: Fields) -> tuple[str, bytes] | None:
    local, remote = numbers(said, 11), numbers(said, 12)
    if len(local) not in {1, 4} or len(remote) != len(local):
        return None
    protocol = number(said, 5)
    raw = number(said, 4) == _RAW
    name = "raw" if raw else _TABLES.get(protocol, "")
    ends = (
        b"%s:%04X" % (_address(local), (protocol if raw else number(said, 7)) & 0xFFFF),
        b"%s:%04X" % (_address(remote), number(said, 8) & 0xFFFF),
    )
    line = b"   0: %s %s %02X 00000000:00000000 00:00000000 00000000     0        0 %d 1\n" % (
        *ends, number(said, 6) & 0xFF, number(said, 2),
    )  # fmt: skip
    return (name + ("6" if len(local) > 1 else ""), line) if name else None


def _address(words: Iterable[int]) -> bytes:
    return b"".join(b"%08X" % (word % _WORD) for word in words)


def _netlink(said: Fields) -> bytes:
    return b"0 %d %d 0 0 0 0 0 0 %d\n" % tuple(number(said, field) for field in (3, 7, 2))
