"""From blocks of kernel addresses to the tables of a snapshot.

Objects are numbered from 1, kind by kind in the order of collection, and within a kind in the order
in which the references, those of the subtree first, meet them.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.core.model import OBJECTS, REFERENCES, TASK
from analyzer.core.values import dataclass
from analyzer.kinds import associations, registry
from analyzer.memory.distinct import find, member
from analyzer.snapshot import tables
from analyzer.sources.nodes import Nodes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from analyzer.kinds.base import I64, U64, Mask
    from analyzer.snapshot.tables import Table
    from analyzer.sources.expand import Block, Expansion
    from analyzer.sources.nodes import Numbers
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

    def some(self, chosen: Mask) -> Mapping[str, U64]:
        """Return the addresses of the chosen objects by kind, in order of number."""
        ends = np.cumsum([0, *map(len, self.address.values())]).tolist()
        parts = zip(self.address.items(), pairwise(ends), strict=True)
        return {kind: at[chosen[slice(*part)]] for (kind, at), part in parts}

    def nodes(self, chosen: Mask) -> Mask:
        """Return the nodes of the chosen objects."""
        nodes: Mask = np.append(chosen, [False])[self.of_node - 1]  # the last is for what has none
        return nodes

    def chosen(self, nodes: Mask) -> Mask:
        """Return the objects of a set of nodes."""
        chosen = np.zeros(len(self) + 1, np.bool_)
        chosen[self.of_node[nodes]] = True
        return chosen[1:]

    @property
    def outline(self) -> Numbering:
        """Return the addresses alone: nothing is found in it."""
        return Numbering(self.address, Nodes({}), self.of_node[:0].copy(), {})

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
    mine_of = _by_kind(nodes, met)
    for name in registry():
        if name == TASK or not (name in nodes.met or name in ends):
            continue
        known, more = nodes.met.get(name, _NOBODY), ends.get(name, _NOBODY)
        mine = mine_of.get(name, met[:0])
        told[name] = more[~member(more, known)]
        found = np.concatenate((known[mine - nodes.of_kind(name).start], told[name]))
        if len(found):
            address[name] = found
            of_node[mine] = np.arange(count, count + len(mine))
            count += len(found)
    return Numbering(address, nodes, of_node, told)


def _by_kind(nodes: Nodes, some: Numbers) -> dict[str, Numbers]:
    """Return some nodes by kind, each in the order in which they are."""
    sizes = [*map(len, nodes.met.values())]
    kind = np.repeat(np.arange(len(sizes)).astype(np.int8), sizes)[some]
    # Of one byte each, they are counted and not compared.
    order = np.argsort(kind, kind="stable")
    ends = np.cumsum(np.bincount(kind, minlength=len(sizes)))
    return dict(zip(nodes.met, np.split(some[order], ends[:-1]), strict=True))


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
    blocks, ways = expansion.blocks, expansion.ways
    if not blocks:
        return tables.empty(REFERENCES)
    kinds, names = tuple(registry()), tuple(associations())
    count = [len(block.target) for block in blocks]
    known_as = _known_as(expansion.nodes, numbering, tasks)
    details, words = _details(blocks)
    return tables.build(
        REFERENCES,
        {
            "holder_kind": _each([kinds.index(block.holder_kind) for block in blocks], count),
            "holder": known_as[np.concatenate([way.start for way in ways])],
            "target": known_as[np.concatenate([way.end for way in ways])],
            "association": _each([names.index(block.association.name) for block in blocks], count),
            "slot": _filled([block.slot for block in blocks], count, 0),
            "weight": _filled([block.weight for block in blocks], count, 1),
            "detail": _filled(details, count, -1).astype(np.int16),
        },
        missing={"slot": np.repeat([block.slot is None for block in blocks], count)},
        vocabulary={"holder_kind": kinds, "association": names, "detail": words},
    )


def _each(codes: Sequence[int], count: Sequence[int]) -> npt.NDArray[np.int16]:
    return np.repeat(np.array(codes, np.int16), count)


def _filled(parts: Sequence[npt.NDArray[Any] | None], count: Sequence[int], default: int) -> I64:
    """Return columns one after the other, and the default in the place of each that is not."""
    filled = np.full(sum(count), default)
    end = 0
    for part, rows in zip(parts, count, strict=True):
        end += rows
        if part is not None:
            filled[end - rows : end] = part
    return filled


def _details(
    blocks: Sequence[Block],
) -> tuple[list[npt.NDArray[np.int16] | None], tuple[str, ...]]:
    """Return the details of each block as codes of all words, and these."""
    words: dict[str, int] = {}
    found: list[npt.NDArray[np.int16] | None] = []
    for block in blocks:
        codes = None
        if block.detail is not None:
            own = [words.setdefault(word, len(words)) for word in block.detail.words]
            codes = np.array([*own, -1], np.int16)[block.detail.code]  # the last is for none
        found.append(codes)
    return found, tuple(words)


def _known_as(nodes: Nodes, numbering: Numbering, tasks: Tasks) -> I64:
    """Return what the tables call each node: the id of a task, the number of an object."""
    known_as, part = numbering.of_node.copy(), nodes.of_kind(TASK)
    rows, _ = find(tasks.address, nodes.met.get(TASK, _NOBODY), sorter=np.argsort(tasks.address))
    known_as[part] = tasks.table["tid"][rows]
    return known_as


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
