"""/proc/TID/syscall: in which system call a task sleeps, and whether that may hold open files.

``NUMBER ARGUMENTS SP PC`` in a system call, ``-1 SP PC`` elsewhere in the kernel, and ``running``
(proc_pid_syscall(), fs/proc/base.c). A call that looks up a descriptor of its own takes no
reference where nobody else has the table (__fget_light(), fs/file.c): most hold nothing then. Where
others have it, all do that were given a descriptor.
"""

from __future__ import annotations

from typing import Final

_KEEPS: Final = {
    # poll, select, sendmsg, execve, restart_syscall (of poll), pselect6, ppoll, sendmmsg, execveat,
    # io_uring_enter
    "x86_64": frozenset({7, 23, 46, 59, 219, 270, 271, 307, 322, 426}),
    "aarch64": frozenset({72, 73, 211, 221, 128, 269, 281, 426}),
}
"""Calls that hold open files though nobody else has the table (__pollwait(), fs/select.c)."""

_WAITS: Final = {
    # pause, nanosleep, clone and vfork, wait4, rt_sigtimedwait, rt_sigsuspend, futex,
    # clock_nanosleep, waitid, clone3, futex_waitv
    "x86_64": frozenset({34, 35, 56, 58, 61, 128, 130, 202, 230, 247, 435, 449}),
    "aarch64": frozenset({101, 220, 260, 137, 133, 98, 115, 95, 435, 449}),
}
"""Calls that are given no descriptor."""

_ELSEWHERE: Final = -1
_LEAST: Final = 3  # number, SP, PC
_COMPAT: Final = 1 << 32  # below is the stack of a program whose calls have other numbers


def holds(data: bytes, machine: str, *, shared: bool) -> bool | None:
    """Return whether what a task does may hold open files of its table; None where unknown.

    `machine` is that of uname(2); `shared` tells that other tasks have the table too.
    """
    words = data.split()
    try:
        call, stack = int(words[0]), int(words[-2], 16)
    except (ValueError, IndexError):
        return None
    if call == _ELSEWHERE:
        return False
    if len(words) < _LEAST or stack < _COMPAT or machine not in _KEEPS:
        return None
    return call not in _WAITS[machine] if shared else call in _KEEPS[machine]
