"""What was read, held against a second look: who holds what, who ran, who is still there.

Sums prove nothing: one thread ends, another one comes, and six are six. So two readings agree on an
object only if the same holders hold it at the same places (`regrouped`), a holder being the same if
it is the same task, not one of its successors at the same address. What both did not see is not
counted (`seen_again`). A `struct file` or `struct sock` may be reused while it is read
(SLAB_TYPESAFE_BY_RCU), so what is held from outside is asked once more after the counts
(`confirmed`): from the far end back to the task, so that every link of a chain was there while the
others were. Whether anything can have come and gone in between is told by the tasks themselves
(`Pulse`): one that did not run did nothing, and where no process id was given, nobody was born.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.check.links import Way, reach
from analyzer.core.model import TASK
from analyzer.core.values import dataclass, replace
from analyzer.kinds import registry
from analyzer.kinds.pid import innermost
from analyzer.memory.distinct import find, member, unique
from analyzer.sources.expand import asked, collected_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from analyzer.kinds.base import I64, U64, Mask
    from analyzer.memory.reader import Memory
    from analyzer.sources.assemble import Numbering
    from analyzer.sources.expand import Block, Expansion, Own
    from analyzer.sources.tasks import Tasks

_NOBODY: Final = np.empty(0, np.uint64)
_ROUNDS: Final = 2  # of asking what is held from outside once more


@dataclass(frozen=True)
class Born:
    """Which task each address is: one number for (address, id, time of birth)."""

    address: U64
    number: U64

    def of(self, addresses: U64) -> U64:
        """Return the numbers of tasks, 0 for one that is not known."""
        at, there = find(self.address, addresses)
        numbers = np.zeros(len(addresses), np.uint64)
        numbers[there] = self.number[at[there]]
        return numbers

    def without(self, addresses: U64) -> Born:
        """Return it without some tasks (sorted)."""
        rest = ~member(self.address, addresses)
        return Born(self.address[rest], self.number[rest])


def born(tasks: Tasks) -> Born:
    """Return who the tasks of one reading are."""
    order = np.argsort(tasks.address, kind="stable")
    number = _mixed(tasks.address, tasks.table["tid"], tasks.table["start_time"])
    return Born(tasks.address[order], number[order])


def regrouped(first: Own, who: Born, again: Own, later: Born, numbering: Numbering) -> Mask:
    """Mark the objects that the subtree does not hold any more as it did at `first`.

    `who` were the tasks then, `later` are those of now.
    """
    # An answer that holds is the same one; but a task at the same address may be another.
    same = {id(a) for a in first.answers if a.kind.name != TASK} & set(map(id, again.answers))
    before, now = (
        _signatures((b for a in own.answers if id(a) not in same for b in a.blocks), numbering, w)
        for own, w in ((first, who), (again, later))
    )
    changed: Mask = before != now
    return changed


def _signatures(blocks: Iterable[Block], numbering: Numbering, who: Born) -> U64:
    """Return, for each object, a number that tells who holds it, and where."""
    total = np.zeros(len(numbering) + 1, np.uint64)
    for block in blocks:
        numbers, held = numbering.find(block.target_kind, block.target)
        np.add.at(total, numbers[held], _edges(block, who)[held])
    return total[1:]


def seen_again(
    memory: Memory, expansion: Expansion, hosts: Mask, again: Own, who: Born, later: Born
) -> Expansion:
    """Keep those references of collected holders that `again`, a later reading, has as well.

    The host's own (`hosts`) hold nothing of the subtree's. What is collected follows: what only the
    first reading led to is not, and holds nothing.
    """
    keys = unique(*(_edges(b, later) for b in again.blocks))
    before = expansion.collected
    other = ~before | hosts
    kept = expansion.only(
        other[way.start] | member(_edges(block, who), keys) for block, way in expansion.rows
    )
    inside = before & expansion.nodes.mask({TASK: again.collected[TASK]})
    collected = collected_by(memory, kept, inside)
    lost = before & ~collected
    return replace(kept.only(~lost[way.start] for way in kept.ways), collected=collected)


def confirmed(
    memory: Memory,
    first: Expansion,
    expansion: Expansion,
    hosts: Mask,
    who: Born,
    later: Born,
    *,
    quiet: bool,
) -> tuple[Expansion, Mask]:
    """Keep those references from outside that are there still, and of holders that are.

    Asked is what leads to the collected objects, but for the host's own (`hosts`), which everybody
    holds. `later` are the tasks that are there now and are not inside. A holder that a task led to
    in the `first` reading must still be led to; one that no task ever led to counts only if all was
    `quiet`: it may be on its way to one. Returns the expansion, and what lost a reference.
    """
    deciding = _deciding(expansion, hosts)
    if not any(rows.any() for rows in deciding):
        return expansion, np.zeros_like(hosts)
    good = [
        rows & _same(block, who, later)
        for block, rows in zip(expansion.blocks, deciding, strict=True)
    ]
    for _ in range(_ROUNDS):
        good = _asked_again(memory, expansion.blocks, good, who)
    kept = [~rows | fine for rows, fine in zip(deciding, good, strict=True)]
    if quiet and all(fine.all() for fine in kept):  # then it is the `first`: nothing was lost
        return expansion, np.zeros_like(hosts)
    rooted = _led_to(expansion, map(Way.take, expansion.ways, kept))
    if quiet:
        rooted |= ~_led_to(first, first.ways)
    stay = [
        ~rows | (keep & rooted[way.start])
        for way, rows, keep in zip(expansion.ways, deciding, kept, strict=True)
    ]
    return expansion.only(stay), _losing(expansion, stay)


def still_held(
    memory: Memory, expansion: Expansion, chosen: Mask, who: Born
) -> tuple[Expansion, Mask]:
    """Keep those references to the `chosen` objects that are there still.

    Asked after they were named: what was closed meanwhile may be another file by then, and the name
    that one's. Returns the expansion, and what lost a reference.
    """
    asked_for = [
        chosen[way.end] & (not block.association.historic) for block, way in expansion.rows
    ]
    good = _asked_again(memory, expansion.blocks, asked_for, who)
    stay = [~rows | fine for rows, fine in zip(asked_for, good, strict=True)]
    return expansion.only(stay), _losing(expansion, stay)


def held_yet(memory: Memory, expansion: Expansion, ends: Mapping[str, U64], who: Born) -> Expansion:
    """Keep of what leads to `ends`, and of what they hold, what is there still.

    What nothing leads to any more holds nothing, whatever its memory says yet.
    """
    chosen = expansion.nodes.mask(ends)
    about = [
        (chosen[way.end] | chosen[way.start]) & (not block.association.historic)
        for block, way in expansion.rows
    ]
    good = _asked_again(memory, expansion.blocks, about, who)
    stay = [~rows | fine for rows, fine in zip(about, good, strict=True)]
    gone = _losing(expansion, stay)
    if not gone.any():
        return expansion
    kept = expansion.only(stay)
    for way in kept.ways:
        gone[way.end] = False
    return kept.only(~gone[way.start] for way in kept.ways)


def _losing(expansion: Expansion, stay: Iterable[Mask]) -> Mask:
    """Return what loses a reference if those stay."""
    lost = np.zeros_like(expansion.collected)
    for way, fine in zip(expansion.ways, stay, strict=True):
        lost[way.end[~fine]] = True
    return lost


def _same(block: Block, who: Born, later: Born) -> Mask:
    if block.holder_kind != TASK:
        return np.ones(len(block.target), np.bool_)
    now = later.of(block.holder)
    same: Mask = (now != 0) & (now == who.of(block.holder))
    return same


def _deciding(expansion: Expansion, hosts: Mask) -> list[Mask]:
    """Find the references from outside that lead, over whatever, to what is collected."""
    outside = [
        ~expansion.collected[way.start] & (not block.association.historic)
        for block, way in expansion.rows
    ]
    leading = (
        way.take(rows & ~hosts[way.start]).back()
        for way, rows in zip(expansion.ways, outside, strict=True)
    )
    matters = reach(expansion.collected & ~hosts, leading)
    return [rows & matters[way.end] for way, rows in zip(expansion.ways, outside, strict=True)]


def _asked_again(
    memory: Memory, blocks: Sequence[Block], good: Sequence[Mask], who: Born
) -> list[Mask]:
    """Ask the holders again, the far ends first, and drop what they do not hold any more."""
    kept = list(good)
    for kind in reversed([*registry().values()]):
        rows = [i for i, b in enumerate(blocks) if b.holder_kind == kind.name and kept[i].any()]
        if not rows:
            continue
        holders = unique(*(blocks[i].holder[kept[i]] for i in rows))
        keys = unique(*(_edges(b, who) for b, _ in asked(memory, kind, holders)))
        for i in rows:
            kept[i] = kept[i] & member(_edges(blocks[i], who), keys)
    return kept


def _led_to(expansion: Expansion, ways: Iterable[Way]) -> Mask:
    """Find the tasks, and what they lead to over some ways."""
    led = np.zeros_like(expansion.collected)
    led[expansion.nodes.of_kind(TASK)] = True
    return reach(led, ways)


@dataclass(frozen=True)
class Pulse:
    """What tells that tasks ran, and that any were born, by comparing two of them.

    `turns` has who each task is and how often it gave up the processor (sorted); `running` is
    whether one of them has it, or waits for it. `births` is how far the process ids of their pid
    namespaces have come: each new task gets one.
    """

    turns: U64
    running: bool
    births: U64

    def still(self, later: Pulse) -> bool:
        """Tell whether none of the tasks ran between the two."""
        same = np.array_equal(self.turns, later.turns)
        return same and not self.running and not later.running

    def childless(self, later: Pulse) -> bool:
        """Tell whether no task can have been made between the two."""
        return bool(len(self.births)) and np.array_equal(self.births, later.births)


def pulse(memory: Memory, who: Born, inside: U64) -> Pulse:
    """Feel the pulse of the `inside` tasks."""
    read = memory.gather(
        inside,
        "task_struct",
        {
            "own": "nvcsw",
            "forced": "nivcsw",
            "state": ("__state", "state"),
            "exit": "exit_state",
            "pid": "thread_pid",
        },
        optional={"on_cpu": "on_cpu"},
    )
    turns = np.sort(_mixed(who.of(inside), read["own"], read["forced"]))
    ready = (read["state"] == 0) & (read["exit"] == 0)
    if "on_cpu" in read:
        ready |= read["on_cpu"] != 0
    namespace, _ = innermost(memory, read["pid"])
    namespaces = unique(namespace[namespace != 0])
    births = memory.gather(namespaces, "pid_namespace", {"next": "idr.idr_next"})
    return Pulse(
        turns,
        bool((ready | ~read.ok).any()),
        _mixed(namespaces, births["next"]) if births.ok.all() else _NOBODY,
    )


def _edges(block: Block, who: Born) -> U64:
    """Return a number for each reference: who holds what, where, with which weight."""
    place = zlib.crc32(f"{block.holder_kind} {block.association.name}".encode())
    holder = who.of(block.holder) if block.holder_kind == TASK else block.holder
    return _mixed(
        np.full(len(block.target), place, np.uint64),
        holder,
        block.target,
        *(part for part in (block.slot, block.weight) if part is not None),
    )


def _mixed(*columns: U64 | I64) -> U64:
    """Mix columns into one that is different wherever one of them is (splitmix64)."""
    mixed = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        mixed = mixed ^ column.astype(np.uint64)
        mixed = mixed + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return mixed
