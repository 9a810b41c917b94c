"""Find the relations that /proc shows, keep what crosses the border, and make their table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from analyzer.core.model import RELATIONS, TASK
from analyzer.relations import alike, may_hold, relations
from analyzer.relations.shown import unaccepted
from analyzer.snapshot import tables

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from analyzer.relations.base import Relation
    from analyzer.relations.shown import Key, Shown, Tied
    from analyzer.snapshot.tables import Table

Found = list[tuple[str, "Tied"]]

_EVIDENCE: Final = (alike.RELATION, may_hold.RELATION)
"""What is said of objects, and crosses no border by itself."""


def find(shown: Shown) -> Found:
    """Return the relations of a whole machine; of a border those that cross it, by name."""
    inside = _inside(shown)
    found: Found = []
    for name, relation in relations().items():
        if relation.from_proc is not None and relation in _EVIDENCE:
            found += [(name, row) for row in relation.from_proc(shown)]
        elif relation.from_proc is not None and (relation.told or shown.host):
            rows = list(relation.from_proc(shown))
            found += [(name, row) for row in _matter(relation, rows, inside, host=shown.host)]
    return found


def ends(found: Found) -> list[Key]:
    """Return what the relations are of, each once."""
    return list(dict.fromkeys(key for _, row in found for key in (row.left, row.right)))


def files(found: Found) -> set[int]:
    """Return the numbers of the open files that are ends."""
    return {key[1] for key in ends(found) if key[0] == "FILE" and isinstance(key[1], int)}


def sockets(found: Found) -> set[int]:
    """Return the numbers of the sockets that are ends."""
    kinds = {"SOCKET", "NET_SOCKET"}
    return {key[1] for key in ends(found) if key[0] in kinds and isinstance(key[1], int)}


def _inside(shown: Shown) -> set[Key]:
    """Return what the subtree owns: the host's namespaces it does not, though it be in them."""
    own = {task.key for task in shown.tasks.values() if task.inside}
    own |= {file.key for file in shown.files if file.inside}
    own |= {one.memory for one in shown.mappings if one.inside}
    own |= {place.key for place in shown.places}
    socks = [sock for f in shown.files if f.inside and (sock := shown.sock_of(f)) is not None]
    own |= {sock.key for sock in socks} | {unaccepted(i) for sock in socks for i in sock.waiting}
    spaces = shown.own("mnt")
    own |= {("MOUNT", one.mnt_id) for one in shown.mounts.values() if one.space in spaces}
    return own | {("MNT_NS", space) for space in spaces}


def _matter(
    relation: Relation, rows: Sequence[Tied], inside: Collection[Key], *, host: bool
) -> list[Tied]:
    """Return the rows that matter, as `sources.relate` does."""
    if not relation.shared:
        if host:
            return list(rows)
        how = any if relation.alone else _one
        return [row for row in rows if how((row.left in inside, row.right in inside))]
    at: dict[Key, list[bool]] = {}
    for row in rows:
        at.setdefault(row.right, []).append(row.left in inside)
    return [row for row in rows if _meet(relation, at[row.right], host=host)]


def _one(sides: tuple[bool, bool]) -> bool:
    return sides[0] != sides[1]


def _meet(relation: Relation, sides: Sequence[bool], *, host: bool) -> bool:
    if host:
        return relation.alone or len(sides) > 1
    return any(sides) and (relation.alone or not all(sides))


def table(found: Found, number: Mapping[Key, int]) -> Table:
    """Make the table of relations; `number` is the objref of each object that is an end."""
    rows = [
        (name, row)
        for name, row in found
        if all(key[0] == TASK or key in number for key in (row.left, row.right))
    ]
    if not rows:
        return tables.empty(RELATIONS)
    columns: dict[str, list[Any]] = {
        "relation": [name for name, _ in rows],
        "left_kind": [row.left[0] for _, row in rows],
        "left": [_number(row.left, number) for _, row in rows],
        "left_role": [row.role or None for _, row in rows],
        "right_kind": [row.right[0] for _, row in rows],
        "right": [_number(row.right, number) for _, row in rows],
        "slot": [row.slot for _, row in rows],
        "impact": [None if row.impact is None else row.impact.value for _, row in rows],
        "stable": [True] * len(rows),
        "detail": [row.detail or None for _, row in rows],
    }
    return tables.build(RELATIONS, columns)


def _number(key: Key, number: Mapping[Key, int]) -> int:
    return int(key[1]) if key[0] == TASK else number[key]  # type: ignore[call-overload]
