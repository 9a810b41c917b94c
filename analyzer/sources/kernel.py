"""The kernel source: the reference graph read from the kernel's memory, with its own refcounts.

Nothing is atomic, so the subtree is read twice: first the references of all tasks and the counts of
the objects, then the subtree's references and the counts again. An object whose count or users
moved between the two is read again, up to three times, and then marked unstable.

We hold no reference to anything while reading: what cranalyze itself holds (its descriptors, its
mappings) is in the tables like everybody's, as the observer's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from analyzer import tables
from analyzer.check.subtree import INSIDE, task_sides
from analyzer.errors import TargetVanishedError
from analyzer.kinds import registry
from analyzer.memory.sets import member, unique
from analyzer.model import GAPS
from analyzer.snapshot import Snapshot
from analyzer.sources import tasks as task_list
from analyzer.sources.assemble import Numbering, number, objects, references
from analyzer.sources.describe import describe
from analyzer.sources.expand import Expansion, counts, expand, relevant
from analyzer.sources.meta import run_facts

if TYPE_CHECKING:
    from analyzer.kinds.base import I64, U64, Mask
    from analyzer.memory.reader import Memory
    from analyzer.sources.tasks import Tasks

Progress = Callable[[str], None]
Wanted = Callable[[Snapshot], "npt.NDArray[np.bool_]"]

READINGS: Final = 4  # the first, and three more for what moved


_NOBODY: Final = np.empty(0, np.uint64)


@dataclass(frozen=True)
class _Reading:
    tasks: Tasks
    expansion: Expansion
    numbering: Numbering
    refcount: I64
    counted: Mask
    users: I64
    collected: Mask


@dataclass(frozen=True)
class _Check:
    """What the second reading of the subtree says of the first."""

    moved: Mask
    appeared: int
    torn: Expansion

    @property
    def quiet(self) -> bool:
        return not self.moved.any() and not self.appeared


def collect(
    memory: Memory,
    pid: int | None,
    *,
    scope: str = "border",
    wanted: Wanted | None = None,
    progress: Progress = lambda _: None,
) -> Snapshot:
    """Read the reference graph of the subtree of `pid`, or of the whole machine when it is None.

    `scope` "border" keeps the collected objects and all that holds them, "host" everything.
    `wanted` chooses the objects (a mask of the objects table of a snapshot without names) that
    are described and named; None means those of the subtree.
    Raises BadInputError and TargetVanishedError for a subject that cannot be one.
    """
    host = scope == "host" or pid is None
    passes, reading, check = _settled(memory, pid, progress, host=host)
    bare = _snapshot(memory, pid, reading, check, {"scope": scope, "passes": passes})
    progress("naming")
    chosen = reading.collected if wanted is None else wanted(bare)
    return describe(memory, bare, reading.tasks, chosen, cgroups=wanted is None)


def _settled(
    memory: Memory, pid: int | None, progress: Progress, *, host: bool
) -> tuple[int, _Reading, _Check]:
    """Read until two readings agree, or READINGS times."""
    passes = 0
    while True:
        passes += 1
        progress(f"reading, pass {passes}")
        reading = _read(memory, pid, host=host)
        check = _read_again(memory, pid, reading)
        if check.quiet or passes == READINGS:
            return passes, reading, check


def _subtree(tasks: Tasks, pid: int | None) -> U64:
    if pid is None:
        return unique(tasks.address)
    row = tasks.row_of(pid)
    if row < 0:
        raise TargetVanishedError(f"no process {pid}: it has exited, or never was")
    side = task_sides(tasks.table, int(tasks.table["tid"][row]))
    return unique(tasks.address[side == INSIDE])


def _start_time(tasks: Tasks, pid: int) -> int:
    return int(tasks.table["start_time"][tasks.row_of(pid)])


def _read(memory: Memory, pid: int | None, *, host: bool) -> _Reading:
    tasks = task_list.read(memory)
    expansion = expand(memory, tasks.address, _subtree(tasks, pid))
    expansion = expansion if host else relevant(expansion)
    numbering = number(expansion)
    return _Reading(
        tasks, expansion, numbering, *_counts(memory, numbering),
        users=_users(expansion, numbering), collected=_collected(expansion, numbering),
    )  # fmt: skip


def _read_again(memory: Memory, pid: int | None, first: _Reading) -> _Check:
    tasks = task_list.read(memory)
    inside = _subtree(tasks, pid)
    if pid is not None and _start_time(tasks, pid) != _start_time(first.tasks, pid):
        raise TargetVanishedError(f"process {pid} exited while it was read, and its pid was reused")
    again = expand(memory, inside, inside)
    refcount, counted = _counts(memory, first.numbering)
    moved = (refcount != first.refcount) | (counted != first.counted)
    moved |= _users(again, first.numbering) != first.users
    appeared = sum(
        int((~member(addresses, first.expansion.collected.get(kind, _NOBODY))).sum())
        for kind, addresses in again.collected.items()
    )
    return _Check(moved & first.collected, appeared, again)


def _counts(memory: Memory, numbering: Numbering) -> tuple[I64, Mask]:
    kinds = registry()
    read = [counts(memory, kinds[name], at) for name, at in numbering.address.items()]
    refcount = np.concatenate([np.empty(0, np.int64), *(values for values, _ in read)])
    known = np.concatenate([np.empty(0, np.bool_), *(mask for _, mask in read)])
    return refcount, known


def _users(expansion: Expansion, numbering: Numbering) -> I64:
    """Count the references that collected holders hold on each object."""
    users = np.zeros(len(numbering) + 1, np.int64)
    for block in expansion.blocks:
        mine = expansion.collected.get(block.holder_kind, _NOBODY)
        known = np.sort(numbering.address.get(block.target_kind, _NOBODY))
        held = block.take(member(block.holder, mine) & member(block.target, known))
        if len(held.target):
            numbers = numbering.numbers(block.target_kind, held.target)
            users += np.bincount(numbers, held.weight, len(users)).astype(np.int64)
    return users[1:]


def _collected(expansion: Expansion, numbering: Numbering) -> Mask:
    parts = [
        member(addresses, expansion.collected.get(kind, _NOBODY))
        for kind, addresses in numbering.address.items()
    ]
    return np.concatenate([np.empty(0, np.bool_), *parts])


def _snapshot(
    memory: Memory, pid: int | None, reading: _Reading, check: _Check, facts: dict[str, object]
) -> Snapshot:
    tasks = reading.tasks
    gaps = _gaps(reading, check)
    columns = {
        "refcount": reading.refcount,
        "initial": _initial(memory, reading),
        "stable": ~check.moved,
    }
    meta = run_facts(
        pid=pid,
        start_time=None if pid is None else _start_time(tasks, pid),
        source="kernel",
        capabilities={"refcounts": True, "identity": True, "nsproxy": True},
    )
    return Snapshot(
        {**meta, **facts, "addresses": "raw", "incomplete": bool(gaps)},
        {
            "tasks": tasks.table,
            "objects": objects(reading.numbering, columns, {"refcount": ~reading.counted}),
            "references": references(reading.expansion.blocks, reading.numbering, tasks),
            "gaps": tables.build(GAPS, {name: [gap[name] for gap in gaps] for name in gaps[0]})
            if gaps
            else tables.empty(GAPS),
        },
    )


def _initial(memory: Memory, reading: _Reading) -> Mask:
    """Mark the initial namespaces: those of init_task, the idle task of the first processor."""
    first = reading.tasks.address[reading.tasks.table["tid"] == 0]
    own = expand(memory, first, np.sort(first)).collected
    hosts = {k.name for k in registry().values() if k.namespace} | {"NSPROXY"}
    parts = [
        member(addresses, own.get(kind, _NOBODY)) & (kind in hosts)
        for kind, addresses in reading.numbering.address.items()
    ]
    return np.concatenate([np.empty(0, np.bool_), *parts])


def _gaps(reading: _Reading, check: _Check) -> list[dict[str, object]]:
    collected = reading.expansion.collected
    gaps = []
    for kind, holders in {**reading.expansion.torn, **check.torn.torn}.items():
        torn = int(member(holders, collected.get(kind, _NOBODY)).sum())
        if torn:
            what = registry()[kind].plural if torn > 1 else registry()[kind].title
            gaps.append(_gap(f"{torn} {what} of the subtree", "changed while it was read"))
    if reading.tasks.torn:
        gaps.append(_gap(f"{reading.tasks.torn} task lists", "changed while they were read"))
    if check.appeared:
        gaps.append(_gap(f"{check.appeared} objects", "appeared in the subtree while it was read"))
    return gaps


def _gap(where: str, why: str) -> dict[str, object]:
    effect = f"{why}, {READINGS} times: references may be missing; try again on a quiet subtree"
    return {"where": where, "syscall": "bpf_probe_read_kernel", "errno": None, "effect": effect}
