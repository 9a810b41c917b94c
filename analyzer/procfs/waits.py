"""What a process waits for: the system call that it is in, on which of its descriptors.

See proc_pid_syscall(5), proc_pid_wchan(5). A process that runs, or that we may not trace, tells
nothing. Of one with several threads it is told of the first.
"""

from __future__ import annotations

import os
import platform
import re
import struct
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from analyzer.core.pattern import pattern
from analyzer.core.values import dataclass, field
from analyzer.procfs.cgroupfs import thaws
from analyzer.procfs.netports import connected
from analyzer.procfs.people import (
    called,
    children,
    in_background,
    is_stopped,
    reaped,
    unreaped,
    wchan,
)
from analyzer.procfs.places import kernel_device, listed, mount_points, processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Calls that wait on the descriptor that is their first argument, and how.
_READS: Final = ("read", "readv", "recvfrom", "recvmsg", "pread64", "mq_timedreceive")
_WRITES: Final = ("write", "writev", "sendto", "sendmsg", "pwrite64", "mq_timedsend")
_CALLS: Final[Mapping[str, str]] = {
    **dict.fromkeys(_READS, "to read from"),
    **dict.fromkeys(_WRITES, "to write to"),
    "connect": "for its connection on",
    "accept": "for a connection on",
    "accept4": "for a connection on",
    "ioctl": "in ioctl on",
    "fsync": "for the disk of",
    "fcntl": "for a lock that another open file has of",
    "io_uring_enter": "for a request of",
}
_ALONE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("nanosleep", "clock_nanosleep"), "sleeps for a time, and waits for nobody"),
    **dict.fromkeys(("pause", "rt_sigsuspend", "rt_sigtimedwait"), "waits for a signal"),
}
_FUTEX_PRIVATE: Final = 128  # include/uapi/linux/futex.h
_OFD_SETLKW: Final = 38  # of who waits for another lock /proc/locks tells
_TERMINALS: Final = ("/dev/pts/", "/dev/tty")
_STOPPING: Final = {"to read from", "to write to", "in ioctl on"}
_FOREGROUND: Final = (
    "bring it to the foreground (fg in its shell): after kill -CONT it is stopped again"
)
_POLLS: Final = ("poll", "ppoll")
_SELECTS: Final = ("select", "pselect6")
_EPOLLS: Final = ("epoll_wait", "epoll_pwait")
# What an epoll watches, in /proc/PID/fdinfo: the descriptor by which it was added, its inode.
_TARGET: Final = pattern(rb"^tfd: +(\d+) .*\bino:([0-9a-f]+) sdev:([0-9a-f]+)", re.MULTILINE)
_WAITS: Final = ("wait4", "waitid")
# Of System V IPC the first argument is the id of what it waits for.
_SYSTEM_V: Final = {"semop": "sem", "semtimedop": "sem", "msgrcv": "msg", "msgsnd": "msg"}
# arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h
_NUMBERS: Final[Mapping[str, Mapping[str, int]]] = {
    "x86_64": {
        "read": 0, "write": 1, "poll": 7, "ioctl": 16, "pread64": 17, "pwrite64": 18, "readv": 19,
        "writev": 20, "connect": 42, "accept": 43, "sendto": 44, "recvfrom": 45, "sendmsg": 46,
        "recvmsg": 47, "wait4": 61, "semop": 65, "msgsnd": 69, "msgrcv": 70, "fcntl": 72,
        "fsync": 74, "semtimedop": 220, "mq_timedsend": 242, "mq_timedreceive": 243, "waitid": 247,
        "ppoll": 271, "accept4": 288, "futex": 202, "nanosleep": 35, "clock_nanosleep": 230,
        "pause": 34, "rt_sigsuspend": 130, "rt_sigtimedwait": 128, "epoll_wait": 232,
        "epoll_pwait": 281, "select": 23, "pselect6": 270, "io_uring_enter": 426,
    },
    "aarch64": {
        "fcntl": 25, "read": 63, "write": 64, "ppoll": 73, "ioctl": 29, "pread64": 67,
        "pwrite64": 68, "readv": 65, "writev": 66, "connect": 203, "accept": 202, "sendto": 206,
        "recvfrom": 207, "sendmsg": 211, "recvmsg": 212, "wait4": 260, "fsync": 82, "waitid": 95,
        "accept4": 242, "mq_timedsend": 182, "mq_timedreceive": 183, "msgrcv": 188, "msgsnd": 189,
        "semtimedop": 192, "semop": 193, "futex": 98, "nanosleep": 101, "clock_nanosleep": 115,
        "rt_sigsuspend": 133, "rt_sigtimedwait": 137, "epoll_pwait": 22,
        "pselect6": 72, "io_uring_enter": 426,
    },
}  # fmt: skip
_PF_EXITING: Final = 0x4  # include/linux/sched.h
_MOST_SELECTED: Final = 1024  # FD_SETSIZE
_MOST_POLLED: Final = 3  # who waits for many waits for whichever is first
_MOST_CHILDREN: Final = 3
_FAN_CLASSES: Final = 0x4 | 0x8  # include/uapi/linux/fanotify.h, FAN_CLASS_*CONTENT
_CONNECTIONS: Final = "/sys/fs/fuse/connections"
_POLLFD: Final = struct.Struct("=ihh")  # poll(2)
# Where in the kernel a process waits for somebody that no descriptor of its own leads to.
_FUSE: Final = "request_wait_answer"
_ALLOWED: Final = "to be allowed what it does by who watches with fanotify"
_ANSWERED: Final[Mapping[str, str]] = {
    _FUSE: "for the daemon of the FUSE filesystem{}, which has not answered",
    "fanotify_handle_event": _ALLOWED,
    "fanotify_get_response": _ALLOWED,
    "seccomp_do_user_notification": "for who decides its system calls (seccomp)",
    "handle_userfault": "for a page of memory from who fills it (userfaultfd)",
    "p9_client_rpc": "for the server of a 9p filesystem, which has not answered",
    "rpc_wait_bit_killable": "for an NFS server, which has not answered",
    "wait_for_response": "for an SMB server, which has not answered",
    "autofs_wait": "for the daemon of an automount, which has not mounted it",
    "wait_for_partner": "for who opens the other end of a FIFO",
    "percpu_rwsem_wait": "for a lock: that of a filesystem that is frozen, if it writes",
}


