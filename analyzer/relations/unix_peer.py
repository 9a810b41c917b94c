"""unix-peer: unix sockets of both sides that are connected, or have messages for each other.

What is sent can be lost on a checkpoint (CRIU: "external socket"), and open files can come over
such a connection (SCM_RIGHTS). Found by the peer that each socket has (struct unix_sock), a
connection that waits to be accepted too; and by the senders of the messages in a queue, which need
not be connected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.kinds._sock_facts import paths
from analyzer.memory.distinct import member, unique
from analyzer.memory.walk import rings
from analyzer.relations._sockets import mine
from analyzer.relations.base import Related, Relation, words
from analyzer.relations.shown import Tied, unaccepted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory
    from analyzer.relations.base import World
    from analyzer.relations.shown import Shown, Sock

_LISTENS: Final = 10
_TYPES: Final = {1: "stream", 2: "datagram", 5: "seqpacket"}


def _find(world: World) -> Iterator[Related]:
    memory = world.memory
    one, other, _ = world.held("peer")
    if world.inside:  # of a border only what crosses it is worth its words
        across = mine(world, "SOCKET", one) != mine(world, "SOCKET", other)
        one, other = one[across], other[across]
    back = memory.gather(other, "unix_sock", {"peer": "peer"})
    # Of two that are each other's peer one row is enough.
    keep = ~(back.ok & (back["peer"] == one)) | (one < other)
    one, other = one[keep], other[keep]
    _, waiting, _ = world.held("backlog")
    queued = member(one, unique(waiting)) | member(other, unique(waiting))
    more = np.where(queued, ", not accepted yet", "").astype(object)
    yield Related("SOCKET", one, "SOCKET", other, detail=_detail(memory, one, other) + more)
    yield from _queued(world)


def _detail(memory: Memory, one: U64, other: U64) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    read = memory.gather(one, "sock", {"type": "sk_type"})
    near, far = paths(memory, one), paths(memory, other)
    found = words(len(one))
    for row, code in enumerate(read["type"].tolist()):
        called = far[row] or near[row]
        found[row] = f"{_TYPES.get(code, code)}{f', {called}' if called else ''}"
    return found


def _queued(world: World) -> Iterator[Related]:
    memory, socks = world.memory, world.all("SOCKET")
    read = memory.gather(
        socks,
        "sock",
        {"count": "sk_receive_queue.qlen"},
    )
    full = socks[read.ok & (read["count"] > 0)]
    if not len(full):
        return
    state = memory.gather(full, "sock", {"state": "__sk_common.skc_state"})
    full = full[state.ok & (state["state"] != _LISTENS)]
    found = rings(memory, full + np.uint64(memory.offset("sock", "sk_receive_queue")))
    sender = memory.gather(found.value, "sk_buff", {"sk": "sk"})["sk"]
    taker = full[found.owner]
    peer = memory.gather(taker, "unix_sock", {"peer": "peer"})["peer"]
    at = np.flatnonzero(member(sender, socks) & (sender != peer) & (sender != taker))
    pairs, count = np.unique(np.stack((sender[at], taker[at]), axis=1), axis=0, return_counts=True)
    detail = words(len(pairs))
    for row, (number, path) in enumerate(
        zip(count.tolist(), paths(memory, pairs[:, 1].copy()), strict=True)
    ):
        what = f"{number} message{'s' if number > 1 else ''} not yet received"
        detail[row] = f"{what}{f', {path}' if path else ''}"
    yield Related("SOCKET", pairs[:, 0].copy(), "SOCKET", pairs[:, 1].copy(), detail=detail)


def _from_proc(shown: Shown) -> Iterator[Tied]:
    known = shown.sock_files()
    socks = {one.ino: one for one in shown.socks if one.family == "unix" and one.ino in known}
    for one in socks.values():
        other = socks.get(one.peer)
        # Of two that are each other's peer one row is enough.
        if other is not None and (other.peer != one.ino or one.ino < other.ino):
            yield Tied(one.key, other.key, _said(one, other))
        for waits in (socks[ino] for ino in one.waiting if ino in socks):
            yield Tied(waits.key, unaccepted(waits.ino), f"{_said(waits, one)}, not accepted yet")


def _said(one: Sock, other: Sock) -> str:
    kind = "datagram" if one.type == "dgram" else one.type
    called = other.local or one.local
    return f"{kind}, {called}" if called else kind


RELATION: Final = Relation(
    name="unix-peer",
    title="connected to a unix socket of the other side",
    plural="connected to unix sockets of the other side",
    left="is one end",
    right="is the other end",
    impact=Impact.LOST,
    next=(
        "close it before a checkpoint (ss -xp shows both ends); CRIU: --external names the "
        "inode of the end inside"
    ),
    counted_as="SOCKET",
    kernel=_find,
    from_proc=_from_proc,
    hidden=(
        "messages from sockets that are not connected; in a plain copy of /proc all of it "
        "(procdump has it, and its script where there is ss), and without CAP_SYS_ADMIN what is of "
        "other network namespaces"
    ),
)
