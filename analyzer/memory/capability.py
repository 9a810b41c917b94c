"""Capabilities of our own process: which we have, and giving up what is not needed any more.

See capabilities(7), capget(2), prctl(2). The numbers are those of include/uapi/linux/capability.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
from typing import TYPE_CHECKING, Final

from analyzer.core import syscall
from analyzer.core.errors import NotPermittedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

NUMBERS: Final = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_FOWNER": 3,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYSLOG": 34,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}

# What is needed once the programs are loaded: to look at other users' /proc, and to write the
# snapshot where its owner wants it.
KEPT: Final = (
    "CAP_SYS_PTRACE",
    "CAP_DAC_READ_SEARCH",
    "CAP_DAC_OVERRIDE",
    "CAP_CHOWN",
    "CAP_FOWNER",
)

_VERSION_3: Final = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
_SETPCAP: Final = 8
_LAST: Final = 63
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 24, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4


def effective() -> int:
    """Return our effective capabilities as a bit mask."""
    return _capabilities()[0]


def seccomp_mode() -> int:
    """Return our seccomp(2) mode: 0 none, 1 strict, 2 filter."""
    return int(_status("Seccomp") or "0")


def missing(names: Iterable[str]) -> tuple[str, ...]:
    """Return those of `names` that we lack; CAP_SYS_ADMIN stands in for CAP_BPF and CAP_PERFMON."""
    have = effective()
    if have >> NUMBERS["CAP_SYS_ADMIN"] & 1:
        return ()
    return tuple(name for name in names if not have >> NUMBERS[name] & 1)


def drop(keep: Iterable[str], works: Callable[[], bool]) -> None:
    """Give up every capability but `keep`, for good, in this thread.

    Raises OSError where capset(2) or prctl(2) is refused (by a seccomp filter, say).
    `works` tells whether what we still want to do goes on working; when it does not (before 5.19
    bpf(2) asks for CAP_BPF even to run a loaded program), CAP_BPF is kept as well.
    Without any capability this does nothing.
    """
    if not effective():
        return
    wanted = _mask(keep)
    with_bpf = wanted | _mask(("CAP_BPF",))
    permitted = _capabilities()[1]
    _set(wanted & permitted, permitted)
    if not works():
        wanted = with_bpf
    wanted &= permitted
    if permitted >> _SETPCAP & 1:
        _set(wanted | 1 << _SETPCAP, permitted)
        _bound(wanted)
    _set(wanted, wanted)
    syscall.call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    syscall.call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def surrender(readable: Sequence[str]) -> None:
    """Give up all privileges, for good: every capability, and to be root where that can be.

    We become who called sudo, or stay as who we are without any capability, or else become the
    owner of the first of `readable`: the first who can read all of that, which we go on reading.
    Where nobody can, CAP_DAC_READ_SEARCH is kept.
    """
    if os.geteuid() == 0:
        for uid, gid in _candidates(readable[0]):
            if _can_read(uid, gid, readable):
                _become(uid, gid)
                drop((), lambda: True)
                break
        else:
            drop(("CAP_DAC_READ_SEARCH",), lambda: True)
    else:
        drop((), lambda: True)
    syscall.call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _candidates(path: str) -> Iterator[tuple[int, int]]:
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if uid.isdecimal() and gid.isdecimal():
        yield int(uid), int(gid)
    yield 0, os.getegid()
    owner = os.stat(path)
    yield owner.st_uid, owner.st_gid


def _can_read(uid: int, gid: int, paths: Sequence[str]) -> bool:
    """Return whether the user can read files and list folders, tried out as that user."""
    own, others = os.getegid(), os.getgroups()
    permitted = int(_status("CapPrm") or "0", 16)
    before = effective()
    try:
        os.setgroups(_groups(uid, gid))
        os.setegid(gid)
        os.seteuid(uid)
        _set(0, permitted)
        return all(
            os.access(path, os.R_OK | (os.X_OK if os.path.isdir(path) else 0), effective_ids=True)
            for path in paths
        )
    except (OSError, OverflowError):
        return False
    finally:
        _set(before, permitted)
        os.seteuid(0)
        _set(before, permitted)
        os.setegid(own)
        os.setgroups(others)


def _groups(uid: int, gid: int) -> list[int]:
    try:
        return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
    except KeyError:
        return [gid]


def _become(uid: int, gid: int) -> None:
    if not uid:
        return
    os.environ["HOME"] = "/"
    with contextlib.suppress(KeyError):  # where libraries look for what is the user's
        os.environ["HOME"] = pwd.getpwuid(uid).pw_dir
    os.setgroups(_groups(uid, gid))
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _bound(keep: int) -> None:
    for number in range(_LAST):
        if not keep >> number & 1:
            try:
                syscall.call("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0)
            except OSError:
                return  # beyond the last capability of this kernel


def _mask(names: Iterable[str]) -> int:
    return sum(1 << NUMBERS[name] for name in names)


def _set(effective_mask: int, permitted: int) -> None:
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    low = 0xFFFFFFFF
    data = (ctypes.c_uint32 * 6)(
        effective_mask & low,
        permitted & low,
        0,
        effective_mask >> 32,
        permitted >> 32,
        0,
    )
    syscall.call(
        "capset",
        ctypes.c_void_p(ctypes.addressof(header)),
        ctypes.c_void_p(ctypes.addressof(data)),
    )


def _capabilities() -> tuple[int, int]:
    """Return our effective and permitted capabilities; none where capget(2) is refused."""
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    try:
        syscall.call(
            "capget",
            ctypes.c_void_p(ctypes.addressof(header)),
            ctypes.c_void_p(ctypes.addressof(data)),
        )
    except (OSError, NotPermittedError):
        return 0, 0
    return data[0] | data[3] << 32, data[1] | data[4] << 32


def _status(key: str) -> str:
    try:
        with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return ""
    for line in text.splitlines():
        if line.startswith(f"{key}:"):
            return line.split()[1]
    return ""
