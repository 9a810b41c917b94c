"""What rules are asked about: the findings of a report, an item for each part that is inside.

Paths of mounts are what the machine outside calls them. A holder outside is its process; what keeps
a thing without one (a bind mount) is known by its place.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from analyzer.core.model import Side
from analyzer.core.pattern import pattern
from analyzer.kinds import registry
from analyzer.procfs.homes import home
from analyzer.report.rules import Item, Outsider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from analyzer.procfs.homes import Home
    from analyzer.report.crossed import Crossed, Tie
    from analyzer.report.holders import Holder, Route, TaskRef
    from analyzer.report.value import Facts, Finding, ReportObject
    from analyzer.snapshot.value import Snapshot

_FD: Final = pattern(r"fd (\d+)")
_PLACE: Final = pattern(r"(?:bind mount|\S+ mounted at) (.*) in .*mount namespace.*")
_SPACE: Final = pattern(r" in (?:the mount namespace of )?.*\((\d+)\)$")
_MOUNT: Final = pattern(r"(?P<path>.*) of (?P<fstype>\S+?)(?P<ro>, read-only)?$", re.DOTALL)
_DIRECTIONS: Final = {"reads": "in", "writes": "out", "reads from it": "in", "writes to it": "out",
                      "read": "in", "write": "out", "both": "both", "rdwr": "both"}  # fmt: skip
_DELETED: Final = " (deleted)"
_PARENT: Final = "parent"


class People:
    """Who the processes outside are, and what they are to the subject."""

    def __init__(self, snapshot: Snapshot, root: int) -> None:
        """Index the tasks of a snapshot for the subject whose first root is process `root`."""
        tasks = snapshot.tables["tasks"]
        self._row = {tid: row for row, tid in enumerate(tasks["tid"].tolist())}
        self._tasks = tasks
        parent = dict(zip(tasks["tgid"].tolist(), tasks["ppid"].tolist(), strict=True))
        self._above: list[int] = []
        at = parent.get(root, 0)
        while at > 0 and at not in self._above:
            self._above.append(at)
            at = parent.get(at, 0)
        self._pod = self._home(root).pod

    @property
    def ancestors(self) -> list[tuple[int, str]]:
        """Return the processes above the subject, the nearest first: pid and name."""
        return [(pid, self._value(pid, "comm") or "") for pid in self._above]

    def cgroup(self, pid: int) -> str:
        """Return the path of the cgroup of a process, "" where it is not known."""
        return self._value(pid, "cgroup") or ""

    def outsider(self, task: TaskRef) -> Outsider:
        """Return a process that leads to a holder."""
        at = self._home(task.tgid)
        relations = {_PARENT} if self._above[:1] == [task.tgid] else set()
        relations |= {"ancestor"} if task.tgid in self._above else set()
        relations |= {"pod"} if at.pod and at.pod == self._pod else set()
        return Outsider(
            self._value(task.tgid, "comm") or task.comm,
            self._value(task.tgid, "exe") or "",
            at.unit,
            at.container,
            frozenset(relations),
            pid=task.tgid,
        )

    def _home(self, pid: int) -> Home:
        return home(self.cgroup(pid))

    def _value(self, pid: int, name: str) -> str | None:
        row = self._row.get(pid)
        value: str | None = None if row is None else self._tasks.value(name, row)
        return value


def of_object(
    entry: ReportObject, people: People, but: Callable[[Route], bool] = lambda _: False
) -> Item:
    """Return an object that something outside holds, by other routes than some."""
    inside = [holder for holder in entry.holders if holder.side is Side.INSIDE]
    outside = [holder for holder in entry.holders if holder.holds_from(Side.OUTSIDE)]
    slots, only = _slots(inside)
    kind = registry()[entry.kind]
    who = tuple(dict.fromkeys(_of_holders(outside, people, but)))
    state = ""
    if kind.namespace:
        state = _state(entry, who)
    path = (entry.name or "").removesuffix(_DELETED) if kind.path else ""
    mode = str(entry.facts.get("open.mode", ""))
    return Item(
        kind=entry.kind,
        impact=entry.impact.word if entry.impact else "",
        side="outside",
        slots=slots,
        only_slots=only,
        direction=_direction(inside, mode),
        path=path if path.startswith("/") else "",
        name=entry.name or "",
        access={"read": "ro", "write": "rw", "both": "rw"}.get(mode, ""),
        opath=True if mode == "path" else None,
        state=state,
        outsiders=who if not entry.unexplained else (),
    )


def _state(entry: ReportObject, who: tuple[Outsider, ...]) -> str:
    if entry.initial:
        return "host"
    if who and all(one.place for one in who):
        return "pinned"
    return "parent" if any(_PARENT in one.relations for one in who) else ""


def of_crossing(one: Crossed, people: People) -> list[Item]:
    """Return what crosses: an item for each end that is inside, all with what is outside."""
    outside = tuple(dict.fromkeys(_of_ties(one.of(Side.OUTSIDE), people)))
    return [_of_tie(one, tie, outside) for tie in one.of(Side.INSIDE)]


def _of_tie(one: Crossed, tie: Tie, outside: tuple[Outsider, ...]) -> Item:
    slots = tuple(int(found[1]) for word in tie.via if (found := _FD.match(word)))
    mount = _MOUNT.fullmatch(tie.detail) if tie.kind == "MOUNT" else None
    name = (tie.name or "").removesuffix(_DELETED)
    path = mount["path"] if mount else name if name.startswith("/") else ""
    mode = str(tie.facts.get("open.mode", ""))
    access = {"read": "ro", "write": "rw", "both": "rw"}.get(mode, "")
    if mount:
        access = "ro" if mount["ro"] else "rw"
    return Item(
        kind=tie.kind,
        relation=one.relation,
        impact=one.impact.word,
        side="inside" if one.alone else "outside",
        slots=slots,
        only_slots=bool(slots),
        direction=_DIRECTIONS.get(tie.role, _DIRECTIONS.get(mode, "")),
        path=path,
        name=tie.name or "",
        point=name if tie.kind == "MOUNT" else "",
        fstype=mount["fstype"] if mount else "",
        access=access,
        propagation=_propagation(tie.facts),
        opath=True if mode == "path" else None,
        outsiders=outside,
    )


def of_finding(finding: Finding) -> Item:
    """Return what is said of the subject without being an object of it."""
    return Item(relation=finding.finding)


def joins(space: str) -> int:
    """Return the process in whose mount namespace a thing is, 0 where that is not what it says."""
    found = _SPACE.search(space)
    return int(found[1]) if found else 0


def _propagation(facts: Facts) -> str:
    if facts.get("peer_group"):
        return "shared"
    return "slave" if facts.get("master_group") else ""


def _slots(holders: Iterable[Holder]) -> tuple[tuple[int, ...], bool]:
    """Return the descriptors by which something is held, and whether it is by these alone."""
    slots: list[int] = []
    only = True
    for holder in holders:
        own = [] if holder.descriptor is None else [holder.descriptor]
        own += [int(found[1]) for word in holder.via if (found := _FD.match(word))]
        only &= bool(own) or holder.kind == _TASK
        slots += own
    return tuple(sorted(set(slots))), only


_TASK: Final = "TASK"  # a task that holds by itself (a terminal of its session) has no descriptor


def _direction(inside: Iterable[Holder], mode: str) -> str:
    found = {_DIRECTIONS[h.detail] for h in inside if h.detail in _DIRECTIONS}
    if not found:
        return _DIRECTIONS.get(mode, "")
    return found.pop() if len(found) == 1 else "both"


def _of_holders(
    outside: Iterable[Holder], people: People, but: Callable[[Route], bool]
) -> Iterator[Outsider]:
    for holder in outside:
        for route in holder.routes_of(Side.OUTSIDE):
            if but(route):
                continue
            if route.thing and not route.tasks:
                yield _thing(route.thing)
            yield from map(people.outsider, route.tasks)
        if not holder.routes:
            yield from map(people.outsider, holder.led_by(Side.OUTSIDE))


def _of_ties(outside: Iterable[Tie], people: People) -> Iterator[Outsider]:
    for tie in outside:
        if tie.kind != _TASK and registry()[tie.kind].namespace:
            continue  # whoever is in it: that is the other side, and holds nothing
        for task in tie.tasks:
            if task.side is Side.OUTSIDE:
                yield people.outsider(task)
        for thing in tie.things:
            yield _thing(thing)


def _thing(words: str) -> Outsider:
    found = _PLACE.fullmatch(words)
    return Outsider(place=found[1] if found else words)
