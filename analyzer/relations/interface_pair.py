"""interface-pair: interfaces of two network namespaces that are the ends of one, or stacked.

Both ends of a veth pair, and a macvlan, ipvlan or vlan interface with what it is on: what goes in
at one comes out at the other. That is what connects a container with the world, and is by design;
a checkpoint has to be told of it (CRIU: --external veth[...], macvlan[...]).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.kinds._named_types import texts
from analyzer.kinds.netdev import names
from analyzer.memory.distinct import member
from analyzer.memory.walk import rings
from analyzer.relations.base import Related, Relation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory
    from analyzer.relations.base import World

_ALIGNED: Final = np.uint64(31)  # NETDEV_ALIGN, before the private part was a field (6.10)


def _find(world: World) -> Iterator[Related]:
    devices = world.all("NETDEV")
    for left, right, word in (_pairs(world.memory, devices), _stacked(world.memory, devices)):
        home = [
            world.memory.gather(end, "net_device", {"net": "nd_net.net"})["net"]
            for end in (left, right)
        ]
        at = np.flatnonzero(home[0] != home[1])
        near, far = (names(world.memory, end[at]).tolist() for end in (left, right))
        detail = texts([f"{a} {word} {b}" for a, b in zip(near, far, strict=True)])
        yield Related("NETDEV", left[at], "NETDEV", right[at], detail=detail)


def _pairs(memory: Memory, devices: U64) -> tuple[U64, U64, str]:
    """Find the veth pairs: two interfaces whose private parts begin with each other."""
    if memory.has("net_device", "priv"):
        private = devices + np.uint64(memory.offset("net_device", "priv"))
    else:
        size = np.uint64(memory.layout.sizeof("net_device") or 0)
        private = devices + ((size + _ALIGNED) & ~_ALIGNED)
    peer, ok = memory.pointers(private)  # struct veth_priv begins with the peer
    known = ok & member(peer, devices)
    order = np.searchsorted(devices, peer).clip(max=max(len(devices) - 1, 0))
    mutual = known & (devices < peer) & (peer[order] == devices) if len(devices) else known
    return devices[mutual], peer[mutual], "is paired with"


def _stacked(memory: Memory, devices: U64) -> tuple[U64, U64, str]:
    """Find what each interface is on (struct netdev_adjacent)."""
    heads = devices + np.uint64(memory.offset("net_device", "adj_list.lower"))
    found = rings(memory, heads)
    entry = found.value - np.uint64(memory.offset("netdev_adjacent", "list"))
    below = memory.gather(entry, "netdev_adjacent", {"device": "dev"})["device"]
    at = np.flatnonzero(member(below, devices))
    return devices[found.owner[at]], below[at], "is on"


RELATION: Final = Relation(
    name="interface-pair",
    title="connected to an interface of another network namespace",
    plural="connected to interfaces of other network namespaces",
    left="is one end",
    right="is the other end",
    impact=Impact.BY_DESIGN,
    next=(
        "nothing, if it is meant to be connected; CRIU: --external names the outer end of a "
        "veth pair, or what a macvlan is on"
    ),
    leads_to=("NETDEV",),
    kernel=_find,
)
