"""pidfd: a descriptor that stands for a process on the other side (pidfd_open(2)).

Who has one waits for the end of the process, signals it and takes its descriptors, also where it
has no number for it: a pidfd of a process outside of the own pid namespace is a door. After a
restore it stands for a process that is gone. The struct pid is the file's `private_data`; in
pidfs, since 6.9, its inode's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.kinds import file_types
from analyzer.kinds._recognise import file_operations
from analyzer.memory.distinct import member
from analyzer.relations._files import files
from analyzer.relations._tasks import sided, tasks, visible
from analyzer.relations.base import Related, Relation, words
from analyzer.relations.shown import Tied, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.relations.base import Words, World
    from analyzer.relations.shown import File, Shown, Task

_NOBODY: Final = np.empty(0, np.uint64)


def _find(world: World) -> Iterator[Related]:
    memory, opened, address = world.memory, world.once(files), world.once(files).address
    operations = np.uint64(file_operations(memory, file_types())["pidfd"])
    at = np.flatnonzero(opened.good & (opened.ops == operations) & (operations != 0))
    inode = memory.gather(opened.inode[at], "inode", {"pid": "i_private"})
    pid = np.where(opened.data[at] != 0, opened.data[at], inode["pid"])
    found = world.once(tasks)
    row, there = found.with_pid(pid)
    at, pid, row = at[there], pid[there], row[there]
    yield Related(
        "FILE", address[at], TASK, found.address[row],
        role=words(len(at), "pidfd"), impact=towards(world, address[at], pid),
    )  # fmt: skip


def towards(world: World, holders: U64, pids: U64) -> Words:
    """Return what it means to have a descriptor of a process: it depends on whose it is."""
    ours = member(holders, world.inside.get("FILE", _NOBODY))
    door = sided(ours, Impact.REACHES_OUT, Impact.WATCHES)
    plain = sided(ours, Impact.LOST, Impact.WATCHES)
    chosen: Words = np.where(visible(world, pids), plain, door)
    return chosen


def _from_proc(shown: Shown) -> Iterator[Tied]:
    for file in shown.telling():
        task = shown.tasks.get(number(file.last(b"Pid")) or 0)
        if task is not None:
            yield Tied(file.key, task.key, role="pidfd", impact=_towards(shown, file, task))


def _towards(shown: Shown, file: File, task: Task) -> Impact:
    if not file.inside:
        return Impact.WATCHES
    return Impact.LOST if shown.visible(task) else Impact.REACHES_OUT


RELATION: Final = Relation(
    name="pidfd",
    title="stands for a process on the other side",
    plural="stand for processes on the other side",
    back="has a pidfd on the other side",
    left="has a descriptor of it",
    right="can be signalled by it, and waited for",
    impact=Impact.WATCHES,
    next="close the pidfd in the process that has it",
    kernel=_find,
    from_proc=_from_proc,
)
