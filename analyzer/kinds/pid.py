"""PID: struct pid, of a process that is gone: what remains of it can still pin a pid namespace.

A struct pid holds the namespace that it was made in (kernel/pid.c, alloc_pid()) until nobody refers
to it any more. That of a live thread goes by its task's membership. Beyond that it is kept by the
namespace's table as long as it is a process group or a session (its leader has died, a member has
not), by pidfds: one for each until 6.8, since then one for their common inode in pidfs, by what is
open or stands in its folder in /proc, by files whose owner it is (F_SETOWN), by the other ends of
its unix sockets and by an autofs that it mounted. Other holders (the process group of a terminal,
the creator of a System V segment, a fanotify event) are not looked at, so its count is not
compared.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Fact, Impact
from analyzer.kinds._named_types import plain, texts
from analyzer.kinds.base import Association, Edges, FileType, Judged, Kind, Known, State
from analyzer.memory.trees import xarrays

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import I64, U64, Mask, Told
    from analyzer.memory.reader import Memory

PIDFD: Final = Association("pidfd", "is a pidfd of it")
LISTED: Final = Association("pid.listed", "process group or session {slot}")
MADE_IN: Final = Association("pid.ns", "was a member")


def innermost(memory: Memory, pids: U64) -> tuple[U64, I64]:
    """Return the namespace in which each struct pid was made, and its number there; 0 if unread."""
    level = memory.gather(pids, "pid", {"level": "level"})
    stride = np.uint64(memory.layout.sizeof("upid") or 0)
    first = np.uint64(memory.offset("pid", "numbers"))
    at = pids + first + level["level"].astype(np.uint64) * stride
    read = memory.gather(np.where(level.ok, at, np.uint64(0)), "upid", {"nr": "nr", "ns": "ns"})
    return np.where(read.ok, read["ns"], np.uint64(0)), read["nr"].astype(np.int64)


def remains(memory: Memory, association: Association, pids: U64) -> Edges:
    """Return the references that n holders have to `pids` of which no thread is left (0: none)."""
    at = np.flatnonzero(_abandoned(memory, pids))
    return Edges(association, "PID", at, pids[at])


def leftovers(memory: Memory, namespaces: U64) -> Iterator[Edges]:
    """Yield what pid namespaces still list though no thread has it any more."""
    root = memory.gather(namespaces, "pid_namespace", {"head": "idr.idr_rt.xa_head"})
    listed = xarrays(memory, np.where(root.ok, root["head"], np.uint64(0)))
    made_in, number = innermost(memory, listed.value)
    ours = made_in == namespaces[listed.owner]
    at = np.flatnonzero(ours & _abandoned(memory, listed.value))
    yield Edges(LISTED, "PID", listed.owner[at], listed.value[at], number[at], torn=listed.torn)


def _abandoned(memory: Memory, pids: U64) -> Mask:
    # tasks[PIDTYPE_PID], the first: the thread that has this id.
    first, ok = memory.pointers(pids + np.uint64(memory.offset("pid", "tasks")))
    result: Mask = ok & (pids != 0) & (first == 0)
    return result


def _walk(memory: Memory, pids: U64) -> Iterator[Edges]:
    namespace, _ = innermost(memory, pids)
    at = np.flatnonzero((namespace != 0) & _abandoned(memory, pids))
    yield Edges(MADE_IN, "PID_NS", at, namespace[at])


def _open_own() -> int:
    return os.pidfd_open(os.getpid())


def _of_pidfds(memory: Memory, files: U64) -> Iterator[Edges]:
    yield remains(memory, PIDFD, targets(memory, files))


def targets(memory: Memory, files: U64) -> U64:
    """Return the struct pid of each pidfd; 0 where it cannot be read."""
    read = memory.gather(files, "file", {"data": "private_data", "inode": "f_inode"})
    inode = memory.gather(read["inode"], "inode", {"pid": "i_private"})
    pid = np.where(read["data"] != 0, read["data"], inode["pid"])
    found: U64 = np.where(read.ok, pid, np.uint64(0))
    return found


def _state(memory: Memory, files: U64) -> Told:
    pids = targets(memory, files)
    first = pids + np.uint64(memory.offset("pid", "numbers"))
    read = memory.gather(np.where(pids != 0, first, np.uint64(0)), "upid", {"number": "nr"})
    return {
        "pidfd.pid": Known(read["number"], read.ok),
        "pidfd.comm": _commands(memory, pids),
        "pidfd.nspid": _numbers(memory, pids),
    }


def _commands(memory: Memory, pids: U64) -> npt.NDArray[np.object_]:
    """Return what the thread that has each id is called; "" for one of which none is left."""
    first, _ = memory.pointers(pids + np.uint64(memory.offset("pid", "tasks")))
    task = first - np.uint64(memory.offset("task_struct", "pid_links"))
    read = memory.gather(np.where(first != 0, task, np.uint64(0)), "task_struct", {"comm": "comm"})
    return np.where(read.ok, texts([plain(comm) for comm in read["comm"].tolist()]), "")


def _numbers(memory: Memory, pids: U64) -> npt.NDArray[np.object_]:
    """Return the numbers of each id, from the initial pid namespace inwards: "4711,1"."""
    level = memory.gather(pids, "pid", {"level": "level"})
    stride = np.uint64(memory.layout.sizeof("upid") or 0)
    first = pids + np.uint64(memory.offset("pid", "numbers"))
    deep = np.where(level.ok, level["level"].astype(np.int64), -1)
    said: list[list[str]] = [[] for _ in pids]
    for depth in range(int(deep.max(initial=-1)) + 1):
        at = np.flatnonzero(deep >= depth)
        read = memory.gather(first[at] + np.uint64(depth) * stride, "upid", {"number": "nr"})
        for row, number in zip(at.tolist(), read["number"].tolist(), strict=True):
            said[row].append(str(number))
    return texts([",".join(numbers) for numbers in said])


_TARGET: Final = (
    Fact("pidfd.pid", "number", "process that a pidfd is of, as the host numbers it"),
    Fact("pidfd.comm", "text", "command of the process that a pidfd is of", aside=True),
    Fact("pidfd.nspid", "text", "its numbers, from the host's pid namespace inwards", aside=True),
)


def _names(memory: Memory, pids: U64) -> npt.NDArray[np.object_]:
    """Return the number that each had in the initial pid namespace."""
    first = pids + np.uint64(memory.offset("pid", "numbers"))
    read = memory.gather(np.where(pids != 0, first, np.uint64(0)), "upid", {"nr": "nr"})
    said = zip(read["nr"].tolist(), read.ok.tolist(), strict=True)
    return np.array([str(nr) if ok and nr else "" for nr, ok in said], object)


KIND: Final = Kind(
    name="PID",
    struct="pid",
    title="id of a process that is gone",
    plural="ids of processes that are gone",
    message="pid",
    order=145,
    rank=94,
    counters=(),
    judged=Judged.NOT,
    names=_names,
    walk=_walk,
    walk_associations=(MADE_IN,),
    file_types=(
        FileType(
            "pidfd",
            _open_own,
            _of_pidfds,
            (PIDFD,),
            state=State(_TARGET, _state),
            symbols=("pidfs_file_operations", "pidfd_fops"),  # before 6.9 it was no filesystem
        ),
    ),
    derived=True,
    leaked=Impact.WATCHES,
)
