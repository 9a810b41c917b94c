"""Follow every reference of every holder: kinds are data, and this interprets them.

Rounds over the kinds, in their order of collection, until no new object is met: a file leads to a
socket, a socket's queue to another file. The result is a list of edge blocks, columns of addresses,
one for each association. First comes what the subtree owns, then the rest; what of that matters is
worked out over the blocks at the end.

What a subtree owns is followed again to tell whether it is what it was. Each question keeps a log
of what was read for its answer: as long as that holds, the answer is the same, and is not worked
out anew.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.check.links import Way, reach
from analyzer.core.model import TASK, Rules
from analyzer.core.values import dataclass, replace
from analyzer.kinds import registry
from analyzer.kinds._initial import hosts
from analyzer.kinds.base import Association, Counter, Edges, Judged, Kind
from analyzer.memory.distinct import member, unique
from analyzer.memory.programs import plausible
from analyzer.sources.nodes import Nodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from analyzer.kinds.base import I64, U64, Details, Mask
    from analyzer.memory.log import Log
    from analyzer.memory.reader import Memory
    from analyzer.sources.nodes import Numbers

# Chains end: namespaces nest 32 deep, sockets in flight in sockets not much deeper.
_MAX_ROUNDS: Final = 64
_NOBODY: Final = np.empty(0, np.uint64)


@dataclass(frozen=True)
class Block:
    """References of one association, row by row: targets by address, slots and details.

    `who` were asked what they hold; `at` is which of these holds what.
    """

    association: Association
    holder_kind: str
    target_kind: str
    who: U64
    at: Numbers
    target: U64
    slot: I64 | None = None
    detail: Details | None = None
    weight: I64 | None = None

    @property
    def holder(self) -> U64:
        """Return the addresses of the holders."""
        return self.who[self.at]

    def take(self, rows: Mask) -> Block:
        """Return the block of the chosen rows."""
        at = np.flatnonzero(rows)
        return replace(
            self,
            at=self.at[at],
            target=self.target[at],
            slot=None if self.slot is None else self.slot[at],
            detail=None if self.detail is None else self.detail.take(at),
            weight=None if self.weight is None else self.weight[at],
        )


@dataclass(frozen=True)
class Expansion:
    """All references found from a set of tasks, and what is at both ends of them as `nodes`.

    The rows of a block are those of one of the `ways`. Sets of nodes are `collected`, what the
    inside tasks own, and `compared`, what linux-cr's rules compare: some of it is not collected.
    `torn` are the addresses of holders that could not be read whole, by kind.
    """

    nodes: Nodes
    blocks: tuple[Block, ...]
    ways: tuple[Way, ...]
    collected: Mask
    compared: Mask
    torn: Mapping[str, U64]

    @property
    def rows(self) -> Iterator[tuple[Block, Way]]:
        """Yield each block with its ways."""
        return zip(self.blocks, self.ways, strict=True)

    def only(self, stay: Iterable[Mask]) -> Expansion:
        """Return the expansion with the references that stay, of each block."""
        kept = [
            (block, way) if fine.all() else (block.take(fine), way.take(fine))
            for (block, way), fine in zip(self.rows, stay, strict=True)
            if fine.any()
        ]
        return replace(
            self, blocks=tuple(block for block, _ in kept), ways=tuple(way for _, way in kept)
        )


@dataclass(frozen=True)
class Answer:
    """What `holders` of one kind hold, which of them could not be read whole, and why that is so.

    That is the `log` of what was read for it; there is none where nobody will ask again.
    """

    kind: Kind
    holders: U64
    blocks: tuple[Block, ...]
    torn: U64
    log: Log | None = None

    def holds(self) -> bool:
        """Tell whether all that was read for it is the same now."""
        return self.log is not None and self.log.holds()


@dataclass(frozen=True)
class Own:
    """What a subtree owns, as it answered.

    `collected` are the sorted addresses of what its tasks own, themselves included, by kind. The
    host's own namespaces are among them, but were not asked: what they hold is not the subtree's.
    """

    answers: tuple[Answer, ...]
    collected: Mapping[str, U64]

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Return the references of all that is owned."""
        return _blocks(self.answers)

    @property
    def torn(self) -> Mapping[str, U64]:
        """Return the addresses of holders that could not be read whole, by kind."""
        return _torn(self.answers)

    @property
    def asked(self) -> Mapping[str, U64]:
        """Return the sorted addresses of those that answered, by kind."""
        parts: dict[str, list[U64]] = {}
        for answer in self.answers:
            parts.setdefault(answer.kind.name, []).append(answer.holders)
        return {kind: unique(*some) if len(some) > 1 else some[0] for kind, some in parts.items()}

    @property
    def outline(self) -> Own:
        """Return it without the references and the logs, which are most of it."""
        torn = (replace(a, holders=_NOBODY, blocks=(), log=None) for a in self.answers)
        return Own(tuple(torn), self.collected)

    def beyond(self, other: Own) -> int:
        """Return how many objects are owned that are not in the other."""
        known = other.collected
        return sum(
            0 if addresses is known.get(kind) else
            int((~member(addresses, known.get(kind, _NOBODY))).sum())
            for kind, addresses in self.collected.items()
        )  # fmt: skip

    def of(self, inside: U64) -> bool:
        """Tell whether it is of these tasks (sorted)."""
        return np.array_equal(inside, self.collected.get(TASK, _NOBODY))


