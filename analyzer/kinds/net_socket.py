"""NET_SOCKET: a socket of any other family than unix: tcp, udp, netlink, packet, ...

It holds its network namespace, and is not judged itself: its count moves with timers, hash chains
and packets under way, all its own (linux-cr compared it all the same). A connection that has lost
its file, or that nobody has accepted yet, is found in the table of established connections; it is
its network namespace's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.kinds._initial import initial
from analyzer.kinds._sock import NET, names, namespaces
from analyzer.kinds._sock_facts import OTHERS
from analyzer.kinds.base import SINCE_LINUX_CR, Association, Counter, Edges, Judged, Kind
from analyzer.memory.distinct import find, one_of, unique

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

ORPHAN: Final = Association("orphan", "has it without an open file")

_SMALL: Final = (6, 12)  # TCP_TIME_WAIT, TCP_NEW_SYN_RECV: not full sockets, and they pin nothing
_MOST_BUCKETS: Final = 1 << 24
_PAGE: Final = 4096
_AT_ONCE: Final = 128  # pages
_LONGEST_CHAIN: Final = 1 << 16


def _walk(memory: Memory, socks: U64) -> Iterator[Edges]:
    yield namespaces(
        memory.gather(
            socks,
            "sock",
            {"net": "__sk_common.skc_net.net", "counted": "__sk_common.skc_net_refcnt"},
        )
    )


def orphans(memory: Memory, nets: U64) -> Iterator[Edges]:
    """Yield the TCP connections without an open file that pin the network namespaces `nets`.

    The initial one is left out: it is the host's whatever holds it, and the table is large.
    """
    if not memory.has("net", "ipv4.tcp_death_row.hashinfo"):  # a pointer away in 5.18 and 5.19
        return
    others = np.where(nets == initial(memory, "net"), np.uint64(0), nets)
    read = memory.gather(others, "net", {"table": "ipv4.tcp_death_row.hashinfo"})
    socks = _fileless(memory, _established(memory, unique(read["table"][read.ok])))
    net = memory.gather(socks, "sock", {"net": "__sk_common.skc_net.net"})["net"]
    holder, ours = find(others, net, sorter=np.argsort(others))
    ours &= net != 0
    yield Edges(ORPHAN, "NET_SOCKET", holder[ours], socks[ours])


def _established(memory: Memory, tables: U64) -> U64:
    """Read the chains of the hash tables; the end of a chain is an odd number (hlist_nulls)."""
    read = memory.gather(tables, "inet_hashinfo", {"buckets": "ehash", "mask": "ehash_mask"})
    sane = read.ok & (read["mask"] < _MOST_BUCKETS)
    lengths = read["mask"][sane].astype(np.int64) + 1
    first = zip(read["buckets"][sane].tolist(), lengths.tolist(), strict=True)
    found = [np.empty(0, np.uint64)]
    node = np.concatenate(found + [_used(memory, base, length) for base, length in first])
    for _ in range(_LONGEST_CHAIN):
        if not len(node):
            break
        found.append(node)
        following, ok = memory.pointers(node)
        node = following[ok & (following & 1 == 0)]
    node_at = np.uint64(memory.offset("sock", "__sk_common.skc_nulls_node"))
    return unique(np.concatenate(found) - node_at)


def _used(memory: Memory, base: int, length: int) -> U64:
    """Read the first nodes of the chains that are not empty."""
    size = min(8 * length, _PAGE)
    blocks = np.uint64(base) + np.arange(0, 8 * length, size, dtype=np.uint64)
    parts = [np.empty(0, np.uint64)]
    for start in range(0, len(blocks), _AT_ONCE):
        rows, ok = memory.read(blocks[start : start + _AT_ONCE], size)
        words = rows[ok].view(np.uint64)
        parts.append(words[words & 1 == 0])
    return np.concatenate(parts)


def _fileless(memory: Memory, socks: U64) -> U64:
    short = memory.gather(
        socks,
        "sock",
        {"state": "__sk_common.skc_state", "counted": "__sk_common.skc_net_refcnt"},
    )
    socks = socks[short.ok & (short["counted"] == 1) & ~one_of(short["state"], _SMALL)]
    own = memory.gather(socks, "sock", {"socket": "sk_socket"})
    file = memory.gather(own["socket"], "socket", {"file": "file"})
    alone: U64 = socks[own.ok & ((own["socket"] == 0) | (file.ok & (file["file"] == 0)))]
    return alone


KIND: Final = Kind(
    name="NET_SOCKET",
    struct="sock",
    title="network socket",
    plural="network sockets",
    message="socket",
    order=93,
    rank=92,
    counters=(),
    judged=Judged.NOT,
    rules=SINCE_LINUX_CR,
    old_counters=(Counter("__sk_common.skc_refcnt.refs.counter"),),
    walk=_walk,
    walk_associations=(NET,),
    names=names,
    numbered=True,
    state=OTHERS,
    leaked=Impact.SHARED_STATE,
)
