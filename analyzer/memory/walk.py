"""Walks over the kernel's arrays and lists, for many roots at once (trees: `trees.py`).

Each walk goes level by level: all cursors take one step in one read. Every step is verified by
what the container itself says (back links, parent pointers, counts), every walk is bounded, and a
root whose structure changed under the walk is walked again, up to three times. What is torn even
then is told by the mask; nothing here loops for ever, and nothing raises for it.

All results are flat columns: `owner` is the index of the root that an element belongs to.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.values import dataclass
from analyzer.memory.programs import CHASE_END

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from analyzer.memory.bpf import U64, Mask
    from analyzer.memory.reader import Memory

    I64 = npt.NDArray[np.int64]


RETRIES: Final = 3
_NOTHING: Final[Mapping[str, npt.NDArray[Any]]] = MappingProxyType({})
# Steps that all rings take together: so many, and more where more rings than that go on. What is
# longer is followed one ring at a time, in the kernel, where a ring costs as much as a step here.
_COMMON_STEPS: Final = 16
_MAX_NODES: Final = 1 << 22

_BLOCK: Final = 4096
_SMALL_BLOCK: Final = 512


@dataclass(frozen=True)
class Elements:
    """What a walk found: `value[i]`, at place `index[i]` of root `owner[i]`.

    `torn` has one flag for each root: True when it could not be read whole. `read` is more that was
    read of each element, by name, where a walk looks at that anyway.
    """

    owner: I64
    index: I64
    value: U64
    torn: Mask
    read: Mapping[str, npt.NDArray[Any]] = _NOTHING


def _empty(roots: int) -> Elements:
    none = np.empty(0, np.int64)
    return Elements(none, none, np.empty(0, np.uint64), np.zeros(roots, np.bool_))


def retried(walk: Callable[[U64], Elements], roots: U64, *, retries: int = RETRIES) -> Elements:
    """Run `walk` on `roots`, and again on the roots that were torn, up to `retries` times."""
    result = walk(roots)
    for _ in range(retries):
        again = np.flatnonzero(result.torn)
        if not len(again):
            break
        result = _replaced(result, again, walk(roots[again]))
    return result


def _replaced(result: Elements, roots: I64, part: Elements) -> Elements:
    keep = ~np.isin(result.owner, roots)
    torn = result.torn.copy()
    torn[roots] = part.torn
    return Elements(
        np.concatenate((result.owner[keep], roots[part.owner])),
        np.concatenate((result.index[keep], part.index)),
        np.concatenate((result.value[keep], part.value)),
        torn,
        {name: np.concatenate((result.read[name][keep], more)) for name, more in part.read.items()},
    )


def arrays(memory: Memory, bases: U64, lengths: I64) -> Elements:
    """Read arrays of pointers: `lengths[i]` pointers at `bases[i]`; NULLs are left out.

    A length is rounded up to 64 pointers (the granularity of fd tables); an array that faults is
    torn.
    """
    rounded = (lengths + 63) // 64 * 64
    big = _blocks(bases, rounded * 8 // _BLOCK, _BLOCK, 0)
    small_at = rounded * 8 // _BLOCK * _BLOCK
    small = _blocks(bases, (rounded * 8 - small_at) // _SMALL_BLOCK, _SMALL_BLOCK, small_at)
    torn = np.zeros(len(bases), np.bool_)
    parts = [
        _read_blocks(memory, blocks, size, torn)
        for blocks, size in ((big, _BLOCK), (small, _SMALL_BLOCK))
    ]
    owner, index, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    inside = np.flatnonzero(index < lengths[owner])
    return Elements(owner[inside], index[inside], value[inside], torn)


def _blocks(bases: U64, counts: I64, size: int, start: int | I64) -> tuple[I64, I64, U64]:
    """Cut arrays into blocks of `size` bytes: owner, byte offset, address of each block."""
    owner = np.repeat(np.arange(len(bases), dtype=np.int64), counts)
    ordinal = np.arange(len(owner), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
    first = start[owner] if isinstance(start, np.ndarray) else start
    offset = ordinal * size + first
    return owner, offset, bases[owner] + offset.astype(np.uint64)


def _read_blocks(
    memory: Memory, blocks: tuple[I64, I64, U64], size: int, torn: Mask
) -> tuple[I64, I64, U64]:
    owner, offset, address = blocks
    at, place, value, ok = memory.words(address, size)
    torn[owner[~ok]] = True
    return owner[at], offset[at] // 8 + place, value


def rings(memory: Memory, heads: U64) -> Elements:
    """Follow circular lists (struct list_head) from their heads; values are the link addresses.

    The head itself is left out. Each node's `prev` must be the node before it.
    """
    return retried(lambda roots: _chains(memory, roots, roots), heads)


def hlists(memory: Memory, heads: U64) -> Elements:
    """Follow hash chains (struct hlist_head) from their heads; values are the link addresses."""
    return retried(lambda roots: _chains(memory, roots, np.zeros_like(roots)), heads)


def _chains(memory: Memory, heads: U64, ends: U64) -> Elements:
    # A list_head is {next, prev}, an hlist_node {next, pprev}: in both the second word must be the
    # address of the word that led here.
    first, ok = memory.pointers(heads)
    torn = ~ok
    cursor, previous = first.copy(), heads.copy()
    active = np.flatnonzero(ok & (cursor != ends))
    parts: list[tuple[I64, I64, U64]] = []
    step = 0
    while len(active) > max(0, step - _COMMON_STEPS):
        links, ok = memory.read(cursor[active], 16)
        words = links.view(np.uint64)
        good = ok & (words[:, 1] == previous[active])
        torn[active[~good]] = True
        active, following = active[good], words[good, 0]
        parts.append((active, np.full(len(active), step), cursor[active]))
        previous[active], cursor[active] = cursor[active], following
        active = active[following != ends[active]]
        step += 1
    for root in active:
        nodes, why = memory.chase(
            int(cursor[root]), int(ends[root]), previous=int(previous[root]), limit=_MAX_NODES
        )
        torn[root] = why != CHASE_END
        place = np.arange(step, step + len(nodes))
        parts.append((np.full(len(nodes), root), place, nodes))
    return _joined(parts, torn)


def _joined(parts: list[tuple[I64, I64, U64]], torn: Mask) -> Elements:
    if not parts:
        return Elements(*_columns(_empty(len(torn))), torn)
    owner, index, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    whole = np.flatnonzero(~torn[owner])
    return Elements(owner[whole], index[whole], value[whole], torn)


def _columns(elements: Elements) -> tuple[I64, I64, U64]:
    return elements.owner, elements.index, elements.value
