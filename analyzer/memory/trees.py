"""Walks over the kernel's trees, many roots at once: maple trees, xarrays (IDRs), rb-trees.

A tree is read level by level, all its nodes of one depth in one read; the rules are those of
`walk.py`: verified, bounded, retried by the caller, torn rather than endless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.memory.programs import plausible
from analyzer.memory.walk import Elements, retried

if TYPE_CHECKING:
    from analyzer.memory.bpf import U64, Mask
    from analyzer.memory.reader import Memory
    from analyzer.memory.walk import I64

# An rb-tree of n nodes is at most 2 log2(n + 1) deep; the others are far shallower.
_MAX_DEPTH: Final = 64
# Internal entries up to this one are siblings and retry marks, not nodes (include/linux/xarray.h).
_LAST_INTERNAL: Final = 4096
_MOST_BITS: Final = 60  # of an index, below a node
_INTERNAL: Final = 2  # in the two low bits: xa_is_internal()


def rbtrees(memory: Memory, roots: U64) -> Elements:
    """Read rb-trees from the pointers to their top nodes; values are the rb_node addresses.

    Each node's parent pointer (`__rb_parent_color` without its two low bits) must be the node that
    led to it. The index has no meaning: nodes come level by level, not in order.
    """
    return retried(lambda tops: _rbtrees(memory, tops), roots)


def _rbtrees(memory: Memory, roots: U64) -> Elements:
    torn = np.zeros(len(roots), np.bool_)
    owner = np.flatnonzero(roots != 0)
    node, parent = roots[owner], np.zeros(len(owner), np.uint64)
    found: list[tuple[I64, U64]] = []
    for _ in range(_MAX_DEPTH):
        if not len(owner):
            break
        read = memory.gather(
            node,
            "rb_node",
            {"up": "__rb_parent_color", "left": "rb_left", "right": "rb_right"},
        )
        good = read.ok & ((read["up"] & ~np.uint64(3)) == parent)
        torn[owner[~good]] = True
        owner, node = owner[good], node[good]
        found.append((owner, node))
        below = np.concatenate((read["left"][good], read["right"][good]))
        parent, owner = np.concatenate((node, node)), np.concatenate((owner, owner))
        down = below != 0
        owner, node, parent = owner[down], below[down], parent[down]
    torn[owner] = True  # deeper than any rb-tree: a loop
    return _elements([(o, np.zeros(len(o), np.int64), v) for o, v in found], torn)


def xarrays(memory: Memory, heads: U64) -> Elements:
    """Read xarrays (and IDRs: `idr_rt`) from their `xa_head` words; the index is the entry's own.

    Each node must name its parent, and hold as many entries as its `count` says. Values are the
    entries as they are stored: pointers, or numbers with their lowest bit set. An IDR's index lacks
    its `idr_base`.
    """
    return retried(lambda words: _xarrays(memory, words), heads)


def _xarrays(memory: Memory, heads: U64) -> Elements:
    torn = np.zeros(len(heads), np.bool_)
    owner = np.flatnonzero(heads != 0)
    entry = heads[owner]
    index, parent = np.zeros(len(owner), np.int64), np.zeros(len(owner), np.uint64)
    parts: list[tuple[I64, I64, U64]] = []
    for _ in range(_MAX_DEPTH):
        internal = entry & 3 == _INTERNAL
        parts.append((owner[~internal], index[~internal], entry[~internal]))
        at = np.flatnonzero(internal & (entry > _LAST_INTERNAL))
        if not len(at):
            break
        node = entry[at] - np.uint64(2)
        read = memory.gather(
            node,
            "xa_node",
            {"shift": "shift", "count": "count", "parent": "parent", "slot": "slots"},
        )
        used = read["slot"] != 0
        good = read.ok & (read["parent"] == parent[at]) & (used.sum(axis=1) == read["count"])
        torn[owner[at[~good]]] = True
        row, slot = np.nonzero(used & good[:, None])
        shift = read["shift"][row].astype(np.int64)
        owner, index = owner[at[row]], index[at[row]] + (slot << shift)
        entry, parent = read["slot"][row, slot], node[row]
    return _elements(parts, torn)


def lasting(memory: Memory, places: U64) -> Elements:
    """Read xarrays that never rest: every entry that was there all the time, and perhaps others.

    `places` are the addresses of their `xa_head` words; index and values are as of `xarrays`.

    A node that holds such an entry is not freed, so what a node that was freed and reused shows
    costs nothing; but it may show anything: the caller has to know a right entry at its index from
    a wrong one. Only where a head itself was replaced meanwhile can something be missing: its
    root is torn, as one is that could not be read.
    """
    return retried(lambda roots: _lasting(memory, roots), places)


def _lasting(memory: Memory, places: U64) -> Elements:
    heads, ok = memory.pointers(places)
    owner = np.flatnonzero(ok)
    entry, index = heads[owner], np.zeros(len(owner), np.int64)
    shift = np.full(len(owner), -1, np.int64)  # of the node above, unknown for a head
    torn = ~ok
    parts: list[tuple[I64, I64, U64]] = []
    for _ in range(_MAX_DEPTH):
        internal = entry & 3 == _INTERNAL
        leaf = ~internal & (entry != 0)
        parts.append((owner[leaf], index[leaf], entry[leaf]))
        at = np.flatnonzero(internal & (entry > _LAST_INTERNAL))
        if not len(at):
            break
        read = memory.gather(
            entry[at] - np.uint64(2), "xa_node", {"shift": "shift", "slot": "slots"}
        )
        torn[owner[at[~read.ok]]] = True
        width = read["slot"].shape[1].bit_length() - 1
        below = read["shift"].astype(np.int64)
        good = read.ok & (below <= _MOST_BITS)
        good &= (shift[at] < 0) | (below == shift[at] - width)
        row, slot = np.nonzero((read["slot"] != 0) & good[:, None])
        owner, index = owner[at[row]], index[at[row]] + (slot << below[row])
        shift, entry = below[row], read["slot"][row, slot]
    now, ok = memory.pointers(places)
    torn |= ~ok | (now != heads)
    found, place, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Elements(found, place, value, torn)


def _elements(parts: list[tuple[I64, I64, U64]], torn: Mask) -> Elements:
    none = np.empty(0, np.int64)
    parts = [(none, none, np.empty(0, np.uint64)), *parts]
    owner, index, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    whole = np.flatnonzero(~torn[owner])
    return Elements(owner[whole], index[whole], value[whole], torn)


def maples(memory: Memory, roots: U64) -> Elements:
    """Read maple trees from their root words (`maple_tree.ma_root`, lib/maple_tree.c).

    Values are the entries that are pointers (for an mm: vm_area_struct); the index is the place in
    the order of the walk. Not verified: the caller knows how many there must be (`map_count`).
    """
    nodes = _MapleNodes(memory)
    torn = np.zeros(len(roots), np.bool_)
    owner = np.arange(len(roots), dtype=np.int64)
    is_node = (roots & 3 == _INTERNAL) & (roots > _LAST_INTERNAL)  # xa_is_node()
    single = ~is_node & (roots != 0)
    parts: list[tuple[I64, U64]] = [(owner[single], roots[single])]
    top = np.full(len(roots), np.iinfo(np.uint64).max, np.uint64)
    level = (owner[is_node], roots[is_node] & ~np.uint64(2), top[is_node])
    for _ in range(_MAX_DEPTH):
        if not len(level[0]):
            break
        level, leaves = nodes.children(*level, torn)
        parts.append(leaves)
    torn[level[0]] = True  # deeper than any maple tree
    found, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    good = np.flatnonzero(plausible(value))
    return Elements(found[good], np.arange(len(good)), value[good], torn)


class _MapleNodes:
    """Reads one level of maple tree nodes; the layout comes from BTF."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        layout = memory.layout
        self._leaf = layout.enumerator("maple_type", "maple_leaf_64")
        self._arange = layout.enumerator("maple_type", "maple_arange_64")
        self._range = layout.enumerator("maple_type", "maple_range_64")
        self._fields = {
            name: {"pivot": "pivot", "slot": "slot", "end": "meta.end"}
            for name in ("maple_range_64", "maple_arange_64")
        }

    def children(
        self, owner: I64, encoded: U64, top: U64, torn: Mask
    ) -> tuple[tuple[I64, U64, U64], tuple[I64, U64]]:
        """Return the next level (owner, encoded node, maximum) and the leaves' (owner, entry)."""
        kind = (encoded >> 3) & 0xF  # mte_node_type()
        address = encoded & ~np.uint64(0xFF)
        known = (kind == self._leaf) | (kind == self._range) | (kind == self._arange)
        torn[owner[~known]] = True
        below: list[tuple[I64, U64, U64]] = []
        leaves: list[tuple[I64, U64]] = []
        for name, chosen in (
            ("maple_arange_64", kind == self._arange),
            ("maple_range_64", known & (kind != self._arange)),
        ):
            at = np.flatnonzero(chosen)
            who, entry, limit, leaf = self._slots(name, at, owner, address, top, torn)
            is_leaf = (kind[at] == self._leaf)[leaf]
            leaves.append((who[is_leaf], entry[is_leaf]))
            below.append((who[~is_leaf], entry[~is_leaf], limit[~is_leaf]))
        down = tuple(np.concatenate(c) for c in zip(*below, strict=True))
        found = tuple(np.concatenate(c) for c in zip(*leaves, strict=True))
        return down, found  # type: ignore[return-value]

    def _slots(
        self, name: str, at: I64, owner: I64, address: U64, top: U64, torn: Mask
    ) -> tuple[I64, U64, U64, I64]:
        read = self._memory.gather(address[at], name, self._fields[name])
        torn[owner[at][~read.ok]] = True
        pivot, slot, last = read["pivot"], read["slot"], top[at]
        pivots = pivot.shape[1]
        # mas_data_end(): the metadata holds the end unless the last pivot is in use.
        final = pivot[:, -1]
        full = np.where(final == last, pivots - 1, pivots)
        end = np.where(final == 0, read["end"], full)
        if name == "maple_arange_64":
            end = read["end"].astype(np.int64)
        place = np.arange(slot.shape[1])
        used = (place[None, :] <= end[:, None]) & (slot != 0) & read.ok[:, None]
        limits = np.concatenate((pivot, last[:, None]), axis=1)[:, : slot.shape[1]]
        limits = np.where(place[None, :] == end[:, None], last[:, None], limits)
        node, column = np.nonzero(used)
        return owner[at][node], slot[node, column], limits[node, column], node
