"""internet-peer: a connection of which both ends are on this machine, one on each side.

The kernel knows of no reference between the two: they are found by their addresses and ports, each
the other's, of one protocol, in one network namespace (loopback), or in two (a veth pair, a
bridge) where only one socket fits. A connection that nobody has accepted yet is told of the
listener. Behind address translation the two do not fit, and are not found.

A datagram socket that is connected to one that is not is a connection too, if its address is that
of the other, or of the loopback.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.kinds._sock_facts import Endpoints, said
from analyzer.memory.distinct import unique
from analyzer.relations._sockets import ESTABLISHED, LISTENS, Sockets, internet, mine, protocol_word
from analyzer.relations.base import Related, Relation, words
from analyzer.relations.shown import Tied

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from analyzer.relations.base import World
    from analyzer.relations.shown import Shown

_UDP: Final = 17
_LOOPBACK: Final = b"\0" * 10 + b"\xff\xff\x7f"  # 127.0.0.0/8, mapped
_LOOPBACK_6: Final = b"\0" * 15 + b"\x01"
Key = tuple[Any, ...]


def _find(world: World) -> Iterator[Related]:
    socks = _likely(world)
    pairs = list(_pairs(socks))
    if pairs:
        left, right = np.array([pair[:2] for pair in pairs]).T
        detail = words(len(pairs))
        detail[:] = [said for *_, said in pairs]
        yield Related(
            "NET_SOCKET", socks.address[left], "NET_SOCKET", socks.address[right], detail=detail
        )


def _pairs(socks: Sockets) -> Iterator[tuple[int, int, str]]:
    """Yield which two (by their rows) are the ends of a connection, and what it is in words."""
    ends = socks.ends
    rows = list(
        zip(
            socks.protocol.tolist(),
            ends.local.tolist(),
            ends.local_port.tolist(),
            ends.remote.tolist(),
            ends.remote_port.tolist(),
            strict=True,
        )
    )
    exact, bound = _tables(socks, rows)
    for at, (protocol, local, port, remote, remote_port) in enumerate(rows):
        if not (port and remote_port) or socks.fileless[at] or socks.state[at] == LISTENS:
            continue
        other = _one(socks, at, exact[protocol, remote, remote_port, local, port], remote)
        if other is not None and not socks.fileless[other]:
            if at < other:  # told once, from the end that comes first
                yield at, other, _said(rows[at])
        elif socks.state[at] == ESTABLISHED:
            taker = _taker(
                socks, at if other is None else other, bound, (protocol, remote, remote_port)
            )
            if taker is not None and taker != at:
                yield at, taker, _said(rows[at], "" if protocol == _UDP else ", not accepted yet")


def _said(row: tuple[int, bytes, int, bytes, int], more: str = "") -> str:
    protocol, local, port, remote, remote_port = row
    ways = f"{said(local, port)} to {said(remote, remote_port)}"
    return f"{protocol_word(protocol)} {ways}{more}"


def _likely(world: World) -> Sockets:
    """Return the sockets that can be an end: of a border those with a port of the subtree's."""
    socks = world.once(internet)
    if not world.inside:
        return socks
    ours = mine(world, "NET_SOCKET", socks.address)
    ends = socks.ends
    ports = unique(ends.local_port[ours], ends.remote_port[ours])
    ports = ports[ports != 0]
    return socks.take(np.isin(ends.local_port, ports) | np.isin(ends.remote_port, ports))


def _tables(
    socks: Sockets, rows: list[tuple[int, bytes, int, bytes, int]]
) -> tuple[Mapping[Key, list[int]], Mapping[Key, list[int]]]:
    """Return the sockets by all of their addresses, and those that take from all by their own."""
    exact: dict[Key, list[int]] = defaultdict(list)
    bound: dict[Key, list[int]] = defaultdict(list)
    for at, row in enumerate(rows):
        protocol, local, port, _, remote_port = row
        if remote_port:
            exact[row].append(at)
        elif port and (socks.state[at] == LISTENS or protocol == _UDP):
            bound[protocol, local, port].append(at)
    return exact, bound


def _one(socks: Sockets, at: int, found: list[int], remote: bytes) -> int | None:
    others = [other for other in found if other != at]
    near = [other for other in others if socks.net[other] == socks.net[at]]
    if near:
        return near[0]
    return others[0] if len(others) == 1 and not _is_loopback(remote) else None


def _taker(
    socks: Sockets, at: int, bound: Mapping[Key, list[int]], key: tuple[int, bytes, int]
) -> int | None:
    """Find who takes what comes to an address in the namespace of a socket."""
    protocol, address, port = key
    # Bound to any address it takes what is for this machine: a connection, or on the loopback.
    here = socks.fileless[at] or _is_loopback(address)
    found = [*bound.get(key, ()), *(bound.get((protocol, b"", port), ()) if here else ())]
    near = [other for other in found if socks.net[other] == socks.net[at]]
    return near[0] if near else None


def _is_loopback(address: bytes) -> bool:
    return address.startswith(_LOOPBACK) or address == _LOOPBACK_6


def _from_proc(shown: Shown) -> Iterator[Tied]:
    known = shown.sock_files()
    socks = [
        one
        for one in shown.socks
        if one.ends is not None and one.type != "raw" and (one.ino or one.code == ESTABLISHED)
    ]
    if not shown.host:
        inside = {ino for ino, files in known.items() if any(file.inside for file in files)}
        some = [one.ends for one in socks if one.ino in inside and one.ends is not None]
        ports = {port for ends in some for port in (ends[1], ends[3])} - {0}
        socks = [one for one in socks if one.ends and not ports.isdisjoint(one.ends[1::2])]
    spaces = {space: at for at, space in enumerate(dict.fromkeys(one.space for one in socks))}
    ends = [one.ends or (b"", 0, b"", 0) for one in socks]
    every = Sockets(
        np.arange(len(socks), dtype=np.uint64),
        np.array([spaces[one.space] for one in socks], np.uint64),
        np.array([one.number for one in socks], np.int64),
        np.array([one.code for one in socks], np.int64),
        np.array([not one.ino for one in socks], np.bool_),
        Endpoints(
            np.array([one[0] for one in ends], "S16"), np.array([one[1] for one in ends], np.int64),
            np.array([one[2] for one in ends], "S16"), np.array([one[3] for one in ends], np.int64),
            np.ones(len(socks), np.bool_),
        ),
    )  # fmt: skip
    for left, right, detail in _pairs(every):
        one, other = socks[left], socks[right]
        # In two namespaces nobody else may fit, and of nobody's socket the side is not known.
        near = one.space == other.space or shown.whole
        if near and one.ino in known and other.ino in known:
            yield Tied(one.key, other.key, detail)


RELATION: Final = Relation(
    name="internet-peer",
    title="connected to the other side",
    plural="connected to the other side",
    left="is one end",
    right="is the other end",
    impact=Impact.LOST,
    next=(
        "close it before a checkpoint (from outside: ss -K dst ADDRESS:PORT); CRIU: --tcp- "
        "established if both ends are dumped, else --tcp-close"
    ),
    kernel=_find,
    from_proc=_from_proc,
    unseen="connections through address translation",
)
