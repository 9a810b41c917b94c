"""All tasks that /proc shows, in order of process and thread, and their table."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.errors import BadInputError, NotPermittedError
from analyzer.core.model import TASKS, UNKNOWN_PARENT
from analyzer.core.values import dataclass
from analyzer.procfs import cgroup, stat, status
from analyzer.procfs.fs import vanished
from analyzer.procfs.gaps import Failure, attempt, lacking, refusal
from analyzer.procfs.parse import decode
from analyzer.snapshot import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.procfs.facts import Facts
    from analyzer.procfs.fs import ProcFs
    from analyzer.procfs.gaps import GapLog
    from analyzer.snapshot.tables import Table

MOST: Final = 500_000
"""The most tasks of a dump that are read: one takes 5 KiB, and nothing says what it is worth."""

_ID: Final = re.compile(r"[1-9][0-9]{0,8}")
_UNLISTED: Final = "it is not in the tree, and all that it holds is missing"
_NAMELESS: Final = "whose child it is, and what else they tell, is not known"
_UNDATED: Final = "when it started is not known, and little else of it"
_UNTOLD: Final = "its id in its own pid namespace is not known"
_ALONE: Final = "its first thread stands for all: what the others have of their own is missing"
_FEWER: Final = "what they have of their own is missing"


@dataclass(frozen=True, slots=True)
class Task:
    """One thread, and where its folder is.

    `numbers` are its ids, outermost pid namespace first; `hidden` is of `status.Status`.
    `group` is its control group of version 2. `outlived` tells that children of it have ended, or
    may have without a trace. `switches` is of `status.Status`.
    """

    tid: int
    tgid: int
    folder: str
    stat: stat.Stat
    nspid: int | None
    cgroup: str | None
    numbers: tuple[int, ...] = ()
    tracer: int = 0
    hidden: tuple[bool, bool] = (False, False)
    group: str | None = None
    uid: int | None = None
    exe: str | None = None
    outlived: bool = False
    switches: tuple[bytes, bytes] = (b"", b"")

    @property
    def leader(self) -> bool:
        """Whether it is the first thread of its process."""
        return self.tid == self.tgid


def read(fs: ProcFs, log: GapLog) -> list[Task]:
    """Read every task; one that vanishes meanwhile is left out, a refusal goes to `log`.

    Raises NotPermittedError where there is none: that is no /proc; and BadInputError for a dump of
    more than any machine has.
    """
    found: dict[int, Task] = {}
    pids = processes(fs)
    if not pids:
        raise NotPermittedError(f"{fs.root} lists no process; mount it: mount -t proc proc /proc")
    for pid in pids:
        try:
            # A thread id twice is a dump's defect, or an id that was given anew meanwhile.
            found |= {task.tid: task for task in _process(fs, pid, log)}
        except OSError as error:
            if not vanished(error):
                log.add(refusal("its threads", "readdir", error, _ALONE), pid)
        if fs.copied and max(len(pids), len(found)) > MOST:
            raise BadInputError(f"{fs.root}: more than {MOST:,} processes and threads: refused")
    return list(found.values())


def processes(fs: ProcFs) -> list[int]:
    """Return the ids of the processes that are listed now; NotPermittedError for no /proc."""
    try:
        return numbers(fs, "")
    except OSError as error:
        said = f"cannot list {fs.root}: {error.strerror}"
        raise NotPermittedError(f"{said}; mount it: mount -t proc proc /proc") from error


def again(fs: ProcFs, task: Task) -> stat.Stat | None:
    """Read a task's stat again; None when the task is gone, or its id is another's now."""
    try:
        now = _stat(fs, task.folder)
    except OSError:
        return None
    return now if now.start_ticks == task.stat.start_ticks else None


def numbers(fs: ProcFs, folder: str) -> list[int]:
    """Return the ids that are names in a folder; OSError as listdir."""
    # Names that only a dump can hold: digits of other scripts, leading zeros, huge numbers.
    return sorted(int(name) for name in fs.listdir(folder) if _ID.fullmatch(name))


def _process(fs: ProcFs, pid: int, log: GapLog) -> list[Task]:
    leader = _task(fs, pid, pid, str(pid), log)
    if leader is None or leader.stat.threads <= 1:
        return [] if leader is None else [leader]
    try:
        listed = numbers(fs, f"{pid}/task")
    except OSError as error:
        if not vanished(error):
            log.add(refusal("its threads", "readdir", error, _ALONE), pid)
        return [leader]
    threads = [_thread(fs, pid, tid, log) for tid in listed if tid != pid]
    if fs.copied and len({pid, *listed}) < leader.stat.threads:
        log.add(lacking("some of its threads", "task", _FEWER), pid)
    return [leader, *(thread for thread in threads if thread is not None)]


def _thread(fs: ProcFs, pid: int, tid: int, log: GapLog) -> Task | None:
    try:
        return _task(fs, pid, tid, f"{pid}/task/{tid}", log)
    except OSError:
        return None  # it ended meanwhile


def _stat(fs: ProcFs, folder: str) -> stat.Stat:
    return stat.parse(fs.read(f"{folder}/stat"), fs.name(f"{folder}/stat"))


def _own_stat(data: bytes, where: str, tid: int) -> stat.Stat:
    found = stat.parse(data, where)
    _of_whom(found.tid, tid, where)
    return found


def _own_status(data: bytes, where: str, tgid: int) -> status.Status:
    found = status.parse(data, where)
    _of_whom(found.tgid, tgid, where)
    return found


def _of_whom(told: int, whose: int, where: str) -> None:
    """Raise BadInputError for a file of another task: a dump was put together, or renamed."""
    if told != whose:
        raise BadInputError(f"{where}: it is of process {told}")


def _task(fs: ProcFs, tgid: int, tid: int, folder: str, log: GapLog) -> Task | None:
    """Read a task by what there is of it; a gap, and None of a live one, where there is nothing."""
    what = "a process" if tid == tgid else f"thread {tid}"
    first, more = (
        attempt(fs, f"{folder}/{name}", parse, log, tgid, what=what, effect=effect)
        for name, parse, effect in (
            ("stat", partial(_own_stat, tid=tid), _UNDATED),
            ("status", partial(_own_status, tgid=tgid), _UNTOLD),
        )
    )
    if not isinstance(first, stat.Stat):
        if not isinstance(more, status.Status):
            stays = fs.copied and tid == tgid and _is_folder(fs, folder)
            effect = _NAMELESS if stays else _UNLISTED
            log.add(Failure(f"{what}: neither stat nor status", "", None, effect), tgid)
            if not stays:
                return None
            first = _listed(fs, tid)
        else:
            first = stat.of_status(tid, more)
    path, group = _cgroups(fs, folder) if tid == tgid and not first.kthread else (None, None)
    if not isinstance(more, status.Status):
        return Task(tid, tgid, folder, first, None, path, group=group)
    nspid = more.nspid[-1] if more.nspid else None
    return Task(
        tid, tgid, folder, first, nspid, path, more.nspid or (), more.tracer, more.hidden, group,
        more.uid, _program(fs, folder) if tid == tgid and not first.kthread else None,
        first.mourned or more.autoreaps, more.switches,
    )  # fmt: skip


def _is_folder(fs: ProcFs, folder: str) -> bool:
    """Tell whether a dump has the folder: a file or a link of that name is nobody's."""
    try:
        fs.listdir(folder)
    except (OSError, BadInputError):
        return False
    return True


