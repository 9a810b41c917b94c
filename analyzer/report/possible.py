"""Who may hold an object from outside, where nobody could tell whether two things are one.

A source that could not ask kcmp(2) relates what looks alike (`relations.alike`). What looks like an
object of the subtree and is held from outside makes a leak *possible*: the candidates are named,
with what is equal. What cannot be told apart, but is not alike either, leaves it open. Neither
decides a verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.check.links import rows_of
from analyzer.check.subtree import INSIDE, OBSERVER
from analyzer.core.model import TASK, Conclusion, Side, Verdict
from analyzer.core.values import NamedTuple
from analyzer.relations import alike, may_hold
from analyzer.relations.alike import LIKE, MOVED
from analyzer.report.holders import holders
from analyzer.report.wording import few

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analyzer.check.leaks import Verdicts
    from analyzer.check.subtree import Border
    from analyzer.report.holders import Holder
    from analyzer.report.value import ReportObject
    from analyzer.snapshot.value import Snapshot

MOST: Final = 16  # candidates that are named of one object; of /dev/null there are hundreds


class Candidate(NamedTuple):
    """Somebody outside who may hold an object: a holder of what looks like it, and what is equal.

    `objref` is that other object.
    """

    objref: int
    holder: Holder
    evidence: str


class Doubt(NamedTuple):
    """What may be one with an object: who holds that, how many more, and how many it could be.

    `untold` are those that are not alike, but were not read twice either. `others` says, in words,
    what else may hold the object, and `own` what of the subtree itself may hold it more often.
    """

    candidates: tuple[Candidate, ...] = ()
    more: int = 0
    untold: int = 0
    others: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


NO_DOUBT: Final = Doubt()


def concluded(entry: ReportObject, doubt: Doubt, *, whole: bool) -> Conclusion | None:
    """Return what is concluded of an object; None where its refcount is known.

    `whole` tells whether all who could hold it were read.
    """
    if entry.refcount is not None:
        return None
    if entry.verdict is Verdict.USAGE_LEAK:
        return Conclusion.WITNESSED
    if doubt.candidates:
        return Conclusion.POSSIBLE
    apart = not (doubt.more or doubt.untold or doubt.others)
    return Conclusion.CONSISTENT if whole and apart else Conclusion.UNKNOWN


_Row = tuple[int, str, str]  # an object's row, the role, what is compared


def doubts(snapshot: Snapshot, verdicts: Verdicts) -> Mapping[int, Doubt]:
    """Return what may be one with the objects of the subtree, or hold them, by objref."""
    numbers = snapshot.tables["objects"]["objref"]
    found = dict(_alike(snapshot, verdicts))
    for (row, own), words in _may_hold(snapshot, verdicts).items():
        said, doubt = tuple(words), found.get(row, NO_DOUBT)
        found[row] = doubt._replace(own=said) if own else doubt._replace(others=said)
    return {int(numbers[row]): doubt for row, doubt in found.items()}


def _alike(snapshot: Snapshot, verdicts: Verdicts) -> Mapping[int, Doubt]:
    """Return what may be one with the objects of the subtree, by row."""
    meets = _meets(snapshot)
    if not meets:
        return {}
    places, theirs = _sides(meets, verdicts.border)
    # Those of the subtree that meet the same others are many: a thousand forks of one process.
    others = {where: _others(where, theirs) for where in set(places.values())}
    wanted = {row for likes, _ in others.values() for row, _ in likes[:MOST]}
    held = _held(snapshot, verdicts, sorted(wanted))
    numbers = snapshot.tables["objects"]["objref"].tolist()
    told = {where: _doubt(some, held, numbers) for where, some in others.items()}
    return {row: told[where] for row, where in places.items() if any(told[where])}


_Places = tuple[tuple[int, str], ...]  # where an object meets others (by number), in which role


def _sides(
    meets: Sequence[Sequence[_Row]], border: Border
) -> tuple[dict[int, _Places], list[list[_Row]]]:
    """Return where objects of the subtree (by row) meet others, and the others of each place."""
    places: dict[int, _Places] = {}
    theirs = []
    for number, some in enumerate(meets):
        sides = [_side(border, row) for row, _, _ in some]
        others = [one for one, s in zip(some, sides, strict=True) if s not in {INSIDE, OBSERVER}]
        theirs.append(others)
        for (row, role, _), side in zip(some, sides, strict=True):
            if side == INSIDE and others:
                places[row] = (*places.get(row, ()), (number, role))
    return places, theirs


class _Others(NamedTuple):
    """What may be one with an object: rows, and what is equal; and how many are not told apart."""

    likes: tuple[tuple[int, str], ...]
    untold: int


def _others(places: _Places, theirs: Sequence[Sequence[_Row]]) -> _Others:
    likes: dict[int, str] = {}
    untold = set()
    for number, role in places:
        for row, its, words in theirs[number]:
            if role == LIKE:
                likes.setdefault(row, words)
            elif MOVED in {role, its}:
                untold.add(row)
    return _Others(tuple(likes.items()), len(untold - likes.keys()))


def _may_hold(
    snapshot: Snapshot, verdicts: Verdicts
) -> Mapping[tuple[int, bool], Mapping[str, None]]:
    """Return what may hold an object of the subtree, by its row and whether that is inside."""
    table, border = snapshot.tables["relations"], verdicts.border
    objects, everybody = snapshot.tables["objects"], snapshot.tables["tasks"]
    rows = table.rows("relation", may_hold.RELATION.name)
    if not len(rows):
        return {}
    tasks = rows_of(everybody["tid"], table["left"][rows])
    targets = rows_of(objects["objref"], table["right"][rows])
    said: dict[tuple[str | int, bool], dict[str, dict[str, None]]] = {}
    for row, task, target in zip(rows.tolist(), tasks.tolist(), targets.tolist(), strict=True):
        by_task = table.value("left_kind", row) == TASK
        own = by_task and border.task_side[task] in {INSIDE, OBSERVER}
        which = table.value("left_role", row) or target
        who = said.setdefault((which, own), {}).setdefault(table.value("detail", row) or "", {})
        if by_task:
            who[f"{everybody.value('comm', task)} ({everybody.value('tgid', task)})"] = None
    kinds, ours = objects.words("kind"), border.collected & ~objects["initial"]
    found: dict[tuple[int, bool], dict[str, None]] = {}
    for (which, own), words in said.items():
        # An object by its row, of which there are many: all are looked through for a kind alone.
        some = [which] if isinstance(which, int) else np.flatnonzero(kinds == which).tolist()
        named = dict.fromkeys(_of_whom(what, list(who)) for what, who in words.items())
        for one in some:
            if ours[one]:
                found.setdefault((one, own), {}).update(named)
    return found


def _of_whom(words: str, who: Sequence[str]) -> str:
    return f"{few(who)}: {words}" if who else words


def _meets(snapshot: Snapshot) -> Sequence[Sequence[_Row]]:
    """Return the groups of what may be one, of each kind of likeness."""
    table = snapshot.tables["relations"]
    rows = table.rows("relation", alike.RELATION.name)
    at = rows_of(snapshot.tables["objects"]["objref"], table["left"][rows])
    groups: dict[tuple[int, bool], list[_Row]] = {}
    for row, left in zip(rows.tolist(), at.tolist(), strict=True):
        role = table.value("left_role", row)
        words = table.value("detail", row) or ""
        key = int(table["right"][row]), role == LIKE
        groups.setdefault(key, []).append((left, role, words))
    return list(groups.values())


def _side(border: Border, row: int) -> int:
    return INSIDE if border.collected[row] else int(border.object_side[row])


def _held(snapshot: Snapshot, verdicts: Verdicts, rows: list[int]) -> Mapping[int, Holder]:
    """Return of each object (by row) somebody outside who holds it."""
    told = holders(snapshot, verdicts.border, verdicts.weight, np.array(rows, np.intp))
    first = {}
    for row, some in zip(rows, told, strict=True):
        outside = [one for one in some if one.side in {Side.OUTSIDE, Side.UNPLACED}]
        if outside:
            first[row] = outside[0]
    return first


def _doubt(some: _Others, held: Mapping[int, Holder], numbers: Sequence[int]) -> Doubt:
    named = [(numbers[row], held[row], words) for row, words in some.likes[:MOST] if row in held]
    return Doubt(tuple(map(Candidate._make, named)), max(len(some.likes) - MOST, 0), some.untold)
