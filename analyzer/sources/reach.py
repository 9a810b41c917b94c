"""What a set of objects leads to: over references from holder to target, or the other way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from analyzer.memory.distinct import member, unique

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from analyzer.kinds.base import U64, Mask
    from analyzer.sources.expand import Block

_NOBODY: Final = np.empty(0, np.uint64)


class Step(NamedTuple):
    """Ways from objects of one kind, row by row to objects of another."""

    kind: str
    start: U64
    to: str
    end: U64


def forth(block: Block, rows: Mask | None = None) -> Step:
    """Return the ways from the holders of a block (of those rows) to what they hold."""
    chosen = slice(None) if rows is None else rows
    return Step(block.holder_kind, block.holder[chosen], block.target_kind, block.target[chosen])


def back(block: Block, rows: Mask | None = None) -> Step:
    """Return the ways from what is held to the holders."""
    chosen = slice(None) if rows is None else rows
    return Step(block.target_kind, block.target[chosen], block.holder_kind, block.holder[chosen])


def reach(seeds: Mapping[str, U64], steps: Iterable[Step]) -> dict[str, U64]:
    """Return the seeds (by kind, sorted) and all that the steps lead to from them."""
    steps = [step for step in steps if len(step.start)]
    met, fresh = dict(seeds), dict(seeds)
    while fresh:
        found: dict[str, list[U64]] = {}
        for step in steps:
            if step.kind in fresh:
                there = member(step.start, fresh[step.kind])
                found.setdefault(step.to, []).append(step.end[there])
        fresh = {}
        for kind, parts in found.items():
            known = met.get(kind, _NOBODY)
            both = unique(known, *parts)
            if len(both) > len(known):
                fresh[kind] = both[~member(both, known)]
                met[kind] = both
    return met
