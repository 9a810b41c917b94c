"""The reference graph as a networkx graph: tasks and objects, and who holds what.

    graph = analyzer.graph(snapshot, scope="border")
    graph.nodes["FILE:12"]
    graph.in_edges("FILE:12", data=True)

A `networkx.MultiDiGraph` with an edge from each holder to each object, one for each counted
reference. Tables are the truth, this is a view that is made on demand: a million references cost
seconds and more than a gigabyte, which `Plan.cost` tells beforehand and `CostWarning` warns of.

Nodes are called ``TASK:4711`` (by tid) and ``FILE:12`` (kind and objref), tasks first, in the order
of the snapshot; so are edges, and the keys of parallel ones count from 0. Equal snapshots give
equal graphs. What is not known, or makes no sense for a node, is not among its attributes:

================= =================================================================================
of                attributes
================= =================================================================================
the graph         name, scope, rules, host, kernel, collected_at; of a checked subtree pid, status
a node            type (task, object), kind, label (for people: printable), side
a task            tid, tgid, ppid, comm, kthread
an object         objref, name, initial, stable, refcount, ino, dev ("8:1"); of a checked subtree
                  collected, users, outside, observer, unnamed, and if judged verdict, basis
an edge           association, slot, weight (as the rules count it), detail, words ("fd 3"), side
a relation        the same, and counted (False), impact; its association is the name of the relation
================= =================================================================================

Relations (docs/relations.md) are edges where they are asked for (`relations`): of weight 0, from
the left end to the right one. They hold nothing: to `analyzer.questions` they are not there. Such a
graph has an attribute `relations`, which is True.

Names (comm, name, detail) are the bytes of strangers, as `os.fsdecode` gives them.

The scopes, each with every task of the subtree, and with all that leads to what is in it:

border   what was judged and is not contained: what lets the subtree not be
subtree  everything that the subtree holds
host     all that the snapshot has; asks for no subtree
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from enum import StrEnum
from functools import cache
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.check.leaks import BASES, VERDICTS, check
from analyzer.check.links import Way, kind_flags, links, reach
from analyzer.check.subtree import INSIDE
from analyzer.core import extras
from analyzer.core.errors import no_such
from analyzer.core.model import TASK, Rules, Side
from analyzer.core.text import printable
from analyzer.core.values import NamedTuple, dataclass, replace
from analyzer.kinds import registry
from analyzer.relations import relations as relation_kinds
from analyzer.report.holders import in_words
from analyzer.report.make import checked_pid, device_number, make, shown
from analyzer.report.value import ReportOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    import networkx as nx
    import numpy.typing as npt

    from analyzer.check.leaks import Verdicts
    from analyzer.report.value import Report
    from analyzer.snapshot.tables import Table
    from analyzer.snapshot.value import Snapshot

    Mask = npt.NDArray[np.bool_]
    Integers = npt.NDArray[np.int64]
    Rows = npt.NDArray[np.intp]
    Codes = npt.NDArray[np.int8]
    Columns = dict[str, Iterable[Any]]

EXPENSIVE: Final = 200_000
"""From so many nodes and references on, the cost of a graph is worth a warning."""

_SECONDS: Final = 4e-6  # for a node or an edge; measured, as are the bytes (benchmarks/graph.py)
_BYTES: Final = 700
_SIDES: Final = tuple(side.value for side in Side)


class CostWarning(UserWarning):
    """A graph is about to be made that takes long, and much memory."""


class Scope(StrEnum):
    """How much of a snapshot a graph has."""

    BORDER = "border"
    SUBTREE = "subtree"
    HOST = "host"


class Cost(NamedTuple):
    """What a graph has, and takes: roughly so many seconds and bytes."""

    nodes: int
    edges: int
    seconds: float
    bytes: float

    @property
    def high(self) -> bool:
        """Tell whether that is worth a warning."""
        return self.nodes + self.edges >= EXPENSIVE

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"a graph of {self.nodes:,} nodes and {self.edges:,} references: "
            f"about {self.seconds:.0f} s and {self.bytes / 1e9:.1f} GB"
        )


@dataclass(frozen=True, eq=False)
class Plan:
    """A graph that is not made yet: the rows of the three tables that will be in it.

    `report` is of the check of its subtree, None where there is none.
    """

    snapshot: Snapshot
    report: Report | None
    scope: Scope
    rules: Rules
    ends: Ends
    tasks: Rows
    objects: Rows
    references: Rows
    relations: bool = False

    @property
    def cost(self) -> Cost:
        """Estimate what the graph takes."""
        nodes, edges = len(self.tasks) + len(self.objects), len(self.references)
        return Cost(nodes, edges, (nodes + edges) * _SECONDS, (nodes + edges) * _BYTES)

    def build(self) -> nx.MultiDiGraph[str]:
        """Make the graph."""
        extras.need("a graph", "networkx")
        import networkx as nx

        with _no_collection():
            return self._filled(nx.MultiDiGraph())

    def _filled(self, made: nx.MultiDiGraph[str]) -> nx.MultiDiGraph[str]:
        made.graph.update(_facts(self))
        names = [*_task_names(self.snapshot), *_object_names(self.snapshot)]
        for rows, columns in (
            (self.tasks, _task_columns(self)),
            (self.objects + self.ends.tasks, _object_columns(self)),
        ):
            called = [names[row] for row in rows.tolist()]
            made.add_nodes_from(zip(called, _dicts(columns), strict=True))
        holder = [names[row] for row in self.ends.node[self.references].tolist()]
        held = self.ends.target[self.references] + self.ends.tasks
        target = [names[row] for row in held.tolist()]
        made.add_edges_from(zip(holder, target, _dicts(_edge_columns(self)), strict=True))
        if self.relations:
            made.graph["relations"] = True
            made.add_edges_from(_relations(self.snapshot.tables["relations"], set(made)))
        return made


class Ends(NamedTuple):
    """The ends of each reference: `node` (tasks, then objects), `target` (objects), by row.

    `weight` is what it counts for, `counted` whether it does.
    """

    tasks: int
    objects: int
    node: Rows
    target: Rows
    counted: Mask
    weight: Integers

    def leading(self, wanted: Mask) -> Mask:
        """Return the objects of `wanted` and what leads to them (tasks, then objects)."""
        start = np.append(np.zeros(self.tasks, np.bool_), wanted)
        rows = np.flatnonzero(self.counted)
        return reach(start, [Way(self.target[rows] + self.tasks, self.node[rows])])


def plan(
    snapshot: Snapshot,
    pid: int | None = None,
    *,
    scope: str = "border",
    rules: str = "modern",
    ignore: Iterable[str] = (),
    relations: bool = False,
) -> Plan:
    """Return what the graph of a snapshot will have; `scope` is border, subtree or host.

    With `relations` it has what is no counted reference too, and a border what crosses it so.

    The kinds to `ignore` decide nothing, as in a report, and so bring nothing into the border.
    BadInputError for another scope, for a subtree that the snapshot does not have (as
    `report.checked_pid`), and for kinds and associations that this version does not know.
    """
    if scope not in tuple(Scope):
        raise no_such("no scope", scope, Scope)
    subject = snapshot.meta["subject"]["pid"]
    if scope == Scope.HOST and pid is None and subject is None:
        return replace(_unchecked(snapshot, Rules(rules)), relations=relations)
    verdicts = check(snapshot, checked_pid(snapshot, pid), Rules(rules))
    options = ReportOptions("graph", brief=True, ignore=frozenset(ignore))
    return plan_of(make(snapshot, verdicts, options), scope, relations=relations)


def plan_of(report: Report, scope: str = "border", *, relations: bool = False) -> Plan:
    """Return what the graph of a report's subtree will have."""
    snapshot, verdicts = report.snapshot, report.verdicts
    border = verdicts.border
    tasks = len(border.task_side)
    node = np.where(border.by_task, border.holder_row, border.holder_row + tasks)
    ends = Ends(
        tasks, len(border.object_side), node, border.target_row, border.counted, verdicts.weight
    )
    kept = np.ones(tasks + ends.objects, np.bool_)
    if scope != Scope.HOST:
        wanted = _not_contained(report) if scope == Scope.BORDER else border.collected
        crossing = _crossing(report) if relations else np.zeros_like(kept)
        kept = ends.leading(wanted | crossing[tasks:])
        kept[:tasks] |= (border.task_side == INSIDE) | crossing[:tasks]
    made = _plan(snapshot, report, Scope(scope), verdicts.rules, ends, kept)
    return replace(made, relations=relations)


