"""Who holds an object: every counted reference to it, in words, with the tasks that lead to it.

A descriptor table is held by tasks, a file by tables, a network namespace by sockets that are
files: for each holder the tasks at the end of all such chains are named. Only the references that
lead to what is asked for are looked at, so that a report of three leaks on a large machine is
cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.check.links import Way, association_flags, kinds_by_code, reach, ways
from analyzer.core.model import TASK, Rules, Side
from analyzer.core.values import NamedTuple, replace
from analyzer.kinds import associations, registry, title_of
from analyzer.kinds.base import Slot
from analyzer.memory.distinct import runs
from analyzer.procfs.homes import home
from analyzer.snapshot.lives import remark

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from analyzer.check.subtree import Border
    from analyzer.kinds.base import Association, Kind
    from analyzer.snapshot.tables import Table
    from analyzer.snapshot.value import Snapshot

    Integers = npt.NDArray[np.int64]
    Rows = npt.NDArray[np.intp]
    Mask = npt.NDArray[np.bool_]
    _Way = tuple[str, str, int]  # the thing, how it is held, the side

_SIDES = tuple(Side)
_DEVICES = "/dev/"
_NONE = range(0)


class TaskRef(NamedTuple):
    """A thread by its ids, the name that it gave itself, its side, and what is to be said of it.

    `remark` is that of a dead one, who ought to wait for it, or the container or the service that
    one outside is in.
    """

    tid: int
    tgid: int
    comm: str
    side: Side
    remark: str = ""


class Route(NamedTuple):
    """One way that leads to a holder: who (nobody, where a thing keeps it), by what, and how.

    `via` are descriptors ("fd 4"), () if something else of the tasks leads there too. `thing` is
    what they have there, or what keeps it: "/etc/passwd", "bind mount /run/netns/X in the host's
    mount namespace". `detail` says how it is held, "" as the holder does.
    """

    tasks: tuple[TaskRef, ...]
    via: tuple[str, ...] = ()
    thing: str = ""
    detail: str = ""


class Holder(NamedTuple):
    """One reference: its side, its place, and what holds it.

    `objref` is the holding object, None for a task (then `tid`). `tasks` are all that lead to it.
    `via` are their descriptors that do ("fd 4"), where nothing else of theirs does. One that is
    `shared` is inside, and led to from outside as well. `routes` say the same way by way: a set of
    tasks that can reach a holder is not a holder.
    """

    side: Side
    association: str
    slot: int | None
    weight: int
    kind: str
    objref: int | None
    tid: int | None
    tasks: tuple[TaskRef, ...]
    detail: str
    via: tuple[str, ...] = ()
    shared: bool = False
    routes: tuple[Route, ...] = ()

    @property
    def descriptor(self) -> int | None:
        """Return the number of the descriptor that it is, None when it is none."""
        return self.slot if _is_descriptor(associations()[self.association]) else None

    @property
    def mapped(self) -> bool:
        """Tell whether it is code or data in memory."""
        return associations()[self.association].mapped

    @property
    def shares(self) -> bool:
        """Tell whether it is a shared mapping ("maps it (r--s)")."""
        return self.detail.endswith("s)")

    @property
    def writes(self) -> bool:
        """Tell whether it is a shared mapping that one can write to ("maps it (rw-s)")."""
        return self.shares and "w" in self.detail[-5:]

    def holds_from(self, side: Side) -> bool:
        """Tell whether something of a side holds by it: of both sides where it is shared."""
        return self.side is side or (self.shared and side is Side.OUTSIDE)

    def led_by(self, side: Side) -> tuple[TaskRef, ...]:
        """Return the tasks of a side that lead to it; all of them where none is of that side."""
        return tuple(task for task in self.tasks if task.side is side) or self.tasks

    def routes_of(self, side: Side) -> tuple[Route, ...]:
        """Return the routes of a side: its tasks', and what keeps it without a task; else all."""
        led = [
            route._replace(tasks=own)
            for route in self.routes
            if (own := tuple(task for task in route.tasks if task.side is side))
        ]
        if self.side is side:
            led += [route for route in self.routes if not route.tasks]
        return tuple(led) or self.routes


