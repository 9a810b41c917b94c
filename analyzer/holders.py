"""Who holds an object: every counted reference to it, in words, with the tasks that lead to it.

A descriptor table is held by tasks, a file by tables, a network namespace by sockets that are
files: for each holder the tasks at the end of all such chains are named. Only the references that
lead to what is asked for are looked at, so that a report of three leaks on a large machine is
cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analyzer.check.links import reach
from analyzer.kinds import associations
from analyzer.model import TASK, Side

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from analyzer.check.subtree import Border
    from analyzer.snapshot import Snapshot
    from analyzer.tables import Table

    Integers = npt.NDArray[np.int64]
    Rows = npt.NDArray[np.intp]
    Mask = npt.NDArray[np.bool_]

_SIDES = tuple(Side)

ONE_PROCESS = frozenset({TASK, "FILE_TABLE", "MM", "FS", "SIGHAND", "NSPROXY", "CRED"})
"""Holders that are of one process for people: what they are goes without saying."""


class TaskRef(NamedTuple):
    """A thread by its ids, the name that it gave itself, and its side."""

    tid: int
    tgid: int
    comm: str
    side: Side


class Holder(NamedTuple):
    """One reference: its side, its place, and what holds it.

    `objref` is the holding object, None for a task (then `tid`). `tasks` are all that lead to it.
    `via` are their descriptors that do ("fd 4"), where nothing else of theirs does. One that is
    `shared` is inside, and led to from outside as well.
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

    def holds_from(self, side: Side) -> bool:
        """Tell whether something of a side holds by it: of both sides where it is shared."""
        return self.side is side or (self.shared and side is Side.OUTSIDE)

    def led_by(self, side: Side) -> tuple[TaskRef, ...]:
        """Return the tasks of a side that lead to it; all of them where none is of that side."""
        return tuple(task for task in self.tasks if task.side is side) or self.tasks


def holders(
    snapshot: Snapshot, border: Border, weight: Integers, rows: Rows
) -> Iterator[tuple[Holder, ...]]:
    """Yield the holders of each object of `rows` (rows of objects), inside ones first.

    `weight` is what each reference counts for under the rules, per row of references.
    """
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


def _made(snapshot: Snapshot, border: Border, weight: Integers, chosen: Rows) -> Iterator[Holder]:
    references = snapshot.tables["references"].take(chosen)
    leaders = Leaders(snapshot, border, _objects_in(border, chosen))
    by_task = border.by_task[chosen].tolist()
    held = zip(
        border.reference_side[chosen].tolist(), references.words("association").tolist(),
        references["slot"].tolist(), references.known("slot").tolist(),
        weight.tolist(), references.words("holder_kind").tolist(),
        references["holder"].tolist(), references.words("detail").tolist(),
        border.holder_row[chosen].tolist(), by_task, border.shared[chosen].tolist(),
        strict=True,
    )  # fmt: skip
    for (
        side,
        association,
        number,
        has_slot,
        counts,
        kind,
        holder,
        detail,
        row,
        is_task,
        both,
    ) in held:
        slot = number if has_slot else None
        yield Holder(
            _SIDES[side], association, slot, counts, TASK if is_task else kind,
            None if is_task else holder, holder if is_task else None,
            (leaders.task(row),) if is_task else leaders.of(row),
            in_words(association, slot, detail),
            () if is_task or kind in ONE_PROCESS else leaders.via(row), both,
        )  # fmt: skip


def in_words(association: str, slot: int | None, detail: str | None) -> str:
    """Return what a reference is: "fd 5 (cloexec)", "maps it (r-xp)"."""
    words = associations()[association].words
    if "{slot}" in words:
        words = words.format(slot="?" if slot is None else slot)
    return f"{words} ({detail})" if detail else words


def _objects_in(border: Border, chosen: Rows) -> Mask:
    held = np.zeros(len(border.object_side), np.bool_)
    held[border.holder_row[chosen[~border.by_task[chosen]]]] = True
    return held


