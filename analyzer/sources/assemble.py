"""From blocks of kernel addresses to the tables of a snapshot.

Objects are numbered from 1, kind by kind in the order of collection, and within a kind in the order
in which the references, those of the subtree first, meet them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.core.model import OBJECTS, REFERENCES, TASK
from analyzer.core.values import dataclass, field
from analyzer.kinds import associations, registry
from analyzer.memory.distinct import find, member
from analyzer.snapshot import tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import I64, U64, Mask
    from analyzer.snapshot.tables import Table
    from analyzer.sources.expand import Block, Expansion
    from analyzer.sources.nodes import Nodes, Numbers
    from analyzer.sources.tasks import Tasks


_NOBODY = np.empty(0, np.uint64)


@dataclass(frozen=True)
class Numbering:
    """The objects by kind: addresses in order of number, and the number of the first of each.

    `of_node` are the numbers of what was met, by node; 0 is none.
    """

    address: Mapping[str, U64]
    first: Mapping[str, int]
    of_node: I64 = field(default_factory=lambda: np.empty(0, np.int64))

    @cached_property
    def _index(self) -> Mapping[str, tuple[U64, I64]]:
        # By kind the addresses sorted, and their numbers.
        found = {}
        for kind, addresses in self.address.items():
            order = np.argsort(addresses)
            found[kind] = addresses[order], order + self.first[kind]
        return found

    def find(self, kind: str, addresses: U64) -> tuple[I64, Mask]:
        """Return the objrefs of addresses of one kind (0: none), and which of them have one."""
        known, numbers = self._index.get(kind, (_NOBODY, np.empty(0, np.int64)))
        at, there = find(known, addresses)
        result = np.zeros(len(addresses), np.int64)
        result[there] = numbers[at[there]]
        return result, there

    def nodes(self, chosen: Mask) -> Mask:
        """Return the nodes of the chosen objects."""
        nodes: Mask = np.append(chosen, [False])[self.of_node - 1]  # the last is for what has none
        return nodes

    def chosen(self, nodes: Mask) -> Mask:
        """Return the objects of a set of nodes."""
        chosen = np.zeros(len(self) + 1, np.bool_)
        chosen[self.of_node[nodes]] = True
        return chosen[1:]

    def __len__(self) -> int:
        """Return the number of objects."""
        return sum(len(addresses) for addresses in self.address.values())


def number(expansion: Expansion, ends: Mapping[str, U64]) -> Numbering:
    """Give numbers to the objects of `expansion`: what its references lead to, and its holders.

    `ends` are more objects by kind, that no reference leads to: ends of relations.
    """
    nodes = expansion.nodes
    met = _in_order(expansion, nodes.mask(ends))
    of_node = np.zeros(len(nodes), np.int64)
    address: dict[str, U64] = {}
    first: dict[str, int] = {}
    count = 1
    for name in registry():
        if name == TASK or not (name in nodes.met or name in ends):
            continue
        part, known = nodes.of_kind(name), nodes.met.get(name, _NOBODY)
        more = ends.get(name, _NOBODY)
        mine = met[(met >= part.start) & (met < part.stop)]
        found = np.concatenate((known[mine - part.start], more[~member(more, known)]))
        if len(found):
            address[name], first[name] = found, count
            of_node[mine] = np.arange(count, count + len(mine))
            count += len(found)
    return Numbering(address, first, of_node)


def _in_order(expansion: Expansion, ends: Mask) -> Numbers:
    """Return the nodes that get numbers, in the order in which references meet them."""
    inside = [expansion.collected[way.start] for way in expansion.ways]
    led = [way.end[rows] for way, rows in zip(expansion.ways, inside, strict=True)]
    led += [way.end[~rows] for way, rows in zip(expansion.ways, inside, strict=True)]
    # Nothing may lead to a holder: it was found in a list, or by what only old rules count.
    rest = ends.copy()
    for way in expansion.ways:
        rest[way.start] = True
    met = np.concatenate([*led, np.flatnonzero(rest).astype(np.int32)])
    place = np.empty(len(rest), np.intp)
    place[met[::-1]] = np.arange(len(met) - 1, -1, -1)  # where each is met first
    result: Numbers = met[place[met] == np.arange(len(met))]
    return result


def references(expansion: Expansion, numbering: Numbering, tasks: Tasks) -> Table:
    """Make the table of references."""
    kinds = tuple(registry())
    names = tuple(associations())
    words: list[str] = []
    known_as = _known_as(expansion.nodes, numbering, tasks)
    parts = [
        {
            "holder_kind": np.full(len(b.target), kinds.index(b.holder_kind), np.int16),
            "holder": known_as[way.start],
            "target": known_as[way.end],
            "association": np.full(len(b.target), names.index(b.association.name), np.int16),
            "slot": np.zeros(len(b.target), np.int64) if b.slot is None else b.slot,
            "weight": np.ones(len(b.target), np.int64) if b.weight is None else b.weight,
            "no_slot": np.full(len(b.target), b.slot is None),
            "detail": _details(b, words),
        }
        for b, way in expansion.rows
    ]
    if not parts:
        return tables.empty(REFERENCES)
    column = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    without = column.pop("no_slot")
    return tables.build(
        REFERENCES,
        column,
        missing={"slot": without},
        vocabulary={"holder_kind": kinds, "association": names, "detail": tuple(words)},
    )


def _known_as(nodes: Nodes, numbering: Numbering, tasks: Tasks) -> I64:
    """Return what the tables call each node: the id of a task, the number of an object."""
    known_as, part = numbering.of_node.copy(), nodes.of_kind(TASK)
    rows, _ = find(tasks.address, nodes.met.get(TASK, _NOBODY), sorter=np.argsort(tasks.address))
    known_as[part] = tasks.table["tid"][rows]
    return known_as


def _details(block: Block, words: list[str]) -> npt.NDArray[np.int16]:
    if block.detail is None:
        return np.full(len(block.target), -1, np.int16)
    codes = np.full(len(block.detail), -1, np.int16)
    for word in dict.fromkeys(block.detail):
        if word is None:
            continue
        if word not in words:
            words.append(word)
        codes[block.detail == word] = words.index(word)
    return codes


def objects(
    numbering: Numbering, columns: Mapping[str, npt.NDArray[Any]], missing: Mapping[str, Mask]
) -> Table:
    """Make the table of objects from columns in order of number."""
    kinds = tuple(registry())
    count = [len(addresses) for addresses in numbering.address.values()]
    code = [kinds.index(name) for name in numbering.address]
    return tables.build(
        OBJECTS,
        {
            "objref": np.arange(1, len(numbering) + 1),
            "kind": np.repeat(np.array(code, np.int16), count),
            "address": np.concatenate([np.empty(0, np.uint64), *numbering.address.values()]),
            **columns,
        },
        missing=missing,
        vocabulary={"kind": kinds},
    )