def holders(
    snapshot: Snapshot, border: Border, weight: Integers, rows: Rows
) -> Iterator[tuple[Holder, ...]]:
    """Yield the holders of each object of `rows` (rows of objects), inside ones first.

    `weight` is what each reference counts for under the rules, per row of references.
    """
    if not len(rows):
        return
    wanted = np.zeros(len(snapshot.tables["objects"]), np.bool_)
    wanted[rows] = True
    chosen = np.flatnonzero(border.counted & wanted[border.target_row])
    order = np.lexsort((border.reference_side[chosen], border.target_row[chosen]))
    chosen = chosen[order]
    made = list(_made(snapshot, border, weight[chosen], chosen))
    targets = border.target_row[chosen]
    first = np.searchsorted(targets, rows, "left").tolist()
    last = np.searchsorted(targets, rows, "right").tolist()
    for start, end in zip(first, last, strict=True):
        yield tuple(made[start:end])


def uncounted(
    snapshot: Snapshot, border: Border, rules: Rules, rows: Rows
) -> list[tuple[Holder, ...]]:
    """Return by object of `rows` the holders that the rules do not count: the modern know all.

    Not of the host's namespaces, which have them by the thousand.
    """
    if rules is Rules.MODERN:
        return [()] * len(rows)
    told = ~snapshot.tables["objects"]["initial"][rows]
    references = snapshot.tables["references"]
    weight = references["weight"]
    there = (weight > 0) & association_flags(references, lambda a: not a.historic)
    others = replace(border, counted=~border.counted & there)
    found = holders(snapshot, others, weight, rows[told])
    return [next(found) if tell else () for tell in told.tolist()]


def _made(snapshot: Snapshot, border: Border, weight: Integers, chosen: Rows) -> Iterator[Holder]:
    references = snapshot.tables["references"].take(chosen)
    leaders = Leaders(snapshot, border, _objects_in(border, chosen))
    held = zip(
        border.reference_side[chosen].tolist(), references.words("association").tolist(),
        references["slot"].tolist(), references.known("slot").tolist(),
        weight.tolist(), references.words("holder_kind").tolist(),
        references["holder"].tolist(), references.words("detail").tolist(),
        border.holder_row[chosen].tolist(), border.by_task[chosen].tolist(),
        border.shared[chosen].tolist(), border.target_row[chosen].tolist(),
        strict=True,
    )  # fmt: skip
    for side, place, number, has_slot, counts, kind, holder, detail, row, by_task, both, at in held:
        slot = number if has_slot else None
        routes = (Route((leaders.task(row),)),) if by_task else leaders.routes(row, at)
        tasks = routes[0].tasks if len(routes) == 1 else leaders.joined(routes)
        yield Holder(
            _SIDES[side], place, slot, counts, TASK if by_task else kind,
            None if by_task else holder, holder if by_task else None,
            tasks, in_words(place, slot, detail),
            _descriptors(routes, _SIDES[side]), both, routes,
        )  # fmt: skip


def _descriptors(routes: tuple[Route, ...], side: Side) -> tuple[str, ...]:
    """Return the descriptors of a side that lead to a holder, if nothing else of it does."""
    led = [route for route in routes if route.tasks]
    own = [route for route in led if any(task.side is side for task in route.tasks)] or led
    if not all(route.via for route in own):
        return ()
    return tuple(dict.fromkeys(word for route in own for word in route.via))


def in_words(association: str, slot: int | None, detail: str | None) -> str:
    """Return what a reference is: "fd 5 (cloexec)", "maps it (r-xp)"."""
    words = associations()[association].words
    if "{slot}" in words:
        words = words.format(slot="?" if slot is None else slot)
    return f"{words} ({detail})" if detail else words


def _is_descriptor(association: Association) -> bool:
    return association.slot is Slot.DESCRIPTOR


def _objects_in(border: Border, chosen: Rows) -> Mask:
    held = np.zeros(len(border.object_side), np.bool_)
    held[border.holder_row[chosen[~border.by_task[chosen]]]] = True
    return held


