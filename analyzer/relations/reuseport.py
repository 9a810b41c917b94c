"""reuseport: sockets of both sides that take turns at one port (SO_REUSEPORT).

The kernel hands each connection, or datagram, to one of the group (struct sock_reuseport): what the
outside listener is meant to get, the subtree can get, and the other way round.

/proc does not tell who set the option, but two sockets cannot both listen at one address (of one
interface) without it (inet_csk_bind_conflict(), net/ipv4/inet_connection_sock.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from analyzer.core.model import Impact
from analyzer.kinds._sock_facts import said
from analyzer.relations._sockets import internet, mine, protocol_word
from analyzer.relations.base import Related, Relation, words
from analyzer.relations.shown import Tied, listens_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analyzer.relations.base import World
    from analyzer.relations.shown import File, Shown, Sock

T = TypeVar("T")


def _find(world: World) -> Iterator[Related]:
    socks = world.once(internet)
    read = world.memory.gather(socks.address, "sock", {"group": "sk_reuseport_cb"})
    has = np.flatnonzero(read.ok & (read["group"] != 0))
    groups, of = np.unique(read["group"][has], return_inverse=True)
    ours = mine(world, "NET_SOCKET", socks.address[has])
    left: list[int] = []
    right: list[int] = []
    for number in range(len(groups)):
        members, inside = has[of == number].tolist(), ours[of == number].tolist()
        one, others = _apart(members, inside)
        left += others
        right += [one] * len(others)
    detail = words(len(left))
    for row, at in enumerate(left):
        place = socks.ends.local[at], int(socks.ends.local_port[at])
        detail[row] = _in_words(int(socks.protocol[at]), *place)
    yield Related(
        "NET_SOCKET",
        socks.address[np.array(left, np.intp)],
        "NET_SOCKET",
        socks.address[np.array(right, np.intp)],
        detail=detail,
    )


def _apart(members: Sequence[T], inside: Sequence[bool]) -> tuple[T, list[T]]:
    """Return one of a group, and with whom it is told: the only one inside, or the first outside.

    Where all are inside it is the first of them.
    """
    ours = [one for one, mine in zip(members, inside, strict=True) if mine]
    theirs = [one for one, mine in zip(members, inside, strict=True) if not mine]
    one = (ours if len(ours) == 1 or not theirs else theirs)[0]
    return one, [other for other in members if other != one]


def _in_words(protocol: int, address: bytes, port: int) -> str:
    return f"{protocol_word(protocol)} {said(address, port)}"


def _from_proc(shown: Shown) -> Iterator[Tied]:
    known = shown.sock_files()
    groups: dict[tuple[str, str, bytes, int, int], list[Sock]] = {}
    for sock in shown.socks:
        place = listens_at(sock)
        if place is not None and sock.interface is not None and sock.ino in known:
            groups.setdefault((*place, sock.interface), []).append(sock)
    for (_, _, address, port, _), members in groups.items():
        one, others = _apart(members, [_is_ours(known[sock.ino]) for sock in members])
        for other in others:
            yield Tied(other.key, one.key, _in_words(other.number, address, port))


def _is_ours(files: Sequence[File]) -> bool:
    return any(file.inside for file in files)


RELATION: Final = Relation(
    name="reuseport",
    title="shares its port with the other side",
    plural="share their ports with the other side",
    left="takes a part of what comes",
    right="takes a part of what comes",
    impact=Impact.SHARED_STATE,
    next=(
        "start the subtree in a network namespace of its own (unshare -n COMMAND), or let it "
        "listen on another port (ss -ltunp shows who listens)"
    ),
    kernel=_find,
    from_proc=_from_proc,
    hidden="datagram sockets; in a copy of /proc all of them, but procdump's",
)
