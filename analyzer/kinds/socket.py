"""SOCKET: a unix socket (struct unix_sock), which can be connected, and can carry open files.

Held by its file, or as long as nobody has accepted it by the queue of the listening socket, and by
each socket that is connected to it (net/unix/af_unix.c): a peer outside is a leak. The arithmetic
is linux-cr's (two for the file, one for a peer), and it is exact. A datagram socket that is
connected to a server holds the server, and the server holds nothing: that is no leak of ours.

What waits in its queue, it holds: SCM_RIGHTS messages carry open files, received or not, be they
sent by somebody outside. linux-cr refused to look at those; OpenVZ counted them as we do.

A message is also charged to its sender (sock_alloc_send_pskb()), which therefore lives on, and pins
its network namespace, as long as what it has sent is not read, though it be closed: that is no
count of the sender's (which may be 0 by then), but a name for what pins the namespace.

All other sockets are of kind NET_SOCKET.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.core.values import replace
from analyzer.kinds._initial import initial
from analyzer.kinds._sock import FILE_TYPE, NET, UNIX, names, namespaces, owned
from analyzer.kinds._sock_facts import UNIX as FACTS
from analyzer.kinds._sock_facts import inode_numbers
from analyzer.kinds.base import (
    LINUX_CR_ONLY,
    SINCE_LINUX_CR,
    Association,
    Counter,
    Edges,
    Finder,
    Kind,
)
from analyzer.kinds.pid import innermost
from analyzer.memory.walk import Elements, arrays, hlists, rings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import I64, U64
    from analyzer.memory.reader import Columns, Memory

SCM: Final = Association("scm", "in flight in its queue")
BACKLOG: Final = Association("backlog", "has yet to accept it")
# A peer is not a part of the container for being talked to; linux-cr compared it.
PEER: Final = Association(
    "peer", "connected to it", SINCE_LINUX_CR, collects=False, leads=False, meets=LINUX_CR_ONLY
)
DEAD_PEER: Final = Association("peer.closed", "was connected to it", SINCE_LINUX_CR)
PEER_CRED: Final = Association("peer_cred", "remembers it of its other end")
PEER_PID: Final = Association("peer_pid", "remembers it of its other end")
SCM_PID: Final = Association("scm.pid", "remembers it as the sender of a message")
SENDER: Final = Association(
    "sender",
    "has a message of it in its queue",
    SINCE_LINUX_CR,
    collects=False,
    meets=LINUX_CR_ONLY,
)

_LISTENS: Final = 10  # TCP_LISTEN, which stands for all families (include/net/tcp_states.h)
_MOST_FILES: Final = 253  # SCM_MAX_FD
_BUCKETS: Final = 512  # UNIX_HASH_SIZE


def _walk(memory: Memory, socks: U64) -> Iterator[Edges]:
    read = memory.gather(
        socks,
        "unix_sock",
        {
            "net": "sk.__sk_common.skc_net.net",
            "counted": "sk.__sk_common.skc_net_refcnt",
            "state": "sk.__sk_common.skc_state",
            "first": "sk.sk_receive_queue.next",
            "cred": "sk.sk_peer_cred",
            "pid": "sk.sk_peer_pid",
            "peer": "peer",
        },
    )
    yield namespaces(read)
    yield from _peers(memory, read["peer"])
    yield from _other_end(memory, read)
    yield from _queued(memory, socks, read)


def _peers(memory: Memory, peer: U64) -> Iterator[Edges]:
    read = memory.gather(
        peer,
        "sock",
        {},
        whether={"file": "sk_socket", "hashed": "__sk_common.skc_node.pprev"},
    )
    # One that is closed (unix_release_sock()) is there for nobody but those that it talked to.
    alive = read["file"] | read["hashed"]
    for association, chosen in ((PEER, read.ok & alive), (DEAD_PEER, read.ok & ~alive)):
        at = np.flatnonzero(chosen)
        yield Edges(association, "SOCKET", at, peer[at])


def _other_end(memory: Memory, read: Columns) -> Iterator[Edges]:
    """Yield what a socket remembers for SO_PEERCRED, unless that is the host's anyway."""
    owner = memory.gather(read["cred"], "cred", {"ns": "user_ns"})
    at = np.flatnonzero(owner.ok & (owner["ns"] != initial(memory, "user")))
    yield Edges(PEER_CRED, "CRED", at, read["cred"][at])
    at = _of_the_dead(memory, read["pid"])
    yield Edges(PEER_PID, "PID", at, read["pid"][at])


def _of_the_dead(memory: Memory, pids: U64) -> I64:
    """Find the struct pids that nobody has any more: they still pin their pid namespace."""
    # tasks[PIDTYPE_PID], the first: the thread that has this id.
    at = np.flatnonzero(pids != 0)
    thread, ok = memory.pointers(pids[at] + np.uint64(memory.offset("pid", "tasks")))
    at = at[ok & (thread == 0)]
    namespace, _ = innermost(memory, pids[at])
    others: I64 = at[(namespace != 0) & (namespace != initial(memory, "pid"))]
    return others


