"""The columns that lsfd(1) has a name of its own for, out of what is known of an object.

It has columns for each protocol; our facts (`local`, `socket.state`) are the same for all. What
somebody knows from there (``TCP.LPORT == 80``) is so found under the name that it has there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from analyzer.core.values import NamedTuple
from analyzer.kinds import registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.report.value import ReportObject

    Get = Callable[[ReportObject], str | int | bool | None]

Sort = Literal["string", "number", "boolean"]

_ANY: Final = {"inet": "0.0.0.0", "inet6": "[::]"}  # noqa: S104 - it is told, and not bound to

_ECHO: Final = ("icmp", "icmpv6")


class Known(NamedTuple):
    """A column of lsfd's: its name, type and meaning, and its value for an object."""

    name: str
    type: Sort
    meaning: str
    get: Get


def _of(fact: str) -> Get:
    return lambda entry: entry.facts.get(fact)


def _fact(name: str, fact: str, wanted: str) -> Get:
    """Return a fact of the objects of which another fact is what is wanted."""
    return lambda entry: entry.facts.get(fact) if entry.facts.get(name) == wanted else None


def _listening(entry: ReportObject) -> bool | None:
    state = entry.facts.get("socket.state")
    return None if state is None else state == "listening"


def _protocol(entry: ReportObject) -> str | int | None:
    return entry.facts.get("socket.protocol") or entry.facts.get("socket.family")


def _split(entry: ReportObject, side: str, protocol: str = "") -> tuple[str, str] | None:
    """Return the address, an IPv6 one in brackets, and the port of one side of a connection."""
    family, said = entry.facts.get("socket.family"), entry.facts.get(side)
    if family not in _ANY or not said:
        return None
    if protocol and entry.facts.get("socket.protocol") != protocol:
        return None
    address, _, port = str(said).rpartition(":")
    return _ANY[str(family)] if address == "*" else address, port


def _host(side: str, family: str) -> Get:
    def get(entry: ReportObject) -> str | None:
        found = _split(entry, side) if entry.facts.get("socket.family") == family else None
        return None if found is None else found[0].strip("[]")

    return get


def _address(side: str, protocol: str) -> Get:
    def get(entry: ReportObject) -> str | None:
        found = _split(entry, side, protocol)
        return None if found is None else ":".join(found)

    return get


def _port(side: str, protocol: str) -> Get:
    def get(entry: ReportObject) -> int | None:
        found = _split(entry, side, protocol)
        return int(found[1]) if found is not None and found[1].isdecimal() else None

    return get


def _vsock(side: str, part: int) -> Get:
    """Return the context (part 0) or the port (1) of one side of a vsock; None where it is any."""

    def get(entry: ReportObject) -> int | None:
        said = str(_fact("socket.family", side, "vsock")(entry) or "").split(":")
        return int(said[part]) if len(said) > part and said[part].isdecimal() else None

    return get


def _raw_protocol(entry: ReportObject) -> str | int | None:
    internet = entry.facts.get("socket.family") in _ANY
    return _fact("socket.type", "socket.protocol", "raw")(entry) if internet else None


def _ping(entry: ReportObject) -> str | int | None:
    protocol = str(entry.facts.get("socket.protocol"))
    echo = protocol in _ECHO and entry.facts.get("socket.type") == "dgram"
    return _port("local", protocol)(entry) if echo else None


def _netlink_port(entry: ReportObject) -> int | None:
    said = str(_fact("socket.family", "local", "netlink")(entry) or "")
    return int(said) if said.isdecimal() else None


def _namespace(entry: ReportObject) -> str | None:
    return registry()[entry.kind].namespace or None


