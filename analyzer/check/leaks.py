"""The check over columns: users versus refcount for every collected object at once.

It says what `objhash.py` says (a test holds the two equal), for a million references in a fraction
of a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.check.links import association_flags, compared_counts, kind_flags
from analyzer.check.objhash import CLOSED, QUEUED
from analyzer.check.subtree import INSIDE, OBSERVER, OUTSIDE, UNPLACED, border
from analyzer.core.errors import BadInputError
from analyzer.core.model import Basis, Rules, Side, Verdict
from analyzer.core.values import dataclass
from analyzer.kinds.base import Judged
from analyzer.snapshot.source import trusted

if TYPE_CHECKING:
    from analyzer.check.links import Codes, Integers, Mask, Rows
    from analyzer.check.subtree import Border
    from analyzer.snapshot.tables import Table
    from analyzer.snapshot.value import Snapshot

VERDICTS: Final = tuple(Verdict)
BASES: Final = tuple(Basis)
NOT_JUDGED: Final = -1

_VERDICT: Final = {verdict: code for code, verdict in enumerate(VERDICTS)}
_BASIS: Final = {basis: code for code, basis in enumerate(BASES)}


@dataclass(frozen=True)
class Verdicts:
    """What the check says, a value per row of objects.

    `users`, `outside` and `observer` are the weights held from each side (int64), `unnamed` what
    the refcount has beyond them (negative for an overcount, 0 when it is unknown). `shared` is the
    part of `users` whose holders are led to from outside as well. `verdict` and
    `basis` are codes into VERDICTS and BASES, NOT_JUDGED where not `judged`. `weight` is, per row
    of references, what each one counts for under the rules: 0 when it is not counted. `refcount`
    is the count that the rules compare, 0 where it is not `known`.
    """

    pid: int
    rules: Rules
    border: Border
    users: Integers
    outside: Integers
    observer: Integers
    unnamed: Integers
    judged: Mask
    verdict: Codes
    basis: Codes
    weight: Integers
    shared: Integers
    refcount: Integers
    known: Mask


@dataclass(frozen=True)
class _Counts:
    """What verdicts are made of, per object.

    `seen` is what decides from outside, `others` all that is not inside, `named` all references,
    `unplaced` those of which the side is unknown.
    """

    count: Integers
    known: Mask
    expected: Integers
    named: Integers
    seen: Integers
    others: Integers
    unplaced: Integers


def check(snapshot: Snapshot, pid: int | None = None, rules: Rules = Rules.MODERN) -> Verdicts:
    """Check the subtree of process `pid`, by default the snapshot's own subject.

    Errors as `subtree.border`; BadInputError when there is no pid at all.
    """
    snapshot = trusted(snapshot)
    root = _subject(snapshot) if pid is None else pid
    sides = border(snapshot, root, rules)
    objects = snapshot.tables["objects"]
    weight = _weights(snapshot, sides, rules)
    held = _held(sides, weight, len(objects))
    users, outside, observer = held[INSIDE], held[OUTSIDE], held[OBSERVER]
    shared = _sum(sides, snapshot.tables["references"]["weight"], sides.shared, len(objects))
    count, known, old = compared_counts(objects, rules)
    judged = (sides.collected | sides.met) & kind_flags(
        objects, lambda kind: kind.judged_by(rules) is not Judged.NOT
    )
    structural = kind_flags(objects, lambda kind: kind.judged_by(rules) is Judged.STRUCTURAL)
    expected = users + _allowed(objects, observer, rules)
    seen = outside + np.where(structural, shared, 0)
    named = np.where(old, 0, sides.named)  # of another count they say nothing
    counts = _Counts(count, known, expected, named, seen, outside + observer, held[UNPLACED])
    verdict, basis = _decided(objects, structural, counts)
    return Verdicts(
        pid=root,
        rules=rules,
        border=sides,
        users=users,
        outside=outside,
        observer=observer,
        refcount=np.where(known, count, 0),
        known=known,
        unnamed=np.where(known, count - users - outside - observer, 0),
        judged=judged,
        verdict=np.where(judged, verdict, NOT_JUDGED).astype(np.int8),
        basis=np.where(judged, basis, NOT_JUDGED).astype(np.int8),
        weight=weight,
        shared=shared,
    )


def _subject(snapshot: Snapshot) -> int:
    pid = (snapshot.meta.get("subject") or {}).get("pid")
    if pid is None:
        raise BadInputError("the snapshot is of the whole machine: say which process to check")
    return int(pid)


def _weights(snapshot: Snapshot, sides: Border, rules: Rules) -> Integers:
    references = snapshot.tables["references"]
    weight: Integers = np.where(sides.counted, references["weight"], 0)
    if rules is Rules.LINUX_CR:
        weight[_of_closed_sockets(references, sides)] -= 1
    if rules is not Rules.SEED:
        return weight
    inside = sides.counted & (sides.reference_side == INSIDE)
    again = association_flags(references, lambda a: a.per_task)
    again &= inside & ~sides.by_task
    users = np.bincount(
        sides.target_row[inside & sides.by_task], minlength=len(snapshot.tables["objects"])
    )
    weight[again] *= users[sides.holder_row[again]]
    return weight


def _of_closed_sockets(references: Table, sides: Border) -> Rows:
    """Return a reference to each closed socket that is collected, but has no message in a queue."""
    inside = sides.counted & (sides.reference_side == INSIDE)
    closed = np.flatnonzero(inside & association_flags(references, lambda a: a.name == CLOSED))
    sent = inside & association_flags(references, lambda a: a.name == QUEUED)
    targets, first = np.unique(sides.target_row[closed], return_index=True)
    rows: Rows = closed[first[~np.isin(targets, sides.target_row[sent])]]
    return rows


def _held(sides: Border, weight: Integers, objects: int) -> Integers:
    """Return by how much each side holds each object, a row for each side. Not counted is 0."""
    held = np.zeros(len(Side) * objects, np.int64)
    np.add.at(held, sides.reference_side.astype(np.intp) * objects + sides.target_row, weight)
    return held.reshape(len(Side), objects)


def _sum(sides: Border, weight: Integers, rows: Mask, objects: int) -> Integers:
    held = np.zeros(objects, np.int64)
    np.add.at(held, sides.target_row[rows], weight[rows])
    return held


def _allowed(objects: Table, observer: Integers, rules: Rules) -> Integers:
    """Return how many of the observer's references are no leak (see `objhash.allowed`)."""
    if rules is not Rules.SEED:
        return observer
    files = kind_flags(objects, lambda kind: kind.observed)
    return np.where(files, observer.clip(max=1), 0)


