"""From blocks of kernel addresses to the tables of a snapshot.

Objects are numbered from 1, kind by kind in the order of collection, and within a kind in the order
in which the references, those of the subtree first, meet them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.core.model import OBJECTS, REFERENCES, TASK
from analyzer.core.values import dataclass
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
    """The objects by kind: addresses in order of number, which is from 1.

    `of_node` are the numbers of what was met, by node; 0 is none. The last ones of a kind are of
    what was `told` only, by addresses in their order.
    """

    address: Mapping[str, U64]
    met: Nodes
    of_node: I64
    told: Mapping[str, U64]

    @cached_property
    def _first_told(self) -> Mapping[str, int]:
        # Objects are numbered from 1.
        after = np.cumsum([1, *map(len, self.address.values())])[1:].tolist()
        return {
            kind: end - len(self.told.get(kind, _NOBODY))
            for kind, end in zip(self.address, after, strict=True)
        }

    def find(self, kind: str, addresses: U64) -> tuple[I64, Mask]:
        """Return the objrefs of addresses of one kind (0: none), and which of them have one."""
        result = np.zeros(len(addresses), np.int64)
        at, there = self.met.find(kind, addresses)
        result[there] = self.of_node[at[there]]
        at, there = find(self.told.get(kind, _NOBODY), addresses)
        result[there] = at[there] + self._first_told.get(kind, 0)
        return result, result > 0

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
    told: dict[str, U64] = {}
    count = 1
    for name in registry():
        if name == TASK or not (name in nodes.met or name in ends):
            continue
        part, known = nodes.of_kind(name), nodes.met.get(name, _NOBODY)
        more = ends.get(name, _NOBODY)
        mine = met[(met >= part.start) & (met < part.stop)]
        told[name] = more[~member(more, known)]
        found = np.concatenate((known[mine - part.start], told[name]))
        if len(found):
            address[name] = found
            of_node[mine] = np.arange(count, count + len(mine))
            count += len(found)
    return Numbering(address, nodes, of_node, told)


def _in_order(expansion: Expansion, ends: Mask) -> Numbers:
    """Return the nodes that get numbers, in the order in which references meet them."""
    inside = [expansion.collected[way.start] for way in expansion.ways]
    led = [way.end[rows] for way, rows in zip(expansion.ways, inside, strict=True)]
    led += [way.end[~rows] for way, rows in zip(expansion.ways, inside, strict=True)]
    # Nothing may lead to a holder: it was found in a list, or by what only old rules count.
    rest = ends.copy()
    for way in expansion.ways:
        rest[way.start] = True
    met = np.concatenate([*led, np.flatnonzero(rest)])
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