def owned(memory: Memory, inside: U64, before: Own | None = None, *, logged: bool = False) -> Own:
    """Follow the references of what the `inside` tasks (sorted) own, and of nothing else.

    What is `logged` can be given to a later reading as `before`: an answer is taken again there if
    it still holds, and `before` itself if all of them do.
    """
    same = [answer for answer in before.answers if answer.holds()] if before else []
    if before and before.of(inside) and len(same) == len(before.answers):
        return before
    walk = _OwnWalk(memory, same, logged=logged)
    walk.follow({TASK: [inside]})
    return Own(tuple(walk.answers), walk.met)


def expand(memory: Memory, tasks: U64, own: Own) -> Expansion:
    """Follow the references of `tasks` and all that they lead to, beyond what the subtree owns."""
    walk = _Walk(memory, own)
    walk.follow(_ends({TASK: [tasks], **_unasked(own)}, _beyond(memory, own)))
    found = numbered(_blocks(walk.answers), walk.met, own.collected, _torn(walk.answers))
    return replace(found, compared=_compared(memory, found))


def _unasked(own: Own) -> dict[str, list[U64]]:
    asked = own.asked
    return {
        kind: [addresses]
        for kind, addresses in own.collected.items()
        if len(asked.get(kind, _NOBODY)) < len(addresses)
    }


def _beyond(memory: Memory, own: Own) -> Iterator[Block]:
    """Yield the references that lead to what the subtree holds and does not own."""
    for block in own.blocks:
        rows = _collecting(memory, block, Rules.MODERN)
        if rows is not None:
            yield block.take(~rows)


def numbered(
    blocks: tuple[Block, ...],
    met: Mapping[str, U64],
    collected: Mapping[str, U64],
    torn: Mapping[str, U64],
) -> Expansion:
    """Return references whose ends are all `met` (sorted, by kind), with those as nodes."""
    nodes = Nodes({kind: met[kind] for kind in registry() if kind in met})
    who = {(b.holder_kind, id(b.who)): b.who for b in blocks}
    start = {(kind, key): nodes.find(kind, holders)[0] for (kind, key), holders in who.items()}
    ways = tuple(
        Way(start[b.holder_kind, id(b.who)][b.at], nodes.find(b.target_kind, b.target)[0])
        for b in blocks
    )
    mine = nodes.mask(collected)
    return Expansion(nodes, blocks, ways, mine, np.zeros_like(mine), torn)


def _blocks(answers: Iterable[Answer]) -> tuple[Block, ...]:
    return tuple(block for answer in answers for block in answer.blocks)


