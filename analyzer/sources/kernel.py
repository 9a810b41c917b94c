"""The kernel source: the reference graph read from the kernel's memory, with its own refcounts.

Nothing is atomic, so the subtree is read three times: first the references of all tasks and the
counts of the objects, then twice the subtree's references and the counts again. If none of its
tasks ran between the first two, since they slept, two are enough. Then those outside that hold what
the subtree holds are asked once more (`verify.py`). If a count moved, or who holds an object, all
is read anew, up to three times; what moves even then is unstable.

What is to be held still (`freeze.py`) is read once before that: if the subtree has all the same
then, and none ran while that was asked, it is let go at once. If not, all is read anew while it
stands still. A relation (a lock) is told that was there before and is found again.

What is in the tables was seen twice. A count that they do not explain proves something only if
nothing can have come and gone meanwhile: else that object is unstable too.

A core stands still, so it is read once.

We hold no reference to anything while reading: what cranalyze itself holds (its descriptors, its
mappings) is in the tables like everybody's, as the observer's.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.errors import TargetVanishedError
from analyzer.core.model import GAPS
from analyzer.core.values import dataclass, replace
from analyzer.kinds import file_types, registry
from analyzer.kinds._initial import hosts
from analyzer.kinds._recognise import samples
from analyzer.kinds.base import Judged
from analyzer.memory.distinct import member, one_of, unique
from analyzer.snapshot import tables
from analyzer.snapshot.addresses import told
from analyzer.snapshot.source import KERNEL, VMCORE
from analyzer.snapshot.value import Snapshot
from analyzer.sources import limits, relate, stopped
from analyzer.sources import tasks as task_list
from analyzer.sources.assemble import Numbering, number, objects, references
from analyzer.sources.describe import describe, detail
from analyzer.sources.expand import Expansion, counts, expand, old_counts, owned, relevant
from analyzer.sources.meta import here, run_facts
from analyzer.sources.nodes import Nodes
from analyzer.sources.reading import Reading, Second
from analyzer.sources.subject import known, start_time, subtree
from analyzer.sources.verify import (
    born,
    confirmed,
    held_yet,
    pulse,
    regrouped,
    seen_again,
    still_held,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from analyzer.kinds.base import I64, U64, Kind, Mask
    from analyzer.memory.reader import Memory
    from analyzer.sources.freeze import Frozen
    from analyzer.sources.relate import Found
    from analyzer.sources.request import Request
    from analyzer.sources.tasks import Tasks

    Count = Callable[[Memory, Kind, U64], tuple[I64, Mask]]

READINGS: Final = 4  # the first, and three more for what moved
_PATIENCE: Final = 2.0  # seconds, after which what moved is not read anew
_HELD: Final = "TtZX"  # state letters of tasks that do not run until somebody lets them
_NOBODY: Final = np.empty(0, np.uint64)
_NO_NODES: Final = np.empty(0, np.bool_)
_NOTHING: Final = Expansion(Nodes({}), (), (), _NO_NODES, _NO_NODES, {})


@dataclass(frozen=True)
class _Run:
    """How the readings went: how often all was read, and what was held still for it."""

    passes: int
    held: Frozen | None
    live: bool


def collect(memory: Memory, request: Request) -> Snapshot:
    """Read the reference graph that `request` asks for.

    Raises BadInputError and TargetVanishedError for a subject that cannot be one.
    """
    tries = READINGS
    while True:
        tries -= 1
        bare, reading = _taken(memory, request)
        if request.limits:
            bare = replace(
                bare, meta={**bare.meta, "limits": limits.read(memory, reading.numbering.address)}
            )
        shown = detail(memory, bare, request.stated) if request.detailed else bare
        if request.enough(shown) or not tries:
            break
    request.progress("naming")
    # Of a whole machine all is shown: mounts too, which nobody collects.
    mine = reading.collected | reading.compared
    if request.thorough:
        objects = bare.tables["objects"]
        mine = mine | (objects["kind"] == objects.code("kind", "MOUNT"))
    chosen = mine if request.pid is not None else np.ones_like(mine)
    if request.wanted is not None:
        chosen = request.wanted(shown)
    if not request.question:
        chosen = chosen | relate.ends_in(bare.tables["relations"], len(chosen))
    # An answer to a question names nobody's cgroup.
    listing = request.wanted is not None and not request.question
    brief = listing and not request.thorough
    described = describe(
        memory, bare, reading.tasks, chosen, cgroups=not request.question, brief=brief
    )
    if not request.question:
        # That of a subtree was seen twice, and its count tells what is missing.
        return told(described, chosen) if listing else described
    return _still_held(memory, described, reading, chosen)


def _taken(memory: Memory, request: Request) -> tuple[Snapshot, Reading]:
    """Return what was read, and the reading without the columns that nobody asks for any more."""
    with samples(memory, file_types()), held_still(memory, request) as held:
        passes, reading, second = _settled(memory, request, held)
    # What is compared no more makes room for the tables.
    reading = replace(reading, own=reading.own.outline, whole=_NOTHING)
    second = replace(second, again=second.again.outline)
    run = _Run(passes, held, memory.engine.live)
    snapshot = _snapshot(memory, request, reading, second, run)
    if request.question:
        return snapshot, reading
    outline = reading.numbering.outline
    return snapshot, replace(reading, expansion=_NOTHING, numbering=outline)


def _still_held(memory: Memory, snapshot: Snapshot, reading: Reading, chosen: Mask) -> Snapshot:
    """Return the answer to a question to the whole machine, of what is held when it is named."""
    wanted = reading.numbering.nodes(chosen)
    expansion, lost = still_held(memory, reading.expansion, wanted, reading.who)
    if not lost.any():
        return snapshot
    less = reading.numbering.chosen(lost)
    objects = snapshot.tables["objects"]
    changed = {
        "objects": tables.with_columns(objects, {"stable": objects["stable"] & ~less}),
        "references": references(expansion, reading.numbering, reading.tasks),
    }
    return replace(snapshot, tables={**snapshot.tables, **changed})


def held_still(memory: Memory, request: Request) -> AbstractContextManager[Frozen | None]:
    """Have at hand what holds the subtree still, if that is asked for."""
    if not request.freeze or request.pid is None:
        return nullcontext()
    from analyzer.sources.freeze import MISSED, at_hand, descendants

    pid = request.pid

    def threads() -> Iterable[int]:
        tasks = task_list.settled(memory, pid)
        mine = subtree(memory.engine, tasks, pid, request.others())
        found = [tid for tid in tasks.local[member(tasks.address, mine)].tolist() if tid]
        # Who is too quick for a reading of the whole machine may not be for /proc.
        more = [MISSED, *descendants(pid)] if task_list.missed(memory, mine) else []
        return [*found, *more]

    return at_hand(pid, threads)


def _settled(memory: Memory, request: Request, held: Frozen | None) -> tuple[int, Reading, Second]:
    """Read until all readings agree, or READINGS times.

    A subtree that runs is read three times, one of which nobody ran twice. A whole machine never
    rests: it is read twice, and what moved is unstable.
    """
    if not memory.engine.live:
        request.progress("reading")
        reading = _read(memory, request)
        return 1, reading, _standing(memory, reading)
    helpers = frozenset({held.helper}) if held else frozenset()
    before = _beforehand(memory, request, helpers) if held else None
    until = time.monotonic() + _PATIENCE
    passes = 0
    while True:
        passes += 1
        request.progress(f"reading, pass {passes}")
        if held:
            held.renew()
        reading = _held(memory, before) if before else _read(memory, request, helpers)
        second = _read_again(memory, request, reading, helpers)
        if second.quiet and not second.still and request.pid is not None:
            second = _read_again(memory, request, reading, helpers)
        late = passes == READINGS or time.monotonic() > until
        last = request.pid is None or (late and not before)
        if second.quiet or last:
            reading = replace(reading, related=_related_again(memory, request, reading))
            if held:
                held.let_go()
            if request.pid is not None:
                reading, second = _verified(memory, reading, second)
        if last or (second.quiet and not second.doubtful.any()):
            return passes, reading, second
        del reading, second  # their columns are large
        before = None


def _beforehand(memory: Memory, request: Request, helpers: frozenset[int]) -> Reading | None:
    """Return a reading of what is going to be stopped, None where it was not read whole."""
    reading = _read(memory, request, helpers)
    return None if reading.own.torn or reading.tasks.torn else reading


def _held(memory: Memory, before: Reading) -> Reading:
    """Return a reading from before the stop as one from which on nothing of the subtree runs."""
    return replace(before, pulse=pulse(memory, before.who, before.inside))


def _related_again(memory: Memory, request: Request, reading: Reading) -> Found:
    """Return what was found, with what cannot be found again marked as moved.

    An answer to a question does not tell what moved.
    """
    names = relate.names(reading.related)
    if not names or request.question or not memory.engine.live:
        return reading.related
    whole = reading.whole
    if not request.host:
        whole = held_yet(memory, whole, relate.held(reading.related), reading.who)
    second = relate.find(
        memory,
        whole,
        reading.everyone,
        host=request.host,
        only=names,
        thorough=request.thorough,
    )
    return relate.again(reading.related, second)


def _read(memory: Memory, request: Request, helpers: frozenset[int] = frozenset()) -> Reading:
    pid, host, related = request.pid, request.host, request.related
    others = () if pid is None else request.others()
    tasks = task_list.settled(memory, pid, helpers)
    inside, who = subtree(memory.engine, tasks, pid, others), born(tasks)
    beat = pulse(memory, who, inside)
    own = owned(memory, inside, logged=pid is not None)  # a whole machine never rests
    whole, everyone = expand(memory, tasks.address, own), unique(tasks.address)
    ties = relate.NOTHING
    if related is None or related:
        ties = relate.find(
            memory,
            whole,
            everyone,
            host=host,
            only=related,
            thorough=request.thorough,
            alone=request.question,
        )
    ends = ties.ends()
    if request.thorough and not host:
        ends = _with(ends, relate.mounts(memory, whole))
    expansion = whole if host else relevant(whole, ends)
    numbering = number(expansion, ends)
    return Reading(
        tasks,
        inside,
        who,
        beat,
        own,
        expansion,
        numbering,
        *_counts(memory, numbering.address),
        *_counts(memory, numbering.address, old_counts),
        collected=numbering.chosen(expansion.collected),
        compared=numbering.chosen(expansion.compared),
        initial=_initial(memory, numbering),
        whole=whole,
        everyone=everyone,
        related=ties,
        roots=tuple(known(tasks, others)),
    )


def _with(ends: Mapping[str, U64], more: Mapping[str, U64]) -> Mapping[str, U64]:
    kinds = dict.fromkeys((*ends, *more))
    return {kind: unique(ends.get(kind, _NOBODY), more.get(kind, _NOBODY)) for kind in kinds}


def _read_again(
    memory: Memory, request: Request, first: Reading, helpers: frozenset[int] = frozenset()
) -> Second:
    pid = request.pid
    tasks = task_list.settled(memory, pid, helpers)
    inside = subtree(memory.engine, tasks, pid, () if pid is None else request.others())
    who = born(tasks)
    if pid is not None and start_time(tasks, pid) != start_time(first.tasks, pid):
        raise TargetVanishedError(f"process {pid} exited while it was read, and its pid was reused")
    again = owned(memory, inside, first.own)
    ours = first.collected | first.compared
    refcount, has_count = _counts(memory, first.numbering.some(ours))
    moved = regrouped(first.own, first.who, again, who, first.numbering)
    moved[ours] |= (refcount != first.refcount[ours]) | (has_count != first.has_count[ours])
    old, _ = _counts(memory, first.numbering.address, old_counts)
    beat = pulse(memory, who, inside)
    # The host's own namespaces are everybody's: they move, and mean nothing for the subtree.
    return Second(
        (moved | _dead(memory, first)) & first.collected & ~first.initial,
        again.beyond(first.own),
        again,
        tasks,
        outsiders=who.without(inside),
        still=first.pulse.still(beat),
        childless=first.pulse.childless(beat),
        doubtful=np.zeros(len(moved), np.bool_),
        others=moved & first.compared & ~first.initial,
        old_moved=old != first.old,
    )


def _standing(memory: Memory, reading: Reading) -> Second:
    """Return what a second look at a core would say: nothing moves.

    Who ran when the machine stopped may hold more than the memory says: it is in registers.
    """
    nothing = np.zeros(len(reading.numbering), np.bool_)
    mine = reading.collected & ~reading.initial
    second = Second(
        _dead(memory, reading) & mine,
        0,
        reading.own,
        reading.tasks,
        outsiders=reading.who.without(reading.inside),
        still=reading.pulse.still(reading.pulse),
        childless=False,
        doubtful=nothing,
        others=nothing,
        old_moved=nothing,
    )
    return replace(second, doubtful=_unexplained(reading) & mine & ~_whole(reading, second))


def _verified(memory: Memory, reading: Reading, second: Second) -> tuple[Reading, Second]:
    """Return the reading with what was seen twice, and the check with what that leaves open."""
    expansion, hosts = reading.expansion, reading.hosts
    if not second.quiet:
        later = born(second.tasks)
        expansion = seen_again(memory, expansion, hosts, second.again, reading.who, later)
    expansion, lost = confirmed(
        memory,
        reading.expansion,
        expansion,
        hosts,
        reading.who,
        second.outsiders,
        quiet=second.quiet,
    )
    less = reading.numbering.chosen(lost)
    reading = replace(reading, expansion=expansion)
    unexplained = _unexplained(reading) & reading.collected & ~reading.initial
    return reading, replace(second, doubtful=unexplained & (less | ~_whole(reading, second)))


def _unexplained(reading: Reading) -> Mask:
    """Mark the judged objects that more or less references are counted of than are known."""
    held = np.zeros(len(reading.numbering) + 1, np.int64)
    for block, way in reading.expansion.rows:
        if not block.association.historic:
            weight = np.int64(1) if block.weight is None else block.weight
            np.add.at(held, reading.numbering.of_node[way.end], weight)
    judged = _of_kinds(reading.numbering, lambda kind: kind.judged is not Judged.NOT)
    mask: Mask = judged & reading.has_count & (reading.refcount != held[1:])
    return mask


def _whole(reading: Reading, second: Second) -> Mask:
    """Mark the objects of which no holder can have been missed.

    Their own count tells how many there are, so it takes that the subtree was read whole, and that
    nobody can have come and gone. Where the holders decide, all of the machine must have been.
    """
    torn = {**reading.expansion.torn, **second.again.torn}
    mine = bool((reading.expansion.nodes.mask(torn) & reading.followed).any())
    listed = not reading.tasks.torn and not second.tasks.torn
    settled = listed and not mine and second.quiet and (second.still or second.childless)
    by_holders = _of_kinds(reading.numbering, lambda kind: kind.judged is Judged.STRUCTURAL)
    mask: Mask = np.where(by_holders, settled and not torn, settled)
    return mask


def _dead(memory: Memory, reading: Reading) -> Mask:
    """Mark the judged objects whose count says that they are being freed, or something else."""

    def counts_here(kind: Kind) -> bool:
        paths = [counter.path for counter in kind.counters]
        return kind.judged is not Judged.NOT and bool(memory.layout.first(kind.struct, paths))

    dead = ~reading.has_count | (reading.refcount <= 0)
    mask: Mask = _of_kinds(reading.numbering, counts_here) & dead
    return mask


def _of_kinds(numbering: Numbering, test: Callable[[Kind], bool]) -> Mask:
    parts = [np.full(len(at), test(registry()[kind])) for kind, at in numbering.address.items()]
    return np.concatenate([np.empty(0, np.bool_), *parts])


def _counts(memory: Memory, address: Mapping[str, U64], ask: Count = counts) -> tuple[I64, Mask]:
    kinds = registry()
    read = [ask(memory, kinds[name], at) for name, at in address.items()]
    refcount = np.concatenate([np.empty(0, np.int64), *(values for values, _ in read)])
    known = np.concatenate([np.empty(0, np.bool_), *(mask for _, mask in read)])
    return refcount, known


def _snapshot(
    memory: Memory, request: Request, reading: Reading, second: Second, run: _Run
) -> Snapshot:
    tasks, pid = reading.tasks, request.pid
    gaps = _gaps(request, reading, second, live=run.live, lost=memory.engine.lost)
    incomplete = bool(gaps) or (run.held is not None and run.held.expired)
    gaps += run.held.gaps() if run.held else []
    stood = run.held is not None and _stood_still(reading, second, run.held)
    if run.held is not None and not stood and not run.held.gaps():
        gaps.append(_gap(request, "the subtree", "was not stopped as a whole", live=True))
    columns = {
        "refcount": reading.refcount,
        "initial": reading.initial,
        "stable": ~(second.moved | second.doubtful | second.others),
        "count_linux_cr": reading.old,
    }
    missing = {
        "refcount": ~reading.has_count,
        "count_linux_cr": ~reading.old_known | second.old_moved,
    }
    meta = run_facts(
        pid=None if pid is None else tasks.known_as(pid),
        local_pid=pid,
        start_time=None if pid is None else start_time(tasks, pid),
        source=KERNEL if run.live else VMCORE,
        origin=here() if run.live else stopped.origin(memory),
    )
    if request.thorough or request.host:
        meta["options"] = {"thorough": True}
    if reading.roots:
        meta["subject"]["roots"] = list(reading.roots)
    if request.called.get("starts"):
        meta["subject"]["starts"] = known(tasks, request.called["starts"])
    return Snapshot(
        {
            **meta,
            "scope": request.scope,
            "passes": run.passes,
            "frozen": stood,
            "frozen_seconds": run.held.seconds if run.held else 0.0,
            "addresses": "raw",
            "incomplete": incomplete,
            "named": {pid: tasks.known_as(pid) for pid in request.named},
        },
        {
            "tasks": tasks.table,
            "objects": objects(reading.numbering, columns, missing),
            "relations": relate.table(reading.related, reading.numbering, tasks),
            "references": references(reading.expansion, reading.numbering, tasks),
            "gaps": tables.build(GAPS, {name: [gap[name] for gap in gaps] for name in gaps[0]})
            if gaps
            else tables.empty(GAPS),
        },
    )


def _stood_still(reading: Reading, second: Second, held: Frozen) -> bool:
    """Tell whether every thread was stopped, by two lists that are whole, and none ran."""
    if held.expired or not second.still or reading.tasks.torn or second.tasks.torn:
        return False
    return all(_stopped(tasks, reading.inside, held) for tasks in (reading.tasks, second.tasks))


def _stopped(tasks: Tasks, inside: U64, held: Frozen) -> bool:
    state = tasks.table["state"]
    letters = [tasks.table.code("state", letter) for letter in _HELD]
    fixed = one_of(state, letters) | np.isin(tasks.local, [*held.tids, *held.blocked])
    mine = member(tasks.address, inside) & ~tasks.table["observer"]
    return bool(fixed[mine].all())


def _initial(memory: Memory, numbering: Numbering) -> Mask:
    """Mark the host's own namespaces, and its set of them."""
    parts = [
        hosts(memory, registry()[kind], addresses) for kind, addresses in numbering.address.items()
    ]
    return np.concatenate([np.empty(0, np.bool_), *parts])


