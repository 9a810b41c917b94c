"""Ports that the kernel itself keeps: connections that nobody has open (proc_net_tcp(5))."""

from __future__ import annotations

import _socket as socket  # what `socket` is made of: that would import a good deal more
import struct
from collections import Counter
from typing import TYPE_CHECKING, Final

from analyzer.core.pattern import pattern
from analyzer.procfs.glance import kept

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOUND: Final = {"tcp": "0A", "udp": "07"}  # listening, and unconnected: net/tcp_states.h
_NOWHERE: Final = pattern("0+:0000")
_WORD: Final = pattern("[0-9A-F]{8}")
_V4: Final = 4  # bytes of an address
_STATES: Final = {
    "06": "TIME_WAIT",
    "04": "FIN_WAIT1",
    "05": "FIN_WAIT2",
    "09": "LAST_ACK",
    "0B": "CLOSING",
}


def leftovers(protocol: str, port: int) -> tuple[str, ...]:
    """Return how many connections of a port, in our network namespace, are only the kernel's."""
    if protocol != "tcp":
        return ()
    return tuple(
        f"{count} of its connections in {state}: the kernel's own, they end by themselves"
        for state, count in kept("connections of nobody", _orphans).get(port, Counter()).items()
    )


def bound(protocol: str) -> dict[int, str]:
    """Return what is bound in our network namespace, but no connections: where, by its inode."""
    lines = _lines(protocol)
    return {int(words[9]): _said(words[1]) for words in lines if words[3] == _BOUND[protocol]}


def connected(pid: int, link: str) -> str:
    """Return to whom a socket of a process is connected, by its link in /proc; "" to nobody."""
    inode = link.removeprefix("socket:[").removesuffix("]")
    tables = (protocol for protocol in _BOUND if link.startswith("socket:["))
    for words in (line for protocol in tables for line in _lines(protocol, pid)):
        if words[9] == inode and not _NOWHERE.fullmatch(words[2]):
            return f"connected to {_said(words[2])}"
    return ""


def _said(local: str) -> str:
    """Return where a socket is bound; the words of an address are numbers of this machine."""
    digits, _, port = local.partition(":")
    address = b"".join(struct.pack("=I", int(word, 16)) for word in _WORD.findall(digits))
    family = socket.AF_INET if len(address) == _V4 else socket.AF_INET6
    return f"{socket.inet_ntop(family, address)}:{int(port, 16)}"


def _lines(protocol: str, pid: int | str = "self") -> Iterator[list[str]]:
    for table in (protocol, f"{protocol}6"):
        try:
            with open(f"/proc/{pid}/net/{table}", encoding="ascii") as file:
                yield from (line.split() for line in [*file][1:])
        except OSError:
            continue


def _orphans() -> dict[int, Counter[str]]:
    """Count the connections that nobody has open, by their ports and states."""
    found: dict[int, Counter[str]] = {}
    for words in _lines("tcp"):
        if words[9] == "0" and words[3] in _STATES:
            port = int(words[1].rpartition(":")[2], 16)
            found.setdefault(port, Counter())[_STATES[words[3]]] += 1
    return found
