"""foreign-net: a socket of somebody else's network namespace in a subtree that has its own.

A socket stays in the namespace that it was made in (socket(2), network_namespaces(7)): who has one
of the host's can talk on the host's network, whatever the namespace of the task is. So can who has
a tun device whose interface is there. A connected unix socket speaks to its peer alone, and is told
as that (unix-peer); an unconnected one can reach the abstract names of its namespace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.kinds._initial import initial
from analyzer.kinds._named_types import texts
from analyzer.kinds._sock_facts import OTHERS, UNIX
from analyzer.memory.distinct import member, unique
from analyzer.relations._tasks import tasks
from analyzer.relations.base import Related, Relation
from analyzer.relations.shown import Tied

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask
    from analyzer.relations.base import World
    from analyzer.relations.shown import Key, Shown, Task

_CONNECTED: Final = 1
_SAID: Final = ("socket.family", "socket.protocol", "local", "remote")


def _find(world: World) -> Iterator[Related]:
    members = _Members(world)
    if not members.elsewhere():
        return
    for kind, state in (("NET_SOCKET", OTHERS), ("SOCKET", UNIX)):
        socks = world.inside.get(kind, np.empty(0, np.uint64))
        read = world.memory.gather(
            socks, "sock", {"net": "__sk_common.skc_net.net", "state": "__sk_common.skc_state"}
        )
        foreign = read.ok & ~member(read["net"], members.ours)
        if kind == "SOCKET":
            foreign &= read["state"] != _CONNECTED
        for far, net, at in members.far_ends(read["net"], foreign):
            told = state.read(world.memory, socks[at])
            said = [list(told[name]) for name in _SAID]
            detail = texts([" ".join(filter(None, one)) for one in zip(*said, strict=True)])
            yield Related(kind, socks[at], far, net, detail=detail)
    holder, net, _ = world.held("tun")
    mine = member(holder, world.inside.get("FILE", np.empty(0, np.uint64)))
    for far, end, at in members.far_ends(net, mine & ~member(net, members.ours)):
        yield Related("FILE", holder[at], far, end, detail=texts(["tun device"] * len(at)))


class _Members:
    """The network namespaces that tasks live in: `ours` are those of tasks of the subtree."""

    def __init__(self, world: World) -> None:
        found = world.once(tasks)
        read = world.memory.gather(found["nsproxy"], "nsproxy", {"net": "net_ns"})
        self.ours = unique(read["net"][read.ok & found.inside])
        self._host = np.uint64(initial(world.memory, "net"))
        others = np.flatnonzero(read.ok & ~found.inside)
        order = others[np.lexsort((found["tgid"][others], read["net"][others]))]
        self._net, first = np.unique(read["net"][order], return_index=True)
        self._task = found.address[order[first]]

    def elsewhere(self) -> bool:
        """Tell whether the subtree has a namespace, and there is somebody else's."""
        far = np.append(self._net, self._host)
        return len(self.ours) > 0 and not member(far, self.ours).all()

    def far_ends(self, net: U64, chosen: Mask) -> Iterator[tuple[str, U64, npt.NDArray[np.intp]]]:
        """Yield the other ends: the host's namespace, or of another the first who lives in it.

        What only sockets lead to is of the subtree by their references, whoever lives there.
        """
        at = np.flatnonzero(chosen & (net == self._host))
        if len(at):
            yield "NET_NS", net[at], at
        at = np.flatnonzero(chosen & (net != self._host) & member(net, self._net))
        if len(at):
            yield TASK, self._task[np.searchsorted(self._net, net[at])], at


def _from_proc(shown: Shown) -> Iterator[Tied]:
    ours = {
        task.spaces["net"] for task in shown.tasks.values() if task.inside and "net" in task.spaces
    }
    others: dict[str, Task] = {}
    for task in shown.leaders():
        if not task.inside and not task.kthread and "net" in task.spaces:
            others.setdefault(task.spaces["net"], task)
    told: set[Key] = set()
    for file in shown.files if ours else ():
        sock = shown.sock_of(file) if file.inside else None
        if sock is None or sock.space in ours or sock.key in told:
            continue
        if sock.family == "unix" and sock.code == _CONNECTED:
            continue
        told.add(sock.key)
        said = " ".join(filter(None, (sock.family, sock.protocol, sock.local, sock.remote)))
        if sock.space == shown.initial.get("net"):
            yield Tied(sock.key, ("NET_NS", sock.space), said)
        elif sock.space in others:
            yield Tied(sock.key, others[sock.space].key, said)


RELATION: Final = Relation(
    name="foreign-net",
    title="in another network namespace than the subtree",
    plural="in other network namespaces than the subtree",
    left="is a socket there",
    right="is there too",
    impact=Impact.REACHES_OUT,
    next=(
        "start the container anew by a launcher that closes the socket before the program runs "
        "(SOCK_CLOEXEC)"
    ),
    kernel=_find,
    from_proc=_from_proc,
    hidden="tun devices; sockets that are neither bound nor connected",
)