class Leaders:
    """Finds what leads to a holder, and how: tasks, and things that keep it without one.

    Followed are all references that lead, whether the rules count them or not, up to what is of one
    process, and no further than to a namespace: who is in it does not hold what it has.
    """

    def __init__(self, snapshot: Snapshot, border: Border, wanted: Mask) -> None:
        """Index the references that lead to the objects of `wanted`, directly or not."""
        self._tasks, self._objects, self._references = (
            snapshot.tables[name] for name in ("tasks", "objects", "references")
        )
        rows = _leading(self._references, border, wanted)
        # Plain lists: they are asked one element at a time, by the ten thousand.
        self._led = _places(border.target_row[rows])
        self._holder = border.holder_row[rows].tolist()
        self._by_task = border.by_task[rows].tolist()
        self._rows = rows.tolist()
        self._kind = self._objects["kind"]
        self._own = kinds_by_code(self._objects, lambda kind: kind.of_process)
        self._stops = kinds_by_code(self._objects, lambda kind: bool(kind.namespace) or kind.keeps)
        self._side = border.reference_side
        self._sides = border.task_side
        self._named: dict[int, TaskRef] = {}
        self._groups: dict[int, str] = {}
        self._direct: dict[int, tuple[TaskRef, ...]] = {}
        self._found: dict[tuple[int, int], tuple[Route, ...]] = {}

    def task(self, row: int) -> TaskRef:
        """Return the task of a row of tasks."""
        if row not in self._named:
            tid, tgid = (int(self._tasks[name][row]) for name in ("tid", "tgid"))
            side = _SIDES[self._sides[row]]
            comm = self._tasks["comm"][row]
            said = remark(self._tasks, row)
            if not said and side is Side.OUTSIDE:
                said = _lives(self._group(tgid))
            self._named[row] = TaskRef(tid, tgid, comm, side, said)
        return self._named[row]

    def _group(self, tgid: int) -> str:
        """Return the path of the cgroup of a process: its first thread has it."""
        if not self._groups:
            tasks = self._tasks
            known = np.flatnonzero(tasks.known("cgroup")).tolist()
            self._groups = {-1: ""} | {int(tasks["tid"][at]): tasks["cgroup"][at] for at in known}
        return self._groups.get(tgid, "")

    def joined(self, routes: Iterable[Route]) -> tuple[TaskRef, ...]:
        """Return the tasks of all routes, by tid."""
        return tuple(sorted({task for route in routes for task in route.tasks}))

    def routes(self, row: int, target: int) -> tuple[Route, ...]:
        """Return the routes to a holder of `target` (rows of objects), never through that."""
        # What is of one process alone is had by its tasks, whatever it holds.
        key = row, -1 if self._own[self._kind[row]] and not self._of(row).through else target
        if key not in self._found:
            own = "" if row == target else self._device(row)
            self._found[key] = tuple(self._routes(row, target)) or (Route((), (), own),)
        return self._found[key]

    def _device(self, row: int) -> str:
        """Return what a device is called, which says more than its number; "" of another thing."""
        name = self._objects.value("name", row) or ""
        return f"{self._of(row).title} {name}" if name.startswith(_DEVICES) else ""

    def _routes(self, row: int, target: int) -> Iterator[Route]:
        if self._own[self._kind[row]] and self._members(row):
            yield Route(self._members(row))
        ways, things = self._explored(row, target)
        for (thing, detail, _), indexes in ways.items():
            tasks = {task for index in indexes for task in self._entrants(index)}
            via = self._numbered([self._rows[index] for index in indexes])
            yield Route(tuple(sorted(tasks)), via, thing, detail)
        yield from (Route((), (), thing) for thing in things)

    def _numbered(self, rows: list[int]) -> tuple[str, ...]:
        """Return the descriptors in words, without doubles, if nothing else is there: else ().

        A system call on a file was made by its descriptor.
        """
        placed = {row: associations()[self._place(row)] for row in rows}
        own = [row for row, place in placed.items() if _is_descriptor(place)]
        if not all(_is_descriptor(place) or place.by_descriptor for place in placed.values()):
            return ()
        slots = self._references["slot"]
        numbers = sorted({int(slots[row]) for row in own})
        return tuple(in_words(self._place(own[0]), slot, None) for slot in numbers)

    def _place(self, row: int) -> str:
        place: str = self._references.value("association", row)
        return place

    def _above(self, row: int) -> range:
        """Return where the references to an object are that lead to it."""
        return self._led.get(row, _NONE)

    def _members(self, row: int) -> tuple[TaskRef, ...]:
        """Return the tasks that hold an object themselves, by tid."""
        if row not in self._direct:
            held = self._above(row)
            tasks = {self.task(self._holder[index]) for index in held if self._by_task[index]}
            self._direct[row] = tuple(sorted(tasks))
        return self._direct[row]

    def _entrants(self, index: int) -> tuple[TaskRef, ...]:
        at = self._holder[index]
        return (self.task(at),) if self._by_task[index] else self._members(at)

    def _explored(self, row: int, target: int) -> tuple[dict[_Way, list[int]], list[str]]:
        """Return the references of processes on the way up, by way, and the things that are met."""
        ways: dict[_Way, list[int]] = {}
        things: dict[tuple[int, int], str] = {}
        seen = {row, target}
        todo: list[tuple[int, str]] = [(row, "")]
        while todo:
            at, first = todo.pop()
            for index in self._above(at):
                above, by_task = self._holder[index], self._by_task[index]
                if by_task and at == row and self._own[self._kind[row]]:
                    continue  # one of its members
                how = first or self._place(self._rows[index])
                if by_task or (self._own[self._kind[above]] and self._members(above)):
                    side = int(self._side[self._rows[index]])
                    way = (self._thing(at), self._how(row, how), side)
                    ways.setdefault(way, []).append(index)
                elif above == target:
                    continue
                elif self._stops[self._kind[above]] and not self._detached(above):
                    things.setdefault(self._keeps(at, above), self._kept(at, above, index))
                elif above not in seen:
                    seen.add(above)
                    todo.append((above, how))
        return ways, list(dict.fromkeys(things.values()))

    def _of(self, row: int) -> Kind:
        return registry()[self._objects.value("kind", row)]

    def _thing(self, row: int) -> str:
        """Return the path of what is held by a process: other names say no more than its number."""
        name = self._objects.value("name", row) if self._of(row).path else None
        return name if name and name.startswith("/") else ""

    def _how(self, row: int, first: str) -> str:
        """Return how a holder is held, where that says more than how it holds."""
        through = self._of(row).through
        return through.get(first, through.get("", ""))

    def _keeps(self, row: int, keeper: int) -> tuple[int, int]:
        """Return what is told once of a keeper: of a filesystem one place in each namespace."""
        if self._of(row).mounted and self._of(keeper).keeps:
            return row, next(self._spaces_of(keeper), keeper)
        return row, keeper

    def _detached(self, row: int) -> bool:
        """Tell whether something is a mount of no mount namespace: what is on it keeps it."""
        return self._of(row).keeps and next(self._spaces_of(row), None) is None

    def _kept(self, row: int, keeper: int, index: int) -> str:
        """Return what keeps an object without a task: a mount, or what a namespace has."""
        kind, keeps = self._of(row), self._of(keeper)
        if keeps.keeps:
            where = self._objects.value("name", keeper) or title_of(keeps.name, keeper + 1)
            of = self._objects.value("name", row) if kind.mounted else None
            what = f"{of} mounted at" if of else "bind mount"
            return f"{what} {where} in {self._space_of(keeper)}"
        name = self._objects.value("name", row) or f"no. {self._objects['objref'][row]}"
        if kind.mounted:
            point = self._references.value("detail", self._rows[index])
            return f"{name} mounted{f' at {point}' if point else ''} in {self._space(keeper)}"
        return f"{kind.title} {name} of {self._space(keeper)}"

    def _space_of(self, mount: int) -> str:
        return next(map(self._space, self._spaces_of(mount)), "no mount namespace")

    def _spaces_of(self, mount: int) -> Iterator[int]:
        """Yield the mount namespace that a mount is in, if it is in one."""
        for index in self._above(mount):
            if not self._by_task[index] and self._of(self._holder[index]).namespace:
                yield self._holder[index]

    def _space(self, row: int) -> str:
        """Return what a namespace is called: "the host's mount namespace", "... of sleep (7)"."""
        word = self._of(row).title.replace("mnt", "mount")
        if self._objects["initial"][row]:
            return f"the host's {word}"
        by = (self._holder[index] for index in self._above(row) if not self._by_task[index])
        sets = (at for at in by if self._of(at).set_of_namespaces)
        members = [task for at in sets for task in self._members(at)]
        if members:
            first = min(members)
            return f"the {word} of {first.comm} ({first.tgid})"
        return f"{word} {self._objects.value('name', row) or ''}".rstrip()


def _lives(group: str) -> str:
    """Return what is added to a process that has a home of its own: "in podman container X"."""
    at = home(group)
    if at.container:
        return f"in {at.runtime} container {at.short}".replace("  ", " ")
    return f"in {at.unit}" if at.unit.endswith(".service") else ""


def _leading(references: Table, border: Border, wanted: Mask) -> Rows:
    """Return the references that lead to what is wanted, directly or not, by what they hold."""
    if not wanted.any():
        return np.empty(0, np.intp)
    leads = association_flags(references, lambda association: association.leads)
    back = Way(border.target_row, border.holder_row)
    over = ways(references["association"], back, leads & ~border.by_task)
    rows = np.flatnonzero(leads & reach(wanted, over)[border.target_row])
    return rows[np.argsort(border.target_row[rows], kind="stable")]


def _places(ordered: Rows) -> dict[int, range]:
    """Return where each number is among ordered ones."""
    ends = runs(ordered)
    places = map(range, [0, *ends.tolist()], ends.tolist())
    return dict(zip(ordered[ends - 1].tolist(), places, strict=True))
