"""All tasks of the machine, as columns, found by their numbers.

The initial pid namespace has a number for every thread but the idle ones, in a tree (its `idr`),
and the struct pid of each leads to the task. The tree is safe to read while others fork and exit:
no task that is there throughout can be missed, for a neighbour's end does not move it, as it does
in the list of tasks. Each step is proven by the way back: the pid has the number that it was found
at, the task has the pid.

The idle tasks have no number: that of the first processor (init_task) is the parent of process 1,
those of the others are found through the run queues. They hold the initial namespaces too.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import TASKS
from analyzer.core.values import dataclass
from analyzer.memory.distinct import one_of, unique
from analyzer.memory.trees import lasting
from analyzer.snapshot import tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory, Path
    from analyzer.snapshot.tables import Table

_PF_KTHREAD: Final = 0x00200000
_PAUSES: Final = (0.001, 0.01, 0.05)  # seconds, after each reading that was not whole
_IDR: Final = "idr.idr_rt.xa_head"

# include/linux/sched.h, in the order that /proc/PID/stat tests them; the bits of exit_state are
# told from those of __state by their place.
_STATES: Final = "RSDTtXZPI"
_FIELDS: Final[Mapping[str, Path]] = {
    "tid": "pid", "tgid": "tgid", "comm": "comm", "flags": "flags",
    "state": ("__state", "state"), "exit": "exit_state",
    "start": ("start_boottime", "real_start_time"), "parent": "real_parent",
    "leader": "group_leader", "pid": "thread_pid",
}  # fmt: skip


@dataclass(frozen=True)
class Tasks:
    """The task table, and the addresses and local thread ids that belong to its rows.

    `local` are the ids in our own pid namespace (what the user and system calls call them), `shown`
    those in that of /proc, which need not be ours: 0 for a task that is not visible there. `torn`
    tells that some may be missing.
    """

    table: Table
    address: U64
    local: npt.NDArray[np.int64]
    shown: npt.NDArray[np.int64]
    torn: bool

    def row_of(self, pid: int) -> int:
        """Return the row of the task that we call `pid`, -1 when there is none."""
        rows = np.flatnonzero(self.local == pid)
        return int(rows[0]) if len(rows) else -1

    def known_as(self, pid: int) -> int:
        """Return the id in the initial pid namespace, and so in the table, of what we call `pid`.

        -1 when there is none.
        """
        row = self.row_of(pid)
        return int(self.table["tid"][row]) if row >= 0 else -1


def settled(memory: Memory, pid: int | None, helpers: frozenset[int] = frozenset()) -> Tasks:
    """Read every task, again after a pause if some may be missing, or `pid` is that exists."""
    tasks = read(memory, helpers)
    for pause in _PAUSES if memory.engine.live else ():
        hidden = pid is not None and tasks.row_of(pid) < 0 and exists(pid)
        if not hidden and not tasks.torn:
            break
        time.sleep(pause)
        tasks = read(memory, helpers)
    return tasks


def read(memory: Memory, helpers: frozenset[int] = frozenset()) -> Tasks:
    """Read every task of the machine.

    `helpers` are the ids, as we know them, of processes that we started: observers like ourselves.
    """
    own = np.array([memory.engine.current_task()], np.uint64)
    mine = memory.gather(own, "task_struct", {"leader": "group_leader", "pid": "thread_pid"})
    addresses, pids, torn = _numbered_tasks(memory, mine["pid"])
    idle = _idle(memory, addresses, pids)
    addresses = np.concatenate((addresses, idle))
    pids = np.concatenate((pids, np.zeros_like(idle)))
    got = memory.gather(addresses, "task_struct", _FIELDS)
    keep = np.flatnonzero(got.ok & ((got["pid"] == pids) | (pids == 0)))
    column = {name: values[keep] for name, values in got.values.items()}
    column["address"] = addresses[keep]
    column["tid"] = _numbered(memory, column)
    order = np.lexsort((column["tid"], column["tgid"]))
    column = {name: values[order] for name, values in column.items()}
    column["observer"] = memory.engine.live & (column["leader"] == mine["leader"][0])
    parent = memory.gather(column["parent"], "task_struct", {"tgid": "tgid"})
    column["ppid"] = np.where(parent.ok & (column["tgid"] > 0), parent["tgid"], 0)
    level = memory.gather(mine["pid"], "pid", {"level": "level"})["level"]
    own_level, above = int(level[0]), proc_levels() if memory.engine.live else None
    local = _ids(memory, column, mine["pid"], own_level)
    if above == 0:
        shown = local
    elif above is None or above > own_level:
        shown = np.zeros_like(local)
    else:
        shown = _ids(memory, column, mine["pid"], own_level - above)
    started = column["tgid"][one_of(local, helpers)]
    column["observer"] |= one_of(column["tgid"], started)
    table = _table(column, _innermost(memory, column["pid"]))
    return Tasks(table, column["address"], local, shown, torn)


def proc_levels(status: str = "/proc/self/status") -> int | None:
    """Return how many levels above our own pid namespace /proc's is; None where it shows us not.

    NSpid has our id in each namespace from that of /proc to our own (proc_pid_status(5)).
    """
    try:
        with open(status, "rb") as file:
            said = [line.split()[1:] for line in file if line.startswith(b"NSpid:")]
    except OSError:
        return None
    return len(said[0]) - 1 if said else 0


def exists(pid: int) -> bool:
    """Tell whether the kernel knows a task that we call `pid` (kill(2) with signal 0)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def missed(memory: Memory, tasks: U64) -> bool:
    """Tell whether the processes of `tasks` have threads that are not among these.

    Threads that live no longer than it takes to list them are in no list, but are counted.
    """
    signal = memory.gather(tasks, "task_struct", {"signal": "signal"})["signal"]
    count = memory.gather(unique(signal), "signal_struct", {"threads": "nr_threads"})["threads"]
    return int(count.sum()) > len(tasks)


