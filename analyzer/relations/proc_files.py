"""proc-files: a file or folder in /proc that is about a process on the other side.

Who has `mem` open reads and writes the memory of the process, whatever became of its own rights
since; a folder of a process that the own pid namespace has no number for is a door to it, and
through its `root` and `cwd` to its file tree. A checkpoint keeps the path alone: after a restore
it is about whoever has that number then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.memory.distinct import member
from analyzer.relations._anonymous import on
from analyzer.relations._files import WRITE, files
from analyzer.relations._tasks import tasks, visible
from analyzer.relations.base import Related, Relation
from analyzer.relations.shown import Tied, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.relations.base import World
    from analyzer.relations.shown import File, Shown, Task

_MAGIC: Final = 0x9FA0  # PROC_SUPER_MAGIC
_DEPTH: Final = 8  # /proc/PID/task/TID/net/dev_snmp6/eth0 is 7 deep
_LONGEST: Final = 16
_TYPE: Final = 0o170000
_FOLDER: Final = 0o040000
_FOLDERS: Final = frozenset(
    {"task", "fd", "fdinfo", "ns", "net", "map_files", "attr", "cwd", "root"}
)
_NOBODY: Final = np.empty(0, np.uint64)


def _find(world: World) -> Iterator[Related]:
    memory, opened, found = world.memory, world.once(files), world.once(tasks)
    at = np.flatnonzero(on(world, _MAGIC))
    pid = _subjects(world, opened.dentry[at])
    row, there = found.with_pid(pid)
    at, pid, row = at[there], pid[there], row[there]
    address = opened.address[at]
    ours = member(address, world.inside.get("FILE", _NOBODY))
    name = _names(world, opened.dentry[at])
    writes = (name == "mem") & (opened.mode[at] & WRITE != 0)
    mode = memory.gather(opened.inode[at], "inode", {"mode": "i_mode"})["mode"].astype(np.int64)
    door = (mode & _TYPE == _FOLDER) & ~visible(world, pid)
    impact = np.select(
        [ours & ((name == "mem") | door), ours, writes],
        [Impact.REACHES_OUT.value, Impact.LOST.value, Impact.SHARED_STATE.value],
        Impact.WATCHES.value,
    ).astype(object)
    yield Related("FILE", address, TASK, found.address[row], detail=name, impact=impact)


def _subjects(world: World, dentries: U64) -> U64:
    """Return the struct pid that each file in /proc is about, 0 for those about none."""
    memory = world.memory
    embedded = np.uint64(memory.offset("proc_inode", "vfs_inode"))
    pid, entry = np.zeros(len(dentries), np.uint64), dentries
    for _ in range(_DEPTH):
        read = memory.gather(entry, "dentry", {"inode": "d_inode", "parent": "d_parent"})
        inode = memory.gather(read["inode"] - embedded, "proc_inode", {"pid": "pid"})
        new = (pid == 0) & read.ok & inode.ok & (read["inode"] != 0)
        pid = np.where(new, inode["pid"], pid)
        entry = np.where(read.ok, read["parent"], entry)
    return pid


def _names(world: World, dentries: U64) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    read = world.memory.gather(dentries, "dentry", {"name": "d_name.name"})
    data, good = world.memory.read(read["name"], _LONGEST)
    text = [row.tobytes().split(b"\0", 1)[0].decode("utf-8", "surrogateescape") for row in data]
    return np.where(good & read.ok, np.array(text, object), "").astype(object)


def _from_proc(shown: Shown) -> Iterator[Tied]:
    for file in shown.files:
        mount = file.mount
        if mount is None or file.deleted or mount.fstype != "proc" or mount.root != "/":
            continue
        if mount.dev != shown.own_proc:  # its numbers are those of another pid namespace
            continue
        parts = file.link.split("/")
        base = mount.point.rpartition("/")[2]
        at = parts.index(base) + 1 if base in parts else len(parts)
        place = parts[at:]
        threads = place[1:2] == ["task"] and place[2:3]
        task = shown.tasks.get(number((threads or place[:1] or [""])[0]) or 0)
        if task is not None:
            impact = _impact(shown, file, task, place[-1])
            yield Tied(file.key, task.key, place[-1], impact=impact)


def _impact(shown: Shown, file: File, task: Task, name: str) -> Impact:
    folder = number(name) is not None or name in _FOLDERS
    if file.inside:
        door = name == "mem" or (folder and not shown.visible(task))
        return Impact.REACHES_OUT if door else Impact.LOST
    return Impact.SHARED_STATE if name == "mem" and file.writes else Impact.WATCHES


RELATION: Final = Relation(
    name="proc-files",
    title="open in /proc, about a process on the other side",
    plural="open in /proc, about processes on the other side",
    back="has files of it in /proc open on the other side",
    left="has it open",
    right="is what it is about",
    impact=Impact.WATCHES,
    next="close the file of /proc in the process that has it open",
    kernel=_find,
    from_proc=_from_proc,
    hidden="files of a proc filesystem that was mounted in another pid namespace",
)
