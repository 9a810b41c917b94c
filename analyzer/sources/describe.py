"""Fill in what people want to know of the objects that are shown or saved: names, inodes, flags."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.check.links import opened
from analyzer.core.errors import BadInputError
from analyzer.core.model import TASK
from analyzer.core.values import replace
from analyzer.kinds import registry
from analyzer.kinds.cgroup import paths as cgroup_paths
from analyzer.kinds.file import dentry_names
from analyzer.memory.distinct import member, unique
from analyzer.procfs import cgroup
from analyzer.snapshot import tables
from analyzer.sources import facts
from analyzer.sources.names import Namer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from analyzer.kinds.base import Mask
    from analyzer.memory.reader import Columns, Memory
    from analyzer.snapshot.tables import Table
    from analyzer.snapshot.value import Snapshot
    from analyzer.sources.tasks import Tasks

_OF_INODES: Final = ("ino", "dev", "mode")
_PROC: Final = "/proc"
_IFMT: Final = 0o170000
_MOST_HOLDING: Final = 1_000  # files that are named for what they hold
_NO_ROWS: Final = np.empty(0, np.intp)
_NUMBERED: Final = {0o140000: "socket", 0o010000: "pipe"}  # inode(7)


def detail(memory: Memory, snapshot: Snapshot, stated: Sequence[str] = ()) -> Snapshot:
    """Return the snapshot with all objects described: inodes, devices, modes, their own names.

    Open files have no names yet. Of the facts, those in `stated` are told.
    """
    objects = snapshot.tables["objects"]
    everything = np.ones(len(objects), np.bool_)
    described = _described(memory, objects, everything)
    described = _own_names(memory, described, everything).given(described)
    told = facts.some(memory, described, stated)
    changed = {**snapshot.tables, "objects": described, "facts": told}
    return replace(snapshot, tables=changed)


def describe(
    memory: Memory, snapshot: Snapshot, tasks: Tasks, chosen: Mask, *, cgroups: bool, brief: bool
) -> Snapshot:
    """Return the snapshot with the `chosen` objects (and all namespaces) described and named.

    With `cgroups`, the tasks get their cgroups and users too. Where it is `brief`, names that are
    numbers are told of the chosen objects alone, and the state of the tasks that are in relations.
    """
    described = _described(memory, snapshot.tables["objects"], chosen)
    numbered = chosen if brief else np.ones_like(chosen)
    names = _own_names(memory, described, numbered)
    named = _named(memory, snapshot, described, names, tasks, chosen)
    people = _related(snapshot, tasks) if brief else np.ones(len(tasks.table), np.bool_)
    told = facts.table(memory, named, _with_opened(snapshot, chosen), tasks, people)
    changed = {**snapshot.tables, "objects": named, "facts": told}
    if cgroups:
        known = _with_users(memory, tasks)
        changed["tasks"] = (
            _with_cgroups(memory, known) if memory.engine.live else _with_homes(memory, known)
        )
    return replace(snapshot, tables=changed)


def _with_opened(snapshot: Snapshot, chosen: Mask) -> Mask:
    """Add what the chosen files are open on: a descriptor is told with the state of its pipe."""
    _, thing = opened(snapshot, chosen)
    found = chosen.copy()
    found[thing - 1] = True
    return found


def _related(snapshot: Snapshot, tasks: Tasks) -> Mask:
    """Return which tasks are ends of relations."""
    relations = snapshot.tables["relations"]
    ends = [relations[end][relations.rows(f"{end}_kind", TASK)] for end in ("left", "right")]
    return member(tasks.table["tid"], unique(*ends))


def _described(memory: Memory, objects: Table, chosen: Mask) -> Table:
    columns: dict[str, npt.NDArray[Any]] = {}
    missing: dict[str, Mask] = {}
    some = tables.rows_by_kind(objects, chosen)
    for kind in registry().values():
        rows = objects.rows("kind", kind.name) if kind.namespace else some.get(kind.name, _NO_ROWS)
        if kind.describe is None or not len(rows):
            continue
        for name, values in kind.describe(memory, objects["address"][rows]).items():
            if name not in columns:
                columns[name] = np.zeros(len(objects), objects[name].dtype)
                missing[name] = np.ones(len(objects), np.bool_)
            columns[name][rows] = values
            missing[name][rows] = False
    return tables.with_columns(objects, columns, missing)


class _Names:
    """Names of objects by their rows; of most there is none, None in `text`."""

    def __init__(self, objects: int) -> None:
        self.text = np.empty(objects, object)
        self._known = np.zeros(objects, np.bool_)

    def put(self, rows: npt.NDArray[np.intp], names: Sequence[str | None]) -> None:
        """Call the objects of some rows so."""
        self.text[rows] = names
        self._known[rows] = ~tables.absent(self.text[rows])

    def update(self, names: Mapping[int, str | None]) -> None:
        """Call objects so, by their rows."""
        self.put(np.fromiter(names, np.intp, len(names)), list(names.values()))

    def given(self, objects: Table) -> Table:
        """Return the objects with these names."""
        return tables.with_columns(objects, {"name": self.text}, {"name": ~self._known})


def _own_names(memory: Memory, objects: Table, numbered: Mask) -> _Names:
    """Return what the memory of the objects themselves tells of their names.

    Those that are numbers are told of the `numbered`.
    """
    names = _Names(len(objects))
    for kind in registry().values():
        rows = objects.rows("kind", kind.name)
        if kind.namespace:
            words = [f"{kind.namespace}:[{ino}]" for ino in objects["ino"][rows].tolist()]
            names.put(rows, words)
        elif kind.names is not None and len(rows):
            rows = rows[numbered[rows]] if kind.numbered else rows
            found = kind.names(memory, objects["address"][rows])
            names.put(rows, [name or None for name in found])
    return names


def _named(
    memory: Memory,
    snapshot: Snapshot,
    objects: Table,
    names: _Names,
    tasks: Tasks,
    chosen: Mask,
) -> Table:
    references = snapshot.tables["references"]
    borrowed = _borrowed(references, objects, chosen)
    files = chosen & (objects["kind"] == objects.code("kind", "FILE"))
    files[references["holder"][borrowed] - 1] = True
    files[_holding(references, objects, chosen)] = True
    if files.any():
        namer = Namer(references, _askable(references, tasks), _PROC)
        found = namer.names(objects["objref"][files])
        names.update({objref - 1: name for objref, name in found.items()})
    rows = np.flatnonzero(files)
    told = zip(rows.tolist(), names.text[rows].tolist(), strict=True)
    names.put(rows, [name or _by_inode(objects, row) for row, name in told])
    _from_dentries(memory, objects, names, rows)
    _from_namespaces(references, names)
    lent: dict[int, str | None] = {}
    for file, target in _pairs(references, borrowed):
        lent[target] = lent.get(target) or names.text[target] or names.text[file]
    names.update(lent)
    _from_files(snapshot.tables["relations"], names)
    return _with_inodes(memory, names.given(objects), references, borrowed)


def _with_inodes(
    memory: Memory, objects: Table, references: Table, borrowed: npt.NDArray[np.intp]
) -> Table:
    """Give what a file lends its name the file's inode, too: they have it in common."""
    file, target = references["holder"][borrowed] - 1, references["target"][borrowed] - 1
    described = registry()["FILE"].describe
    if described is None or not len(borrowed):
        return objects
    told = described(memory, objects["address"][file])
    columns = {name: objects[name].copy() for name in _OF_INODES}
    missing = {name: ~objects.known(name) for name in _OF_INODES}
    for name in _OF_INODES:
        columns[name][target] = told[name].astype(columns[name].dtype)
        missing[name][target] = False
    return tables.with_columns(objects, columns, missing)


