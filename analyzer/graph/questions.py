"""Questions that people ask of a reference graph, answered exactly.

    graph = analyzer.graph(snapshot, scope="host")
    (log,) = questions.find(graph, kind="FILE", name="/var/log/app.log")
    questions.holders_of(graph, log)                # the references to it, one by one
    questions.who_reaches(graph, log)               # every task that leads to it, and how
    questions.freed_by(graph, *questions.threads(graph, 77))   # what goes if process 77 goes
    questions.sharing_groups(graph, ignore=["FILE"])

Whom to add to a subtree so that it is contained is asked of a snapshot: see `containing.closure`.
Answers are tuples of named tuples, in a fixed order: a list that reads well, and a table with
`pandas.DataFrame(answer)`. Their `str` is for people: names in it are printable.

A graph answers for what is in it, of references alone: relations, where it has them, hold nothing.
All holders of an object that is in a graph are in it too; what an object holds need not be, unless
the graph is of scope "host", of a snapshot of scope "host".
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from analyzer.core.errors import BadInputError
from analyzer.core.model import TASK
from analyzer.core.text import printable
from analyzer.core.values import NamedTuple
from analyzer.graph.freeing import cascade
from analyzer.kinds import associations, registry, title_of
from analyzer.kinds.base import Judged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import networkx as nx

    Graph = nx.MultiDiGraph[str]
    Attributes = Mapping[str, Any]


class Reference(NamedTuple):
    """One reference: the keys of its ends in the graph (with `key`, an edge), and what it is."""

    holder: str
    target: str
    key: int
    words: str
    weight: int
    side: str | None


class Chain(NamedTuple):
    """The shortest way from a task to an object: `path` are the references, `words` say it."""

    task: str
    words: str
    path: tuple[Reference, ...]

    def __str__(self) -> str:
        """Say who reaches the object, and how."""
        return self.words


class Freed(NamedTuple):
    """What goes with a holder: `freed` for sure, `maybe` if no unknown count hides a holder."""

    freed: tuple[str, ...]
    maybe: tuple[str, ...]


class Process(NamedTuple):
    """A process: `threads` is how many of its tasks are in the graph or snapshot."""

    pid: int
    comm: str
    threads: int

    def __str__(self) -> str:
        """Return "bash (77)"."""
        return f"{printable(self.comm)} ({self.pid})"


class Shared(NamedTuple):
    """An object that several processes hold: its key in the graph, and their pids."""

    object: str
    kind: str
    label: str
    pids: tuple[int, ...]


class SharingGroup(NamedTuple):
    """Processes that share, directly or over others of them, and all that two or more hold."""

    processes: tuple[Process, ...]
    objects: tuple[Shared, ...]

    def __str__(self) -> str:
        """Say who shares how much."""
        return f"{', '.join(map(str, self.processes))} share {len(self.objects)} objects"


def find(graph: Graph, **attributes: object) -> tuple[str, ...]:
    """Return the nodes that have these attributes: ``find(graph, kind="FILE", ino=42)``."""
    wanted = attributes.items()
    return tuple(
        node for node, data in graph.nodes(data=True) if all(data.get(k) == v for k, v in wanted)
    )


def threads(graph: Graph, pid: int) -> tuple[str, ...]:
    """Return the tasks of a process; BadInputError when the graph has none."""
    found = find(graph, type="task", tgid=pid)
    if not found:
        raise BadInputError(f"the graph has no process {pid}")
    return found


def holders_of(graph: Graph, node: str) -> tuple[Reference, ...]:
    """Return the references to an object, in the order of the snapshot.

    BadInputError when the graph has no such node.
    """
    _require(graph, node)
    graph = _counted(graph)
    return tuple(
        _reference(holder, node, key, data)
        for holder, _, key, data in graph.in_edges(node, keys=True, data=True)
    )


def who_reaches(graph: Graph, node: str) -> tuple[Chain, ...]:
    """Return a shortest chain from each task that leads to an object; the nearest tasks first.

    Of two that are as short, the one through what comes first in the graph: equal graphs give
    equal answers. BadInputError when the graph has no such node.

        >>> [chain.words for chain in who_reaches(graph, "FILE:12")]
        ['bash (77) → file descriptor table no. 2: fd 3']
    """
    _require(graph, node)
    graph = _counted(graph)
    place = {name: index for index, name in enumerate(graph)}
    onward: dict[str, Reference] = {}
    distance, level = {node: 0}, [node]
    chains = []
    while level:
        found: dict[str, Reference] = {}
        for target in level:  # in order, so that the first to be found is the one to keep
            for reference in holders_of(graph, target):
                if reference.holder not in distance:
                    found.setdefault(reference.holder, reference)
        level = sorted(found, key=place.__getitem__)
        distance |= dict.fromkeys(level, 1)
        onward |= found
        chains += [_chain(graph, task, onward) for task in level if _is_task(graph, task)]
    return tuple(chains)


def freed_by(graph: Graph, *gone: str | tuple[str, str, int]) -> Freed:
    """Return what would be freed if these holders went away, tasks or objects (nodes) or edges.

    As the kernel does (`freeing`): an object goes when its count reaches 0, and with it what it
    holds; a unix socket lets go of its peer and its queue when its file goes; sockets in flight
    that nobody can receive any more go with the next unix socket that is closed, whosever it is.
    What goes anyway (such garbage as there is) is not told. It is freed for sure if its count is
    known, did not move, and is all of it what was dropped; if it is unknown, or moved, or less
    than its references, it may be. More than its references: what is not named holds it still.
    BadInputError for a node or an edge that the graph does not have.

        >>> freed_by(graph, "FILE_TABLE:2").freed
        ('FILE:12', 'PIPE:3')
    """
    graph = _counted(graph)
    nodes, edges = _gone(graph, gone)
    sure, hoped = (
        cascade(graph, nodes, edges, hopeful=hopeful) - cascade(graph, (), (), hopeful=hopeful)
        for hopeful in (False, True)
    )
    return Freed(
        tuple(node for node in graph if node in sure),
        tuple(node for node in graph if node in hoped and node not in sure),
    )


def sharing_groups(
    graph: Graph, *, ignore: Iterable[str] = (), initial: bool = False
) -> tuple[SharingGroup, ...]:
    """Return the groups of processes that share objects, the largest first.

    A process holds what its tasks lead to, over references that collect (as the check follows
    them). Two processes are in one group when both hold an object that is judged, and not of a kind
    to `ignore`; the host's `initial` namespaces, which nearly all share, only count when asked for.
    Kernel threads are in no group, nor is who shares nothing.

        >>> for group in sharing_groups(graph):
        ...     print(group)
        bash (77), app (100) share 3 objects
    """
    graph = _counted(graph)
    counts = _countable(graph, frozenset(ignore), initial=initial)
    held: dict[str, list[int]] = defaultdict(list)
    members = _processes(graph)
    for pid, tasks in members.items():
        for node in _owned(graph, tasks, initial=initial):
            if node in counts:
                held[node].append(pid)
    shared = {node: pids for node, pids in held.items() if len(pids) > 1}
    return tuple(_group(graph, members, pids, shared) for pids in _components(shared.values()))


def _counted(graph: Graph) -> Graph:
    """Return the graph of the references of a graph that has relations, too."""
    if not graph.graph.get("relations"):
        return graph
    import networkx as nx

    counts = nx.get_edge_attributes(graph, "counted", default=True)
    found: Graph = nx.subgraph_view(graph, filter_edge=lambda *edge: counts[edge])
    found.graph = {**graph.graph, "relations": False}
    return found


def _require(graph: Graph, node: str) -> None:
    if node not in graph:
        raise BadInputError(f"the graph has no {printable(node)}: its nodes are like FILE:12")


def _is_task(graph: Graph, node: str) -> bool:
    return bool(graph.nodes[node]["type"] == "task")


def _reference(holder: str, target: str, key: int, data: Attributes) -> Reference:
    return Reference(holder, target, key, data["words"], data["weight"], data.get("side"))


def _chain(graph: Graph, task: str, onward: Mapping[str, Reference]) -> Chain:
    path = [onward[task]]
    while path[-1].target in onward:
        path.append(onward[path[-1].target])
    return Chain(task, _in_words(graph, path), tuple(path))


def _in_words(graph: Graph, path: list[Reference]) -> str:
    """Say a chain, from the task on; that a table is the task's own goes without saying."""
    said = graph.nodes[path[0].holder]["label"]
    if len(path) == 1 or not registry()[graph.nodes[path[0].target]["kind"]].of_process:
        said += f": {printable(path[0].words)}"
    onward = (f" → {_called(graph, step.holder)}: {printable(step.words)}" for step in path[1:])
    return "".join([said, *onward])


