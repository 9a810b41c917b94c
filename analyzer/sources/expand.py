"""Follow every reference of every holder: kinds are data, and this interprets them.

Kinds are taken in their order of collection, so that when a kind's turn comes all holders that can
lead to it have been asked. The result is a list of edge blocks: columns of addresses, one block for
each association. Which of them are kept is decided once, backwards: an object matters if it is
collected, or holds one that matters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from analyzer.kinds import registry
from analyzer.kinds.base import Association, Edges, Judged, Kind
from analyzer.memory.bpf import plausible
from analyzer.memory.sets import member, unique
from analyzer.model import TASK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from analyzer.kinds.base import I64, U64, Mask
    from analyzer.memory.reader import Memory

# A kind may refer to itself (child namespaces); the kernel nests them 32 deep at most.
_MAX_NESTING: Final = 33


@dataclass(frozen=True)
class Block:
    """References of one association: addresses of holders and targets, slots and details."""

    association: Association
    holder_kind: str
    target_kind: str
    holder: U64
    target: U64
    slot: I64 | None = None
    detail: npt.NDArray[Any] | None = None

    def take(self, rows: Mask) -> Block:
        """Return the block of the chosen rows."""
        return replace(
            self,
            holder=self.holder[rows],
            target=self.target[rows],
            slot=None if self.slot is None else self.slot[rows],
            detail=None if self.detail is None else self.detail[rows],
        )


@dataclass(frozen=True)
class Expansion:
    """All references found from a set of tasks.

    `collected` are the sorted addresses that the inside tasks own, by kind; `torn` the addresses
    of holders that could not be read whole.
    """

    blocks: tuple[Block, ...]
    collected: Mapping[str, U64]
    torn: Mapping[str, U64]


def expand(memory: Memory, tasks: U64, inside: U64, *, everything: bool) -> Expansion:
    """Follow the references of `tasks`; `inside` (sorted) are those of the subtree.

    With `everything` all objects are asked for what they hold; without, files held by nobody
    inside are asked only where that can matter (they may pin a collected namespace).
    """
    state = _State(memory, {TASK: unique(tasks)}, {TASK: inside}, everything=everything)
    for kind in registry().values():
        state.visit(kind)
    torn = {name: unique(*parts) for name, parts in state.torn.items()}
    return Expansion(tuple(state.blocks), state.collected, torn)


class _State:
    def __init__(
        self, memory: Memory, seen: dict[str, U64], collected: dict[str, U64], *, everything: bool
    ) -> None:
        self._memory = memory
        self._everything = everything
        self._seen = seen
        self.collected = collected
        self.blocks: list[Block] = []
        self.torn: dict[str, list[U64]] = {}

    def visit(self, kind: Kind) -> None:
        done = np.empty(0, np.uint64)
        for _ in range(_MAX_NESTING):
            found = self._found(kind)
            new = found[~member(found, done)]
            if not len(new):
                return
            done = unique(done, new)
            for block in self._references(kind, new):
                self._add(block)

    def _found(self, kind: Kind) -> U64:
        if kind.name == TASK:
            return self._seen[TASK]
        targets = [b.target for b in self.blocks if b.target_kind == kind.name]
        if self._everything or kind.name != "FILE" or self._isolated():
            return unique(*targets)
        return self.collected.get(kind.name, np.empty(0, np.uint64))

    def _isolated(self) -> bool:
        """Tell whether the subtree has a namespace of its own that an outside file could pin."""
        namespaces = [kind for kind in registry().values() if kind.namespace]
        for kind in namespaces:
            mine = self.collected.get(kind.name, np.empty(0, np.uint64))
            outside = [b.target for b in self.blocks if b.target_kind == kind.name]
            held = np.concatenate(outside) if outside else mine
            if len(mine) and len(held) > len(mine) and kind.describe is not None:
                ino = kind.describe(self._memory, mine)["ino"]
                if (ino != kind.initial_ino).any():
                    return True
        return False

    def _references(self, kind: Kind, holders: U64) -> Iterator[Block]:
        for edges in (
            *_pointers(self._memory, kind, holders),
            *_walked(self._memory, kind, holders),
        ):
            good = plausible(edges.target)
            block = Block(
                edges.association, kind.name, edges.target_kind,
                holders[edges.holder], edges.target, edges.slot, edges.detail,
            )  # fmt: skip
            yield block if good.all() else block.take(good)
            if edges.torn is not None and edges.torn.any():
                self.torn.setdefault(kind.name, []).append(holders[edges.torn])

    def _add(self, block: Block) -> None:
        self.blocks.append(block)
        mine = self.collected.get(block.holder_kind)
        if mine is None or not block.association.collects:
            return
        reached = block.target[member(block.holder, mine)]
        known = self.collected.get(block.target_kind, reached[:0])
        self.collected[block.target_kind] = unique(known, reached)


def _pointers(memory: Memory, kind: Kind, holders: U64) -> Iterator[Edges]:
    fields = {p.association.name: p.paths for p in kind.pointers}
    if not fields:
        return
    read = memory.gather(holders, kind.struct, {}, optional=fields)
    for pointer in kind.pointers:
        if pointer.association.name in read:
            value = read[pointer.association.name]
            at = np.flatnonzero(read.ok & (value != 0))
            yield Edges(pointer.association, pointer.target, at, value[at])


def _walked(memory: Memory, kind: Kind, holders: U64) -> Iterable[Edges]:
    return kind.walk(memory, holders) if kind.walk else ()


def relevant(expansion: Expansion) -> Expansion:
    """Keep what is collected, and what leads to it."""
    keep = {name: addresses for name, addresses in expansion.collected.items() if name != TASK}
    kept: list[Block] = []
    for kind in reversed(list(registry().values())):
        kept += _leading_to(kind, expansion.blocks, keep)
    return replace(expansion, blocks=tuple(b for b in reversed(kept) if len(b.target)))


def _leading_to(kind: Kind, blocks: Sequence[Block], keep: dict[str, U64]) -> list[Block]:
    """Return the references to what is kept of one kind, and keep their holders too."""
    found: list[Block] = []
    for _ in range(_MAX_NESTING):
        mine = keep.get(kind.name, np.empty(0, np.uint64))
        found = [b.take(member(b.target, mine)) for b in blocks if b.target_kind == kind.name]
        for block in found:
            _keep_holders(keep, block)
        if len(keep.get(kind.name, mine)) == len(mine):
            break
    return found


def _keep_holders(keep: dict[str, U64], block: Block) -> None:
    if block.holder_kind == TASK:
        return
    known = keep.get(block.holder_kind, np.empty(0, np.uint64))
    keep[block.holder_kind] = unique(known, block.holder)


def counts(memory: Memory, kind: Kind, addresses: U64) -> tuple[I64, Mask]:
    """Read the reference counts of objects: counts, and where they are known.

    A negative raw count is an object that is being freed, or poison: not known.
    """
    paths = [counter.path for counter in kind.counters]
    found = memory.layout.first(kind.struct, paths)
    if found is None:
        return np.zeros(len(addresses), np.int64), np.zeros(len(addresses), np.bool_)
    bias = {counter.path: counter.bias for counter in kind.counters}[found[0]]
    field = replace(found[1], signed=True)
    read = memory.gather_fields(addresses, {"count": field})
    raw = read["count"].astype(np.int64)
    known = read.ok & (raw >= 0)
    if kind.judged is not Judged.NOT:
        known &= raw + bias > 0  # nothing that somebody holds has no reference
    return raw + bias, known
