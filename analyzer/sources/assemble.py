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
from analyzer.memory.distinct import find, member, unique
from analyzer.snapshot import tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from analyzer.kinds.base import I64, U64, Mask
    from analyzer.snapshot.tables import Table
    from analyzer.sources.expand import Block, Expansion
    from analyzer.sources.tasks import Tasks


_NOBODY = np.empty(0, np.uint64)


@dataclass(frozen=True)
class Numbering:
    """The objects by kind: addresses in order of number, and the number of the first of each."""

    address: Mapping[str, U64]
    first: Mapping[str, int]

    @cached_property
    def _index(self) -> Mapping[str, tuple[U64, I64]]:
        # By kind the addresses sorted, and their numbers: they are asked for block by block.
        found = {}
        for kind, addresses in self.address.items():
            order = np.argsort(addresses, kind="stable")
            found[kind] = addresses[order], order + self.first[kind]
        return found

    def numbers(self, kind: str, addresses: U64) -> I64:
        """Return the objrefs of known addresses of one kind."""
        numbers, there = self.find(kind, addresses)
        if not there.all():
            raise KeyError(f"{kind} {int(addresses[np.argmin(there)]):#x} has no number")
        return numbers

    def find(self, kind: str, addresses: U64) -> tuple[I64, Mask]:
        """Return the objrefs of addresses of one kind (0: none), and which of them have one."""
        known, numbers = self._index.get(kind, (np.empty(0, np.uint64), np.empty(0, np.int64)))
        at, there = find(known, addresses)
        result = np.zeros(len(addresses), np.int64)
        result[there] = numbers[at[there]]
        return result, there

    def __len__(self) -> int:
        """Return the number of objects."""
        return sum(len(addresses) for addresses in self.address.values())


def number(expansion: Expansion, ends: Mapping[str, U64]) -> Numbering:
    """Give numbers to the objects of `expansion`: what its references lead to, and its holders.

    `ends` are more objects by kind, that no reference leads to: ends of relations.
    """
    address: dict[str, U64] = {}
    first: dict[str, int] = {}
    count = 1
    for name in registry():
        if name == TASK:
            continue
        met = [
            _inside_first(b, expansion.collected) for b in expansion.blocks if b.target_kind == name
        ]
        # Nothing may lead to a holder: it was found in a list, or by what only old rules count.
        holding = unique(*(b.holder for b in expansion.blocks if b.holder_kind == name))
        met += [(holding[:0], holding)] * bool(len(holding))
        related = ends.get(name, _NOBODY)
        met += [(related[:0], related)] * bool(len(related))
        if not met:
            continue
        found = np.concatenate([part for parts in zip(*met, strict=True) for part in parts])
        distinct, at = np.unique(found, return_index=True)
        address[name] = distinct[np.argsort(at)]
        first[name] = count
        count += len(distinct)
    return Numbering(address, first)


def _inside_first(block: Block, collected: Mapping[str, U64]) -> tuple[U64, U64]:
    inside = member(block.holder, collected.get(block.holder_kind, np.empty(0, np.uint64)))
    return block.target[inside], block.target[~inside]


def references(blocks: Sequence[Block], numbering: Numbering, tasks: Tasks) -> Table:
    """Make the table of references."""
    kinds = tuple(registry())
    names = tuple(associations())
    words: list[str] = []
    parts = [
        {
            "holder_kind": np.full(len(b.target), kinds.index(b.holder_kind), np.int16),
            "holder": _holders(b, numbering, tasks),
            "target": numbering.numbers(b.target_kind, b.target),
            "association": np.full(len(b.target), names.index(b.association.name), np.int16),
            "slot": np.zeros(len(b.target), np.int64) if b.slot is None else b.slot,
            "weight": np.ones(len(b.target), np.int64) if b.weight is None else b.weight,
            "no_slot": np.full(len(b.target), b.slot is None),
            "detail": _details(b, words),
        }
        for b in blocks
        if len(b.target)  # an empty one may be of a kind that no object is of
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


def _holders(block: Block, numbering: Numbering, tasks: Tasks) -> I64:
    if block.holder_kind != TASK:
        return numbering.numbers(block.holder_kind, block.holder)
    order = np.argsort(tasks.address, kind="stable")
    rows, _ = find(tasks.address, block.holder, sorter=order)
    tids: I64 = tasks.table["tid"][rows]
    return tids


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
