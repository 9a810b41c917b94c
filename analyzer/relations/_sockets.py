"""Internet sockets of a reading, as columns that several relations ask for."""

from __future__ import annotations

import _socket as socket  # what `socket` is made of: that would import a good deal more
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.values import dataclass
from analyzer.kinds._sock_facts import Endpoints, endpoints
from analyzer.memory.distinct import member, one_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask
    from analyzer.relations.base import World

ESTABLISHED: Final = 1  # include/net/tcp_states.h; of UDP, a connected one
LISTENS: Final = 10
_NAMED: Final = (int(socket.SOCK_STREAM), int(socket.SOCK_DGRAM), int(socket.SOCK_SEQPACKET))


@dataclass(frozen=True)
class Sockets:
    """Sockets of the internet that can have ports, with their namespace, protocol and state.

    `fileless` ones are nobody's yet: their listener has not accepted them; or nobody's any more.
    """

    address: U64
    net: U64
    protocol: npt.NDArray[Any]
    state: npt.NDArray[Any]
    fileless: Mask
    ends: Endpoints

    def take(self, chosen: Mask) -> Sockets:
        """Return the chosen ones."""
        ends = self.ends
        return Sockets(
            self.address[chosen], self.net[chosen], self.protocol[chosen], self.state[chosen],
            self.fileless[chosen],
            Endpoints(
                ends.local[chosen], ends.local_port[chosen],
                ends.remote[chosen], ends.remote_port[chosen], ends.ok[chosen],
            ),
        )  # fmt: skip


def internet(world: World) -> Sockets:
    """Return the internet sockets of a reading (`world.once(internet)`)."""
    memory, address = world.memory, world.all("NET_SOCKET")
    ends = endpoints(memory, address)
    read = memory.gather(
        address, "sock",
        {"net": "__sk_common.skc_net.net", "protocol": "sk_protocol", "type": "sk_type",
         "state": "__sk_common.skc_state", "socket": "sk_socket"},
    )  # fmt: skip
    at = ends.ok & read.ok & one_of(read["type"], _NAMED)
    every = Sockets(
        address, read["net"], read["protocol"], read["state"], read["socket"] == 0, ends
    )
    return every.take(at)


def protocol_word(number: int) -> str:
    """Return "TCP", "UDP", or the number of another protocol."""
    return {6: "TCP", 17: "UDP", 132: "SCTP", 262: "MPTCP"}.get(number, f"protocol {number}")


def mine(world: World, kind: str, addresses: U64) -> Mask:
    """Tell which of some objects that were met the subtree owns."""
    inside, met = world.inside.get(kind, addresses[:0]), world.all(kind)
    if 2 * len(inside) <= len(met):
        return member(addresses, inside)
    return ~member(addresses, met[~world.collected[kind]])  # of the fewer
