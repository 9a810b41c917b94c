"""Crossings: relations with ends on both sides of the border. No verdict depends on them.

Objects have the side that the check gives them, tasks their own. What only cranalyze itself has to
do with is left out. Ends that are alike (the same relation to the same thing) are one crossing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.check.links import rows_of
from analyzer.check.subtree import INSIDE, OBSERVER, OUTSIDE
from analyzer.core.errors import BadInputError
from analyzer.core.model import TASK, Impact, Side
from analyzer.core.values import NamedTuple, dataclass
from analyzer.kinds import registry
from analyzer.relations import relations

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from analyzer.check.links import Codes, Mask, Rows
    from analyzer.check.subtree import Border
    from analyzer.relations.base import Relation
    from analyzer.snapshot.tables import Table
    from analyzer.snapshot.value import Snapshot

_SIDES: Final = tuple(Side)
_IMPACTS: Final = tuple(Impact)
_HAS: Final = "mount"  # by this a namespace has its mounts


class End(NamedTuple):
    """One end of a relation: a task (`kind` TASK) or an object, by its row in its table."""

    kind: str
    row: int
    side: Side
    role: str
    slot: int | None
    detail: str


@dataclass(frozen=True)
class Crossing:
    """Things on both sides that have to do with each other.

    `ends` are the left ends and, unless the relation is shared, the right one; at `meeting` those
    of a shared one meet.
    """

    relation: str
    impact: Impact
    ends: tuple[End, ...]
    meeting: End | None
    stable: bool

    @property
    def alone(self) -> bool:
        """Tell whether all ends are inside."""
        return all(end.side is Side.INSIDE for end in self.ends)


def crossings(snapshot: Snapshot, border: Border) -> list[Crossing]:
    """Return what crosses the border, worst impact first; BadInputError for words nobody knows."""
    table = snapshot.tables["relations"]
    if not len(table):
        return []
    own = _owned(snapshot, border)
    left, right = (_sides(snapshot, border, own, table, end) for end in ("left", "right"))
    found = _Found(table, *left, *right)
    made: list[Crossing] = []
    known = relations()
    for code, name in enumerate(table.vocabulary["relation"]):
        rows = np.flatnonzero((table["relation"] == code) & (found.left_side < OBSERVER))
        if not len(rows):
            continue
        if not known[name].told:
            continue
        made += (found.shared if known[name].shared else found.direct)(known[name], rows)
    return sorted(made, key=_worst_first)


def _worst_first(one: Crossing) -> tuple[bool, int, bool, str]:
    # What always means that comes before what means it this time.
    raised = relations()[one.relation].impact is not one.impact
    return one.alone, _IMPACTS.index(one.impact), raised, one.relation


def _sides(
    snapshot: Snapshot, border: Border, own: Mask, table: Table, end: str
) -> tuple[Rows, Codes]:
    by_task = table[f"{end}_kind"] == table.code(f"{end}_kind", TASK)
    row = np.empty(len(table), np.intp)
    row[by_task] = rows_of(snapshot.tables["tasks"]["tid"], table[end][by_task])
    row[~by_task] = rows_of(snapshot.tables["objects"]["objref"], table[end][~by_task])
    if (row < 0).any():
        raise BadInputError("the snapshot has relations of what is not in it")
    sides = np.empty(len(table), np.int8)
    sides[by_task] = border.task_side[row[by_task]]
    objects = row[~by_task]
    sides[~by_task] = np.where(own[objects], INSIDE, border.object_side[objects])
    return row, sides


def _owned(snapshot: Snapshot, border: Border) -> Mask:
    """Tell which objects the subtree has: what it collects, and the mounts of its namespaces.

    The host's own namespaces are nobody's, though a subtree be in them. Whoever else has a mount
    namespace (joined it, or keeps it open) changes nothing of where its mounts are, unless the
    subtree merely lives there.
    """
    objects, references = snapshot.tables["objects"], snapshot.tables["references"]
    own: Mask = border.collected & ~objects["initial"]
    has_mounts = own.copy()
    has_mounts[_of_others(snapshot, border)] = False
    listed = references.rows("association", _HAS)
    listed = listed[~border.by_task[listed]]
    found = own.copy()
    found[border.target_row[listed][has_mounts[border.holder_row[listed]]]] = True
    return found


def _living(snapshot: Snapshot, border: Border) -> tuple[Rows, Rows]:
    """Return tasks, and the mount namespace that each of them lives in, by their rows."""
    references = snapshot.tables["references"]
    by_set, by_space = (
        references.rows("association", *places) for places in ({"nsproxy"}, _homes())
    )
    space_of = np.full(len(snapshot.tables["objects"]), -1, np.intp)
    of_set = by_space[~border.by_task[by_space]]
    space_of[border.holder_row[of_set]] = border.target_row[of_set]
    # /proc does not show the sets: a task itself is in each namespace there.
    direct, through = (rows[border.by_task[rows]] for rows in (by_space, by_set))
    task = np.concatenate([border.holder_row[direct], border.holder_row[through]])
    space = np.concatenate([border.target_row[direct], space_of[border.target_row[through]]])
    return task[space >= 0], space[space >= 0]


def _homes() -> set[str]:
    """Return the places by which a task is in a namespace that has mounts."""
    kinds = registry().values()
    return {kind.one_for_all for kind in kinds if _HAS in {a.name for a in kind.walk_associations}}


def _of_others(snapshot: Snapshot, border: Border) -> Rows:
    """Return the mount namespaces that were others' before the subtree lived in them.

    A container has its own, whoever made it: in it is the first process of a pid namespace.
    """
    tasks = snapshot.tables["tasks"]
    inside = border.task_side == INSIDE
    if (inside & (tasks["nspid"] == 1) & tasks.known("nspid")).any():
        return np.empty(0, np.intp)
    task, space = _living(snapshot, border)
    start = tasks["start_time"][task]
    never = np.iinfo(start.dtype).max
    spaces, place = np.unique(space, return_inverse=True)
    first = np.full((2, len(spaces)), never, start.dtype)
    at = np.where(inside[task], 0, 1)
    known = start > 0
    np.minimum.at(first, (at[known], place[known]), start[known])
    # The ticks of /proc are long: who was forked may have the time of who was there.
    others: Rows = spaces[(first[1] <= first[0]) & (first[0] < never)]
    return others


def _folded(ends: Iterable[End]) -> Iterator[End]:
    """Yield the ends, and once a task that has to do with one thing in several ways: with all."""
    details: dict[End, list[str]] = {}
    for end in ends:
        way = end._replace(detail="") if end.kind == TASK else end
        details.setdefault(way, []).append(end.detail)
    for end, several in details.items():
        said = dict.fromkeys(detail for detail in (end.detail, *several) if detail)
        yield end._replace(detail=" and ".join(said))


@dataclass(frozen=True)
class _Found:
    table: Table
    left: Rows
    left_side: Codes
    right: Rows
    right_side: Codes

    def shared(self, relation: Relation, rows: Rows) -> Iterator[Crossing]:
        """Yield a crossing for each thing at which both sides meet (or, alone, one of them)."""
        for group in self._groups(rows, by_impact=False):
            sides = self.left_side[group]
            if (sides == INSIDE).any() and (relation.alone or (sides == OUTSIDE).any()):
                ends = tuple(self._left(row) for row in group.tolist())
                yield self._made(relation, group, ends, self._right(int(group[0])))

    def direct(self, relation: Relation, rows: Rows) -> Iterator[Crossing]:
        """Yield a crossing for each right end, and what it has to do with on the other side."""
        one, other = self.left_side[rows], self.right_side[rows]
        crosses = (one != other) & (other < OBSERVER)  # nor what is unplaced
        if relation.alone:
            crosses |= (one == INSIDE) & (other == INSIDE)
        for group in self._groups(rows[crosses], by_impact=True):
            left = _folded(self._left(row) for row in group.tolist())
            ends = (*left, self._right(int(group[0])))
            yield self._made(relation, group, ends, None)

    def _groups(self, rows: Rows, *, by_impact: bool) -> Sequence[Rows]:
        if not len(rows):
            return []
        impact = self.table["impact"][rows] if by_impact else np.zeros(len(rows), np.int16)
        keys = np.stack((self.table["right_kind"][rows], self.right[rows], impact), axis=1)
        order = np.lexsort((rows, *keys.T))
        starts = np.flatnonzero((keys[order][1:] != keys[order][:-1]).any(axis=1)) + 1
        return np.split(rows[order], starts)

    def _made(
        self, relation: Relation, group: Rows, ends: tuple[End, ...], meeting: End | None
    ) -> Crossing:
        given = [self.table.value("impact", row) for row in group.tolist()]
        impacts = [relation.impact if word is None else Impact(word) for word in given]
        stable = bool(self.table["stable"][group].all())
        return Crossing(relation.name, min(impacts, key=_IMPACTS.index), ends, meeting, stable)

    def _left(self, row: int) -> End:
        table = self.table
        return End(
            table.value("left_kind", row),
            int(self.left[row]),
            _SIDES[self.left_side[row]],
            table.value("left_role", row) or "",
            table.value("slot", row),
            table.value("detail", row) or "",
        )

    def _right(self, row: int) -> End:
        kind = self.table.value("right_kind", row)
        return End(kind, int(self.right[row]), _SIDES[self.right_side[row]], "", None, "")