def _torn(answers: Iterable[Answer]) -> Mapping[str, U64]:
    torn: dict[str, list[U64]] = {}
    for answer in answers:
        if len(answer.torn):
            torn.setdefault(answer.kind.name, []).append(answer.torn)
    return {name: unique(*parts) for name, parts in torn.items()}


def _ends(met: dict[str, list[U64]], blocks: Iterable[Block]) -> dict[str, list[U64]]:
    """Add what references lead to to what was met."""
    for block in blocks:
        met.setdefault(block.target_kind, []).append(block.target)
    return met


class _Walk:
    """Asks all that is met what it holds, and goes on to that; what is `own` has answered."""

    _finds = True

    def __init__(self, memory: Memory, own: Own | None = None) -> None:
        self._memory = memory
        self.answers = [*own.answers] if own else []
        self.met = {**own.asked} if own else {}  # sorted, by kind
        self._latest: Mapping[str, U64] = {**self.met}  # what the last round asked
        self._ahead: dict[str, list[U64]] = {}  # what was led to and not yet asked, by kind

    def follow(self, ahead: dict[str, list[U64]]) -> None:
        """Go on from here until nothing new is met."""
        self._ahead = ahead
        for _ in range(_MAX_ROUNDS):
            if not self._round():
                break
        for kind, parts in self._ahead.items():  # of a chain that has no end
            self.met[kind] = unique(self.met.get(kind, _NOBODY), *parts)

    def _round(self) -> bool:
        """Ask every object met so far what it holds; tell whether there was one."""
        before, latest = self._latest, {}
        for kind in registry().values():
            known = self.met.get(kind.name, _NOBODY)
            met = unique(*self._ahead.pop(kind.name, ()), self._found(kind, before))
            new = met[~member(met, known)] if len(known) else met
            if len(new):
                latest[kind.name] = new
                self.met[kind.name] = unique(known, new) if len(known) else new
                self._ask(kind, self._asked_of(kind, new))
        self._latest = latest
        return bool(latest)

    def _found(self, kind: Kind, latest: Mapping[str, U64]) -> U64:
        if kind.finder is None or not self._finds:
            return _NOBODY
        new = {name: latest[name] for name in kind.finder.after if name in latest}
        return kind.finder.find(self._memory, new) if new else _NOBODY

    def _ask(self, kind: Kind, holders: U64) -> None:
        if len(holders):
            answer = self._answer(kind, holders)
            self.answers.append(answer)
            _ends(self._ahead, self._leading(answer))

    def _asked_of(self, _kind: Kind, new: U64) -> U64:
        return new

    def _answer(self, kind: Kind, holders: U64) -> Answer:
        parts = [*asked(self._memory, kind, holders)]
        return Answer(
            kind, holders, tuple(block for block, _ in parts), unique(*(torn for _, torn in parts))
        )

    def _leading(self, answer: Answer) -> Iterable[Block]:
        return answer.blocks


class _OwnWalk(_Walk):
    """Goes on to what a task collects alone, and takes again what is answered already."""

    _finds = False  # nobody owns what no reference leads to

    def __init__(self, memory: Memory, before: Sequence[Answer], *, logged: bool) -> None:
        super().__init__(memory)
        self._before = before
        self._logged = logged

    def _asked_of(self, kind: Kind, new: U64) -> U64:
        return new[~hosts(self._memory, kind, new)] if kind.namespace else new

    def _answer(self, kind: Kind, holders: U64) -> Answer:
        for known in self._before:
            if known.kind is kind and np.array_equal(known.holders, holders):
                return known
        if not self._logged:
            return super()._answer(kind, holders)
        with self._memory.logged() as log:
            return replace(super()._answer(kind, holders), log=log)

    def _leading(self, answer: Answer) -> Iterable[Block]:
        for block in answer.blocks:
            rows = _collecting(self._memory, block, Rules.MODERN)
            yield block if rows is None else block.take(rows)


