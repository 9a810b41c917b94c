"""/proc/PID/status: what is known of a task, a ``Name: value`` a line (proc_pid_status(5)).

The kernel escapes the newlines of the task's name here, so a line is a line. Where a dump has no
`stat`, this says nearly all that is known of a task, but not when it started.
"""

from __future__ import annotations

import re
from typing import Final

from analyzer.core.model import TASKS, UNKNOWN_PARENT, ColumnSpec
from analyzer.core.values import NamedTuple
from analyzer.procfs.parse import decode, in_column, malformed

_SIGCHLD: Final = 1 << 16  # in a mask of signals: number 17 (include/uapi/asm-generic/signal.h)
_USER: Final = ColumnSpec("uid", "u64", "a user's id", most=(1 << 32) - 1)
_KTHREADD: Final = 2
_ESCAPED: Final = re.compile(rb"\\[n\\]")
_OF_ITSELF, _FORCED = b"voluntary_ctxt_switches", b"nonvoluntary_ctxt_switches"
_COLUMNS: Final = {
    b"Tgid": TASKS.column("tgid"),
    b"PPid": TASKS.column("ppid"),
    b"Uid": _USER,
    b"NSpid": TASKS.column("nspid"),
    b"NSpgid": TASKS.column("nspid"),
    b"NSsid": TASKS.column("nspid"),
    b"TracerPid": TASKS.column("tid"),
    b"Threads": ColumnSpec("threads", "u64", "threads of the process", most=(1 << 32) - 1),
}


class Status(NamedTuple):
    """What is used: `nspid` are the task's ids, outermost namespace first (None before 4.1).

    `uid` is the real user id, None where the line has none, and so is `ppid` -1: what captures say
    is written so. `hidden` tells of the session and the process group whether their
    leaders have no number in the task's own pid namespace. A `kthread` is told by its line (since
    6.8) or, of a child of kthreadd, by its having no memory. `handlers` are the masks of signals
    that are ignored and caught; they, `table_size` and `umask` are compared, and are as they were.
    `session` and `group` are those of the task, 0 before 4.1. `switches` is how often it was
    switched away from, of itself and not.
    """

    tgid: int
    ppid: int
    nspid: tuple[int, ...] | None
    uid: int | None
    tracer: int = 0
    hidden: tuple[bool, bool] = (False, False)
    comm: str = "?"
    state: str = "?"
    threads: int = 1
    kthread: bool = False
    handlers: tuple[bytes, bytes] = (b"", b"")
    table_size: bytes = b""
    umask: bytes = b""
    session: int = 0
    group: int = 0
    switches: tuple[bytes, bytes] = (b"", b"")

    @property
    def autoreaps(self) -> bool:
        """Whether its children leave no trace when they end: it ignores SIGCHLD (signal(7))."""
        try:
            return bool(int(self.handlers[0], 16) & _SIGCHLD)
        except ValueError:
            return False  # without the line the process is no more known than that


def parse(data: bytes, where: str) -> Status:
    """Parse the file's content; BadInputError when it is cut or is something else."""
    tgid = _numbers(data, b"Tgid", where)
    ppid = _numbers(data, b"PPid", where)
    uid = _numbers(data, b"Uid", where)
    nspid = _numbers(data, b"NSpid", where)
    lost = [name for name in ("Tgid", "PPid", "Uid") if f"\n{name}:".encode() not in data]
    if lost or not tgid:
        name = (*lost, "Tgid")[0]
        raise malformed(where, 1 + data.count(b"\n"), f"the file ends without {name}")
    (tracer, *_) = (*_numbers(data, b"TracerPid", where), 0)
    session, group = (_numbers(data, key, where) for key in (b"NSsid", b"NSpgid"))
    return Status(
        tgid[0],
        (*ppid, UNKNOWN_PARENT)[0],
        nspid or None,
        uid[0] if uid else None,
        tracer,
        (session[-1:] == (0,), group[-1:] == (0,)),
        comm=decode(_ESCAPED.sub(_unescaped, _value(data, b"Name"))) or "?",
        state=_letter(_value(data, b"State")),
        threads=(_numbers(data, b"Threads", where) or (1,))[0],
        kthread=_kthread(data, tgid[0], (*ppid, UNKNOWN_PARENT)[0]),
        handlers=(_value(data, b"SigIgn"), _value(data, b"SigCgt")),
        table_size=_value(data, b"FDSize"),
        umask=_value(data, b"Umask"),
        session=(*session, 0)[0],
        group=(*group, 0)[0],
        switches=(_value(data, _OF_ITSELF), _value(data, _FORCED)),
    )


def _kthread(data: bytes, tgid: int, ppid: int) -> bool:
    told = _value(data, b"Kthread")
    if told:
        return told == b"1"
    return _KTHREADD in {tgid, ppid} and not _value(data, b"VmSize")


def _letter(word: bytes) -> str:
    return word[:1].decode() if word[:1].isalpha() else "?"


def _unescaped(match: re.Match[bytes]) -> bytes:
    return b"\n" if match[0] == b"\\n" else b"\\"


def _value(data: bytes, key: bytes) -> bytes:
    head = key + b":"
    at = 0 if data.startswith(head) else data.find(b"\n" + head) + 1
    if not at and not data.startswith(head):
        return b""
    end = data.find(b"\n", at)
    return data[at + len(head) : end if end >= 0 else len(data)].lstrip(b" \t")


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
