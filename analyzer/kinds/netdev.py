"""NETDEV: struct net_device, a network interface.

It lives in its network namespace and goes with it, or back to the host's if it is hardware
(net/core/dev.c, default_device_exit_net()). Nothing counts it here: interfaces are told because
two of them in different namespaces can be the ends of one wire (veth), or one on top of the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Fact
from analyzer.kinds._named_types import plain, texts
from analyzer.kinds.base import Association, Edges, Judged, Kind, Known, State
from analyzer.memory.walk import rings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Told
    from analyzer.memory.reader import Memory

INTERFACE: Final = Association("netdev", "its interface")


def interfaces(memory: Memory, namespaces: U64) -> Iterator[Edges]:
    """Yield the interfaces of network namespaces."""
    heads = namespaces + np.uint64(memory.offset("net", "dev_base_head"))
    found = rings(memory, heads)
    device = found.value - np.uint64(memory.offset("net_device", "dev_list"))
    home = memory.gather(device, "net_device", {"net": "nd_net.net"})
    at = np.flatnonzero(home.ok & (home["net"] == namespaces[found.owner]))
    yield Edges(INTERFACE, "NETDEV", found.owner[at], device[at], torn=found.torn)


def names(memory: Memory, devices: U64) -> npt.NDArray[np.object_]:
    """Return the names of interfaces ("eth0"); "" where they cannot be read."""
    read = memory.gather(devices, "net_device", {"name": "name"})
    return np.where(read.ok, texts([plain(name) for name in read["name"].tolist()]), "")


def _state(memory: Memory, devices: U64) -> Told:
    read = memory.gather(devices, "net_device", {"index": "ifindex"})
    return {"netdev.index": Known(read["index"], read.ok)}


KIND: Final = Kind(
    name="NETDEV",
    struct="net_device",
    title="interface",
    plural="interfaces",
    message="netdev",
    order=141,
    rank=95,
    counters=(),
    judged=Judged.NOT,
    names=names,
    derived=True,
    state=State((Fact("netdev.index", "number", "index of an interface"),), _state),
)
