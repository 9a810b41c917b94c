"""The requests of an io_uring that are not finished: struct io_kiocb, wherever one can wait.

A request waits in one place at a time (io_uring/poll.c, timeout.c, io-wq.c, ...), and those linked
to it wait behind it. Each found one must name the ring, or the task, that it was found from. A file
is looked up when a request is issued (since 5.19; before, when it is submitted), so that one that
was never begun may have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.values import dataclass
from analyzer.kinds.base import Details
from analyzer.memory.distinct import member
from analyzer.memory.walk import Elements, hlists, rings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import I64, U64, Mask
    from analyzer.memory.reader import Memory

_FIXED: Final = 1  # REQ_F_FIXED_FILE, the first bit because it is IOSQE_FIXED_FILE
_MOST_HASH_BITS: Final = 12
_LONGEST: Final = 1 << 15  # IORING_MAX_ENTRIES
_LONGEST_CHAIN: Final = 1 << 12
# enum io_uring_op (include/uapi/linux/io_uring.h), in order.
_OPERATIONS: Final = """
    nop readv writev fsync read_fixed write_fixed poll_add poll_remove sync_file_range sendmsg
    recvmsg timeout timeout_remove accept async_cancel link_timeout connect fallocate openat
    close files_update statx read write fadvise madvise send recv openat2 epoll_ctl splice
    provide_buffers remove_buffers tee shutdown renameat unlinkat mkdirat symlinkat linkat
    msg_ring fsetxattr setxattr fgetxattr getxattr socket uring_cmd send_zc sendmsg_zc
    read_multishot waitid futex_wait futex_wake futex_waitv fixed_fd_install ftruncate bind
    listen recv_zc epoll_wait readv_fixed writev_fixed pipe