_SIDES: Final = (("L", "local", "own"), ("R", "remote", "the other end's"))
_TOLD: Final[tuple[tuple[str, Sort, str, Callable[[str, str], Get]], ...]] = (
    ("ADDR", "string", "address and port", _address),
    ("PORT", "number", "port", _port),
)
_NUMBER_AND_TYPE: Final[tuple[tuple[str, Sort, str], ...]] = (
    ("id", "number", "number"),
    ("type", "string", "type"),
)
_OF_PROTOCOLS: Final = tuple(
    Known(
        f"{name.upper()}.{letter}{what}",
        kind,
        f"{whose} {words} of a {name} socket",
        get(side, name),
    )
    for name in ("tcp", "udp", "udplite")
    for letter, side, whose in _SIDES
    for what, kind, words, get in _TOLD
)
_OF_FAMILIES: Final = tuple(
    Known(
        f"{family.upper()}.{letter}ADDR",
        "string",
        f"{whose} {words} address",
        _host(side, family),
    )
    for family, words in (("inet", "IPv4"), ("inet6", "IPv6"))
    for letter, side, whose in _SIDES
)

_OF_VSOCKS: Final = tuple(
    Known(f"VSOCK.{letter}{name}", "number", f"{whose} {words} of a vsock", _vsock(side, part))
    for letter, side, whose in _SIDES
    for part, (name, words) in enumerate((("CID", "context id"), ("PORT", "port")))
)
_OF_BPF: Final = tuple(
    Known(f"{kind.upper()}.{what.upper()}", sort, f"{words} of a BPF {noun}",
          _fact("open.type", f"bpf.{what}", kind))
    for kind, noun in (("bpf-map", "map"), ("bpf-prog", "program"))
    for what, sort, words in _NUMBER_AND_TYPE
)  # fmt: skip

COLUMNS: Final[tuple[Known, ...]] = (
    Known("SOCK.LISTENING", "boolean", "a socket that listens", _listening),
    Known("SOCK.NETNS", "number", "network namespace of a socket: inode", _of("socket.netns")),
    Known("SOCK.PROTONAME", "string", "protocol of a socket, else its family", _protocol),
    Known("SOCK.SHUTDOWN", "string", "whether a socket receives and sends: rw, r-, -w, --",
          _of("socket.shutdown")),
    Known("SOCK.STATE", "string", "state of a socket: SOCKET.STATE", _of("socket.state")),
    Known("SOCK.TYPE", "string", "type of a socket: SOCKET.TYPE", _of("socket.type")),
    *_OF_FAMILIES,
    *_OF_PROTOCOLS,
    Known("RAW.PROTOCOL", "string", "protocol of a raw socket", _raw_protocol),
    Known("PING.ID", "number", "id of the echo requests of a ping socket", _ping),
    Known("PACKET.IFACE", "string", "interface of a packet socket: PACKET.INTERFACE",
          _of("packet.interface")),
    Known("UNIX.IPEER", "number", "inode of the other end of a unix socket: SOCKET.PEER",
          _of("socket.peer")),
    Known("UNIX.PATH", "string", "path of a unix socket, or @ and its abstract name",
          _fact("socket.family", "local", "unix")),
    Known("NETLINK.LPORT", "number", "port of a netlink socket", _netlink_port),
    Known("NETLINK.PROTOCOL", "string", "protocol of a netlink socket",
          _fact("socket.family", "socket.protocol", "netlink")),
    Known("VSOCK.LADDR", "string", "own address of a vsock",
          _fact("socket.family", "local", "vsock")),
    Known("VSOCK.RADDR", "string", "address of the other end of a vsock",
          _fact("socket.family", "remote", "vsock")),
    *_OF_VSOCKS,
    *_OF_BPF,
    Known("EVENTPOLL.TFDS", "string", "descriptors that an epoll watches: EPOLL.TARGETS",
          _of("epoll.targets")),
    Known("TIMERFD.CLOCKID", "string", "clock of a timerfd: TIMERFD.CLOCK",
          _of("timerfd.clock")),
    Known("TUN.IFACE", "string", "interface of a tun or tap: TUN.INTERFACE",
          _of("tun.interface")),
    Known("PTMX.TTY-INDEX", "number", "number of the terminal that a master is of",
          _fact("tty.driver", "tty.index", "pty_master")),
    Known("NS.NAME", "string", "name of a namespace: net:[N]",
          lambda entry: entry.name if _namespace(entry) else None),
    Known("NS.TYPE", "string", "type of a namespace: net, mnt, ...", _namespace),
)  # fmt: skip
