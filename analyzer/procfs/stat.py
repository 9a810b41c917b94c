"""/proc/PID/stat: one line of numbers about a task (proc_pid_stat(5)).

The name is between the first ``(`` and the last ``)``; it may itself hold brackets, blanks and
newlines, since a task can call itself anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import TASKS
from analyzer.core.values import NamedTuple
from analyzer.procfs.parse import decode, in_column, malformed, number

if TYPE_CHECKING:
    from analyzer.procfs.status import Status

_PF_EXITING: Final = 0x00000004  # include/linux/sched.h
_PF_KTHREAD: Final = 0x00200000

_LONGEST: Final = 1 << 40  # ticks: 348 years at 100 a second

# Places after the name: proc_pid_stat(5) numbers them from 3.
_STATE, _PPID, _GROUP, _SESSION, _TERMINAL, _FLAGS, _THREADS, _START = 0, 1, 2, 3, 4, 6, 17, 19
# Code and stack; data and heap. Who may not know is told 0, and 1 of code. (Where arguments and
# environment are is not used: PR_SET_MM changes it, as systemd does.)
_CODE, _DATA, _STACK = slice(23, 26), slice(42, 45), 2
# cminflt, cmajflt, cutime and cstime: wait4(2) adds up what those cost that ended
# (wait_task_zombie(), kernel/exit.c), and execve(2) leaves it as it is.
_MOURNED: Final = (8, 10, 13, 14)


Layout = tuple[int, ...]
"""Where the parts of an address space are: as execve(2) laid it out, and fork(2) copied it."""

_TID_COLUMN, _PPID_COLUMN = TASKS.column("tid"), TASKS.column("ppid")


class Stat(NamedTuple):
    """What is used of the line; `start_ticks` is in clock ticks since boot, 0 where not known.

    `terminal` is the device of the controlling terminal; 0 is none, as of group and session.
    `layout` is None where it is not told: who reads must be allowed to trace the process.
    `mourned` tells that it has waited for children that ended.
    """

    tid: int
    comm: str
    state: str
    ppid: int
    flags: int
    threads: int
    start_ticks: int
    group: int = 0
    session: int = 0
    terminal: int = 0
    layout: Layout | None = None
    mourned: bool = False

    @property
    def exiting(self) -> bool:
        """Whether the task has given up, or is giving up, what it holds (a zombie too)."""
        return bool(self.flags & _PF_EXITING) or self.state in "ZX"

    @property
    def kthread(self) -> bool:
        """Whether it is a kernel thread."""
        return bool(self.flags & _PF_KTHREAD)


def of_status(tid: int, more: Status) -> Stat:
    """Return what /proc/PID/status says of it, as far as it goes."""
    flags = _PF_KTHREAD if more.kthread else 0
    return Stat(
        tid, more.comm, more.state, more.ppid, flags, more.threads,
        start_ticks=0, group=more.group, session=more.session,
    )  # fmt: skip


def _layout(field: list[bytes]) -> Layout | None:
    told = tuple(number(word, below=1 << 64) for word in (*field[_CODE], *field[_DATA]))
    return told if len(told) > _STACK and told[_STACK] else None


def _letter(word: bytes) -> str:
    if len(word) != 1 or not word.isalpha():
        raise ValueError(word)
    return word.decode()


def parse(data: bytes, where: str) -> Stat:
    """Parse the file's content; BadInputError when it is cut or is something else."""
    head, bracket, rest = data.partition(b"(")
    comm, closing, tail = rest.rpartition(b")")
    field = tail.split()
    if not bracket or not closing or len(field) <= _START:
        line = 1 + data.count(b"\n", 0, len(data) - 1)
        raise malformed(where, line, "expected PID (NAME) STATE and 20 fields more")
    try:
        return Stat(
            tid=in_column(head, _TID_COLUMN),
            comm=decode(comm),
            state=_letter(field[_STATE]),
            ppid=in_column(field[_PPID], _PPID_COLUMN),
            flags=number(field[_FLAGS]),
            threads=number(field[_THREADS]),
            start_ticks=number(field[_START], below=_LONGEST),
            group=max(in_column(field[_GROUP], _PPID_COLUMN), 0),  # -1 of one that ends
            session=max(in_column(field[_SESSION], _PPID_COLUMN), 0),
            terminal=in_column(field[_TERMINAL], _PPID_COLUMN) & 0xFFFFFFFF,
            layout=_layout(field),
            mourned=any(field[at] != b"0" for at in _MOURNED),
        )
    except ValueError:
        raise malformed(where, 1 + data.count(b"\n", 0, -1), "expected numbers") from None