@dataclass(frozen=True)
class Wait:
    """What a process waits for, in words."""

    said: tuple[str, ...] = ()
    opened: Mapping[int, str] = field(default_factory=dict)
    """The descriptors that it waits on, and what they are open on."""
    where: str = ""
    """The function of the kernel that it waits in, "" where that is not known."""
    others: tuple[tuple[int, int], ...] = ()
    """By which descriptors of which processes it could be answered, where /proc tells."""
    devices: tuple[int, ...] = ()
    """The FUSE filesystems that have not answered somebody."""
    remedy: str = ""
    """What lets it go on, and is not of a holder."""


def wait(pid: int) -> Wait:
    """Return what a process waits for; nothing where it does not, or cannot be asked."""
    group, thaw = thaws(pid)
    if group:
        said = (
            f"{called(pid)} is frozen with its cgroup {group}, and does nothing till it is thawed"
        )
        return Wait((said,), remedy=thaw)
    others = _outlived(pid)
    if others:
        return _last_of(pid, others)
    where = wchan(str(pid)).partition(".")[0]  # a compiler's .isra.0
    return _for_an_answer(pid, where) if where in _ANSWERED else _in_call(pid, where)


def _outlived(pid: int) -> list[int]:
    """Return whom the first process of a pid namespace waits for, when it ends (pid_namespaces(7)).

    It has killed them, and cannot go before they have: zap_pid_ns_processes().
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            flags = int(file.read().rpartition(b")")[2].split()[6])
        with open(f"/proc/{pid}/status", "rb") as file:
            numbers = re.search(rb"^NSpid:(?:\t\d+)+\t1$", file.read(), re.MULTILINE)
        space = os.readlink(f"/proc/{pid}/ns/pid")
    except (OSError, ValueError, IndexError):
        return []
    if not flags & _PF_EXITING or numbers is None:
        return []
    return [one for one in processes() if one != pid and _space(one) == space]


def _space(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def _last_of(pid: int, others: list[int]) -> Wait:
    few = [unreaped(one) or called(one) for one in others[:_MOST_CHILDREN]]
    more = [f"{len(others) - len(few)} more"] if len(others) > len(few) else []
    said = f"{called(pid)} is ending, and waits for all that were in its pid namespace"
    steps = filter(None, map(reaped, others))
    return Wait((f"{said}: {'; '.join([*few, *more])}",), remedy=next(steps, ""))


def _for_an_answer(pid: int, where: str) -> Wait:
    devices = tuple(_unanswered()) if where == _FUSE else ()
    points = mount_points() if devices else {}
    known = [f" {points[dev]}" for dev in devices if dev in points]
    return Wait(
        (f"{called(pid)} waits {_ANSWERED[where].format(' or'.join(known))}",),
        where=where,
        others=tuple(_deciders()) if where.startswith("fanotify") else (),
        devices=devices,
    )


def _in_call(pid: int, where: str) -> Wait:
    name, arguments = _call(pid)
    fds = _waited_on(pid, name, arguments)
    links = {fd: link for fd in fds if (link := opened(pid, fd))}  # of a 32-bit program, none
    if is_stopped(pid):
        return _stopped(pid, _CALLS.get(name, ""), links)
    if not links:
        return Wait(tuple(_for_no_file(pid, name, arguments)), where=where)
    things = " or ".join(
        f"fd {fd} ({', '.join(filter(None, (link, connected(pid, link))))})"
        for fd, link in links.items()
    )
    how = _CALLS.get(name, "for something to happen on")
    return Wait((f"{called(pid)} waits {how} {things}",), links, where)


def _for_no_file(pid: int, name: str, arguments: tuple[int, ...]) -> Iterator[str]:
    if name in _WAITS:
        yield from _for_children(pid)
    elif name in _SYSTEM_V and arguments:
        yield f"{called(pid)} waits in {name} for {_SYSTEM_V[name]}:[{arguments[0]}]"
    elif name == "futex" and len(arguments) > 1:
        others = "" if arguments[1] & _FUTEX_PRIVATE else ", or who shares that memory,"
        yield (
            f"{called(pid)} waits for a lock, or a condition, in its memory (futex): one of its own"
            f" threads{others} has to let it go on"
        )
    elif name in _ALONE:
        yield f"{called(pid)} {_ALONE[name]}"


def _stopped(pid: int, wanted: str, links: Mapping[int, str]) -> Wait:
    """Return why one that is stopped cannot just go on: it waits for nobody.

    A terminal stops who reads it in the background, or writes to it (SIGTTIN, SIGTTOU: termios(3)).
    """
    own = [f"fd {fd} ({link})" for fd, link in links.items() if link.startswith(_TERMINALS)]
    if not own or wanted not in _STOPPING or not in_background(pid):
        return Wait()
    said = f"it is in the background of its terminal, which stops it as it wants {wanted} {own[0]}"
    return Wait((said,), remedy=_FOREGROUND)


def _waited_on(pid: int, name: str, arguments: tuple[int, ...]) -> tuple[int, ...]:
    """Return the descriptors that a system call waits on."""
    if name in _POLLS:
        return _polled(pid, *arguments[:2])
    if name in _SELECTS:
        return _selected(pid, *arguments[:4])
    if name in _EPOLLS:
        return _watched(pid, *arguments[:1]) or arguments[:1]
    if name == "fcntl" and arguments[1:2] != (_OFD_SETLKW,):
        return ()
    return arguments[:1] if name in _CALLS else ()


def _call(pid: int) -> tuple[str, tuple[int, ...]]:
    """Return the system call that a process sleeps in, by name, and its arguments."""
    try:
        with open(f"/proc/{pid}/syscall", "rb") as file:
            number, *arguments = file.read().split()
            known = _NUMBERS.get(platform.machine(), {})
            name = next((name for name, one in known.items() if one == int(number)), "")
            return name, tuple(int(one, 16) for one in arguments)
    except (OSError, ValueError):  # "running"
        return "", ()


def _polled(pid: int, at: int = 0, count: int = 0) -> tuple[int, ...]:
    if not 0 < count <= _MOST_POLLED:
        return ()
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
            file.seek(at)
            found = _POLLFD.iter_unpack(file.read(count * _POLLFD.size))
            return tuple(dict.fromkeys(fd for fd, _, _ in found if fd >= 0))
    except (OSError, OverflowError, struct.error):
        return ()


def _selected(pid: int, count: int = 0, *sets: int) -> tuple[int, ...]:
    """Return the descriptors in sets of so many bits, as select(2) has them; of many none."""
    found: set[int] = set()
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
            for at in filter(None, sets if count <= _MOST_SELECTED else ()):
                file.seek(at)
                bits = int.from_bytes(file.read((count + 63) // 64 * 8), sys.byteorder)
                found.update(fd for fd in range(count) if bits >> fd & 1)
    except (OSError, OverflowError):
        return ()
    return tuple(sorted(found)) if len(found) <= _MOST_POLLED else ()


def _watched(pid: int, epoll: int = -1) -> tuple[int, ...]:
    """Return the descriptors of what an epoll watches, if they are few and open on that still."""
    found = _targets(pid, epoll)
    few = found if len(found) <= _MOST_POLLED else ()
    return tuple(one.fd for one in few if _inode(pid, one.fd) == one.inode)


class Target(NamedTuple):
    """What an epoll watches: the descriptor by which it was added, and its inode."""

    fd: int
    inode: int
    dev: int


def stale(pid: int, epoll: int) -> list[Target]:
    """Return what an epoll watches though its descriptor is closed, or open on something else.

    It is reported as long as anybody has it open (epoll(7)). All that is of no filesystem has the
    one inode that the epoll has, too: of that it is not known which it is.
    """
    own = _inode(pid, epoll)
    found = [one for one in _targets(pid, epoll) if one.inode != own]
    return [one for one in found if _inode(pid, one.fd) != one.inode]


def _targets(pid: int, epoll: int) -> list[Target]:
    try:
        with open(f"/proc/{pid}/fdinfo/{epoll}", "rb") as file:
            found = _TARGET.findall(file.read())
    except OSError:
        return []
    return [
        Target(int(fd), int(inode, 16), kernel_device(int(dev, 16))) for fd, inode, dev in found
    ]


def _inode(pid: int, fd: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/fd/{fd}").st_ino
    except OSError:
        return 0


def opened(pid: int, fd: int) -> str:
    """Return what a descriptor of a process is open on, "" where it has none that we may see."""
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return ""


def _for_children(pid: int) -> Iterator[str]:
    found = children(pid)
    if found:
        few = [called(child) for child in found[:_MOST_CHILDREN]]
        more = [f"{len(found) - len(few)} more"] if len(found) > len(few) else []
        yield f"{called(pid)} waits for a child to end: {', '.join([*few, *more])}"


def _deciders() -> Iterator[tuple[int, int]]:
    """Yield the descriptors of fanotify groups that are asked before others may go on."""
    for pid in processes():
        for slot in listed(f"/proc/{pid}/fd"):
            try:
                if os.readlink(f"/proc/{pid}/fd/{slot}") != "anon_inode:[fanotify]":
                    continue
                with open(f"/proc/{pid}/fdinfo/{slot}", "rb") as file:
                    flags = re.search(rb"^fanotify flags:([0-9a-f]+)", file.read(), re.MULTILINE)
            except OSError:
                continue
            if flags and int(flags[1], 16) & _FAN_CLASSES:
                yield pid, int(slot)


def _unanswered() -> Iterator[int]:
    """Yield the devices of FUSE filesystems with requests that wait (Documentation, fuse.rst)."""
    for name in listed(_CONNECTIONS):
        try:
            with open(f"{_CONNECTIONS}/{name}/waiting", "rb") as file:
                if int(file.read()):
                    yield os.makedev(0, int(name))
        except (OSError, ValueError):
            continue