def asked(memory: Memory, kind: Kind, holders: U64) -> Iterator[tuple[Block, U64]]:
    """Yield what `holders` of one kind hold, and which of them could not be read whole."""
    for edges in chain(_pointers(memory, kind, holders), _walked(memory, kind, holders)):
        good = plausible(edges.target)
        block = Block(
            edges.association, kind.name, edges.target_kind, holders,
            edges.holder, edges.target, edges.slot, edges.detail, edges.weight,
        )  # fmt: skip
        block = block if good.all() else block.take(good)
        yield block, _NOBODY if edges.torn is None else holders[edges.torn]


def _compared(memory: Memory, expansion: Expansion) -> Mask:
    """Find what linux-cr's rules compare: what they collect, and what that meets."""
    inside, tasks = np.zeros_like(expansion.collected), expansion.nodes.of_kind(TASK)
    inside[tasks] = expansion.collected[tasks]
    collected = collected_by(memory, expansion, inside, Rules.LINUX_CR)
    met = collected.copy()
    for block, way in expansion.rows:
        if Rules.LINUX_CR in block.association.meets:
            met[way.end[collected[way.start]]] = True
    return met


def collected_by(
    memory: Memory, expansion: Expansion, inside: Mask, rules: Rules = Rules.MODERN
) -> Mask:
    """Find what the `inside` tasks own: follow what collects."""
    chosen = [_collecting(memory, block, rules) for block in expansion.blocks]
    ways = zip(expansion.ways, chosen, strict=True)
    return reach(inside, (way if rows is None else way.take(rows) for way, rows in ways))


def _collecting(memory: Memory, block: Block, rules: Rules) -> Mask | None:
    """Return which references of a block collect what they lead to; None is all of them."""
    if rules not in block.association.rules or not block.association.collects:
        return np.zeros(len(block.target), np.bool_)
    kind = registry()[block.holder_kind]
    # Through the host's namespaces nothing is reached.
    return ~hosts(memory, kind, block.holder) if kind.namespace else None


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


def relevant(expansion: Expansion, ends: Mapping[str, U64]) -> Expansion:
    """Keep what is collected, the `ends` of relations (by kind), and what leads to them.

    What only linux-cr's rules compare is kept with what it belongs to: who else is connected to a
    server is not named for one that is.
    """
    rows = [*expansion.rows]
    there = [
        (b, way.back()) for b, way in rows if not b.association.historic and b.holder_kind != TASK
    ]
    keep = reach(expansion.collected | expansion.nodes.mask(ends), (way for _, way in there))
    keep |= reach(expansion.compared, (way for b, way in there if b.association.leads))
    return expansion.only(
        # Of what only old rules count, those of the inside hold something.
        keep[way.end] & expansion.compared[way.start] if b.association.historic else keep[way.end]
        for b, way in rows
    )


def counts(memory: Memory, kind: Kind, addresses: U64) -> tuple[I64, Mask]:
    """Read the reference counts of objects: counts, and where they are known.

    A negative raw count is an object that is being freed, or poison: not known.
    """
    count, known = _counted(memory, kind.struct, kind.counters, addresses)
    if kind.judged is not Judged.NOT and not kind.lingers:
        known &= count > 0  # nothing that somebody holds has no reference
    return count, known


def old_counts(memory: Memory, kind: Kind, addresses: U64) -> tuple[I64, Mask]:
    """Read what linux-cr compared, of a kind where that is another count."""
    return _counted(memory, kind.struct, kind.old_counters, addresses)


def _counted(
    memory: Memory, struct: str, counters: Sequence[Counter], addresses: U64
) -> tuple[I64, Mask]:
    found = memory.layout.first(struct, [counter.path for counter in counters])
    if found is None:
        return np.zeros(len(addresses), np.int64), np.zeros(len(addresses), np.bool_)
    bias = {counter.path: counter.bias for counter in counters}[found[0]]
    field = found[1]._replace(signed=True)
    read = memory.gather_fields(addresses, {"count": field})
    raw = read["count"].astype(np.int64)
    return raw + bias, read.ok & (raw >= 0)
