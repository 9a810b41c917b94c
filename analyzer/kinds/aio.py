"""AIO: struct kioctx, what io_setup(2) makes: a queue of asynchronous requests, and its ring.

An address space has a table of them (`mm->ioctx_table`). Each holds the file that its ring is in
(fs/aio.c, aio_setup_ring(); the mapping of the ring holds it too), and each request the file that
it is on. Only the requests that can be cancelled (polls, and what drivers offer) are in a list; a
read or write of a disk in flight is in none, and what it holds stays unnamed until it is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.kinds.base import Association, Edges, Judged, Kind, Pointer
from analyzer.memory.walk import arrays, rings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

CONTEXT: Final = Association("aio", "its context for asynchronous requests")
RING: Final = Association("aio.ring", "has its ring in it")
REQUEST: Final = Association("aio.request", "has a request on it in flight")

_MOST_CONTEXTS: Final = 1 << 20  # sysctl fs.aio-max-nr bounds the requests of all of them


def contexts(memory: Memory, spaces: U64) -> Iterator[Edges]:
    """Yield the contexts of address spaces; none where the kernel has no asynchronous requests."""
    if not memory.has("mm_struct", "ioctx_table"):
        return
    read = memory.gather(spaces, "mm_struct", {"table": "ioctx_table"})
    owner = np.flatnonzero(read.ok & (read["table"] != 0))
    table = read["table"][owner]
    count = memory.gather(table, "kioctx_table", {"count": "nr"})
    sane = count.ok & (count["count"] <= _MOST_CONTEXTS)
    lengths = np.where(sane, count["count"], 0).astype(np.int64)
    found = arrays(memory, table + np.uint64(memory.offset("kioctx_table", "table")), lengths)
    torn = np.zeros(len(spaces), np.bool_)
    torn[owner] = found.torn | ~sane
    yield Edges(CONTEXT, "AIO", owner[found.owner], found.value, torn=torn)


def _walk(memory: Memory, addresses: U64) -> Iterator[Edges]:
    heads = addresses + np.uint64(memory.offset("kioctx", "active_reqs"))
    found = rings(memory, heads)
    request = found.value - np.uint64(memory.offset("aio_kiocb", "ki_list"))
    read = memory.gather(request, "aio_kiocb", {"file": "ki_filp"})
    held = read.ok & (read["file"] != 0)
    yield Edges(REQUEST, "FILE", found.owner[held], read["file"][held], torn=found.torn)


KIND: Final = Kind(
    name="AIO",
    struct="kioctx",
    title="context of asynchronous requests",
    plural="contexts of asynchronous requests",
    message="aio",
    order=35,
    rank=94,
    counters=(),
    judged=Judged.NOT,
    pointers=(Pointer(("aio_ring_file",), "FILE", RING),),
    walk=_walk,
    walk_associations=(REQUEST,),
    leaked=Impact.SHARED_STATE,
)
