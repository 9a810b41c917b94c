"""What a picture of a report shows: processes and other holders, objects, who holds what, where.

`scene` makes nodes and edges of a report, folds what is alike into counted nodes, and places them
(see `layout`). What leads from a process to an object (descriptor tables, address spaces, sockets)
is not drawn: the reference is the process's, in words. A holder that no task leads to is a node.
Folded are

- processes that hold the same objects that are not contained, and such objects of one kind and
  verdict that the same processes hold: nothing that tells them apart is lost;
- contained objects by kind;
- where that leaves more than fits, all but the worst objects by kind and verdict.

A folded node names its `members`, so that a picture that can be asked may expand it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Basis, Impact, Side, Verdict
from analyzer.core.text import printable
from analyzer.core.values import NamedTuple
from analyzer.kinds import registry, title_of
from analyzer.relations import relations
from analyzer.scene.layout import LEFT, MIDDLE, RIGHT, three_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from analyzer.report.crossed import Crossed, Tie
    from analyzer.report.holders import Holder
    from analyzer.report.value import Report, ReportObject
    from analyzer.scene.layout import Floats

MOST_DRAWN: Final = 2000
"""How many nodes and edges are drawn at most."""

UNNAMED: Final = "UNNAMED"
"""The kind and key of the node that stands for references that nobody could name."""

CROSSING: Final = "CROSSING"
"""The kind of a node that stands for what crosses the border without being counted."""

_MOST_CROSSING: Final = 12  # with more, those of one relation are one node
_MOST_ENDS: Final = 20
_MOST_DESCRIPTORS: Final = 2
_FEWEST_ALIKE: Final = 4  # so many processes, or objects that are not contained, are folded
_APART: Final = (1 << 60, 600, 200, 60, 20, 0)  # how many objects are told apart, tried in turn


class Node(NamedTuple):
    """One thing that is drawn, or several alike: `members` are then their keys, else empty.

    `key` is "TASK:4711" for a process, "FILE:12" for an object or another holder; of a fold it
    starts with "*". `label` is printable. `side` is that of a holder, `verdict` that of an object.
    What crosses the border uncounted is a node too, between its ends, and has its `impact`.
    """

    key: str
    column: int
    kind: str
    label: str
    side: Side | None = None
    verdict: Verdict | None = None
    members: tuple[str, ...] = ()
    impact: Impact | None = None

    @property
    def things(self) -> int:
        """Return how many things the node stands for."""
        return len(self.members) or 1


class Edge(NamedTuple):
    """References of one holder to one object: `words` tell how ("fd 3"), `weight` how many.

    What several processes share (a descriptor table) is an edge of each of them. One that is not
    `counted` is of a thing that crosses the border, and is no reference.
    """

    source: int
    target: int
    side: Side
    words: tuple[str, ...]
    weight: int
    counted: bool = True


class Scene(NamedTuple):
    """What is drawn: edges are between indices into `nodes`; x and y one each per node.

    `apart` is how many of the worst objects were told apart, before the rest was folded by kind
    and verdict to make it fit; None when that was not needed.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    x: Floats
    y: Floats
    apart: int | None


class Link(NamedTuple):
    """One reference between keys of nodes, before anything is folded."""

    holder: str
    target: str
    side: Side
    words: str
    weight: int


class Parts(NamedTuple):
    """What a picture is made of, before anything is folded: nodes by key, and what joins them.

    `root` is the key of the process whose subtree it is: it is never folded.
    """

    things: Mapping[str, Node]
    links: Sequence[Link]
    root: str


def scene(report: Report, most: int = MOST_DRAWN, *, contained: bool = True) -> Scene:
    """Return what to draw of a report, at most about `most` nodes and edges.

    Contained objects are in it as far as the report lists them (see `report.whole`) and `contained`
    wants them.
    """
    return scenes(parts(report, contained=contained), (most,))[0]


def parts(report: Report, *, contained: bool = True) -> Parts:
    """Return what a report shows, nothing folded; arguments as of `scene`."""
    told = [e for e in report.objects if contained or e.verdict is not Verdict.CONTAINED]
    things = {node.key: node for node in map(object_node, told)}
    links = (*links_of(told, things), *_crossing(report.crossings, things))
    for pid, name in process_names(report).items():
        key = f"{TASK}:{pid}"
        if key in things:
            things[key] = things[key]._replace(label=f"{printable(name)} ({pid})")
    return Parts(things, links, f"{TASK}:{report.subject.pid}")


def process_names(report: Report) -> dict[int, str]:
    """Return what each process is called: what its first thread calls itself."""
    tasks = report.snapshot.tables["tasks"]
    first = tasks["tid"] == tasks["tgid"]
    return dict(zip(tasks["tid"][first].tolist(), tasks["comm"][first].tolist(), strict=True))


