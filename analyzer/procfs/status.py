"""/proc/PID/status: what is known of a task, a ``Name: value`` a line (proc_pid_status(5)).

The kernel escapes the newlines of the task's name here, so a line is a line.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from analyzer.core.model import TASKS, ColumnSpec
from analyzer.procfs.parse import in_column, malformed

_USER: Final = ColumnSpec("uid", "u64", "a user's id", most=(1 << 32) - 1)
_COLUMNS: Final = {
    b"Tgid": TASKS.column("tgid"),
    b"PPid": TASKS.column("ppid"),
    b"Uid": _USER,
    b"NSpid": TASKS.column("nspid"),
    b"NSpgid": TASKS.column("nspid"),
    b"NSsid": TASKS.column("nspid"),
    b"TracerPid": TASKS.column("tid"),
}


class Status(NamedTuple):
    """What is used: `nspid` are the task's ids, outermost namespace first (None before 4.1).

    `uid` is the real user id. `hidden` tells of the session and the process group whether their
    leaders have no number in the task's own pid namespace.
    """

    tgid: int
    ppid: int
    nspid: tuple[int, ...] | None
    uid: int
    tracer: int = 0
    hidden: tuple[bool, bool] = (False, False)


def parse(data: bytes, where: str) -> Status:
    """Parse the file's content; BadInputError when it is cut or is something else."""
    tgid = _numbers(data, b"Tgid", where)
    ppid = _numbers(data, b"PPid", where)
    uid = _numbers(data, b"Uid", where)
    nspid = _numbers(data, b"NSpid", where)
    if not tgid or not ppid or not uid:
        lost = next(name for name, got in (("Tgid", tgid), ("PPid", ppid), ("Uid", uid)) if not got)
        raise malformed(where, 1 + data.count(b"\n"), f"the file ends without {lost}")
    (tracer, *_) = (*_numbers(data, b"TracerPid", where), 0)
    session, group = (_numbers(data, key, where)[-1:] == (0,) for key in (b"NSsid", b"NSpgid"))
    return Status(tgid[0], ppid[0], nspid or None, uid[0], tracer, (session, group))


def _numbers(data: bytes, key: bytes, where: str) -> tuple[int, ...]:
    at = data.find(b"\n" + key + b":")
    if at < 0:
        return ()
    start = at + len(key) + 2
    end = data.find(b"\n", start)
    value = data[start : end if end >= 0 else len(data)]
    try:
        return tuple(in_column(word, _COLUMNS[key]) for word in value.split())
    except ValueError:
        line = 2 + data.count(b"\n", 0, at)
        raise malformed(where, line, f"{key.decode()} is not a number") from None
