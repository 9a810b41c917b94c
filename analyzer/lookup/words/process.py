"""PID, PID:FD, PID:PART: a process, one of its descriptors, or a part of it."""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.errors import BadInputError, nearest
from analyzer.core.model import TASK
from analyzer.core.pattern import pattern
from analyzer.lookup.awaited import awaited, relations
from analyzer.lookup.ends import peers
from analyzer.lookup.words.base import OF_FILES, Form, Meaning, Recorded, Word, alike, no_rows
from analyzer.lookup.words.path import leads_to
from analyzer.memory.distinct import unique
from analyzer.procfs.people import goes_on, waiting
from analyzer.procfs.places import waits_for_lock
from analyzer.procfs.waits import opened, stale, wait
from analyzer.snapshot.lives import remark
from analyzer.sources.tasks import exists, proc_levels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.lookup.words.base import Rows
    from analyzer.procfs.waits import Wait
    from analyzer.snapshot.value import Snapshot

_OF_PROCESS: Final = pattern(r"([0-9]{1,10}):(\w+)")
_PROCESS: Final = pattern(r"[0-9]{1,10}")
_PARTS: Final = {
    "mm": "MM",
    "files": "FILE_TABLE",
    "fs": "FS",
    "sighand": "SIGHAND",
    "nsproxy": "NSPROXY",
}
_LINKS: Final = ("cwd", "root", "exe")

_DIRECTORIES: Final = {"cwd": "the working directory", "root": "the root directory"}
_UNRECORDED: Final = "directories of processes: a snapshot has none of that"


def _parse(asked: str) -> Iterator[Meaning]:
    if _PROCESS.fullmatch(asked) and not os.path.lexists(asked):
        pid = int(asked)
        waits = wait(pid)
        yield Meaning(
            "process",
            partial(_shared, pid),
            there=exists(pid),
            missed=lambda _: exists(pid),
            described=bool(waits.devices),
            pid=pid,
            notes=partial(_told_of, pid, waits),
            ties=relations(waits),
            remedy=waits.remedy or goes_on(pid),
            awaited=partial(_awaited, pid, waits),
        )
    match = _OF_PROCESS.fullmatch(asked)
    if match is None:
        return
    pid, part = int(match[1]), match[2]
    if part.isdecimal():
        yield _of_descriptor(pid, int(part), opened(pid, int(part)))
        yield from _watched_still(pid, int(part))
    elif part in _PARTS:
        yield Meaning(
            "",
            partial(_part, pid, _PARTS[part]),
            missed=lambda _: _has(pid, None, _PARTS[part]),
            described=False,
            pid=pid,
            notes=partial(waiting, pid),
        )
    elif part in _LINKS:
        yield from leads_to(f"/proc/{pid}/{part}", asked)
    elif not os.path.lexists(asked):
        known = [*_PARTS, *_LINKS]
        said = f"after the pid comes a descriptor, or {', '.join(known)}"
        raise BadInputError(f"{asked}: {said}{nearest(part, known)}")


def link(asked: str) -> tuple[str, ...]:
    """Return the link of /proc that PID:cwd, PID:root or PID:exe is, nothing for another word."""
    match = _OF_PROCESS.fullmatch(asked)
    return (f"/proc/{int(match[1])}/{match[2]}",) if match and match[2] in _LINKS else ()


def _told_of(pid: int, waits: Wait) -> tuple[str, ...]:
    if exists(pid):
        return (*waiting(pid), *waits.said, *waits_for_lock(pid))
    return (f"no process has this number; a port is tcp:{pid}",)


def _recorded(asked: str) -> Iterator[Meaning]:
    match = _OF_PROCESS.fullmatch(asked)
    if _PROCESS.fullmatch(asked):
        pid = int(asked)
        rows = partial(_shared, pid)
        yield Meaning("process", rows, pid=pid, recorded=partial(_told, pid))
    elif match is not None and match[2] in _LINKS:
        yield from _link(int(match[1]), match[2])
    elif match is not None and match[2].isdecimal():
        yield _of_descriptor(int(match[1]), int(match[2]))
    else:
        yield from _parse(asked)


def _of_descriptor(pid: int, fd: int, name: str = "") -> Meaning:
    """Return what a descriptor stands for; `name` is what /proc calls what it is open on."""
    return Meaning(
        "",
        partial(_descriptor, pid, fd),
        missed=lambda _: _has(pid, fd, ""),
        described=False,
        pid=pid,
        ties=(*OF_FILES, *peers((name,))),
    )