def _crossing(report: Report) -> Mask:
    """Return the tasks, and then the objects, that cross the border uncounted."""
    tables = report.snapshot.tables
    ties = [tie for one in report.crossings for tie in (*one.ties, one.meeting) if tie is not None]
    tids = [tie.tid for tie in ties if tie.tid is not None]
    objrefs = [tie.objref for tie in ties if tie.objref is not None]
    tasks: Mask = np.isin(tables["tasks"]["tid"], tids)
    return np.append(tasks, np.isin(tables["objects"]["objref"], objrefs))


def _relations(table: Table, nodes: Container[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    known = relation_kinds()
    for at in range(len(table)):
        row = table.row(at)
        ends = [f"{row[f'{end}_kind']}:{row[end]}" for end in ("left", "right")]
        if all(end in nodes for end in ends):
            one = known[row["relation"]]
            said = ", ".join(word for word in (row["left_role"], row["detail"]) if word)
            facts = {
                "association": one.name,
                "slot": row["slot"],
                "detail": row["detail"],
                "weight": 0,
                "words": f"{one.title} ({said})" if said else one.title,
                "counted": False,
                "impact": row["impact"] or one.impact.value,
            }
            yield ends[0], ends[1], {key: v for key, v in facts.items() if v is not None}


def hosts_own(plan: Plan) -> tuple[str, ...]:
    """Return the kinds of which an object of the host's own is not contained, in a border graph.

    Nearly all that runs leads to an initial namespace, and so is in such a graph.
    """
    if plan.report is None or plan.scope != Scope.BORDER:
        return ()
    objects = plan.snapshot.tables["objects"]
    rows = np.flatnonzero(_not_contained(plan.report) & objects["initial"])
    return tuple(sorted(set(objects.words("kind")[rows].tolist())))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Let Python not look for garbage: there is none, and looking takes a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _not_contained(report: Report) -> Mask:
    objects = report.snapshot.tables["objects"]
    return shown(report.verdicts) & kind_flags(objects, lambda k: report.options.gates(k.name))


def _unchecked(snapshot: Snapshot, rules: Rules) -> Plan:
    kind_flags(snapshot.tables["objects"], bool)  # are they all known?
    found = links(snapshot, rules)
    weight = np.where(found.counted, snapshot.tables["references"]["weight"], 0)
    ends = Ends(found.tasks, found.objects, found.node, found.target, found.counted, weight)
    kept = np.ones(found.tasks + found.objects, np.bool_)
    return _plan(snapshot, None, Scope.HOST, rules, ends, kept)


def _plan(
    snapshot: Snapshot, report: Report | None, scope: Scope, rules: Rules, ends: Ends, kept: Mask
) -> Plan:
    # What leads to a node that is kept is kept, so that the target decides.
    references = np.flatnonzero(ends.counted & kept[ends.target + ends.tasks])
    tasks, objects = (np.flatnonzero(part) for part in (kept[: ends.tasks], kept[ends.tasks :]))
    return Plan(snapshot, report, scope, rules, ends, tasks, objects, references)


def _facts(plan: Plan) -> dict[str, str | int]:
    meta = plan.snapshot.meta
    facts: dict[str, str | int] = {
        "name": f"{plan.scope} on {meta['host']}",
        "scope": plan.scope.value,
        "rules": plan.rules.value,
        **{key: meta[key] for key in ("host", "kernel", "collected_at")},
    }
    if plan.report is not None:
        subject = plan.report.subject
        called = f"{printable(subject.comm)} ({subject.pid})"
        facts["name"] = f"{plan.scope} of {called} on {meta['host']}"
        facts |= {"pid": subject.pid, "status": plan.report.status.value}
    return facts


def _task_names(snapshot: Snapshot) -> Iterator[str]:
    for tid in snapshot.tables["tasks"]["tid"].tolist():
        yield f"{TASK}:{tid}"


def _object_names(snapshot: Snapshot) -> Iterator[str]:
    objects = snapshot.tables["objects"]
    named = zip(objects.words("kind").tolist(), objects["objref"].tolist(), strict=True)
    for kind, objref in named:
        yield f"{kind}:{objref}"


def _task_columns(plan: Plan) -> Columns:
    tasks = plan.snapshot.tables["tasks"].take(plan.tasks)
    values = {name: _values(tasks, name) for name in ("tid", "tgid", "ppid", "comm", "kthread")}
    called = zip(values["comm"], values["tid"], strict=True)
    return {
        "type": ["task"] * len(tasks),
        "kind": [TASK] * len(tasks),
        "label": [f"{printable(comm)} ({tid})" for comm, tid in called],
        **values,
        "side": _sides(plan, lambda verdicts: verdicts.border.task_side[plan.tasks]),
    }


def _object_columns(plan: Plan) -> Columns:
    objects = plan.snapshot.tables["objects"].take(plan.objects)
    values = {
        name: _values(objects, name)
        for name in ("objref", "name", "initial", "stable", "refcount", "ino")
    }
    number = cache(device_number)
    kinds = _values(objects, "kind")
    titles = {kind: registry()[kind].title for kind in objects.vocabulary["kind"]}
    called = zip(kinds, values["objref"], values["name"], strict=True)
    return {
        "type": ["object"] * len(objects),
        "kind": kinds,
        "label": [printable(n) if n else f"{titles[k]} no. {o}" for k, o, n in called],
        **values,
        "dev": [dev if dev is None else number(dev) for dev in _values(objects, "dev")],
        "side": _sides(plan, lambda verdicts: verdicts.border.object_side[plan.objects]),
        **(_judgement(plan.report.verdicts, plan.objects, objects) if plan.report else {}),
    }


def _judgement(verdicts: Verdicts, rows: Rows, objects: Table) -> Columns:
    known = objects.known("refcount").tolist()
    unnamed = verdicts.unnamed[rows].tolist()
    return {
        "collected": verdicts.border.collected[rows].tolist(),
        "users": verdicts.users[rows].tolist(),
        "outside": verdicts.outside[rows].tolist(),
        "observer": verdicts.observer[rows].tolist(),
        "unnamed": [n if k else None for n, k in zip(unnamed, known, strict=True)],
        "verdict": _words([word.value for word in VERDICTS], verdicts.verdict[rows]),
        "basis": _words([word.value for word in BASES], verdicts.basis[rows]),
    }


def _edge_columns(plan: Plan) -> Columns:
    references = plan.snapshot.tables["references"].take(plan.references)
    places = {name: _values(references, name) for name in ("association", "slot", "detail")}
    return {
        **places,
        "weight": plan.ends.weight[plan.references].tolist(),
        "words": list(map(cache(in_words), *places.values())),
        "side": _sides(plan, lambda verdicts: verdicts.border.reference_side[plan.references]),
    }


def _sides(plan: Plan, codes: Callable[[Verdicts], Codes]) -> Iterable[str | None]:
    """Return the words for codes of sides; there are none without a check."""
    return _words(_SIDES, codes(plan.report.verdicts)) if plan.report else repeat(None)


def _words(words: Sequence[str], codes: Codes) -> list[str | None]:
    """Return the word of each code; None for -1, which is the last."""
    return list(np.array([*words, None], dtype=object)[codes])


def _values(table: Table, name: str) -> list[Any]:
    """Return a column as plain Python values, None where it is missing."""
    if table.schema.column(name).type == "category":
        return list(table.words(name))
    values = table[name].tolist()
    known = table.known(name)
    if known.all():
        return list(values)
    return [value if k else None for value, k in zip(values, known.tolist(), strict=True)]


def _dicts(columns: Columns) -> Iterator[dict[str, Any]]:
    """Yield a dict for each row, without what is missing in it."""
    names = tuple(columns)
    for row in zip(*columns.values(), strict=False):
        yield {name: value for name, value in zip(names, row, strict=True) if value is not None}
