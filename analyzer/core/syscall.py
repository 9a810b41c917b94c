"""System calls that Python's standard library has no name for, by number through ctypes.

Numbers are those of include/uapi/asm-generic/unistd.h (aarch64) and
arch/x86/entry/syscalls/syscall_64.tbl (x86-64). Nothing else is supported, and says so.
"""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Final

from analyzer.core.errors import NotPermittedError

_NUMBERS: Final = {
    "x86_64": {"bpf": 321, "kcmp": 312, "capget": 125, "capset": 126, "prctl": 157, "setns": 308},
    "aarch64": {"bpf": 280, "kcmp": 272, "capget": 90, "capset": 91, "prctl": 167, "setns": 268},
}
_POINTER: Final = 8
_EVERYWHERE: Final = {"io_uring_setup": 425}  # from 424 on the numbers are the same

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def number(name: str) -> int:
    """Return the number of the system call `name` on this machine.

    Raises NotPermittedError on an architecture other than x86-64 and aarch64, and in a 32-bit
    program, for which a 64-bit kernel (whose name uname(2) tells) has other numbers.
    """
    machine = platform.machine()
    if ctypes.sizeof(ctypes.c_void_p) != _POINTER:
        msg = f"this Python is a 32-bit program (on {machine}): use a 64-bit one"
        raise NotPermittedError(msg)
    if machine not in _NUMBERS:
        msg = f"system calls are known for x86-64 and aarch64 only, not for {machine}"
        raise NotPermittedError(msg)
    return (_NUMBERS[machine] | _EVERYWHERE)[name]


def call(name: str, *args: int | ctypes.c_void_p | None) -> int:
    """Call the system call `name` and return its result; raise OSError with errno when it fails."""
    result: int = _libc.syscall(
        ctypes.c_long(number(name)),
        *(ctypes.c_ulong(a & 0xFFFFFFFFFFFFFFFF) if isinstance(a, int) else a for a in args),
    )
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)
    return result
