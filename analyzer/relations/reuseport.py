"""reuseport: sockets of both sides that take turns at one port (SO_REUSEPORT).

The kernel hands each connection, or datagram, to one of the group (struct sock_reuseport): what the
outside listener is meant to get, the subtree can get, and the other way round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.kinds._sock_facts import said
from analyzer.relations._sockets import internet, mine, protocol_word
from analyzer.relations.base import Related, Relation, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World


def _find(world: World) -> Iterator[Related]:
    socks = world.once(internet)
    read = world.memory.gather(socks.address, "sock", {"group": "sk_reuseport_cb"})
    has = np.flatnonzero(read.ok & (read["group"] != 0))
    groups, of = np.unique(read["group"][has], return_inverse=True)
    ours = mine(world, "NET_SOCKET", socks.address[has])
    left: list[int] = []
    right: list[int] = []
    for number in range(len(groups)):
        members, inside = has[of == number], ours[of == number]
        # Of a border each outside with the one inside, or each inside with the first outside.
        one = members[inside] if inside.sum() == 1 else members[~inside]
        others = members[members != one[0]] if len(one) else members[:0]
        left += others.tolist()
        right += [int(one[0])] * len(others) if len(one) else []
    detail = words(len(left))
    for row, at in enumerate(left):
        where = said(socks.ends.local[at], int(socks.ends.local_port[at]))
        detail[row] = f"{protocol_word(int(socks.protocol[at]))} {where}"
    yield Related(
        "NET_SOCKET",
        socks.address[np.array(left, np.intp)],
        "NET_SOCKET",
        socks.address[np.array(right, np.intp)],
        detail=detail,
    )


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
)
