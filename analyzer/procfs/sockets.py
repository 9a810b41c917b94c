"""/proc/PID/net: the sockets of a network namespace (proc_pid_net(5)).

``socket:[N]``, where a descriptor leads, is the number of its inode, and so is a column of these
tables; 0 is a socket without a file. vsock and what only kernels use are in none of them.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError
from analyzer.kinds._sock_facts import netlink_word, protocol_word, said, state_word, type_word
from analyzer.procfs import peers
from analyzer.procfs.parse import decode
from analyzer.relations.shown import Sock, listens_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from analyzer.procfs.fs import ProcFs
    from analyzer.relations.shown import Task

_UNIX: Final = re.compile(
    rb"[0-9a-fA-F]+: [0-9A-F]{8} [0-9A-F]{8} ([0-9A-F]{8}) ([0-9A-F]{4}) ([0-9A-F]{2}) +"
    rb"([0-9]{1,20})(?: (.*))?$"
)
_INTERNET: Final = re.compile(
    rb" *[0-9]+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})"
    rb" ([0-9A-F]{2}) [0-9A-F]+:[0-9A-F]+ [0-9A-F]+:[0-9A-F]+ [0-9A-F]+"
    rb" +[0-9]+ +[0-9]+ ([0-9]{1,20})(?: |$)"
)
_PLAIN: Final = re.compile(rb"[0-9a-fA-F]+ +([0-9]+) +([0-9a-fA-F]+) .*?([0-9]{1,20}) *$")
_PACKET: Final = re.compile(
    rb"[0-9a-fA-F]+ +[0-9]+ +([0-9]+) +[0-9a-fA-F]+ +([0-9]{1,10}) .*?([0-9]{1,20}) *$"
)
_LISTENS: Final = 1 << 16  # __SO_ACCEPTCON, include/linux/net.h
_CONNECTED: Final = 3  # SS_CONNECTED
_MAPPED: Final = b"\0" * 10 + b"\xff\xff"
_STREAM, _DGRAM, _RAW = 1, 2, 3
_FILES: Final = {"tcp": (_STREAM, 6), "udp": (_DGRAM, 17), "raw": (_RAW, 0)}


def read(fs: ProcFs, tasks: Iterable[Task], spaces: Iterable[str] | None) -> list[Sock]:
    """Return the sockets of network namespaces (all that are shown, by default)."""
    members: dict[str, list[int]] = {}
    for task in tasks:
        space = task.spaces.get("net")
        if space is not None and task.leads and not task.exiting and not task.kthread:
            members.setdefault(space, []).append(task.tid)
    wanted = members.keys() if spaces is None else members.keys() & set(spaces)
    found = [one for space in sorted(wanted) for one in _read(fs, space, members[space])]
    asked = {space: members[space] for space in wanted}
    ends = peers.ends(fs, asked) if any(one.family == "unix" for one in found) else {}
    ports = Counter(map(listens_at, found))
    several = {place for place, count in ports.items() if place is not None and count > 1}
    bound = peers.listeners(fs, asked) if several else {}
    return [_joined(one, ends.get(one.space), bound) for one in found]


def _joined(one: Sock, ends: peers.Told | None, bound: Mapping[int, int]) -> Sock:
    told = ends.of(one.ino) if ends is not None and one.family == "unix" else None
    if told is not None:
        local = told.local or one.local
        return one._replace(peer=told.peer, waiting=told.waiting, local=local, told=True)
    return one if listens_at(one) is None else one._replace(interface=bound.get(one.ino))


def _read(fs: ProcFs, space: str, members: list[int]) -> list[Sock]:
    # A dump has those of one process in each namespace.
    for pid in members:
        tables = {name: _text(fs, f"{pid}/net/{name}") for name in _TABLES}
        if any(tables.values()):
            return [one for name, parse in _TABLES.items() for one in parse(tables[name], space)]
    return []


def _text(fs: ProcFs, path: str) -> bytes:
    try:
        return fs.read(path)
    except (OSError, BadInputError):
        return b""  # without it the sockets have no addresses, and connections no other end


def unix(data: bytes, space: str) -> Iterator[Sock]:
    """Parse net/unix; what is no such line is left out."""
    for line in data.splitlines()[1:]:
        found = _UNIX.match(line)
        if found is not None:
            state = 10 if int(found[1], 16) & _LISTENS else 7
            state = 1 if int(found[3], 16) == _CONNECTED else state
            kind = int(found[2], 16)
            yield Sock(int(found[4]), space, "unix", type_word(kind), "", state,
                       state_word(1, state, kind), decode(found[5] or b""))  # fmt: skip


def internet(data: bytes, space: str, kind: int, protocol: int) -> Iterator[Sock]:
    """Parse net/tcp, net/udp6 and the like."""
    for line in data.splitlines()[1:]:
        found = _INTERNET.match(line)
        if found is None:
            continue
        local, remote = _address(found[1]), _address(found[3])
        ports = int(found[2], 16), int(found[4], 16)
        state, number = int(found[5], 16), protocol or ports[0]
        family = "inet" if len(found[1]) == 8 else "inet6"  # noqa: PLR2004 -- hex digits
        yield Sock(
            int(found[6]), space, family, type_word(kind), protocol_word(number), state,
            state_word(2, state, kind),
            said(local, ports[0]) if ports[0] or local else "",
            said(remote, ports[1]) if ports[1] or remote else "",
            number, (local, ports[0], remote, ports[1]),
        )  # fmt: skip


def _address(digits: bytes) -> bytes:
    # Words of 32 bits, each printed as a number of a little machine.
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    data = b"".join(struct.pack("<I", word) for word in words)
    return b"" if not any(words) else (_MAPPED + data if len(words) == 1 else data)


def netlink(data: bytes, space: str) -> Iterator[Sock]:
    """Parse net/netlink."""
    for line in data.splitlines()[1:]:
        found = _PLAIN.match(line)
        if found is not None:
            protocol = netlink_word(int(found[1]))
            yield Sock(int(found[3]), space, "netlink", "", protocol, 0, "", decode(found[2]))


def packet(data: bytes, space: str) -> Iterator[Sock]:
    """Parse net/packet."""
    for line in data.splitlines()[1:]:
        found = _PACKET.match(line)
        if found is not None:
            interface = int(found[2])
            local = f"interface {interface}" if interface else ""
            yield Sock(int(found[3]), space, "packet", type_word(int(found[1])), "", 0, "", local)


_TABLES: Final[Mapping[str, Callable[[bytes, str], Iterable[Sock]]]] = {
    "unix": unix,
    "netlink": netlink,
    "packet": packet,
    **{
        f"{name}{version}": partial(internet, kind=kind, protocol=protocol)
        for name, (kind, protocol) in _FILES.items()
        for version in ("", "6")
    },
}
