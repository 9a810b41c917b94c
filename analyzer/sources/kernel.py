"""The kernel source: the reference graph read from the kernel's memory, with its own refcounts.

Nothing is atomic, so the subtree is read three times: first the references of all tasks and the
counts of the objects, then twice the subtree's references and the counts again. If a count or a
number of users moved, all is read anew, up to three times; what moves even then is unstable. A
subtree can be held still meanwhile (`freeze.py`); then one more reading is enough.

We hold no reference to anything while reading: what cranalyze itself holds (its descriptors, its
mappings) is in the tables like everybody's, as the observer's.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer import tables
from analyzer.check.subtree import INSIDE, task_sides
from analyzer.errors import TargetVanishedError, UnseenError
from analyzer.freeze import Frozen, frozen
from analyzer.kinds import registry
from analyzer.kinds._initial import hosts
from analyzer.memory.sets import member, unique
from analyzer.model import GAPS
from analyzer.snapshot import Snapshot
from analyzer.sources import tasks as task_list
from analyzer.sources.assemble import Numbering, number, objects, references
from analyzer.sources.describe import describe, detail
from analyzer.sources.expand import Expansion, counts, expand, relevant
from analyzer.sources.meta import run_facts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.kinds.base import I64, U64, Mask
    from analyzer.memory.reader import Memory
    from analyzer.sources.request import Request
    from analyzer.sources.tasks import Tasks

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
    initial: Mask


@dataclass(frozen=True)
class _Check:
    """What the second reading of the subtree says of the first."""

    moved: Mask
    appeared: int
    torn: Expansion

    @property
    def quiet(self) -> bool:
        return not self.moved.any() and not self.appeared


@dataclass(frozen=True)
class _Run:
    """How the readings went: how often all was read, and what was held still for it."""

    passes: int
    held: Frozen | None


def collect(memory: Memory, request: Request) -> Snapshot:
    """Read the reference graph that `request` asks for.

    Raises BadInputError and TargetVanishedError for a subject that cannot be one.
    """
    tries = READINGS
    while True:
        tries -= 1
        with _still(memory, request) as held:
            passes, reading, check = _settled(memory, request, held)
        bare = _snapshot(request, reading, check, _Run(passes, held))
        shown = detail(memory, bare) if request.detailed else bare
        if request.enough(shown) or not tries:
            break
    request.progress("naming")
    chosen = reading.collected if request.wanted is None else request.wanted(shown)
    # Not for a question to the whole machine: its answer names nobody's.
    cgroups = request.pid is not None or request.wanted is None
    return describe(memory, bare, reading.tasks, chosen, cgroups=cgroups)


def _still(memory: Memory, request: Request) -> AbstractContextManager[Frozen | None]:
    """Hold the subtree still, if that is asked for."""
    if not request.freeze or request.pid is None:
        return nullcontext()

    def threads() -> Iterable[int]:
        tasks = task_list.settled(memory, request.pid)
        inside = member(tasks.address, _subtree(tasks, request.pid))
        return [tid for tid in tasks.local[inside].tolist() if tid]

    threads()  # what cannot be a subject is refused before anything is stopped
    return frozen(request.pid, threads)


def _settled(memory: Memory, request: Request, held: Frozen | None) -> tuple[int, _Reading, _Check]:
    """Read until all readings agree, or READINGS times.

    A subtree that runs is read three times, one that stands still twice. A whole machine never
    rests: it is read twice, and what moved is unstable.
    """
    helpers = frozenset({held.helper}) if held else frozenset()
    passes = 0
    while True:
        passes += 1
        request.progress(f"reading, pass {passes}")
        reading = _read(memory, request.pid, host=request.host, helpers=helpers)
        check = _read_again(memory, request.pid, reading, helpers)
        if check.quiet and not held and request.pid is not None:
            check = _read_again(memory, request.pid, reading)
        if check.quiet or passes == READINGS or request.pid is None:
            return passes, reading, check


def _subtree(tasks: Tasks, pid: int | None) -> U64:
    if pid is None:
        return unique(tasks.address)
    row = tasks.row_of(pid)
    if row < 0 and task_list.exists(pid):
        raise UnseenError(f"process {pid} is there, but could not be found in memory: try again")
    if row < 0:
        raise TargetVanishedError(f"no process {pid}: it has exited, or never was")
    side = task_sides(tasks.table, tasks.known_as(pid))
    return unique(tasks.address[side == INSIDE])


def _start_time(tasks: Tasks, pid: int) -> int:
    return int(tasks.table["start_time"][tasks.row_of(pid)])


def _read(
    memory: Memory, pid: int | None, *, host: bool, helpers: frozenset[int] = frozenset()
) -> _Reading:
    tasks = task_list.settled(memory, pid, helpers)
    expansion = expand(memory, tasks.address, _subtree(tasks, pid))
    expansion = expansion if host else relevant(expansion)
    numbering = number(expansion)
    return _Reading(
        tasks, expansion, numbering, *_counts(memory, numbering),
        users=_users(expansion, numbering), collected=_collected(expansion, numbering),
        initial=_initial(memory, numbering),
    )  # fmt: skip


def _read_again(
    memory: Memory, pid: int | None, first: _Reading, helpers: frozenset[int] = frozenset()
) -> _Check:
    tasks = task_list.settled(memory, pid, helpers)
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
    # The host's own namespaces are everybody's: they move, and mean nothing for the subtree.
    return _Check(moved & first.collected & ~first.initial, appeared, again)


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
        numbers, held = numbering.find(block.target_kind, block.target)
        held &= member(block.holder, mine)
        weight = None if block.weight is None else block.weight[held]
        users += np.bincount(numbers[held], weight, len(users)).astype(np.int64)
    return users[1:]


def _collected(expansion: Expansion, numbering: Numbering) -> Mask:
    parts = [
        member(addresses, expansion.collected.get(kind, _NOBODY))
        for kind, addresses in numbering.address.items()
    ]
    return np.concatenate([np.empty(0, np.bool_), *parts])


def _snapshot(request: Request, reading: _Reading, check: _Check, run: _Run) -> Snapshot:
    tasks, pid = reading.tasks, request.pid
    gaps = _gaps(request, reading, check)
    incomplete = bool(gaps) or (run.held is not None and run.held.expired)
    gaps += run.held.gaps() if run.held else []
    columns = {
        "refcount": reading.refcount,
        "initial": reading.initial,
        "stable": ~check.moved,
    }
    meta = run_facts(
        pid=None if pid is None else tasks.known_as(pid),
        local_pid=pid,
        start_time=None if pid is None else _start_time(tasks, pid),
        source="kernel",
        capabilities={"refcounts": True, "identity": True, "nsproxy": True},
    )
    return Snapshot(
        {
            **meta,
            "scope": request.scope,
            "passes": run.passes,
            "frozen": run.held is not None,
            "frozen_seconds": run.held.seconds if run.held else 0.0,
            "addresses": "raw",
            "incomplete": incomplete,
            "named": {pid: tasks.known_as(pid) for pid in request.named},
        },
        {
            "tasks": tasks.table,
            "objects": objects(reading.numbering, columns, {"refcount": ~reading.counted}),
            "references": references(reading.expansion.blocks, reading.numbering, tasks),
            "gaps": tables.build(GAPS, {name: [gap[name] for gap in gaps] for name in gaps[0]})
            if gaps
            else tables.empty(GAPS),
        },
    )


def _initial(memory: Memory, numbering: Numbering) -> Mask:
    """Mark the host's own namespaces, and its set of them."""
    parts = [
        hosts(memory, registry()[kind], addresses) for kind, addresses in numbering.address.items()
    ]
    return np.concatenate([np.empty(0, np.bool_), *parts])


def _gaps(request: Request, reading: _Reading, check: _Check) -> list[dict[str, object]]:
    collected = reading.expansion.collected
    whose = "machine" if request.pid is None else "subtree"
    gaps = []
    for kind, holders in {**reading.expansion.torn, **check.torn.torn}.items():
        torn = int(member(holders, collected.get(kind, _NOBODY)).sum())
        if torn:
            what = registry()[kind].plural if torn > 1 else registry()[kind].title
            gaps.append(_gap(request, f"{torn} {what} of the {whose}", "changed while it was read"))
    if reading.tasks.torn:
        gaps.append(_gap(request, "the tree of process ids", "was rebuilt while it was read"))
    if check.appeared and request.pid is not None:  # on a whole machine something always does
        what = "object" if check.appeared == 1 else "objects"
        gaps.append(_gap(request, f"{check.appeared} {what}", "kept appearing while it was read"))
    return gaps


def _gap(request: Request, where: str, why: str) -> dict[str, object]:
    calmer = "" if request.pid is None else " on a quiet subtree, or --freeze"
    effect = f"{why}: references may be missing; try again{calmer}"
    return {"where": where, "syscall": "bpf_probe_read_kernel", "errno": None, "effect": effect}
