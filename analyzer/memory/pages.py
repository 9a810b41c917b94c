"""An engine over pages: memory that stands still, as a core keeps it.

Each page is fetched once, by whatever reads the core (`vmcore`), and kept; objects are put together
of the pages that they are on. What comes back is what the BPF programs (`bpf`) would return: the
same addresses are refused, a list ends for the same reasons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.memory.bpf import together
from analyzer.memory.programs import (
    CHASE_END,
    CHASE_FAULT,
    CHASE_MORE,
    CHASE_TORN,
    CHASE_WILD,
    plausible,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from analyzer.memory.bpf import U8, U64, Mask

    Fetch = Callable[[int], bytes | None]

PAGE: Final = 4096
_BATCH: Final = 1 << 20  # bytes that are put together at once
_ABSENT: Final = 0  # the row of what could not be fetched: zeros


class LostPageError(Exception):
    """A page that should have been kept is not in the core."""


class Pages:
    """The engine: `fetch` returns the page at an address, None where there is no memory.

    It raises LostPageError where there was some, and the core has it not. `locate` returns the
    address of a symbol, 0 for one that is not known.
    """

    live = False

    def __init__(self, fetch: Fetch, locate: Callable[[str], int]) -> None:
        """Keep nothing yet."""
        self.fetch = fetch
        self.locate = locate
        self._bytes = np.zeros((64, PAGE), np.uint8)
        self._row: dict[int, int] = {}
        self._used = 1
        self.lost = 0

    def current_task(self) -> int:
        """Return init_task, in the place of a task of our own: everybody descends from it."""
        return self.symbol("init_task")

    def symbol(self, name: str) -> int:
        """Return the address of a symbol, 0 for one that is not known."""
        return self.locate(name)

    def works(self) -> bool:
        """Say that it does."""
        return True

    def close(self) -> None:
        """Forget the pages."""
        self._bytes, self._row = np.zeros((1, PAGE), np.uint8), {}
        self.fetch = lambda _: None

    def read(self, addresses: U64, size: int) -> tuple[U8, Mask]:
        """Read `size` (1 to 4096) bytes at each of n addresses; see `bpf.Engine.read`."""
        return together(self.batches(addresses, size), len(addresses), size)

    def batches(self, addresses: U64, size: int) -> Iterator[tuple[int, U8, Mask]]:
        """Yield (first index, rows, mask); see `bpf.Engine.batches`."""
        width = size + 7 & ~7
        step = max(_BATCH // width, 1)
        for start in range(0, len(addresses), step):
            yield start, *self._objects(addresses[start : start + step], width)

    def chase(
        self, start: int, head: int, *, previous: int = 0, offset: int = 0, limit: int = 1 << 22
    ) -> tuple[U64, int]:
        """Follow a linked list; see `bpf.Engine.chase`."""
        nodes: dict[int, None] = {}
        node, verify = start, previous != 0
        while node != head:
            why = self._refused(node, nodes, limit)
            link, ok = self.read(np.array([node + offset], np.uint64), 16)
            following, back = (int(word) for word in link.view(np.uint64)[0])
            if why == CHASE_END and not ok[0]:
                why = CHASE_FAULT
            elif why == CHASE_END and verify and back != previous:
                why = CHASE_TORN
            if why != CHASE_END:
                return _array(nodes), why
            nodes[node] = None
            previous, node = node, following
        return _array(nodes), CHASE_END

    def _refused(self, node: int, nodes: Mapping[int, None], limit: int) -> int:
        if not plausible(np.array([node], np.uint64))[0]:
            return CHASE_WILD
        if node in nodes:  # a ring that the end is no part of
            return CHASE_TORN
        return CHASE_MORE if len(nodes) >= limit else CHASE_END

    def _objects(self, addresses: U64, width: int) -> tuple[U8, Mask]:
        wanted = plausible(addresses)
        first = addresses // np.uint64(PAGE)
        last = (addresses + np.uint64(width - 1)) // np.uint64(PAGE)
        rows = [self._rows(np.where(wanted, page, np.uint64(0))) for page in (first, last)]
        ok: Mask = (rows[0] != _ABSENT) & (rows[1] != _ABSENT)
        at = (addresses % np.uint64(PAGE)).astype(np.int64)[:, None] + np.arange(width)
        page = np.where(at < PAGE, rows[0][:, None], rows[1][:, None])
        data = self._bytes[page, at % PAGE]
        data[~ok] = 0
        return data, ok

    def _rows(self, pages: U64) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return where each page (by its number) is kept, having fetched those that were not."""
        distinct, which = np.unique(pages, return_inverse=True)
        found = [self._kept(page) for page in distinct.tolist()]
        return np.array(found, np.int64)[which]

    def _kept(self, page: int) -> int:
        if page not in self._row:
            self._row[page] = self._keep(page * PAGE) if page else _ABSENT
        return self._row[page]

    def _keep(self, address: int) -> int:
        try:
            data = self.fetch(address)
        except LostPageError:
            self.lost += 1
            return _ABSENT
        if data is None:
            return _ABSENT
        if self._used == len(self._bytes):
            self._bytes = np.concatenate((self._bytes, np.zeros_like(self._bytes)))
        self._bytes[self._used] = np.frombuffer(data, np.uint8)
        self._used += 1
        return self._used - 1


def _array(nodes: Mapping[int, None]) -> U64:
    return np.fromiter(nodes, np.uint64, len(nodes))
