"""Find the relations of a reading, keep those that matter, and make their table.

Every relation kind is asked, over the columns of the whole reading. Of a border only what crosses
it matters: a relation with one end inside, or a thing at which both sides meet. They are found
twice, after the first reading and after the last; what is not found again has moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import RELATIONS, TASK, Impact
from analyzer.core.values import dataclass, replace
from analyzer.kinds import registry
from analyzer.kinds._initial import hosts
from analyzer.kinds.file import KIND as FILE
from analyzer.kinds.mount import MOUNT, ON
from analyzer.memory.distinct import member, one_of, unique
from analyzer.memory.reader import MissingFieldError
from analyzer.relations import relations
from analyzer.relations.base import ByKind, Related, World
from analyzer.snapshot import tables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from analyzer.kinds.base import I64, U64, Mask
    from analyzer.memory.reader import Memory
    from analyzer.relations.base import Relation
    from analyzer.snapshot.tables import Table
    from analyzer.sources.assemble import Numbering
    from analyzer.sources.expand import Expansion
    from analyzer.sources.tasks import Tasks

_NOBODY: Final = np.empty(0, np.uint64)
_IMPACTS: Final = tuple(Impact)


@dataclass(frozen=True)
class Found:
    """The relations of a reading, with the name of each; `missing` are those that failed, and why.

    `stable` marks, for each, the rows that a second search found again.
    """

    rows: tuple[tuple[str, Related], ...]
    stable: tuple[Mask, ...]
    missing: tuple[tuple[str, str], ...] = ()

    def ends(self) -> Mapping[str, U64]:
        """Return the objects that are ends, by kind, sorted."""
        met: dict[str, list[U64]] = {}
        for _, rows in self.rows:
            met.setdefault(rows.left_kind, []).append(rows.left)
            met.setdefault(rows.right_kind, []).append(rows.right)
        return {kind: unique(*parts) for kind, parts in met.items() if kind != TASK}


def held(found: Found) -> Mapping[str, U64]:
    """Return those ends that are what one process has: files, memories, directories."""
    kinds = registry()
    return {
        kind: addresses
        for kind, addresses in found.ends().items()
        if kind == FILE.name or kinds[kind].of_process
    }


NOTHING: Final = Found((), ())


def find(
    memory: Memory,
    expansion: Expansion,
    tasks: U64,
    *,
    host: bool,
    only: Collection[str] | None = None,
    thorough: bool = False,
    alone: bool = False,
) -> Found:
    """Return the relations of a whole reading; of a border those that cross it.

    `tasks` are the addresses of all tasks, `only` are the relations that are looked for; `thorough`
    looks for those too that are no crossings and that a border is asked for. Of a whole reading
    what two have in common is told, and with `alone` what one has: a question is who has it.
    """
    world = _world(memory, expansion, tasks, host=host)
    found: list[tuple[str, Related]] = []
    missing = []
    for relation in relations().values():
        wanted = only is None or relation.name in only
        known = relation.told or host or (thorough and relation.asked)
        if relation.kernel is None or not (wanted and known):
            continue
        try:
            rows = [part for part in relation.kernel(world) if len(part.left)]
        except MissingFieldError as error:
            missing.append((relation.name, str(error)))
            continue
        masks = (
            [np.ones(len(part.left), np.bool_) for part in rows]
            if alone
            else _matter(relation, rows, world.inside, host=host)
        )
        found += [
            (relation.name, _take(part, mask))
            for part, mask in zip(rows, masks, strict=True)
            if mask.any()
        ]
    everything = tuple(np.ones(len(rows.left), np.bool_) for _, rows in found)
    return Found(tuple(found), everything, tuple(missing))


def names(found: Found) -> frozenset[str]:
    """Return the names of the relations that were found: what a second search has to look for."""
    return frozenset(name for name, _ in found.rows)


def again(first: Found, second: Found) -> Found:
    """Return the first search with what the second did not find marked as moved."""
    seen: dict[tuple[str, str, str], list[npt.NDArray[np.uint64]]] = {}
    for name, rows in second.rows:
        seen.setdefault((name, rows.left_kind, rows.right_kind), []).append(_pairs(rows))
    stable = []
    for name, rows in first.rows:
        known = seen.get((name, rows.left_kind, rows.right_kind))
        there = np.zeros(len(rows.left), np.bool_)
        if known:
            there = member(_pairs(rows), unique(*known))
        stable.append(there)
    return replace(first, stable=tuple(stable))


def _pairs(rows: Related) -> npt.NDArray[np.uint64]:
    # Two addresses as one number: a chance in 2**64 for a pair is less than memory's own errors.
    mixed: npt.NDArray[np.uint64] = rows.left * np.uint64(0x9E3779B97F4A7C15) ^ rows.right
    return mixed


def _world(memory: Memory, expansion: Expansion, tasks: U64, *, host: bool) -> World:
    nodes, inside = expansion.nodes, _inside(memory, expansion)
    ends = ByKind(nodes.met, lambda kind: _ends(expansion, kind))
    met = ByKind(
        {**nodes.met, TASK: tasks},
        lambda kind: tasks if kind == TASK else _chosen(nodes.met[kind], ends[kind]),
    )
    collected = ByKind(nodes.met, lambda kind: expansion.collected[nodes.of_kind(kind)][ends[kind]])
    return World(memory, met, inside, collected, expansion.blocks, host=host)


def _ends(expansion: Expansion, kind: str) -> Mask:
    """Return which nodes of a kind are at an end of a reference."""
    part = expansion.nodes.of_kind(kind)
    ends = np.zeros(part.stop - part.start, np.bool_)
    for block, way in expansion.rows:
        if block.holder_kind == kind:
            ends[way.start - part.start] = True
        if block.target_kind == kind:
            ends[way.end - part.start] = True
    return ends


def _chosen(addresses: U64, mask: Mask) -> U64:
    return addresses if mask.all() else addresses[mask]


def mounts(memory: Memory, expansion: Expansion) -> Mapping[str, U64]:
    """Return the mounts of the subtree's own mount namespaces, and what its files keep of others.

    They are sorted, and by their kind.
    """
    inside = _inside(memory, expansion)
    files = inside.get("FILE", _NOBODY)
    kept = [b.target[member(b.holder, files)] for b in expansion.blocks if b.association == ON]
    return {"MOUNT": unique(inside["MOUNT"], *kept)}


def _inside(memory: Memory, expansion: Expansion) -> Mapping[str, U64]:
    """Return what the subtree owns: what it collects, and the mounts of its mount namespaces.

    The host's own namespaces it does not own, though it be in them.
    """
    nodes = expansion.nodes

    def collected(kind: str) -> U64:
        found = _chosen(nodes.met[kind], expansion.collected[nodes.of_kind(kind)])
        return _chosen(found, ~hosts(memory, registry()[kind], found))

    def own(kind: str) -> U64:
        if kind != "MOUNT":
            return collected(kind)
        spaces = collected("MNT_NS") if "MNT_NS" in nodes.met else _NOBODY
        blocks = (b for b in expansion.blocks if b.association.name == MOUNT.name)
        return unique(*(b.target[member(b.holder, spaces)] for b in blocks))

    return ByKind({**nodes.met, "MOUNT": _NOBODY}, own)


def _matter(
    relation: Relation, parts: Sequence[Related], inside: Mapping[str, U64], *, host: bool
) -> list[Mask]:
    """Return for each part of a relation which of its rows matter: ends meet across the parts."""
    if not parts:
        return []
    ours = [member(part.left, inside.get(part.left_kind, _NOBODY)) for part in parts]
    if relation.shared:
        met = _meets(relation, parts, np.concatenate(ours), host=host)
        return np.split(met, np.cumsum([len(part.left) for part in parts])[:-1])
    if host:
        return [np.ones(len(part.left), np.bool_) for part in parts]
    theirs = [member(part.right, inside.get(part.right_kind, _NOBODY)) for part in parts]
    how = np.logical_or if relation.alone else np.not_equal
    return [how(one, other) for one, other in zip(ours, theirs, strict=True)]


def _meets(relation: Relation, parts: Sequence[Related], ours: Mask, *, host: bool) -> Mask:
    if not (host or ours.any()):
        return ours  # nobody of the subtree is anywhere there
    right = np.concatenate([part.right for part in parts])
    meeting, at = np.unique(right, return_inverse=True)
    count = np.bincount(at, minlength=len(meeting))
    mine = np.bincount(at, ours, minlength=len(meeting))
    lonely = relation.alone | (mine < count)
    both = ((count > 1) | relation.alone) if host else (mine > 0) & lonely
    shared: Mask = both[at]
    return shared


def _take(rows: Related, mask: Mask) -> Related:
    def of(column: npt.NDArray[Any] | None) -> npt.NDArray[Any] | None:
        return None if column is None else column[mask]

    return replace(
        rows,
        left=rows.left[mask],
        right=rows.right[mask],
        slot=of(rows.slot),
        detail=of(rows.detail),
        role=of(rows.role),
        impact=of(rows.impact),
    )


def table(found: Found, numbering: Numbering, tasks: Tasks) -> Table:
    """Make the table of relations; an end without a number (it died meanwhile) drops its row."""
    kinds, names = (*registry(),), (*relations(),)
    impacts, roles = [impact.value for impact in _IMPACTS], _roles(found)
    parts = []
    for (name, rows), stable in zip(found.rows, found.stable, strict=True):
        count = len(rows.left)
        left, has_left = _numbers(rows.left_kind, rows.left, numbering, tasks)
        right, has_right = _numbers(rows.right_kind, rows.right, numbering, tasks)
        keep = has_left & has_right
        part: dict[str, npt.NDArray[Any]] = {
            "relation": np.full(count, names.index(name), np.int16),
            "left_kind": np.full(count, kinds.index(rows.left_kind), np.int16),
            "left": left,
            "left_role": _codes(rows.role, roles, count),
            "right_kind": np.full(count, kinds.index(rows.right_kind), np.int16),
            "right": right,
            "slot": np.full(count, -1) if rows.slot is None else rows.slot,
            "impact": _codes(rows.impact, impacts, count),
            "stable": stable,
            "detail": np.full(count, None, object) if rows.detail is None else rows.detail,
        }
        parts.append({key: values[keep] for key, values in part.items()})
    if not parts:
        return tables.empty(RELATIONS)
    column = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    detail = np.fromiter((text or None for text in column["detail"]), object, len(column["left"]))
    return tables.build(
        RELATIONS,
        {**column, "detail": detail},
        missing={"slot": column["slot"] < 0},
        vocabulary={
            "relation": names,
            "left_kind": kinds,
            "right_kind": kinds,
            "left_role": roles,
            "impact": impacts,
        },
    )


def ends_in(rows: Table, objects: int) -> Mask:
    """Return which of the objects (numbered from 1) are ends of relations that are told."""
    mask = np.zeros(objects, np.bool_)
    told = [rows.code("relation", name) for name, one in relations().items() if one.told]
    for end in ("left", "right"):
        by_object = rows[f"{end}_kind"] != rows.code(f"{end}_kind", TASK)
        mask[rows[end][by_object & one_of(rows["relation"], told)] - 1] = True
    return mask


def _roles(found: Found) -> list[str]:
    words = (word for _, rows in found.rows if rows.role is not None for word in rows.role)
    return [word for word in dict.fromkeys(words) if word]


def _codes(
    words: npt.NDArray[np.object_] | None, known: Iterable[str], count: int
) -> npt.NDArray[np.int16]:
    if words is None:
        return np.full(count, -1, np.int16)
    code = {word: number for number, word in enumerate(known)}
    return np.fromiter((code.get(word, -1) for word in words), np.int16, count)


def _numbers(kind: str, addresses: U64, numbering: Numbering, tasks: Tasks) -> tuple[I64, Mask]:
    if kind != TASK:
        return numbering.find(kind, addresses)
    order = np.argsort(tasks.address, kind="stable")
    at = np.searchsorted(tasks.address, addresses, sorter=order).clip(max=len(order) - 1)
    rows = order[at]
    tids: I64 = tasks.table["tid"][rows]
    return tids, tasks.address[rows] == addresses
