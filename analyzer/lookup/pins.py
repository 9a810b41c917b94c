"""What keeps a namespace beside the processes that are in it, each in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import TASK
from analyzer.core.values import dataclass
from analyzer.kinds import associations, registry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from analyzer.lookup.value import Node

# They are the processes' own: that somebody has one goes without saying.
_PLAIN: Final = frozenset({"FILE_TABLE", "MM", "FS", "SIGHAND", "NSPROXY"})
_COUNTS: Final = "UCOUNTS"  # whoever is counted there is told
_OPEN: Final = frozenset({"sock", "nsfs.file", "tty.file"})  # as such a thing is had
_MOST_NAMED: Final = 3
_MOST_DEEP: Final = 6


@dataclass(frozen=True)
class Pin:
    """One thing that holds a namespace, in words: how ("owns", "fd 4 of", ...), and what does.

    `pids` are the processes that it leads to, `path` is where a bind mount of it is.
    """

    how: str
    what: str
    pids: tuple[int, ...] = ()
    path: str | None = None

    @property
    def words(self) -> str:
        """Return it as one line."""
        return f"{self.how} {self.what}".strip()


def pins(
    nodes: Sequence[Node], name: str, members: Collection[int], comm: Mapping[int, str]
) -> tuple[Pin, ...]:
    """Return what holds a namespace, but for its members; `comm` are the names of processes."""
    others = [node for node in nodes if not _is_member(node) and not _is_theirs(node, members)]
    told = [node for node in others if node.kind != _COUNTS] or others
    say = _Sayer(comm, name)
    return tuple(dict.fromkeys(pin for node in told for pin in say.pins(node)))


def folded(found: Iterable[Pin]) -> Iterator[str]:
    """Yield pins in words, those of one sort together: "owns net:[1] and uts:[2]"."""
    alike: dict[str, list[str]] = {}
    for pin in found:
        alike.setdefault(pin.how, []).append(pin.what)
    for how, whats in alike.items():
        yield from [f"{how} {_some(whats)}"] if how else list(dict.fromkeys(whats))


def _is_member(node: Node) -> bool:
    """Tell whether a holder is a process that is in the namespace."""
    if node.kind == TASK:
        return node.association == "pid"
    if node.kind == "NSPROXY":
        return not node.association.endswith("for_children") and bool(node.by)
    return node.kind == "CRED" and any(above.kind == TASK for above in node.by)


def _is_theirs(node: Node, members: Collection[int]) -> bool:
    """Tell whether a holder is something of the members' own: an address space, credentials."""
    own = node.kind in _PLAIN or node.kind == "CRED"
    pids = set(_pids([node]))
    return own and bool(pids) and pids <= {*members}


class _Sayer:
    """Says what a holder is, and by whom it is held in turn."""

    def __init__(self, comm: Mapping[int, str], own: str) -> None:
        self._comm = comm
        self._own = own

    def pins(self, node: Node) -> Iterator[Pin]:
        through = node.kind in {"NSFS", "SUPERBLOCK"} and node.by
        for one in sorted(node.by, key=_is_elsewhere) if through else (node,):
            pids = tuple(_pids([one]))
            how, what = self._pin(node, one)
            path = one.name if one.kind == "MOUNT" and node.kind == "NSFS" else None
            yield Pin(how, what, pids, path)

    def _pin(self, node: Node, one: Node) -> tuple[str, str]:
        if one.kind == "MOUNT":
            what = "bind mount" if node.kind == "NSFS" else node.name or "mount"
            return f"{what} at", self._mounted(one)
        if registry()[one.kind].namespace:
            how = "has its child" if one.association == "parent" else "owns"
            how = how if node is one else one.words
            return how, self._space(one, chain=False)  # what keeps that one is in the list
        if one.association.endswith("for_children"):
            return "for the children of", _some(self._processes(one))
        if one.kind == TASK:
            return one.words, self._process(one)
        if one.kind == "CRED":
            return "files opened in it:", _some([self._said(file, 0) for file in one.by])
        return "", self._said(one, 0, self._own)

    def _said(self, node: Node, depth: int, below: str = "") -> str:
        """Say what a holder is; `below` is the name of what it holds, said already."""
        if node.kind == TASK:
            return self._process(node)
        kind = registry()[node.kind]
        if kind.namespace:
            return self._space(node)
        if node.kind in _PLAIN and node.by:
            return _some(self._processes(node))
        if node.kind == "MOUNT":
            return f"mount at {self._mounted(node)}"
        name = node.name or f"no. {node.objref}"
        what = "" if name == below else name if node.kind == "FILE" else f"{kind.title} {name}"
        leading = [one for one in node.by if associations()[one.association].leads] or node.by
        if depth > _MOST_DEEP or not leading:
            return what or name
        links = dict.fromkeys(self._link(one, depth, name) for one in leading)
        return f"{what}{', ' if what else ''}{_some(list(links))}"

    def _link(self, node: Node, depth: int, below: str) -> str:
        """Say how what was named last is held, and by whom."""
        who = self._said(node, depth + 1, below)
        if node.kind == "FILE_TABLE":
            return f"{node.words.partition(' (')[0]} of {who}"
        if node.kind == "FILE":
            return who if node.association in _OPEN else f"{node.words}: {who}"
        return f"{node.words} ({who})"

    def _mounted(self, node: Node) -> str:
        spaces = [one for one in node.by if one.kind == "MNT_NS"]
        others = [self._said(one, _MOST_DEEP) for one in node.by if one.kind != "MNT_NS"]
        name = node.name or f"no. {node.objref}"
        if not spaces:
            return f"{name}, in no mount namespace{': ' + _some(others) if others else ''}"
        where = [
            "the host's mount namespace" if one.initial else self._space(one) for one in spaces
        ]
        return f"{name} in {_some(where)}"

    def _space(self, node: Node, *, chain: bool = True) -> str:
        if node.members:
            return f"{node.name} of {_some(list(map(self._called, node.members)), 1)}"
        above = [self._said(one, _MOST_DEEP) for one in node.by if one.kind != _COUNTS]
        return f"{node.name} ({_some(above)})" if above and chain else f"{node.name}"

    def _processes(self, node: Node) -> list[str]:
        found = dict.fromkeys(self._process(end) for end in _ends([node]) if end.kind == TASK)
        return list(found) or [f"{registry()[node.kind].title} no. {node.objref}"]

    def _process(self, node: Node) -> str:
        return f"{node.process or '?'} ({node.tgid})"

    def _called(self, pid: int) -> str:
        return f"{self._comm.get(pid, '?')} ({pid})"


def _is_elsewhere(node: Node) -> bool:
    """Tell whether a holder is a mount that the host does not see: those of the host come first."""
    return node.kind == "MOUNT" and not any(one.initial for one in node.by)


def _ends(nodes: Iterable[Node]) -> Iterator[Node]:
    for node in nodes:
        if node.by:
            yield from _ends(node.by)
        else:
            yield node


def _pids(nodes: Iterable[Node]) -> Iterator[int]:
    found: dict[int, None] = {}
    for node in _every(nodes):
        if node.tgid is not None:
            found[node.tgid] = None
        found.update(dict.fromkeys(node.members))
    yield from found


def _every(nodes: Iterable[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _every(node.by)


def _some(words: list[str], most: int = _MOST_NAMED) -> str:
    few = words[:most]
    left = len(words) - len(few)
    if left:
        return f"{', '.join(few)} and {left} more"
    return f"{', '.join(few[:-1])} and {few[-1]}" if len(few) > 1 else "".join(few)