def scenes(made: Parts, mosts: Sequence[int]) -> list[Scene]:
    """Return a scene for each limit of nodes and edges, for little more than the price of one."""
    things, links, root = made
    leaks = sum(_leaks(node) for node in things.values())
    found: dict[int, Scene] = {}
    for apart in _APART:
        folds = _folds(things, links, root, apart)
        size = _size(folds, links, max(mosts))
        fitting = [most for most in mosts if most not in found and (not apart or size <= most)]
        if fitting:
            nodes, edges = _drawn(folds, things, links)
            x, y = _placed(nodes, edges)
            drawn = Scene(tuple(nodes), tuple(edges), x, y, apart if apart < leaks else None)
            found |= dict.fromkeys(fitting, drawn)
        if len(found) == len(set(mosts)):
            break
    return [found[most] for most in mosts]


def _leaks(node: Node) -> bool:
    return node.verdict not in {None, Verdict.CONTAINED}


def _size(folds: Mapping[str, str], links: Iterable[Link], most: int) -> int:
    """Return how many nodes and edges are drawn; only nodes where these are more than `most`."""
    nodes = len(set(folds.values()))
    if nodes > most:
        return nodes
    return nodes + len({(folds[link.holder], folds[link.target], link.side) for link in links})


def links_of(objects: Iterable[ReportObject], things: dict[str, Node]) -> Iterator[Link]:
    """Yield the references to objects; the nodes of their holders are added to `things`."""
    known: dict[tuple[str, int | None, int | None, Side], list[str]] = {}
    for entry in objects:
        target = f"{entry.kind}:{entry.objref}"
        for holder in entry.holders:
            words = _words(holder)
            place = holder.kind, holder.objref, holder.tid, holder.side
            if place not in known:
                nodes = holder_nodes(holder)
                known[place] = [node.key for node in nodes]
                for node in nodes:
                    things.setdefault(node.key, node)
            for key in known[place]:
                yield Link(key, target, holder.side, words, holder.weight)
        if not_named(entry):
            things.setdefault(UNNAMED, _NOT_NAMED)
            yield Link(UNNAMED, target, Side.OUTSIDE, "not named", entry.unexplained)


def _crossing(crossed: Iterable[Crossed], things: dict[str, Node]) -> Iterator[Link]:
    """Yield what joins the ends of what crosses the border uncounted, by way of a node for it.

    Where there are many, those of one relation have one.
    """
    told = [one for one in crossed if not one.alone and one.impact is not Impact.BY_DESIGN]
    many = Counter(one.relation for one in told) if len(told) > _MOST_CROSSING else Counter[str]()
    for at, one in enumerate(told):
        relation, n = relations()[one.relation], many[one.relation]
        key = f"{CROSSING}:{one.relation if n > 1 else at}"
        label = f"{n:,} {relation.plural}" if n > 1 else printable(one.title)
        things.setdefault(key, Node(key, MIDDLE, CROSSING, label, impact=one.impact))
        for tie in one.ties:
            said = ", ".join(tie.via[:_MOST_DESCRIPTORS]) or tie.role or relation.name
            for node in _ends(tie):
                things.setdefault(node.key, node)
                yield Link(node.key, key, tie.side, printable(said), 0)


def _ends(tie: Tie) -> list[Node]:
    """Return the nodes of one end: the processes that lead to it; of a namespace, itself."""
    kind = registry().get(tie.kind)
    if tie.tasks and not (kind is not None and kind.namespace):
        names = {task.tgid: task.comm for task in reversed(tie.tasks)}
        return [
            Node(f"{TASK}:{pid}", _column(tie.side), TASK, f"{printable(name)} ({pid})", tie.side)
            for pid, name in sorted(names.items())[:_MOST_ENDS]
        ]
    key = f"{tie.kind}:{tie.objref}"
    return [Node(key, _column(tie.side), tie.kind, printable(tie.words), tie.side)]


def not_named(entry: ReportObject) -> bool:
    """Return whether something that nobody could name holds an object, by the kernel's count.

    Not of what kept changing while it was read: its numbers are of different moments.
    """
    proven = entry.basis is Basis.PROVEN and entry.verdict is Verdict.USAGE_LEAK
    return proven and entry.unexplained > 0


_NOT_NAMED: Final = Node(UNNAMED, RIGHT, UNNAMED, "not named", Side.OUTSIDE)


def object_node(entry: ReportObject) -> Node:
    """Return the node of an object."""
    title = title_of(entry.kind, entry.objref)
    label = printable(entry.name) if entry.name else title
    key = f"{entry.kind}:{entry.objref}"
    return Node(key, MIDDLE, entry.kind, label, verdict=entry.verdict)


def holder_nodes(holder: Holder) -> list[Node]:
    """Return the nodes of a holder: the processes of its side that lead to it, or the object."""
    if not holder.tasks:
        label = title_of(holder.kind, holder.objref)
        key = f"{holder.kind}:{holder.objref}"
        return [Node(key, _column(holder.side), holder.kind, label, holder.side)]
    led = holder.led_by(holder.side)
    names = {task.tgid: task.comm for task in reversed(led)}
    names |= {task.tgid: task.comm for task in led if task.tid == task.tgid}
    sides = {task.tgid: task.side for task in led}
    return [
        Node(f"{TASK}:{pid}", _column(sides[pid]), TASK, f"{printable(name)} ({pid})", sides[pid])
        for pid, name in sorted(names.items())
    ]