def _called(graph: Graph, node: str) -> str:
    data = graph.nodes[node]
    title = title_of(data["kind"], data["objref"])
    return f"{title} ({printable(data['name'])})" if data.get("name") else title


def _gone(
    graph: Graph, gone: Iterable[str | tuple[str, str, int]]
) -> tuple[set[str], set[tuple[str, str, int]]]:
    nodes: set[str] = set()
    edges: set[tuple[str, str, int]] = set()
    for one in gone:
        if isinstance(one, str):
            _require(graph, one)
            nodes.add(one)
        elif graph.has_edge(*one[:3]):
            edges.add(one[:3])
        else:
            raise BadInputError(f"the graph has no reference {one[2]} from {one[0]} to {one[1]}")
    return nodes, edges


def _processes(graph: Graph) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for node, data in graph.nodes(data=True):
        if data["type"] == "task" and not data["kthread"] and data.get("side") != "observer":
            found[data["tgid"]].append(node)
    return dict(sorted(found.items()))


def _countable(graph: Graph, ignore: frozenset[str], *, initial: bool) -> set[str]:
    kinds = registry()
    return {
        node
        for node, data in graph.nodes(data=True)
        if data["type"] == "object"
        and kinds[data["kind"]].judged is not Judged.NOT
        and kinds[data["kind"]].rules  # none judge what is known from a file alone
        and data["kind"] not in ignore
        and (initial or not data["initial"])
    }