def _from_dentries(
    memory: Memory, objects: Table, names: _Names, files: npt.NDArray[np.intp]
) -> None:
    """Name the files that /proc shows to nobody (in a queue, a ring, a segment) from memory."""
    rows = files[tables.absent(names.text[files])]
    found = dentry_names(memory, objects["address"][rows])
    gone = objects.known("deleted")[rows] & objects["deleted"][rows]
    told = zip(found, gone.tolist(), strict=True)
    names.put(rows, [f"{n} (deleted)" if n and deleted else n or None for n, deleted in told])


def _from_files(relations: Table, names: _Names) -> None:
    """Call an inode what an open file of it is called: that path has its mounts in it."""
    rows = relations.rows("right_kind", "INODE")
    rows = rows[relations["left_kind"][rows] == relations.code("left_kind", "FILE")]
    left, right = relations["left"][rows] - 1, relations["right"][rows] - 1
    told = zip(right.tolist(), names.text[left].tolist(), strict=True)
    names.update({inode: name for inode, name in told if name})


def _from_namespaces(references: Table, names: _Names) -> None:
    """Name the namespace files that have no name yet as /proc would: net:[4026531833]."""
    opens, shows = (references.rows("association", name) for name in ("nsfs.file", "nsfs"))
    namespace = dict(_pairs(references, shows))
    files = {file: namespace.get(inode) for file, inode in _pairs(references, opens)}
    unnamed = {f: at for f, at in files.items() if at is not None and names.text[f] is None}
    names.update({file: names.text[at] for file, at in unnamed.items()})


