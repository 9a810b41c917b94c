"""What tasks are to each other: columns that several relations ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.core.values import dataclass
from analyzer.kinds._initial import initial
from analyzer.kinds.pid import innermost
from analyzer.memory.distinct import find, member, unique

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Path
    from analyzer.relations.base import Words, World

KTHREAD: Final = 0x00200000  # PF_KTHREAD, include/linux/sched.h
_FIELDS: Final[Mapping[str, Path]] = {
    "leader": "group_leader", "parent": "real_parent", "tracer": "parent", "pid": "thread_pid",
    "signal": "signal", "cred": "cred", "tgid": "tgid", "flags": "flags", "ptrace": "ptrace",
    "vfork": "vfork_done", "stack": "stack", "filter": "seccomp.filter",
    "start": ("start_boottime", "real_start_time"), "exit": "exit_state", "nsproxy": "nsproxy",
}  # fmt: skip
_NOBODY: Final = np.empty(0, np.uint64)


@dataclass(frozen=True)
class Columns:
    """All tasks, sorted by address; `good` marks those that could be read, and were alive."""

    address: U64
    value: dict[str, npt.NDArray[Any]]
    good: Mask
    leads: Mask
    inside: Mask
    order: npt.NDArray[np.intp]

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return a column: see `_FIELDS`."""
        return self.value[name]

    def with_pid(self, pids: U64) -> tuple[npt.NDArray[np.intp], Mask]:
        """Return the row of the task that each struct pid is of, and which are of one at all."""
        row, there = find(self.value["pid"], pids, sorter=self.order)
        return row, there & (pids != 0)

    def row(self, addresses: U64) -> tuple[npt.NDArray[np.intp], Mask]:
        """Return the row of each task, and which are tasks of this reading."""
        return find(self.address, addresses)


def tasks(world: World) -> Columns:
    """Return what is known of every task of a reading (`world.once(tasks)`)."""
    address = world.all(TASK)
    read = world.memory.gather(address, "task_struct", _FIELDS)
    good = read.ok & (read["pid"] != 0)
    leads = good & (read["leader"] == address)
    inside = member(address, world.inside.get(TASK, _NOBODY))
    order = np.argsort(read["pid"], kind="stable")
    return Columns(address, dict(read.values), good, leads, inside, order)


def pid_spaces(world: World) -> U64:
    """Return where the pid of each task was made, 0 if unread (`world.once(pid_spaces)`)."""
    return innermost(world.memory, world.once(tasks)["pid"])[0]


def sided(inside: Mask, ours: Impact, otherwise: Impact) -> Words:
    """Return an impact each: `ours` where the one that acts is inside."""
    return np.where(inside, ours.value, otherwise.value).astype(object)


def boxed(world: World) -> bool:
    """Tell whether the subtree is a container: in a pid namespace that is not the host's.

    One that was merely started in a container (its namespace's first process is not in the
    subtree) is none: it is a plain process of that.
    """
    found = world.once(tasks)
    theirs = world.once(pid_spaces)[found.inside & found.good]
    own = unique(theirs[(theirs != 0) & (theirs != initial(world.memory, "pid"))])
    reaper = world.memory.gather(own, "pid_namespace", {"task": "child_reaper"})
    return bool(member(reaper["task"], world.inside.get(TASK, _NOBODY)).any())


def visible(world: World, pids: U64) -> Mask:
    """Tell which struct pids have a number in the outermost pid namespace that the subtree is in.

    What is visible can be signalled by number already: a descriptor of it is no door.
    """
    memory, found = world.memory, world.once(tasks)
    ours = unique(world.once(pid_spaces)[found.inside & found.good])
    ours = ours[ours != 0]
    depth = memory.gather(ours, "pid_namespace", {"level": "level"})["level"].astype(np.int64)
    if not len(ours):
        return np.ones(len(pids), np.bool_)
    top = int(np.argmin(depth))
    level = memory.gather(pids, "pid", {"level": "level"})
    space, _ = upid(world, pids, np.full(len(pids), depth[top]))
    mask: Mask = level.ok & (level["level"].astype(np.int64) >= depth[top]) & (space == ours[top])
    return mask


def upid(world: World, pids: U64, level: npt.NDArray[Any]) -> tuple[U64, npt.NDArray[np.int64]]:
    """Return the namespace and the number that each struct pid has at a level (0 is the host's)."""
    stride = np.uint64(world.memory.layout.sizeof("upid") or 0)
    first = np.uint64(world.memory.offset("pid", "numbers"))
    at = np.where(pids != 0, pids + first + level.astype(np.uint64) * stride, np.uint64(0))
    read = world.memory.gather(at, "upid", {"nr": "nr", "ns": "ns"})
    return np.where(read.ok, read["ns"], np.uint64(0)), read["nr"].astype(np.int64)