def _owned(graph: Graph, tasks: Iterable[str], *, initial: bool) -> list[str]:
    known = associations()
    todo = list(tasks)
    seen = set(todo)
    for node in todo:  # grows
        for _, target, data in graph.out_edges(node, data=True):
            enter = initial or not graph.nodes[target]["initial"]
            if target not in seen and enter and known[data["association"]].collects:
                seen.add(target)
                todo.append(target)
    return todo


def _components(sets: Iterable[list[int]]) -> list[list[int]]:
    """Return the pids that sets have joined, the largest component first."""
    import networkx as nx

    joined: nx.Graph[int] = nx.Graph()
    for pids in sets:
        nx.add_path(joined, pids)
    found = [sorted(component) for component in nx.connected_components(joined)]
    return sorted(found, key=lambda pids: (-len(pids), pids))


def _group(
    graph: Graph, members: Mapping[int, list[str]], pids: list[int], shared: Mapping[str, list[int]]
) -> SharingGroup:
    objects = [
        Shared(node, graph.nodes[node]["kind"], graph.nodes[node]["label"], tuple(by))
        for node, by in shared.items()
        if by[0] in set(pids)
    ]
    place = {name: index for index, name in enumerate(graph)}
    objects.sort(key=lambda found: place[found.object])
    return SharingGroup(tuple(_process(graph, pid, members[pid]) for pid in pids), tuple(objects))


def _process(graph: Graph, pid: int, tasks: list[str]) -> Process:
    leader = f"{TASK}:{pid}"
    named = graph.nodes[leader if leader in graph else tasks[0]]
    return Process(pid, named["comm"], len(tasks))
