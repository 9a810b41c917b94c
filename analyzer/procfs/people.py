"""Who a process is to people: its name, user, unit or container, and whether it is dead.

See proc_pid_status(5), cgroups(7). A process that ends meanwhile is not there.
"""

from __future__ import annotations

import os
import pwd
import re
from functools import cache
from typing import Final

from analyzer.core.errors import BadInputError
from analyzer.core.pattern import pattern
from analyzer.core.text import valid
from analyzer.core.values import dataclass
from analyzer.procfs.cgroup import paths
from analyzer.procfs.homes import Home, of_paths

_FIELD: Final = pattern(rb"^(Name|State|PPid|TracerPid|Uid|Threads):\s+(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Person:
    """A process: `unit` is its unit or container, "" for neither.

    A `zombie` is dead, and its parent has not waited for it, or who traces it.
    """

    pid: int
    comm: str
    user: str
    unit: str
    zombie: bool = False
    parent: int = 0
    parent_comm: str = ""
    uid: int | None = None


def person(pid: int) -> Person | None:
    """Return who a process is (a pid of our /proc), None where it is not there."""
    said = _status(pid)
    if said is None:
        return None
    zombie = _is_dead(said)
    parent = _reaper(said)
    above = _status(parent) if zombie else None
    uid = int(said.get(b"Uid", b"0").split()[0])
    return Person(
        pid,
        _name(said),
        user_name(uid),
        _unit(pid),
        zombie,
        parent,
        "" if above is None else _name(above),
        uid,
    )


def _name(said: dict[bytes, bytes]) -> str:
    # The kernel escapes newlines there; what `echo` wrote into /proc/PID/comm ends in one.
    return os.fsdecode(said.get(b"Name", b"?").removesuffix(b"\\n"))


def _status(pid: int) -> dict[bytes, bytes] | None:
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            return {match[1]: match[2] for match in _FIELD.finditer(file.read())}
    except OSError:
        return None


def _is_dead(said: dict[bytes, bytes]) -> bool:
    """Tell whether a process is a zombie: one whose first thread alone has ended is alive."""
    return _has_ended(said) and _threads_beside(said) == 0


def _has_ended(said: dict[bytes, bytes]) -> bool:
    return said.get(b"State", b"").startswith(b"Z")


def _threads_beside(said: dict[bytes, bytes]) -> int:
    return int(said.get(b"Threads", b"1")) - 1


def _reaper(said: dict[bytes, bytes]) -> int:
    # A dead one is the tracer's to wait for first: wait_consider_task(), kernel/exit.c.
    return int(said.get(b"TracerPid", b"0")) or int(said.get(b"PPid", b"0"))


def unreaped(pid: int) -> str:
    """Return that a process is dead and who has not waited for it, "" where that is not so."""
    said = _status(pid) or {}
    if not _is_dead(said):
        return ""
    return f"{called(pid)} is dead (a zombie): {called(_reaper(said))} has not waited for it"


def reaped(pid: int) -> str:
    """Return what lets a zombie go, "" for who is none."""
    said = _status(pid) or {}
    who = called(_reaper(said))
    return f"{who} has to wait for {called(pid)}, or end" if _is_dead(said) else ""


def is_stopped(pid: int) -> bool:
    """Tell whether a process is stopped: by a signal, or by its terminal."""
    return (_status(pid) or {}).get(b"State", b"").startswith(b"T")


def in_background(pid: int) -> bool:
    """Tell whether the terminal of a process has another group in its foreground (termios(3))."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            _, _, group, _, _, foreground, *_ = file.read().rpartition(b")")[2].split()
    except (OSError, ValueError):
        return False
    return int(foreground) > 0 and foreground != group


@cache
def user_name(uid: int) -> str:
    """Return what this machine calls a user, "uid N" for one without a name."""
    try:
        return valid(pwd.getpwuid(uid).pw_name)
    except (KeyError, OSError):
        return f"uid {uid}"


def _unit(pid: int) -> str:
    where = f"{pid}/cgroup"
    try:
        with open(f"/proc/{where}", "rb") as file:
            found = of_paths(path for _, path in paths(file.read(), where))
    except (OSError, BadInputError):
        return ""
    return unit_of(found)


def unit_of(home: Home) -> str:
    """Return the container, or else the unit, of where a process is at home; "" for neither."""
    return f"{home.runtime} container {home.short}".lstrip() if home.container else home.unit


def waiting(pid: int) -> tuple[str, ...]:
    """Return what a process waits for, and who for it: a vfork(2) child, a tracer, a parent."""
    said = _status(pid)
    if said is None:
        return ()
    who, found = f"{_name(said)} ({pid})", []
    if _is_dead(said):
        found.append(unreaped(pid))
    elif _has_ended(said):
        found.append(
            f"the first thread of {who} has ended (ps calls it a zombie), and "
            f"{_threads_beside(said)} more of its threads go on: it is alive"
        )
    if said.get(b"TracerPid", b"0") != b"0":
        found.append(f"{who} is traced by {called(int(said[b'TracerPid']))}")
    if said.get(b"State", b"").startswith(b"T"):
        found.append(f"{who} is stopped (SIGSTOP, or a terminal)")
    vfork = [child for child in children(pid) if _runs_vfork(pid)]
    if said.get(b"State", b"").startswith(b"D") and not vfork:
        found.append(
            f"{who} cannot be interrupted (state D): it is in {wchan(str(pid)) or 'the kernel'}"
        )
    found += [
        f"{who} waits for {called(child)}, which it started by vfork and which has not called exec "
        "yet"
        for child in vfork
    ]
    found += filter(None, map(unreaped, children(pid)))
    return tuple(found)


def goes_on(pid: int) -> str:
    """Return what lets a process go on that was stopped, or is traced; "" for others."""
    said = _status(pid) or {}
    tracer = int(said.get(b"TracerPid", b"0"))
    if tracer:
        return f"have {called(tracer)} detach from it, or end that"
    return f"kill -CONT {pid}" if said.get(b"State", b"").startswith(b"T") else ""


def called(pid: int) -> str:
    """Return a process as it is named: "sh (4711)", "process 4711" if it is not there."""
    said = _status(pid)
    return f"{_name(said)} ({pid})" if said else f"process {pid}"


def children(pid: int) -> list[int]:
    """Return the processes that the first thread of one has started, and are its children."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def _runs_vfork(pid: int) -> bool:
    # kernel_clone() waits for the child, as wait_for_vfork_done() is inlined there.
    return wchan(str(pid)) in {"kernel_clone", "wait_for_vfork_done", "_do_fork"}


def wchan(task: str) -> str:
    """Return in which function of the kernel a task of /proc waits, "" where that is not told."""
    try:
        with open(f"/proc/{task}/wchan", "rb") as file:
            return file.read().decode("ascii", "replace").strip("0")
    except OSError:
        return ""