def _pairs(references: Table, at: npt.NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Yield the holders and targets of references, by their rows."""
    holder, target = references["holder"][at] - 1, references["target"][at] - 1
    return zip(holder.tolist(), target.tolist(), strict=True)


def _borrowed(references: Table, objects: Table, chosen: Mask) -> npt.NDArray[np.intp]:
    """Return the references by which a file gives its name to what it holds."""
    kinds = [kind.name for kind in registry().values() if kind.named_by_files]
    borrows = np.zeros_like(chosen)
    borrows[objects.rows("kind", *kinds)] = True
    return _by_files(references, chosen & borrows)


def _by_files(references: Table, wanted: Mask) -> npt.NDArray[np.intp]:
    """Return the references from files to the `wanted` objects."""
    rows = references.rows("holder_kind", "FILE")
    return rows[wanted[references["target"][rows] - 1]] if wanted.any() else rows[:0]


def _holding(references: Table, objects: Table, chosen: Mask) -> npt.NDArray[np.intp]:
    """Return the rows of files by which somebody holds what is named, or its credentials."""
    wanted = chosen & ~objects["initial"]
    wanted[objects.rows("kind", "CRED")] = True
    held = references["holder"][_by_files(references, wanted)]
    rows: npt.NDArray[np.intp] = unique(held - 1)
    return rows[:_MOST_HOLDING]


def _by_inode(objects: Table, row: int) -> str | None:
    """Name a pipe or socket that /proc does not show to us by its inode, as /proc would."""
    mode = objects.value("mode", row)
    word = None if mode is None else _NUMBERED.get(mode & _IFMT)
    return f"{word}:[{int(objects['ino'][row])}]" if word else None


def _askable(references: Table, tasks: Tasks) -> dict[int, int]:
    """Map each descriptor table and mm to a task, by the id that /proc knows it by."""
    shown = dict(zip(tasks.table["tid"].tolist(), tasks.shown.tolist(), strict=True))
    rows = references.rows("association", "files", "mm")
    rows = rows[references["holder_kind"][rows] == references.code("holder_kind", TASK)]
    pairs = zip(
        references["target"][rows].tolist(), references["holder"][rows].tolist(), strict=True
    )
    return {target: shown[tid] for target, tid in reversed(list(pairs)) if shown[tid]}


def _with_users(memory: Memory, tasks: Tasks) -> Tasks:
    read = memory.gather(tasks.address, "task_struct", {"cred": "real_cred"})
    creds = np.where(read.ok, read["cred"], np.uint64(0))
    owner = memory.gather(creds, "cred", {"uid": "uid.val"})
    known = read.ok & owner.ok
    users = {"uid": np.where(known, owner["uid"], 0)}
    return replace(tasks, table=tables.with_columns(tasks.table, users, {"uid": ~known}))


def _with_cgroups(memory: Memory, tasks: Tasks) -> Table:
    """Tell the cgroups and programs of processes as /proc does: once of those that share them."""
    table = tasks.table
    leads = (tasks.shown != 0) & (table["tgid"] == table["tid"]) & ~table["kthread"]
    rows = np.flatnonzero(leads)
    read, program = _homes(memory, tasks, rows)
    lives = read.ok & program.ok  # of who is exiting /proc may say something else
    shared = {"cgroup": (_cgroup, read["set"]), "exe": (_program, program["file"])}
    pids = tasks.shown[rows].tolist()
    told = {
        name: _told_once(ask, pids, np.where(lives, what, np.uint64(0)).tolist())
        for name, (ask, what) in shared.items()
    }
    return _with_told(table, rows, told)


def _told_once(
    ask: Callable[[int], str | None], pids: Sequence[int], same: Sequence[int]
) -> list[str | None]:
    """Return what each process answers, asking one of those that have the `same` (0 is no such)."""
    known: dict[int, str | None] = {}
    told = []
    for pid, what in zip(pids, same, strict=True):
        answer = known.get(what) or ask(pid)
        if what:
            known[what] = answer
        told.append(answer)
    return told


def _with_homes(memory: Memory, tasks: Tasks) -> Table:
    """Tell the cgroups and programs of processes where no /proc does: from memory."""
    rows = np.flatnonzero(~tasks.table["kthread"] & (tasks.table["tgid"] == tasks.table["tid"]))
    read, program = _homes(memory, tasks, rows)
    lives = read["mm"] != 0  # a zombie has neither, and /proc says so
    group = memory.gather(read["set"], "css_set", {"group": "dfl_cgrp"})
    told = {
        "exe": dentry_names(memory, np.where(program.ok, program["file"], np.uint64(0))),
        "cgroup": cgroup_paths(memory, np.where(group.ok, group["group"], np.uint64(0))),
    }
    known = {
        name: [text if live and text else None for text, live in zip(texts, lives, strict=True)]
        for name, texts in told.items()
    }
    return _with_told(tasks.table, rows, known)


def _homes(memory: Memory, tasks: Tasks, rows: npt.NDArray[np.intp]) -> tuple[Columns, Columns]:
    """Read the memory and the set of cgroups of tasks, and the program of that memory."""
    read = memory.gather(tasks.address[rows], "task_struct", {"mm": "mm", "set": "cgroups"})
    return read, memory.gather(read["mm"], "mm_struct", {"file": "exe_file"})


def _with_told(
    table: Table, rows: npt.NDArray[np.intp], told: Mapping[str, Sequence[str | None]]
) -> Table:
    columns = {name: np.empty(len(table), object) for name in told}
    for name, texts in told.items():
        columns[name][rows] = texts
    gone = {name: tables.absent(texts) for name, texts in columns.items()}
    return tables.with_columns(table, columns, gone)


def _program(pid: int) -> str | None:
    try:
        return os.readlink(f"{_PROC}/{pid}/exe")
    except OSError:
        return None


def _cgroup(pid: int) -> str | None:
    try:
        with open(f"{_PROC}/{pid}/cgroup", "rb", buffering=0) as file:
            return _home(file.readall())
    except (OSError, BadInputError):
        return None


@cache  # many live at the same place
def _home(told: bytes) -> str | None:
    return cgroup.parse(told, "cgroup")
