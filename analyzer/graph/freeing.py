"""What goes with what: the kernel's rules for when the end of one object is the end of another.

An object goes when its last reference does, and with it the references that it holds. A unix socket
lets go of some before (unix_release_sock(), net/unix/af_unix.c): when its file goes, or the
listener that has not accepted it, it drops its peer and all that is queued in it, and only the
rest when its memory is freed. So both ends of a socketpair(2) go with their files, and what is in
flight between them, although they hold each other.

Sockets whose files are all in flight, in the queues of one another, are garbage: no process can
receive them any more. The kernel looks for those (unix_gc(), net/unix/garbage.c) whenever any unix
socket of the machine is closed. All other rings stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    import networkx as nx

    Graph = nx.MultiDiGraph[str]
    Edge = tuple[str, str, int]

_SOCKET: Final = "SOCKET"
_IN_FLIGHT: Final = "scm"
_OWNERS: Final = frozenset({"sock", "backlog"})
_UNTIL_CLOSED: Final = frozenset({"peer", "peer.closed", "scm", "scm.pid", "backlog"})


def cascade(
    graph: Graph, nodes: Iterable[str], edges: Iterable[Edge], *, hopeful: bool
) -> set[str]:
    """Return the objects that are freed when holders (`nodes`) or references (`edges`) go away.

    Of an object whose count is unknown, moved, or is less than its references, nobody can tell
    that; if `hopeful` it goes too. The nodes themselves are not among them.
    """
    gone = set(nodes)
    own = (edge for node in gone for edge in graph.out_edges(node, keys=True))
    falling = _Falling(graph, gone, hopeful=hopeful)
    falling.drop([*own, *edges])
    return falling.freed


@dataclass
class _Falling:
    """What has gone so far; `dropped` are references."""

    graph: Graph
    gone: set[str]
    hopeful: bool
    freed: set[str] = field(default_factory=set)
    dropped: set[Edge] = field(default_factory=set)
    left: dict[str, int] = field(default_factory=dict)

    def drop(self, edges: list[Edge]) -> None:
        """Drop references, and all that goes with them."""
        while edges or (edges := self._garbage()):
            edge = edges.pop()
            if edge not in self.dropped:
                self.dropped.add(edge)
                edges += self._after(edge)

    def _after(self, edge: Edge) -> list[Edge]:
        """Return the references that go with one."""
        target = edge[1]
        if target not in self.left:
            self.left[target] = self.graph.in_degree(target)
        self.left[target] -= 1
        if not self.left[target] and target not in self.gone and self._goes(target):
            self.freed.add(target)
            return list(self.graph.out_edges(target, keys=True))
        if self._says(edge) in _OWNERS and self._is_socket(target) and not self._owners(target):
            held = self.graph.out_edges(target, keys=True)
            return [each for each in held if self._says(each) in _UNTIL_CLOSED]
        return []

    def _goes(self, node: str) -> bool:
        """Tell whether an object goes that none of its references hold any more."""
        data = self.graph.nodes[node]
        count = data.get("refcount")
        if count is None or not data["stable"]:
            return self.hopeful
        named = sum(data["weight"] for *_, data in self.graph.in_edges(node, data=True))
        return bool(count == named or (self.hopeful and count < named))

    def _garbage(self) -> list[Edge]:
        """Return the references by which sockets are in flight that nobody can receive."""
        doomed = {file for file in self._sockets_in_flight if self._can_be_garbage(file)}
        doomed |= self._receivers(doomed)
        while alive := {node for node in doomed if not self._is_garbage(node, doomed)}:
            doomed -= alive
        files = (node for node in doomed if not self._is_socket(node))
        return [edge for file in files for edge in self._held_by(file)]

    @cached_property
    def _sockets_in_flight(self) -> set[str]:
        """The open files of unix sockets that are in flight."""
        edges = self.graph.edges(data=True)
        files = {target for _, target, data in edges if data["association"] == _IN_FLIGHT}
        return {file for file in files if any(map(self._is_socket, self.graph.successors(file)))}

    def _can_be_garbage(self, file: str) -> bool:
        return (
            bool(self._held_by(file))
            and all(self._says(edge) == _IN_FLIGHT for edge in self._held_by(file))
            and file not in self.gone
            and self._goes(file)
        )

    def _receivers(self, files: set[str]) -> set[str]:
        """Return the sockets in whose queues files are, and those that have yet to accept these."""
        found: set[str] = set()
        todo = [edge[0] for file in files for edge in self._held_by(file)]
        while todo:
            socket = todo.pop()
            if socket not in found and self._is_socket(socket):
                found.add(socket)
                todo += [edge[0] for edge in self._owners(socket)]
        return found

    def _is_garbage(self, node: str, doomed: set[str]) -> bool:
        """Tell whether only what is doomed holds a file in flight, or owns a socket."""
        holding = self._owners(node) if self._is_socket(node) else self._held_by(node)
        return bool(holding) and all(edge[0] in doomed for edge in holding)

    def _held_by(self, node: str) -> list[Edge]:
        return [e for e in self.graph.in_edges(node, keys=True) if e not in self.dropped]

    def _owners(self, socket: str) -> list[Edge]:
        return [edge for edge in self._held_by(socket) if self._says(edge) in _OWNERS]

    def _says(self, edge: Edge) -> str:
        return str(self.graph.edges[edge]["association"])

    def _is_socket(self, node: str) -> bool:
        return bool(self.graph.nodes[node]["kind"] == _SOCKET)
