"""rtnetlink(7): what /sys does not tell of the interfaces of our own network namespace.

Which port a tunnel has, and which BPF program an XDP hook runs: see include/uapi/linux/if_link.h.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Final

from analyzer.core.values import NamedTuple
from analyzer.procfs.diag import DONE, ERROR, HEAD, MOST, REQUEST_DUMP, attributes, messages
from analyzer.procfs.glance import kept

if TYPE_CHECKING:
    from collections.abc import Iterator

_GETLINK, _NEWLINK = 18, 16  # RTM_*, include/uapi/linux/rtnetlink.h
_ABOUT: Final = struct.Struct("=BxHiII")  # struct ifinfomsg
_NAME, _INFO, _XDP = 3, 18, 43  # IFLA_*
_KIND, _DATA = 1, 2  # IFLA_INFO_*
_PORTS: Final = {b"vxlan": 15, b"geneve": 5, b"bareudp": 1}  # IFLA_VXLAN_PORT, and so on
_UNTOLD: Final = frozenset({"wireguard", "gtp"})
_PROGRAMS: Final = frozenset({5, 6, 7})  # IFLA_XDP_*_PROG_ID: of the driver, of skbs, of hardware
_TYPE: Final = 0x3FFF  # NLA_TYPE_MASK
_PATIENCE: Final = 2.0  # seconds


class Link(NamedTuple):
    """An interface: its kind ("" for hardware), the UDP port of a tunnel, the programs of XDP."""

    name: str
    kind: str = ""
    port: int = 0
    programs: tuple[int, ...] = ()


def tunnels(port: int) -> list[str]:
    """Return the tunnels that have a UDP port; where none has, those of which it is not told."""
    mine = [one.name for one in links() if one.port == port]
    return mine or [one.name for one in links() if one.kind in _UNTOLD]


def links() -> tuple[Link, ...]:
    """Return the interfaces of our network namespace, none where the kernel does not answer."""
    return kept("interfaces", lambda: tuple(parse(_ask())))


def parse(answers: bytes) -> Iterator[Link]:
    """Parse what is answered to RTM_GETLINK; of what is cut short, what there is."""
    for kind, body in messages(answers):
        told = _known(body[_ABOUT.size :]) if kind == _NEWLINK else {}
        if _NAME in told:
            info, xdp = (_known(told.get(one, b"")) for one in (_INFO, _XDP))
            called = info.get(_KIND, b"").rstrip(b"\0")
            port = _known(info.get(_DATA, b"")).get(_PORTS.get(called, -1), b"")
            yield Link(
                told[_NAME].rstrip(b"\0").decode("utf-8", "surrogateescape"),
                called.decode("ascii", "replace"),
                int.from_bytes(port[:2], "big"),
                tuple(
                    int.from_bytes(xdp[one][:4], sys.byteorder)
                    for one in sorted(_PROGRAMS & xdp.keys())
                ),
            )


def _known(data: bytes) -> dict[int, bytes]:
    return {kind & _TYPE: value for kind, value in attributes(data)}


def _ask() -> bytes:
    import socket  # few questions are about interfaces

    found = bytearray()
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asker:
            asker.settimeout(_PATIENCE)
            body = _ABOUT.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
            asker.send(HEAD.pack(HEAD.size + len(body), _GETLINK, REQUEST_DUMP, 1, 0) + body)
            while True:
                data = asker.recv(MOST)
                found += data
                if not data or any(kind in {ERROR, DONE} for kind, _ in messages(data)):
                    return bytes(found)
    except OSError:
        return b""
