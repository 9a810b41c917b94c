"""What a thread holds while it is in a system call: read from its kernel stack.

Two references to a file are on nobody's list. A system call on a descriptor of a table that is
shared takes one for as long as it runs (fs/file.c, __fget_light()); it keeps the address of the
file with the lowest bit set (FDPUT_FPUT, include/linux/file.h; one word since 6.12, "struct fd:
representation change"; not looked for before). And poll(2) and select(2) take one for each queue
that they wait in (fs/select.c, __pollwait()), listed in a `struct poll_wqueues` on the stack.

Words of earlier calls lie around on a stack, the more so as each starts at a random depth. One is
believed only if an argument of this very call is a descriptor of that file; a `poll_wqueues` only
if it names the thread, and an entry of it only if it names that and is in a queue. What a second
thread closed meanwhile is in no table any more, and is not found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.values import dataclass
from analyzer.kinds.base import Association, Details, Edges
from analyzer.memory.distinct import one_of
from analyzer.memory.stacks import in_progress, words
from analyzer.memory.walk import RETRIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import I64, U64, Mask
    from analyzer.memory.reader import Memory
    from analyzer.memory.stacks import Calls, Words

SYSCALL: Final = Association("syscall", "is in a system call on fd {slot}", by_descriptor=True)
POLL: Final = Association("poll", "waits for it", by_descriptor=True)
ASSOCIATIONS: Final = (SYSCALL, POLL)

_TAGS: Final = np.uint64(7)
_BORROWED: Final = (1, 3)  # FDPUT_FPUT, without and with FDPUT_POS_UNLOCK
_PAGE: Final = 1 << 16  # the largest page: entries are within one
_MAX_PAGES: Final = 1 << 15  # of 63 entries, and fs.nr_open is seldom beyond a million

# Calls that wait on a descriptor, by their number in arch/x86/entry/syscalls/syscall_64.tbl.
_NAMES: Final = {
    0: "read", 1: "write", 7: "poll", 8: "lseek", 16: "ioctl", 17: "pread64", 18: "pwrite64",
    19: "readv", 20: "writev", 23: "select", 40: "sendfile", 42: "connect", 43: "accept",
    44: "sendto", 45: "recvfrom", 46: "sendmsg", 47: "recvmsg", 72: "fcntl", 73: "flock",
    74: "fsync", 75: "fdatasync", 77: "ftruncate", 78: "getdents", 217: "getdents64",
    232: "epoll_wait", 233: "epoll_ctl", 242: "mq_timedsend", 243: "mq_timedreceive",
    270: "pselect6", 271: "ppoll", 275: "splice", 276: "tee", 277: "sync_file_range",
    278: "vmsplice", 281: "epoll_pwait",
    285: "fallocate", 288: "accept4", 295: "preadv", 296: "pwritev", 299: "recvmmsg",
    306: "syncfs", 307: "sendmmsg", 326: "copy_file_range", 327: "preadv2", 328: "pwritev2",
    426: "io_uring_enter", 441: "epoll_pwait2",
}  # fmt: skip
_POLLS: Final = (7, 23, 270, 271)
# Which arguments are descriptors, where it is not the first.
_BOTH_FIRST: Final = (40, 276)  # sendfile, tee
_FIRST_AND_THIRD: Final = (233, 275, 326)  # epoll_ctl, splice, copy_file_range
_DESCRIPTORS: Final = 3


@dataclass(frozen=True)
class _Held:
    """References of system calls: the index of the call, the file, and the fd where it is known."""

    association: Association
    call: I64
    file: U64
    slot: I64 | None = None


def walk(memory: Memory, tasks: U64) -> Iterator[Edges]:
    """Yield the references to files of system calls in progress; the holder is the task."""
    rows = np.arange(len(tasks))
    for _ in range(RETRIES):
        calls = in_progress(memory, tasks[rows])
        if calls is None or not len(calls.row):
            return
        files = _descriptors(memory, calls)
        # Who waits for anything else (a lock, a child, a signal) holds no file by that.
        some = (files != 0).any(axis=1) | _in_poll(calls)
        calls, files = calls.take(some), files[some]
        held = list(_held(memory, calls, files))
        settled = calls.unmoved(memory)
        for one in held:
            yield _edges(calls, one, settled[one.call], rows)
        rows = rows[calls.row[~settled]]


def _held(memory: Memory, calls: Calls, files: U64) -> Iterator[_Held]:
    found = words(memory, calls)
    yield _polled(memory, calls, found)
    if memory.has("fd", "word"):
        yield _borrowed(calls, files, found)


def _edges(calls: Calls, held: _Held, keep: Mask, rows: I64) -> Edges:
    call = held.call[keep]
    slot = None if held.slot is None else held.slot[keep]
    task = rows[calls.row[call]]
    number, code = np.unique(calls.number[call], return_inverse=True)
    called = tuple(_NAMES.get(n, f"system call {n}") for n in number.tolist())
    detail = Details(code.astype(np.int16), called)
    return Edges(held.association, "FILE", task, held.file[keep], slot, detail)


def _borrowed(calls: Calls, files: U64, found: Words) -> _Held:
    tagged = one_of(found.value & _TAGS, _BORROWED)
    call, file = found.call[tagged], found.value[tagged] & ~_TAGS
    hit = np.zeros(files.shape, np.bool_)
    for column in range(_DESCRIPTORS):
        hit[call[file == files[call, column]], column] = True
    row, place = np.nonzero(hit)
    return _Held(SYSCALL, row, files[row, place], calls.arguments[row, place])


def _descriptors(memory: Memory, calls: Calls) -> U64:
    """Read which files the first arguments of a call are descriptors of; 0 for none."""
    files = memory.gather(calls.task, "task_struct", {"files": "files"})
    fdt = memory.gather(files["files"], "files_struct", {"fdt": "fdt"})
    table = memory.gather(fdt["fdt"], "fdtable", {"fd": "fd", "max": "max_fds"})
    number = calls.arguments[:, :_DESCRIPTORS]
    is_open = number < table["max"].astype(np.int64)[:, None]
    slots = table["fd"][:, None] + (number * 8).astype(np.uint64)
    slots = np.where(is_open & table.ok[:, None] & _meant(calls.number), slots, np.uint64(0))
    value, ok = memory.pointers(slots.ravel())
    file: U64 = np.where(ok, value, np.uint64(0)).reshape(slots.shape)
    return file


def _meant(number: I64) -> Mask:
    """Tell which of a call's first arguments are descriptors, and not lengths or addresses."""
    columns = (
        ~one_of(number, _POLLS),
        one_of(number, _BOTH_FIRST),
        one_of(number, _FIRST_AND_THIRD),
    )
    return np.stack(columns, axis=1)