def _gaps(
    request: Request, reading: Reading, second: Second, *, live: bool, lost: int
) -> list[dict[str, object]]:
    whole = reading.expansion.collected if request.pid is None else reading.followed
    followed = reading.expansion.nodes.addresses(whole)
    whose = "machine" if request.pid is None else "subtree"
    found = []
    for kind, holders in {**reading.expansion.torn, **second.again.torn}.items():
        torn = int(member(holders, followed.get(kind, _NOBODY)).sum())
        if torn:
            what = registry()[kind].plural if torn > 1 else registry()[kind].title
            why = "changed while it was read" if live else "could not be read whole"
            found.append((f"{torn} {what} of the {whose}", why))
    found += [(f"relations of the kind {name}", why) for name, why in reading.related.missing]
    if lost:
        pages = "page of the core" if lost == 1 else "pages of the core"
        found.append((f"{lost} {pages}", "cannot be read, the core is cut off or incomplete"))
    if reading.tasks.torn:
        why = "was rebuilt while it was read" if live else "could not be read whole"
        found.append(("the tree of process ids", why))
    if second.appeared and request.pid is not None:  # on a whole machine something always does
        what = "object" if second.appeared == 1 else "objects"
        found.append((f"{second.appeared} {what}", "kept appearing while it was read"))
    elif second.doubtful.any() and not (second.still or second.childless):
        why = (
            "ran and may have forked while it was read" if live else "ran when the machine stopped"
        )
        found.append(("the subtree", why))
    return [_gap(request, where, why, live=live) for where, why in found]


def _gap(request: Request, where: str, why: str, *, live: bool) -> dict[str, object]:
    calmer = "" if request.pid is None else " on a quiet subtree, or --freeze"
    again = f"; try again{calmer}" if live else ""
    effect = f"{why}: references may be missing{again}"
    call = "bpf_probe_read_kernel" if live else ""
    return {"where": where, "syscall": call, "errno": None, "effect": effect}