def _watched_still(pid: int, fd: int) -> Iterator[Meaning]:
    """Yield what an epoll watches that its process has closed: who has it open keeps it there."""
    for target in stale(pid, fd):
        yield Meaning(
            f"watches still what was fd {target.fd}, and is closed there, but open elsewhere",
            alike(("FILE",), dev=target.dev, ino=target.inode),
        )


def _link(pid: int, link: str) -> Iterator[Meaning]:
    if link == "exe":
        yield Meaning("", partial(_program, pid), pid=pid)
    else:
        yield Meaning(f"{_DIRECTORIES[link]} of process {pid}", pid=pid, unseen=_UNRECORDED)


def _told(pid: int, snapshot: Snapshot) -> Recorded:
    tasks = snapshot.tables["tasks"]
    rows = np.flatnonzero(tasks["tgid"] == known_as(snapshot, pid))
    said = [remark(tasks, int(row)) for row in rows[:1]]
    return Recorded(bool(len(rows)), notes=tuple(filter(None, said)))


def _program(pid: int, snapshot: Snapshot) -> Rows:
    references = snapshot.tables["references"]
    own = references["association"] == references.code("association", "exe")
    own &= np.isin(references["holder"], _part(pid, "MM", snapshot) + 1)
    return unique(references["target"][own] - 1)


def known_as(snapshot: Snapshot, pid: int) -> int:
    """Return what the tables call process `pid` of our own pid namespace, -1 if there is none."""
    named: dict[int, int] = snapshot.meta.get("named", {})
    return named.get(pid, pid)


def _part(pid: int, kind: str, snapshot: Snapshot) -> Rows:
    references, objects = snapshot.tables["references"], snapshot.tables["objects"]
    known = known_as(snapshot, pid)
    if known < 0:  # as the tables call idle tasks
        return no_rows(snapshot)
    at = references.where("holder", [known])
    by_task = references["holder_kind"][at] == references.code("holder_kind", TASK)
    held = references["target"][at[by_task]] - 1
    return unique(held[objects["kind"][held] == objects.code("kind", kind)])


def _descriptor(pid: int, fd: int, snapshot: Snapshot) -> Rows:
    references = snapshot.tables["references"]
    at = references.where("holder", _part(pid, "FILE_TABLE", snapshot) + 1)
    slot = references["association"][at] == references.code("association", "fd")
    slot &= references["slot"][at] == fd
    return unique(references["target"][at[slot]] - 1)


def _awaited(pid: int, waits: Wait, snapshot: Snapshot) -> Rows:
    """Return the open files by which others could let a process go on."""
    own, others = (
        np.concatenate([no_rows(snapshot), *(_descriptor(*one, snapshot) for one in some)])
        for some in (((pid, fd) for fd in waits.opened), waits.others)
    )
    return awaited(waits, known_as(snapshot, pid), own, others, snapshot)


def _shared(pid: int, snapshot: Snapshot) -> Rows:
    """Return the parts of a process that another one has, too."""
    tasks, references = snapshot.tables["tasks"], snapshot.tables["references"]
    own = tasks["tid"][tasks.where("tgid", [known_as(snapshot, pid)])]
    parts = [_part(pid, kind, snapshot) for kind in ("MM", "FILE_TABLE", "FS", "SIGHAND")]
    rows = unique(*parts)
    at = references.where("target", rows + 1)
    by_task = references["holder_kind"][at] == references.code("holder_kind", TASK)
    others = at[by_task & ~np.isin(references["holder"][at], own)]
    return rows[np.isin(rows, references["target"][others] - 1)]


def _has(pid: int, fd: int | None, kind: str) -> bool:
    """Ask /proc whether a process has a descriptor, or a part; the kernel, if /proc is not ours."""
    if proc_levels() != 0:
        return exists(pid)
    if fd is not None:
        return os.path.lexists(f"/proc/{pid}/fd/{fd}")
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            status = file.read()
    except OSError:
        return False
    dead = re.search(rb"^State:\s+[XZ]", status, re.MULTILINE) is not None
    return not dead and (kind != "MM" or b"\nVmSize:" in status)


WORD: Final = Word(
    "process",
    "Processes and what they have",
    (
        Form("PID", "a process: who waits for it, for whom it waits, what others have of it"),
        Form("PID:FD", "an open file, by a descriptor of a process; and the other end of it"),
        Form("PID:mm", "its address space; so files, fs, sighand, nsproxy"),
        Form("PID:cwd", "what its working directory is; so root and exe"),
    ),
    _parse,
    recorded=_recorded,
)