def _decided(objects: Table, structural: Mask, counts: _Counts) -> tuple[Codes, Codes]:
    """Return verdicts and bases."""
    count, known, stable = counts.count, counts.known, objects["stable"]
    held = counts.seen > 0
    judged = np.where(structural, np.int8(_BASIS[Basis.STRUCTURAL]), np.int8(_BASIS[Basis.PROVEN]))
    by_sight = np.int8(_BASIS[Basis.WITNESSED])
    # A count that moved proves nothing: what is seen outside does, if the count has room for it.
    witnessed = ~stable & known & held & (counts.others < count)
    impossible = stable & known & held & (counts.named > count) & ~objects["initial"]
    maybe = count - counts.expected <= counts.unplaced
    decided = [
        (witnessed, Verdict.USAGE_LEAK),
        (~stable | impossible, Verdict.UNSTABLE),
        (held & (structural | ~known), Verdict.USAGE_LEAK),
        (~known, Verdict.UNKNOWN),
        (structural & (counts.unplaced > 0), Verdict.UNKNOWN),
        (structural, Verdict.CONTAINED),
        (maybe & (count > counts.expected), Verdict.UNKNOWN),
        (count > counts.expected, Verdict.USAGE_LEAK),
        (count < counts.expected, Verdict.OVERCOUNT),
    ]
    codes = [np.int8(_VERDICT[verdict]) for _, verdict in decided]
    contained = np.int8(_VERDICT[Verdict.CONTAINED])
    verdict: Codes = np.select([where for where, _ in decided], codes, contained)
    return verdict, np.where(~known | (witnessed & ~structural), by_sight, judged)