class Leaders:
    """Finds the tasks that lead to an object, over counted references, and by what."""

    def __init__(self, snapshot: Snapshot, border: Border, wanted: Mask) -> None:
        """Index the references that lead to the objects of `wanted`, directly or not."""
        rows = np.flatnonzero(_upward(border, wanted))
        order = np.argsort(border.target_row[rows], kind="stable")
        rows = rows[order]
        # Plain lists: they are asked one element at a time, by the ten thousand.
        ends = np.cumsum(np.bincount(border.target_row[rows], minlength=len(wanted)))
        self._ends = [0, *ends.tolist()]
        held = zip(border.holder_row[rows].tolist(), border.by_task[rows].tolist(), strict=True)
        self._held = list(held)
        self._tasks = snapshot.tables["tasks"]
        self._references = snapshot.tables["references"]
        self._rows = rows
        self._entry = _entries(self._references, rows)
        self._object_side = border.object_side
        self._side = border.reference_side
        self._sides = border.task_side
        self._named: dict[int, TaskRef] = {}
        self._found: dict[int, tuple[TaskRef, ...]] = {}
        self._by: dict[int, tuple[str, ...]] = {}

    def task(self, row: int) -> TaskRef:
        """Return the task of a row of tasks."""
        if row not in self._named:
            tid, tgid = (int(self._tasks[name][row]) for name in ("tid", "tgid"))
            side = _SIDES[self._sides[row]]
            self._named[row] = TaskRef(tid, tgid, self._tasks["comm"][row], side)
        return self._named[row]

    def of(self, row: int) -> tuple[TaskRef, ...]:
        """Return the tasks that lead to the object of a row of objects, by tid."""
        if row not in self._found:
            self._found[row] = tuple(sorted(self.task(task) for task in self._reached(row)))
        return self._found[row]

    def via(self, row: int) -> tuple[str, ...]:
        """Return the descriptors that lead to an object: () if something else of a task does."""
        if row not in self._by:
            rows = self._rows[self._entries_of(row)]
            own = rows[self._side[rows] == self._object_side[row]]
            self._by[row] = _numbered(self._references.take(own if len(own) else rows))
        return self._by[row]

    def _entries_of(self, row: int) -> list[int]:
        """Return where in the index the references of processes are, on the way to an object."""
        seen, todo, found = {row}, [row], []
        while todo:
            at = todo.pop()
            for index in range(self._ends[at], self._ends[at + 1]):
                holder, _ = self._held[index]
                if self._entry[index]:
                    found.append(index)
                elif holder not in seen:
                    seen.add(holder)
                    todo.append(holder)
        return sorted(found)

    def _reached(self, row: int) -> set[int]:
        tasks: set[int] = set()
        seen, todo = {row}, [row]
        while todo:
            for holder, is_task in self._held_by(todo.pop()):
                if is_task:
                    tasks.add(holder)
                elif holder not in seen:
                    seen.add(holder)
                    todo.append(holder)
        return tasks

    def _held_by(self, row: int) -> Iterable[tuple[int, bool]]:
        return self._held[self._ends[row] : self._ends[row + 1]]


def _upward(border: Border, wanted: Mask) -> Mask:
    by_object = np.flatnonzero(border.counted & ~border.by_task)
    reached = reach(wanted, border.target_row[by_object], border.holder_row[by_object])
    led: Mask = border.counted & reached[border.target_row]
    return led


def _entries(references: Table, rows: Rows) -> list[bool]:
    """Return which references are of a process: by a task, or by what is of one process."""
    own = [word in ONE_PROCESS for word in references.vocabulary["holder_kind"]]
    flags: list[bool] = np.array([*own, False])[references["holder_kind"][rows]].tolist()
    return flags


def _numbered(references: Table) -> tuple[str, ...]:
    """Return the descriptors in words, without doubles, if nothing else is there: else ().

    A system call on a file was made by its descriptor.
    """
    place = references["association"]
    descriptors = place == references.code("association", "fd")
    calls = [references.code("association", name) for name in ("syscall", "poll")]
    if not (descriptors | np.isin(place, calls)).all():
        return ()
    slots: list[int] = np.unique(references["slot"][descriptors]).tolist()
    return tuple(in_words("fd", slot, None) for slot in slots)
