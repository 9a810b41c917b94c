"""IO_URING: struct io_ring_ctx, an io_uring instance: the files registered with it, and requests.

Held by its file, and it is inside only if all that leads to it is. It holds each registered file
once (6.13: in nodes, 7029acd8a950 "io_uring/rsrc: get rid of per-ring io_rsrc_node list"; before:
in a table of its own), and each request that is not finished holds the file that it is on, unless
that is a registered one. Found are the requests that wait for a poll, for a timeout, for others
before them (`drain`, links), for a device to be polled, and those that a worker does or is to do:
these hang off the task that submitted them. What a driver does on its own, such as a direct read
under way, is in no list.

A ring that a task has registered with itself (IORING_REGISTER_RING_FDS) is held by that task.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core import syscall
from analyzer.core.model import Impact
from analyzer.kinds import _io_requests as requests
from analyzer.kinds.base import Association, Edges, FileType, Judged, Kind, Pointer
from analyzer.memory.walk import arrays

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import I64, U64
    from analyzer.memory.reader import Memory

HELD: Final = Association("io_uring", "open on it")
REGISTERED: Final = Association("io_uring.file", "registered with io_uring")
REQUEST: Final = Association("io_uring.request", "has an io_uring request on it")
RING: Final = Association("io_uring.ring", "registered it as its ring {slot}")
CRED: Final = Association("io_uring.cred", "polls with it")

OF_TASKS: Final = (RING, REQUEST)

_FLAGS: Final = np.uint64(7)  # in the low bits of a pointer to a registered file
_MOST_FILES: Final = 1 << 20  # IORING_MAX_FIXED_FILES
_PARAMETERS: Final = 120  # sizeof(struct io_uring_params)


def _open_own() -> int:
    parameters = ctypes.create_string_buffer(_PARAMETERS)
    return syscall.call("io_uring_setup", 1, ctypes.addressof(parameters))


def _of_files(memory: Memory, files: U64) -> Iterator[Edges]:
    read = memory.gather(files, "file", {"ring": "private_data"})
    at = np.flatnonzero(read.ok & (read["ring"] != 0))
    yield Edges(HELD, "IO_URING", at, read["ring"][at])


def _walk(memory: Memory, rings: U64) -> Iterator[Edges]:
    pending = requests.of_rings(memory, rings)
    plain = np.flatnonzero((pending.file != 0) & ~pending.fixed)
    yield Edges(
        REQUEST,
        "FILE",
        pending.owner[plain],
        pending.file[plain],
        detail=pending.operation.take(plain),
        torn=pending.torn,
    )
    if memory.has("io_ring_ctx", "file_table.data.nodes"):
        yield _in_nodes(memory, rings, pending)
    elif memory.has("io_ring_ctx", "file_table.files"):  # 5.14
        yield _in_table(memory, rings)


def _in_nodes(memory: Memory, rings: U64, pending: requests.Requests) -> Edges:
    read = memory.gather(
        rings,
        "io_ring_ctx",
        {"nodes": "file_table.data.nodes", "count": "file_table.data.nr"},
    )
    slots = arrays(memory, read["nodes"], _sane(read["count"]))
    # A node that was replaced lives on with the requests that use it.
    fixed = np.flatnonzero(pending.fixed & (pending.node != 0))
    node = np.concatenate((slots.value, pending.node[fixed]))
    owner = np.concatenate((slots.owner, pending.owner[fixed]))
    slot = np.concatenate((slots.index, np.full(len(fixed), -1)))
    node, first = np.unique(node, return_index=True)
    file = memory.gather(node, "io_rsrc_node", {"file": "file_ptr"})
    at = np.flatnonzero(file.ok & (file["file"] != 0))
    first = first[at]
    target = file["file"][at] & ~_FLAGS
    return Edges(REGISTERED, "FILE", owner[first], target, slot[first], torn=slots.torn)


def _in_table(memory: Memory, rings: U64) -> Edges:
    read = memory.gather(
        rings, "io_ring_ctx", {"files": "file_table.files", "count": "nr_user_files"}
    )
    slots = arrays(memory, read["files"], _sane(read["count"]))
    held = slots.value & ~_FLAGS
    at = np.flatnonzero(held != 0)
    return Edges(REGISTERED, "FILE", slots.owner[at], held[at], slots.index[at], torn=slots.torn)


def _sane(counts: U64) -> I64:
    lengths: I64 = np.where(counts <= _MOST_FILES, counts, 0).astype(np.int64)
    return lengths


def of_tasks(memory: Memory, tasks: U64) -> Iterator[Edges]:
    """Yield what tasks hold by io_uring: their registered rings, and what their workers do."""
    if not memory.has("task_struct", "io_uring"):
        return
    read = memory.gather(tasks, "task_struct", {"own": "io_uring"})
    users = np.flatnonzero(read.ok & (read["own"] != 0))
    own = read["own"][users]
    got = memory.gather(own, "io_uring_task", {}, optional={"rings": "registered_rings"})
    if "rings" in got:
        row, slot = np.nonzero(got["rings"] * got.ok[:, None])
        yield Edges(RING, "FILE", users[row], got["rings"][row, slot], slot)
    work = requests.of_workers(memory, own)
    plain = np.flatnonzero((work.file != 0) & ~work.fixed)
    torn = np.zeros(len(tasks), np.bool_)
    torn[users] = work.torn
    yield Edges(
        REQUEST,
        "FILE",
        users[work.owner[plain]],
        work.file[plain],
        detail=work.operation.take(plain),
        torn=torn,
    )


KIND: Final = Kind(
    name="IO_URING",
    struct="io_ring_ctx",
    title="io_uring",
    plural="io_urings",
    message="io_uring",
    order=96,
    rank=93,
    counters=(),
    judged=Judged.NOT,
    pointers=(Pointer(("sq_creds",), "CRED", CRED),),
    walk=_walk,
    walk_associations=(REGISTERED, REQUEST),
    file_types=(FileType("io_uring", _open_own, _of_files, (HELD,), symbols=("io_uring_fops",)),),
    derived=True,
    leaked=Impact.SHARED_STATE,
)
