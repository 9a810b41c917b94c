"""A report as a tree of processes, and what each shares outward: what `report --tree` draws.

A `Thing` is what is told together: an object, or a bundle of them (`analyzer.report.grouping`).
`outline` says which processes hold it, inside and outside; `shown` which processes of a tree that
is too deep or too wide have a line of their own, and under which other one it stands.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from analyzer.check.subtree import INSIDE
from analyzer.core.model import Side
from analyzer.core.values import dataclass, field
from analyzer.report import alike
from analyzer.report.grouping import Bundle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from analyzer.report.crossed import Crossed
    from analyzer.report.grouping import Group
    from analyzer.report.holders import Holder, TaskRef
    from analyzer.report.value import Report

_FEW = 20
_ALIKE = 3
_SIDES = (Side.INSIDE, Side.OUTSIDE)
_NOT_SHARED = frozenset({Bundle.CONTAINED, Bundle.CONSISTENT, Bundle.UNKNOWN})


@dataclass(frozen=True)
class Process:
    """A process of the subtree: its ids, its name, and how many threads it has."""

    pid: int
    parent: int
    comm: str
    threads: int


@dataclass(frozen=True)
class Thing:
    """What is told together, and which processes of either side hold it, by what references."""

    group: Group
    inside: Mapping[int, Sequence[Holder]]
    outside: Mapping[int, Sequence[Holder]]


@dataclass(frozen=True)
class Outline:
    """The processes in the order of the tree (parents first), the things, and who outside holds.

    The things are in the order in which the processes come to hold them, then worst first; what no
    process of the subtree is known to hold is the root's. `held` has the numbers (from 1) of the
    things that a process holds, for those that hold any. `outside` are the names of the processes
    outside that do. `undecided` is what could not be judged. `crossed` is what crosses without
    being counted, by the first process inside that it has to do with.
    """

    root: int
    processes: Mapping[int, Process]
    things: tuple[Thing, ...]
    held: Mapping[int, Sequence[int]]
    outside: Mapping[int, str]
    undecided: tuple[Group, ...]
    crossed: Mapping[int, Sequence[Crossed]] = field(default_factory=dict)


class Shown:
    """The processes that have a line, as a tree: each under its nearest ancestor that has one.

    `alike` is how many more there are beside a process that are like it, with all under them.
    `hidden` are how many have no line else, and `sharing` how many of those share something.
    """

    def __init__(self) -> None:
        """Show no process yet."""
        self.parent: dict[int, int] = {}
        self.children: dict[int, list[int]] = {}
        self.alike: dict[int, int] = {}
        self.hidden = 0
        self.sharing = 0


def outline(report: Report) -> Outline:
    """Return the tree of a report."""
    root = report.subject.pid
    found = _processes(report)
    processes = {pid: found[pid] for pid in _preorder(found, root)}
    things = _things(report, list(processes))
    held: dict[int, list[int]] = {}
    for at, thing in enumerate(things, 1):
        for pid in thing.inside or (root,):
            held.setdefault(pid, []).append(at)
    undecided = tuple(group for group in report.groups if group.bundle is Bundle.UNKNOWN)
    pids = {pid for thing in things for pid in thing.outside}
    crossed = _crossed(report, processes)
    return Outline(root, processes, things, held, _names(report, pids), undecided, crossed)


def shown(tree: Outline, most: int | None, depth: int) -> Shown:
    """Return at most `most` processes (None: all), at most `depth` levels under the root.

    Of siblings that are alike the first is told. Of a tree that has more, those that share and then
    their ancestors; where these are few, a few others.
    """
    first = {} if most is None else _alike(tree)
    kept = _kept(tree, [pid for pid in tree.processes if pid not in first], most)
    found = Shown()
    level: dict[int, int] = {}
    nearest: dict[int, int] = {}
    for pid, process in tree.processes.items():
        above = nearest.get(process.parent, tree.root)
        if pid == tree.root:
            nearest[pid], level[pid] = pid, 0
        elif first.get(pid) in kept:
            if first.get(process.parent) != first[pid]:
                found.alike[first[pid]] = found.alike.get(first[pid], 0) + 1
        elif pid not in kept:
            nearest[pid] = above
            found.hidden += 1
            found.sharing += pid in tree.held
        else:
            under = above if level[above] < depth else found.parent[above]
            nearest[pid], level[pid] = pid, level[under] + 1
            found.parent[pid] = under
            found.children.setdefault(under, []).append(pid)
    return found


def _alike(tree: Outline) -> dict[int, int]:
    """Return for each process that need not be told the sibling, of it or above it, that is.

    They have the same name and number of threads, hold the same, and so do those under them.
    """
    children: dict[int, list[int]] = {}
    for pid, process in tree.processes.items():
        if pid != tree.root:
            above = process.parent if process.parent in tree.processes else tree.root
            children.setdefault(above, []).append(pid)
    sort = _sorts(tree, children)
    found: dict[int, int] = {}
    for siblings in children.values():
        many = Counter(sort[pid] for pid in siblings)
        told: dict[int, int] = {}
        for pid in siblings:
            first = told.setdefault(sort[pid], pid) if many[sort[pid]] > _ALIKE else pid
            if first != pid:
                found[pid] = first
    for pid, process in tree.processes.items():  # parents first
        if process.parent in found:
            found[pid] = found[process.parent]
    return found


def _sorts(tree: Outline, children: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """Return a number for each process, the same for those that are alike."""
    known: dict[tuple[object, ...], int] = {}
    sort: dict[int, int] = {}
    for pid in reversed(list(tree.processes)):
        process = tree.processes[pid]
        under = [sort[child] for child in children.get(pid, ())]
        facts = (process.comm, process.threads, tuple(tree.held.get(pid, ())), *under)
        sort[pid] = known.setdefault(facts, len(known))
    return sort


def _kept(tree: Outline, pids: Sequence[int], most: int | None) -> set[int]:
    if most is None or len(pids) <= most:
        return set(pids)
    wanted: dict[int, None] = {tree.root: None}
    wanted |= dict.fromkeys(pid for pid in pids if pid in tree.held)
    wanted |= dict.fromkeys(_ancestors(tree, list(wanted)))
    if len(wanted) < _FEW:
        wanted |= dict.fromkeys(pids)
        most = min(most, _FEW)
    return set(list(wanted)[:most])


def _ancestors(tree: Outline, pids: Iterable[int]) -> Iterable[int]:
    known = {0, *pids}
    for pid in pids:
        at = tree.processes[pid].parent
        while at not in known and at in tree.processes:
            known.add(at)
            yield at
            at = tree.processes[at].parent


def _processes(report: Report) -> dict[int, Process]:
    tasks = report.snapshot.tables["tasks"]
    rows = np.flatnonzero(report.verdicts.border.task_side == INSIDE)
    threads = Counter(tasks["tgid"][rows].tolist())
    columns = (tasks[name][rows].tolist() for name in ("tid", "tgid", "ppid", "comm"))
    found: dict[int, Process] = {}
    for tid, pid, parent, comm in zip(*columns, strict=True):
        if tid == pid or pid not in found:
            found[pid] = Process(pid, parent, comm, threads[pid])
    return found


def _preorder(processes: Mapping[int, Process], root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for pid in sorted(processes, reverse=True):
        if pid != root:
            # What cranalyze itself started stands under the root: cranalyze is in no tree.
            parent = processes[pid].parent
            children.setdefault(parent if parent in processes else root, []).append(pid)
    order: list[int] = []
    todo = [root]
    while todo:
        order.append(todo.pop())
        todo += children.get(order[-1], [])
    return order


def _things(report: Report, order: Sequence[int]) -> tuple[Thing, ...]:
    rank = {pid: at for at, pid in enumerate(order)}
    told = [group for group in report.groups if group.bundle not in _NOT_SHARED]
    things = [Thing(group, *(_by_process(group, side) for side in _SIDES)) for group in told]
    first = [min((rank.get(pid, 0) for pid in thing.inside), default=0) for thing in things]
    return tuple(things[at] for at in sorted(range(len(things)), key=lambda at: (first[at], at)))


def _crossed(report: Report, processes: Mapping[int, Process]) -> dict[int, list[Crossed]]:
    place = {pid: at for at, pid in enumerate(processes)}
    found: dict[int, list[Crossed]] = {}
    for one in alike.told(report):
        mine = {task.tgid for tie in one.of(Side.INSIDE) for task in tie.tasks} & place.keys()
        if not one.alone:
            first = min(mine, key=place.__getitem__, default=report.subject.pid)
            found.setdefault(first, []).append(one)
    return found


def _by_process(group: Group, side: Side) -> dict[int, list[Holder]]:
    found: dict[int, list[Holder]] = {}
    if group.bundle is Bundle.HOST and side is Side.OUTSIDE:
        return found  # the whole host is
    for entry in group.objects:
        for holder in entry.holders:
            if holder.side is side:
                for pid in dict.fromkeys(task.tgid for task in _led_by(side, holder)):
                    found.setdefault(pid, []).append(holder)
    return found


# As `writers.wording` has it: of what is held from one side the tasks of that side are told. What
# only others lead to is nobody's here.
def _led_by(side: Side, holder: Holder) -> Iterable[TaskRef]:
    return (task for task in holder.tasks if task.side is side)


def _names(report: Report, pids: set[int]) -> dict[int, str]:
    tasks = report.snapshot.tables["tasks"]
    rows = np.flatnonzero(np.isin(tasks["tgid"], list(pids)))
    columns = (tasks[name][rows].tolist() for name in ("tid", "tgid", "comm"))
    found: dict[int, str] = {}
    for tid, pid, comm in zip(*columns, strict=True):
        if tid == pid or pid not in found:
            found[pid] = comm
    return dict(sorted(found.items()))