def _queued(memory: Memory, socks: U64, read: Columns) -> Iterator[Edges]:
    queue = socks + np.uint64(memory.offset("sock", "sk_receive_queue"))
    for listens in (True, False):
        chosen = read.ok & (read["first"] != queue) & ((read["state"] == _LISTENS) == listens)
        at = np.flatnonzero(chosen)
        found = rings(memory, queue[at])  # an sk_buff_head begins as a list_head does
        torn = np.zeros(len(socks), np.bool_)
        torn[at] = found.torn
        for made in (_unaccepted if listens else _messages)(memory, found):
            if made.torn is not None:
                torn[at[made.torn]] = True
            yield replace(made, holder=at[made.holder], torn=torn)


def _unaccepted(memory: Memory, connections: Elements) -> Iterator[Edges]:
    """Yield the sockets that wait in the queue of a listener: each as the sender of a message."""
    sock = memory.gather(connections.value, "sk_buff", {"sk": "sk"})["sk"]
    _, family, weight = owned(memory, sock)
    at = np.flatnonzero(family == UNIX)
    yield Edges(BACKLOG, "SOCKET", connections.owner[at], sock[at], weight=weight[at])


def _messages(memory: Memory, messages: Elements) -> Iterator[Edges]:
    yield _closed_senders(memory, messages)
    control = messages.value + np.uint64(memory.offset("sk_buff", "cb"))  # UNIXCB()
    read = memory.gather(control, "unix_skb_parms", {"files": "fp", "pid": "pid"})
    at = np.flatnonzero(read.ok & (read["files"] != 0))
    yield _in_flight(memory, read["files"][at], messages.owner[at], len(messages.torn))
    at = _of_the_dead(memory, read["pid"])
    yield Edges(SCM_PID, "PID", messages.owner[at], read["pid"][at])


def _closed_senders(memory: Memory, messages: Elements) -> Edges:
    sock = memory.gather(messages.value, "sk_buff", {"sk": "sk"})["sk"]
    read = memory.gather(sock, "sock", {"file": "sk_socket"})
    _, family, _ = owned(memory, sock)
    at = np.flatnonzero((family == UNIX) & read.ok & (read["file"] == 0))
    pairs = np.stack((messages.owner[at].astype(np.uint64), sock[at]), axis=1)
    _, once = np.unique(pairs, axis=0, return_index=True)
    distinct = pairs[once]
    holder = distinct[:, 0].astype(np.int64)
    uncounted = np.zeros(len(distinct), np.int64)
    return Edges(SENDER, "SOCKET", holder, distinct[:, 1].copy(), weight=uncounted)


def _in_flight(memory: Memory, lists: U64, owner: I64, owners: int) -> Edges:
    read = memory.gather(lists, "scm_fp_list", {"count": "count"})
    sane = read.ok & (read["count"] >= 0) & (read["count"] <= _MOST_FILES)
    first = lists + np.uint64(memory.offset("scm_fp_list", "fp"))
    files = arrays(memory, first, np.where(sane, read["count"], 0).astype(np.int64))
    torn = np.zeros(owners, np.bool_)
    torn[owner[files.torn | ~sane]] = True
    return Edges(SCM, "FILE", owner[files.owner], files.value, torn=torn)


def _in_tables(memory: Memory, met: Mapping[str, U64]) -> U64:
    """Find the sockets in the tables of network namespaces: some have no descriptor any more."""
    if not memory.has("net", "unx.table.buckets"):  # one table for all before 5.20, a symbol
        return np.empty(0, np.uint64)
    read = memory.gather(met["NET_NS"], "net", {"buckets": "unx.table.buckets"})
    sane = np.where(read.ok & (read["buckets"] != 0), _BUCKETS, 0).astype(np.int64)
    used = arrays(memory, read["buckets"], sane)
    heads = read["buckets"][used.owner] + (used.index * 8).astype(np.uint64)
    found = hlists(memory, heads)
    socks: U64 = found.value - np.uint64(memory.offset("sock", "__sk_common.skc_node"))
    return socks


def _describe(memory: Memory, socks: U64) -> Mapping[str, npt.NDArray[np.uint64]]:
    return {"ino": inode_numbers(memory, socks)}


KIND: Final = Kind(
    name="SOCKET",
    struct="unix_sock",
    title="unix socket",
    plural="unix sockets",
    message="socket",
    order=92,
    rank=40,
    counters=(Counter("sk.__sk_common.skc_refcnt.refs.counter"),),
    rules=SINCE_LINUX_CR,
    walk=_walk,
    walk_associations=(NET, PEER, DEAD_PEER, PEER_CRED, PEER_PID, SCM, SCM_PID, SENDER, BACKLOG),
    describe=_describe,
    names=names,
    numbered=True,
    finder=Finder(("NET_NS",), _in_tables),
    file_types=(FILE_TYPE,),
    state=FACTS,
    lingers=True,
    leaked=Impact.SHARED_STATE,
)