def _column(side: Side) -> int:
    return LEFT if side is Side.INSIDE else RIGHT


def _words(holder: Holder) -> str:
    said = printable(holder.detail)
    if registry()[holder.kind].of_process or not holder.tasks:
        return said
    if holder.via:
        more = ", \N{HORIZONTAL ELLIPSIS}" if len(holder.via) > _MOST_DESCRIPTORS else ""
        return f"{', '.join(holder.via[:_MOST_DESCRIPTORS])}{more}: {said}"
    return f"{title_of(holder.kind, holder.objref)}: {said}"


def _folds(
    things: Mapping[str, Node], links: Sequence[Link], root: str, apart: int
) -> dict[str, str]:
    """Return the key of the node that each thing is drawn as."""
    folds = {key: key for key in things}
    leaking = [node.key for node in things.values() if _leaks(node)]
    contained = [n.key for n in things.values() if n.verdict is Verdict.CONTAINED]
    holders = [
        n.key for n in things.values() if n.verdict is None and n.impact is None and n.key != root
    ]
    for few in (leaking[apart:], contained):
        folds |= _alike(few, lambda key: _sort(things[key]), 2)

    leaks = set(leaking) | {node.key for node in things.values() if node.impact is not None}
    held = _sets((link.holder, folds[link.target]) for link in links if link.target in leaks)
    folds |= _alike(holders, lambda key: (_sort(things[key]), held[key]), _FEWEST_ALIKE)

    some = set(leaking[:apart])
    by = _sets((link.target, folds[link.holder]) for link in links if link.target in some)
    folds |= _alike(leaking[:apart], lambda key: (_sort(things[key]), by[key]), _FEWEST_ALIKE)
    return folds


def _sort(node: Node) -> Hashable:
    return node.column, node.kind, node.side, node.verdict


def _sets(pairs: Iterable[tuple[str, str]]) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for key, value in pairs:
        found[key].add(value)
    return defaultdict(frozenset, {key: frozenset(values) for key, values in found.items()})


def _alike(
    keys: Iterable[str], trait: Callable[[str], Hashable], fewest: int
) -> Iterator[tuple[str, str]]:
    """Yield for each of `fewest` or more keys of one trait the key of the node that is them all."""
    same: dict[Hashable, list[str]] = defaultdict(list)
    for key in keys:
        same[trait(key)].append(key)
    for members in same.values():
        if len(members) >= fewest:
            yield from ((key, f"*{members[0]}") for key in members)


def _drawn(
    folds: Mapping[str, str], things: Mapping[str, Node], links: Iterable[Link]
) -> tuple[list[Node], list[Edge]]:
    members: dict[str, list[Node]] = defaultdict(list)
    for key, node in things.items():
        members[folds[key]].append(node)
    index = {key: number for number, key in enumerate(members)}
    nodes = [same[0] if len(same) == 1 else _fold(key, same) for key, same in members.items()]
    words: dict[tuple[int, int, Side], Counter[str]] = defaultdict(Counter)
    for link in links:
        ends = index[folds[link.holder]], index[folds[link.target]]
        words[(*ends, link.side)][link.words] += link.weight
    return nodes, [
        Edge(*ends, tuple(said), said.total(), nodes[ends[1]].impact is None)
        for ends, said in words.items()
    ]


def _fold(key: str, same: Sequence[Node]) -> Node:
    first = same[0]
    if first.kind == TASK:
        label = crowd([node.label for node in same])
    else:
        label = f"{len(same):,} {registry()[first.kind].plural}"
    return first._replace(key=key, label=label, members=tuple(node.key for node in same))


def crowd(labels: Sequence[str]) -> str:
    """Return what processes ("app (80)", each) are called together: "9 processes app"."""
    names = {label.rpartition(" (")[0] for label in labels}
    return f"{len(labels):,} processes" + (f" {names.pop()}" if len(names) == 1 else "")


def _placed(nodes: Sequence[Node], edges: Sequence[Edge]) -> tuple[Floats, Floats]:
    return three_columns(
        np.array([node.column for node in nodes], np.int64),
        np.array([_band(node) for node in nodes], np.int64),
        np.array([edge.source for edge in edges], np.int64),
        np.array([edge.target for edge in edges], np.int64),
    )


def _band(node: Node) -> int:
    """Return the band of a node in its column: what leaks by kind, what is contained as one."""
    if node.kind == UNNAMED:
        return 1 << 30
    if node.verdict is Verdict.CONTAINED:
        return 1 << 21
    kind = registry().get(node.kind)
    if kind is None:
        return -1
    return 1 << 20 if kind.namespace else kind.order
