"""tun-queue: one tun or tap interface with queues on both sides (IFF_MULTI_QUEUE).

Each open file that is attached to it is a queue, and takes a part of its packets (tun_attach(),
drivers/net/tun.c); no queue knows of the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.kinds._named_types import texts
from analyzer.kinds.netdev import names
from analyzer.memory.distinct import member
from analyzer.relations.base import Related, Relation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World


def _find(world: World) -> Iterator[Related]:
    memory = world.memory
    file, _, _ = world.held("tun")
    if len(file) <= 1:  # one has its interface for itself, and its module may have no BTF
        return
    data = memory.gather(file, "file", {"data": "private_data"})
    own = memory.gather(data["data"], "tun_file", {"tun": "tun"})
    device = memory.gather(own["tun"], "tun_struct", {"device": "dev"})["device"]
    at = np.flatnonzero(member(device, world.all("NETDEV")))
    detail = texts(names(memory, device[at]).tolist())
    yield Related("FILE", file[at], "NETDEV", device[at], detail=detail)


RELATION: Final = Relation(
    name="tun-queue",
    title="an interface with queues on both sides",
    plural="interfaces with queues on both sides",
    left="is a queue of it",
    right="is the interface",
    impact=Impact.SHARED_STATE,
    next=(
        "close the descriptor of one side, or detach its queue (TUNSETQUEUE with IFF_DETACH_QUEUE)"
    ),
    shared=True,
    leads_to=("NETDEV",),
    kernel=_find,
)