def _in_poll(calls: Calls) -> Mask:
    asleep: Mask = one_of(calls.number, _POLLS) & ~calls.running
    return asleep


def _polled(memory: Memory, calls: Calls, found: Words) -> _Held:
    named = _in_poll(calls)[found.call] & (found.value == calls.task[found.call])
    call = found.call[named]
    queues = found.address[named] - np.uint64(memory.offset("poll_wqueues", "polling_task"))
    owner, entry = _entries(memory, queues)
    read = memory.gather(
        entry,
        "poll_table_entry",
        {"file": "filp", "queues": "wait.private", "next": "wait.entry.next"},
    )
    # One of an earlier poll is in no queue any more: nothing there leads back to it.
    link = entry + np.uint64(memory.offset("poll_table_entry", "wait.entry"))
    back = memory.gather(read["next"], "list_head", {"prev": "prev"})
    right = read.ok & back.ok & (read["queues"] == queues[owner]) & (back["prev"] == link)
    return _Held(POLL, call[owner[right]], read["file"][right])


def _entries(memory: Memory, queues: U64) -> tuple[I64, U64]:
    """Find the entries of each `poll_wqueues`: some in itself, the others in a list of pages."""
    size = memory.layout.sizeof("poll_table_entry") or 1
    inline = memory.layout.field("poll_wqueues", "inline_entries")
    most = inline.size // size if inline else 0
    read = memory.gather(queues, "poll_wqueues", {"inline": "inline_index", "page": "table"})
    sane = read.ok & (read["inline"] >= 0) & (read["inline"] <= most)
    count = np.where(sane, read["inline"], 0).astype(np.int64)
    first = queues + np.uint64(memory.offset("poll_wqueues", "inline_entries"))
    parts = [_spread(np.arange(len(queues)), first, count, size)]
    owner = np.flatnonzero((count == most) & (read["page"] != 0))
    page = read["page"][owner]
    for _ in range(_MAX_PAGES):
        if not len(page):
            break
        used = memory.gather(page, "poll_table_page", {"next": "next", "end": "entry"})
        first = page + np.uint64(memory.offset("poll_table_page", "entries"))
        sane = used.ok & (used["end"] >= first) & (used["end"] - first < _PAGE)
        count = np.where(sane, used["end"] - first, 0).astype(np.int64) // size
        parts.append(_spread(owner, first, count, size))
        more = sane & (used["next"] != 0)
        owner, page = owner[more], used["next"][more]
    whose, entry = (np.concatenate(column) for column in zip(*parts, strict=True))
    return whose, entry


def _spread(owner: I64, first: U64, count: I64, size: int) -> tuple[I64, U64]:
    """List `count` entries from each `first`, with their owners."""
    which = np.repeat(np.arange(len(count)), count)
    ordinal = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    return owner[which], first[which] + (ordinal * size).astype(np.uint64)