def _numbered_tasks(memory: Memory, own_pid: U64) -> tuple[U64, U64, bool]:
    """Return the tasks that the initial pid namespace has a number for, their struct pids, torn."""
    namespace, _ = _upid(memory, own_pid, np.zeros(1, np.int64))
    listed = lasting(memory, namespace + np.uint64(memory.offset("pid_namespace", _IDR)))
    pids, torn = listed.value, bool(listed.torn.any())
    their, number = _upid(memory, pids, np.zeros(len(pids), np.int64))
    pids = pids[(their == namespace[0]) & (number == listed.index)]
    first, ok = memory.pointers(pids + np.uint64(memory.offset("pid", "tasks")))
    used = ok & (first != 0)
    # task_struct has its links to pids (`pid_links`, that of PIDTYPE_PID first) after thread_pid.
    link = np.uint64(memory.offset("task_struct", "thread_pid") + 8)
    return first[used] - link, pids[used], torn


def _idle(memory: Memory, known: U64, pids: U64) -> U64:
    _, number = _upid(memory, pids, np.zeros(len(pids), np.int64))
    first = memory.gather(known[number == 1], "task_struct", {"parent": "real_parent"})
    found = [first["parent"][first.ok]]
    if memory.has("task_struct", "se.cfs_rq") and memory.has("cfs_rq", "rq"):
        queue = memory.gather(known, "task_struct", {"cfs": "se.cfs_rq"})
        rq = memory.gather(unique(queue["cfs"]), "cfs_rq", {"rq": "rq"})
        idle = memory.gather(unique(rq["rq"][rq.ok]), "rq", {"idle": "idle"})
        found.append(idle["idle"][idle.ok & (idle["idle"] != 0)])
    tasks = unique(*found)
    read = memory.gather(tasks, "task_struct", {"tid": "pid"})
    result: U64 = tasks[read.ok & (read["tid"] == 0)]
    return result


def _numbered(memory: Memory, column: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
    """Tell the idle tasks, which all have pid 0, apart: the one of CPU n is -n."""
    tid = column["tid"].astype(np.int64)
    idle = np.flatnonzero(tid == 0)
    path = ("thread_info.cpu", "cpu", "wake_cpu")
    cpu = memory.gather(column["address"][idle], "task_struct", {"cpu": path})["cpu"]
    tid[idle] = -cpu.astype(np.int64)
    return tid


def _ids(
    memory: Memory, column: dict[str, npt.NDArray[Any]], own_pid: U64, at: int
) -> npt.NDArray[np.int64]:
    """Return the ids in the namespace that we are in at level `at`; 0 for who is not in it."""
    if at == 0:
        return np.where(column["tid"] > 0, column["tid"], 0)
    namespace, _ = _upid(memory, own_pid, np.full(1, at))
    level = memory.gather(column["pid"], "pid", {"level": "level"})["level"]
    theirs, local = _upid(memory, column["pid"], np.full_like(level, at))
    return np.where((theirs == namespace[0]) & (level >= at), local, 0)


def _innermost(memory: Memory, pids: U64) -> npt.NDArray[np.int64]:
    level = memory.gather(pids, "pid", {"level": "level"})["level"]
    return _upid(memory, pids, level)[1]


def _upid(memory: Memory, pids: U64, level: npt.NDArray[Any]) -> tuple[U64, npt.NDArray[np.int64]]:
    stride = np.uint64(memory.layout.sizeof("upid") or 0)
    base = np.uint64(memory.offset("pid", "numbers"))
    at = np.where(pids != 0, pids + base + level.astype(np.uint64) * stride, np.uint64(0))
    got = memory.gather(at, "upid", {"nr": "nr", "ns": "ns"})
    return got["ns"], got["nr"].astype(np.int64)


def _table(column: dict[str, npt.NDArray[Any]], nspid: npt.NDArray[np.int64]) -> Table:
    comm = np.empty(len(column["tid"]), object)
    comm[:] = [
        name.split(b"\0", 1)[0].decode("utf-8", "surrogateescape") for name in column["comm"]
    ]
    return tables.build(
        TASKS,
        {
            "tid": column["tid"],
            "tgid": column["tgid"].astype(np.int64),
            "ppid": column["ppid"].astype(np.int64),
            "start_time": column["start"].astype(np.uint64),
            "comm": comm,
            "kthread": (column["flags"] & _PF_KTHREAD) != 0,
            "state": _state(column["state"], column["exit"]),
            "nspid": nspid,
            "address": column["address"],
            "observer": column["observer"],
        },
        missing={"nspid": nspid == 0},
        vocabulary={"state": tuple(_STATES)},
    )


def _state(state: npt.NDArray[Any], ended: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    # TASK_REPORT (include/linux/sched.h): R S D T t X Z P; TASK_IDLE is 0x402.
    bits = (state.astype(np.int64) | ended.astype(np.int64)) & 0x7F
    code = np.where(bits == 0, 0, np.log2(np.maximum(bits, 1)).astype(np.int64) + 1)
    idle = (state.astype(np.int64) & 0x402) == 0x402  # noqa: PLR2004 - TASK_IDLE
    result: npt.NDArray[np.int16] = np.where(idle, _STATES.index("I"), code).astype(np.int16)
    return result