def _listed(fs: ProcFs, pid: int) -> stat.Stat:
    """Return what is known of a process of which a dump has but the folder."""
    try:
        comm = decode(fs.read(f"{pid}/comm").removesuffix(b"\n"))
    except (OSError, BadInputError):
        comm = ""
    return stat.Stat(pid, comm or "?", "?", UNKNOWN_PARENT, flags=0, threads=1, start_ticks=0)


def _program(fs: ProcFs, folder: str) -> str | None:
    try:
        return fs.link(f"{folder}/exe")
    except OSError:
        return None


def _cgroups(fs: ProcFs, folder: str) -> tuple[str | None, str | None]:
    try:
        data = fs.read(f"{folder}/cgroup")
        return cgroup.parse(data, fs.name(f"{folder}/cgroup")), cgroup.unified(data)
    except (OSError, BadInputError):
        return None, None


def table(tasks: Sequence[Task], facts: Facts) -> Table:
    """Return the tasks as a table; `facts` tell the length of a tick and who the observer is."""
    stats = [task.stat for task in tasks]
    tgid = np.array([task.tgid for task in tasks], np.int64)
    return tables.build(
        TASKS,
        {
            "tid": np.array([task.tid for task in tasks], np.int64),
            "tgid": tgid,
            "ppid": np.array(_parents(tasks), np.int64),
            "start_time": np.array([facts.nanoseconds(s.start_ticks) for s in stats], np.uint64),
            "comm": [s.comm for s in stats],
            "kthread": np.array([s.kthread for s in stats], np.bool_),
            "state": [s.state for s in stats],
            "nspid": [task.nspid for task in tasks],
            "cgroup": [task.cgroup for task in tasks],
            "uid": [task.uid for task in tasks],
            "exe": [task.exe for task in tasks],
            "observer": (tgid == facts.observer) & (tgid != 0),
        },
    )


def _parents(tasks: Sequence[Task]) -> list[int]:
    # A thread's own line may be newer than its leader's: one parent for one process.
    parent = {task.tgid: task.stat.ppid for task in tasks if task.leader}
    return [parent.get(task.tgid, task.stat.ppid) for task in tasks]