""".split()  # noqa: SIM905 -- as the header has them
_WORDS: Final = (
    *_OPERATIONS, *(f"operation {code}" for code in range(len(_OPERATIONS), 256)),
)  # fmt: skip


@dataclass(frozen=True)
class Requests:
    """Requests by the index of their ring or task; `node` is a registered file's, or 0.

    `torn` has one flag for each ring or task.
    """

    owner: I64
    file: U64
    node: U64
    fixed: Mask
    operation: Details
    torn: Mask


def of_rings(memory: Memory, contexts: U64) -> Requests:
    """Find the requests that wait in the tables and lists of rings (struct io_ring_ctx)."""
    heads = _together(list(_waiting(memory, contexts)), len(contexts))
    found = _linked(memory, heads)
    theirs = memory.gather(found.value, "io_kiocb", {"ring": "ctx"})["ring"]
    return _read(memory, found, theirs == contexts[found.owner])


def of_workers(memory: Memory, users: U64) -> Requests:
    """Find the requests that the workers of tasks (struct io_uring_task) do, or are to do."""
    heads = _together(list(_working(memory, users)), len(users))
    found = _linked(memory, heads)
    return _read(memory, found, _submitter(memory, found.value) == users[found.owner])


def _waiting(memory: Memory, contexts: U64) -> Iterator[Elements]:
    hashed = memory.offset("io_kiocb", "hash_node")
    for first, bits in _poll_tables(memory, contexts):
        yield _requests(_polls(memory, first, bits), hashed)
    if memory.has("io_ring_ctx", "cancelable_uring_cmd"):
        heads = contexts + np.uint64(memory.offset("io_ring_ctx", "cancelable_uring_cmd"))
        yield _requests(hlists(memory, heads), hashed)
    for at in _timeouts(memory):
        timed = rings(memory, contexts + np.uint64(at))
        yield _requests(timed, memory.offset("io_timeout", "list"))
    if memory.has("io_ring_ctx", "iopoll_list.first"):
        first = memory.gather(contexts, "io_ring_ctx", {"first": "iopoll_list.first"})["first"]
        yield _requests(_single(memory, first), memory.offset("io_kiocb", "comp_list"))
    elif memory.has("io_kiocb", "iopoll_node"):  # an ordinary list, as 7.2 has it
        polled = rings(memory, contexts + np.uint64(memory.offset("io_ring_ctx", "iopoll_list")))
        yield _requests(polled, memory.offset("io_kiocb", "iopoll_node"))
    if memory.has("io_defer_entry", "req"):
        heads = contexts + np.uint64(memory.offset("io_ring_ctx", "defer_list"))
        drained = rings(memory, heads)
        request = memory.gather(drained.value, "io_defer_entry", {"req": "req"})["req"]
        yield Elements(drained.owner, drained.index, request, drained.torn)


def _poll_tables(memory: Memory, contexts: U64) -> Iterator[tuple[U64, U64]]:
    """Yield the first buckets and the sizes of the hash tables of what waits for a poll."""
    if memory.has("io_ring_ctx", "cancel_table.hbs"):  # 6.0
        table = memory.gather(
            contexts,
            "io_ring_ctx",
            {"first": "cancel_table.hbs", "bits": "cancel_table.hash_bits"},
        )
        yield table["first"], table["bits"]
    if memory.has("io_ring_ctx", "cancel_table_locked.hbs"):  # beside the other until 6.9
        table = memory.gather(
            contexts,
            "io_ring_ctx",
            {"first": "cancel_table_locked.hbs", "bits": "cancel_table_locked.hash_bits"},
        )
        yield table["first"], table["bits"]
    if memory.has("io_ring_ctx", "cancel_hash"):  # before
        table = memory.gather(
            contexts, "io_ring_ctx", {"first": "cancel_hash", "bits": "cancel_hash_bits"}
        )
        yield table["first"], table["bits"]


def _polls(memory: Memory, first: U64, bits: U64) -> Elements:
    sane = (first != 0) & (bits <= _MOST_HASH_BITS)
    count = np.where(sane, 1 << np.minimum(bits, _MOST_HASH_BITS).astype(np.int64), 0)
    owner = np.repeat(np.arange(len(first)), count)
    bucket = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    stride, chain = 8, 0
    if memory.has("io_hash_bucket", "list"):
        stride = memory.layout.sizeof("io_hash_bucket") or stride
        chain = memory.offset("io_hash_bucket", "list")
    heads = first[owner] + (bucket * stride + chain).astype(np.uint64)
    return _owned(hlists(memory, heads), owner, np.zeros(len(first), np.bool_))


def _timeouts(memory: Memory) -> Iterator[int]:
    if memory.has("io_timeout", "list"):
        yield memory.offset("io_ring_ctx", "timeout_list")
        if memory.has("io_ring_ctx", "ltimeout_list"):  # 5.15
            yield memory.offset("io_ring_ctx", "ltimeout_list")


def _working(memory: Memory, users: U64) -> Iterator[Elements]:
    if not memory.has("io_wq", "acct"):  # 6.4; one for each memory node before
        return
    pools = memory.gather(users, "io_uring_task", {"pool": "io_wq"})["pool"]
    at = np.flatnonzero(pools != 0)
    none = np.zeros(len(users), np.bool_)
    for account in (memory.offset("io_wq", "acct[0]"), memory.offset("io_wq", "acct[1]")):
        pool = pools[at] + np.uint64(account)  # bounded work, and unbounded
        queue = memory.gather(pool, "io_wq_acct", {"first": "work_list.first"})["first"]
        todo = _requests(_single(memory, queue), memory.offset("io_kiocb", "work"))
        yield _owned(todo, at, none)
        if memory.has("io_wq_acct", "all_list"):  # 6.15; one list for both before
            lists = pool + np.uint64(memory.offset("io_wq_acct", "all_list"))
            yield _owned(_current(memory, rings(memory, lists)), at, none)
    if memory.has("io_wq", "all_list"):
        lists = pools[at] + np.uint64(memory.offset("io_wq", "all_list"))
        yield _owned(_current(memory, rings(memory, lists)), at, none)


def _current(memory: Memory, links: Elements) -> Elements:
    workers = links.value - np.uint64(memory.offset("io_worker", "all_list"))
    read = memory.gather(workers, "io_worker", {"now": "cur_work"}, optional={"next": "next_work"})
    work = [read[name] for name in ("now", "next") if name in read]
    found = Elements(
        np.tile(links.owner, len(work)),
        np.tile(links.index, len(work)),
        np.concatenate(work),
        links.torn,
    )
    return _requests(found, memory.offset("io_kiocb", "work"))


def _single(memory: Memory, first: U64) -> Elements:
    """Follow lists that are linked one way, from their first nodes (0: none)."""
    owner = np.flatnonzero(first != 0)
    node = first[owner]
    torn = np.zeros(len(first), np.bool_)
    parts: list[tuple[I64, U64]] = []
    for _ in range(_LONGEST):
        if not len(node):
            break
        following, ok = memory.pointers(node)
        torn[owner[~ok]] = True
        parts.append((owner[ok], node[ok]))
        more = ok & (following != 0)
        owner, node = owner[more], following[more]
    torn[owner] = True  # longer than any
    owners = np.concatenate([np.empty(0, np.int64), *(part for part, _ in parts)])
    nodes = np.concatenate([np.empty(0, np.uint64), *(part for _, part in parts)])
    return Elements(owners, np.zeros(len(owners), np.int64), nodes, torn)


def _requests(links: Elements, offset: int) -> Elements:
    """From links inside of requests to the requests; NULL stays NULL."""
    at = np.where(links.value != 0, links.value - np.uint64(offset), np.uint64(0))
    return Elements(links.owner, links.index, at, links.torn)


def _owned(found: Elements, owner: I64, torn: Mask) -> Elements:
    """Give what was found from roots to the owners of the roots."""
    torn = torn.copy()
    torn[owner[found.torn]] = True
    return Elements(owner[found.owner], found.index, found.value, torn)


def _together(found: list[Elements], owners: int) -> Elements:
    """Join the findings, with what is linked behind each request, without duplicates."""
    none = np.empty(0, np.int64)
    found = [Elements(none, none, np.empty(0, np.uint64), np.zeros(owners, np.bool_)), *found]
    value, first = np.unique(np.concatenate([f.value for f in found]), return_index=True)
    owner = np.concatenate([f.owner for f in found])[first]
    torn = np.logical_or.reduce([f.torn for f in found])
    real = value != 0
    return Elements(owner[real], np.zeros(int(real.sum()), np.int64), value[real], torn)


def _linked(memory: Memory, heads: Elements) -> Elements:
    """Add the requests that are linked behind others, which are in no list themselves."""
    if not memory.has("io_kiocb", "link"):  # 5.12
        return heads
    owner, request = heads.owner, heads.value
    owners, values = [owner], [request]
    for _ in range(_LONGEST_CHAIN):
        following = memory.gather(request, "io_kiocb", {"link": "link"})
        more = following.ok & (following["link"] != 0) & ~member(following["link"], heads.value)
        owner, request = owner[more], following["link"][more]
        if not len(request):
            break
        owners.append(owner)
        values.append(request)
    torn = heads.torn.copy()
    torn[owner] = True  # empty, unless a chain has no end
    joined = np.concatenate(values)
    return Elements(np.concatenate(owners), np.zeros(len(joined), np.int64), joined, torn)


def _submitter(memory: Memory, requests: U64) -> U64:
    if memory.has("io_kiocb", "tctx"):  # 6.13; by way of the task before
        user: U64 = memory.gather(requests, "io_kiocb", {"user": "tctx"})["user"]
        return user
    task = memory.gather(requests, "io_kiocb", {"task": "task"})["task"]
    of_task: U64 = memory.gather(task, "task_struct", {"of": "io_uring"})["of"]
    return of_task


def _read(memory: Memory, found: Elements, genuine: Mask) -> Requests:
    read = memory.gather(
        found.value,
        "io_kiocb",
        {"file": "file", "flags": "flags", "code": "opcode"},
        optional={"node": "file_node"},
    )
    keep = np.flatnonzero(read.ok & genuine)
    node = read["node"] if "node" in read else np.zeros(len(found.value), np.uint64)
    return Requests(
        owner=found.owner[keep],
        file=read["file"][keep],
        node=node[keep],
        fixed=(read["flags"][keep].astype(np.uint64) & np.uint64(_FIXED)) != 0,
        operation=Details(read["code"][keep].astype(np.int16), _WORDS),
        torn=found.torn,
    )
