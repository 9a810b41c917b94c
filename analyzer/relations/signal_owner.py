"""signal-owner: a file whose events are signalled to a process on the other side.

fcntl(2) F_SETOWN says to whom: a thread, a process, a process group (`fown_struct`, fs/fcntl.c),
since 6.12 in a struct of its own. With O_ASYNC whatever is read or written there raises a signal,
SIGIO or the one of F_SETSIG; without it urgent data of a socket alone, and broken leases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.memory.distinct import member
from analyzer.relations._files import OWNER, files
from analyzer.relations.base import Related, Relation

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Memory
    from analyzer.relations.base import Words, World

_FASYNC: Final = 0o20000
_PGID: Final = 2  # PIDTYPE_PGID, include/linux/pid_types.h
_SIGIO: Final = 29


def _find(world: World) -> Iterator[Related]:
    memory, (file, pid, kind, signal) = world.memory, _owned(world)
    if not len(file):
        return
    task, number, leads, group = _tasks(memory, world.all(TASK))
    inside_files = member(file, world.inside.get("FILE", file[:0]))
    inside_tasks = member(task, world.inside.get(TASK, task[:0]))
    flags = memory.gather(file, "file", {"flags": "f_flags"})["flags"].astype(np.int64)
    asks = flags & _FASYNC != 0
    row, to = np.nonzero(
        np.where((kind == _PGID)[:, None], (pid[:, None] == group) & leads, pid[:, None] == number)
    )
    reaches = inside_files[row] & ~inside_tasks[to] & asks[row]
    yield Related(
        "FILE",
        file[row],
        TASK,
        task[to],
        slot=signal[row],
        detail=_said(signal[row], asks[row]),
        impact=np.where(reaches, Impact.REACHES_OUT.value, Impact.WATCHES.value).astype(object),
    )


def _said(signals: npt.NDArray[np.int64], asks: Mask) -> Words:
    mild = np.where(asks, "", ", for urgent data and leases alone")
    rows = zip(signals.tolist(), mild.tolist(), strict=True)
    return np.array([f"signal {signal}{only}" for signal, only in rows], object)


def _owned(world: World) -> tuple[U64, U64, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the files that have an owner: its struct pid, of which type, and the signal."""
    memory, opened = world.memory, world.once(files)
    owned = opened.good & (opened.owner != 0)
    address, owner = opened.address[owned], opened.owner[owned]
    if memory.has("file", OWNER[0]):  # within the file, before 6.12
        owner = address + np.uint64(memory.offset("file", "f_owner"))
    read = memory.gather(
        owner, "fown_struct", {"pid": "pid", "type": "pid_type", "signal": "signum"}
    )
    at = np.flatnonzero(read.ok & (read["pid"] != 0))
    signal = read["signal"][at].astype(np.int64)
    return (
        address[at],
        read["pid"][at],
        read["type"][at].astype(np.int64),
        np.where(signal == 0, _SIGIO, signal),
    )


def _tasks(memory: Memory, tasks: U64) -> tuple[U64, U64, npt.NDArray[np.bool_], U64]:
    """Return tasks with their struct pid, whether they lead their process, and its group's."""
    read = memory.gather(
        tasks, "task_struct", {"leader": "group_leader", "signal": "signal", "pid": "thread_pid"}
    )
    pids = memory.gather(read["signal"], "signal_struct", {"pids": "pids"})
    good = read.ok & pids.ok
    return (
        tasks[good],
        read["pid"][good],
        (read["leader"] == tasks)[good],
        pids["pids"][:, _PGID][good],
    )


RELATION: Final = Relation(
    name="signal-owner",
    title="signals a process on the other side",
    plural="signal processes on the other side",
    back="gets signals from what is open on the other side",
    left="signals it",
    right="is signalled",
    impact=Impact.WATCHES,
    next="fcntl(FD, F_SETOWN, 0) in the process that has the file open, or close it",
    kernel=_find,
)
