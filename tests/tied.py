"""Processes that are tied to each other in every way that is no counted reference: a script.

Its process is the parent of two, X and Y, children of a session leader that has ended, and of a
pair in a vfork. It prints their ids as JSON, and keeps them until its standard input ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import struct
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fixtures import _linux

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CALLS: Final = {  # x86-64, arm64
    "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191), "msgget": (68, 186),
    "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187), "mq_open": (240, 180),
    "mq_unlink": (241, 181), "keyctl": (250, 219), "ioprio_set": (251, 30),
    "perf_event_open": (298, 241), "bpf": (321, 280), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "ptrace": (101, 117),
}  # fmt: skip
CLONE_PARENT: Final = 0x8000
CLONE_SYSVSEM: Final = 0x40000
CLONE_IO: Final = 0x80000000
SEM_UNDO: Final = 0x1000
_SQPOLL: Final = 2
_NEW_LISTENER: Final = 8
_QUEUE: Final = b"cranalyze-tied-%d\0"

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def call(name: str, *args: int | bytes | None) -> int:
    """Make a system call that `_linux` has no number for; OSError on failure."""
    column = 0 if os.uname().machine == "x86_64" else 1
    words = [
        ctypes.c_ulong(a & 0xFFFFFFFFFFFFFFFF) if isinstance(a, int) else ctypes.c_char_p(a)
        for a in args
    ]
    result = _libc.syscall(CALLS[name][column], *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)
    return int(result)


def semaphore(number: int, which: int, flags: int = 0) -> None:
    """Add one to a semaphore."""
    call("semop", number, struct.pack("=Hhh", which, 1, flags), 1)


def message_queue(name: bytes) -> int:
    """Open a POSIX message queue, which is made if need be."""
    return call("mq_open", name, os.O_RDWR | os.O_CREAT, 0o600, None)


def bpf_map() -> tuple[int, int]:
    """Return the descriptor and the id of a new BPF map."""
    fd = call("bpf", 0, struct.pack("=4I", 2, 4, 4, 1) + bytes(112), 128)
    said = Path(f"/proc/self/fdinfo/{fd}").read_text()
    return fd, int(said.split("map_id:")[1].split()[0])


def bpf_link(group: Path) -> int:
    """Attach a program that lets all pass to a cgroup, and return the descriptor of the link."""
    code = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xB7, 0, 0, 1, 0x95, 0, 0, 0))
    license_ = ctypes.create_string_buffer(b"GPL")
    program = struct.pack("=2I2Q", 8, 2, ctypes.addressof(code), ctypes.addressof(license_))
    fd = call("bpf", 5, program + bytes(104), 128)
    place = os.open(group, os.O_RDONLY)
    try:
        return call("bpf", 28, struct.pack("=4I", fd, place, 0, 0) + bytes(112), 128)
    finally:
        os.close(place)
        os.close(fd)


def listener() -> int:
    """Install a filter that allows all, and return its listener."""
    code = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000))
    program = struct.pack("=HxxxxxxQ", 1, ctypes.addressof(code))
    _linux.prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
    return _linux.call("seccomp", 1, _NEW_LISTENER, program)


def ring() -> int:
    """Return an io_uring whose submissions a thread of ours takes, mapped by nobody."""
    parameters = struct.pack("=5I", 0, 0, _SQPOLL, 0, 60000) + bytes(100)
    return call("io_uring_setup", 4, parameters)


def made(facts: dict[str, int], name: str, make: Callable[[], int]) -> None:
    """Make something, and tell its number; -1 where this kernel or user cannot have it."""
    try:
        facts[name] = make()
    except OSError:
        facts[name] = -1


def y_does(facts: dict[str, int]) -> None:
    """Make what X takes, and use what X uses."""
    semaphore(facts["sem"], 1)
    call("msgrcv", facts["msg"], bytes(16), 1, 0, 0)
    made(facts, "mq", lambda: message_queue(_QUEUE % facts["top"]))
    facts["map"], facts["map_id"] = bpf_map()
    made(facts, "userfaultfd", lambda: call("userfaultfd", 1))
    made(facts, "listener", listener)
    made(facts, "ring", ring)


def x_does(facts: dict[str, int]) -> None:
    """Take Y's, look at it, and use what it uses."""
    y = facts["y"]
    semaphore(facts["sem"], 0)
    call("msgsnd", facts["msg"], struct.pack("=q", 1) + b"x", 1, 0)
    pidfd = os.pidfd_open(y)
    for name in ("userfaultfd", "listener", "ring"):
        if facts[name] >= 0:
            _linux.call("pidfd_getfd", pidfd, facts[name], 0)
    os.open(f"/proc/{y}/mem", os.O_RDWR)
    os.open(f"/proc/{y}/stat", os.O_RDONLY)
    message_queue(_QUEUE % facts["top"])
    call("bpf", 14, struct.pack("=I", facts["map_id"]) + bytes(124), 128)
    attributes = struct.pack("=2IQ", 1, 112, 0) + bytes(96)  # PERF_TYPE_SOFTWARE, CPU_CLOCK
    made(facts, "perf", lambda: call("perf_event_open", attributes, y, -1, -1, 0))
    made(facts, "link", lambda: bpf_link(own_group(facts["top"])))
    call("ptrace", 0x4206, y, 0, 0)  # PTRACE_SEIZE


def child(
    facts: dict[str, int], name: str, does: Callable[[dict[str, int]], None], flags: int = 0
) -> tuple[int, int, int]:
    """Make a process that does, tells, and closes what the other took when it is told to."""
    told, tell = os.pipe()
    wait, go = os.pipe()
    pid = _linux.fork_sharing(flags)
    if pid:
        os.close(tell)
        os.close(wait)
        return pid, told, go
    try:
        _linux.die_with_parent() if not flags else None
        _linux.prctl(_linux.PR_SET_NAME, name.encode() + b"\0")
        os.close(told)
        os.close(go)
        does(facts)
        os.write(tell, json.dumps(facts).encode() + b"\n")
        if os.read(wait, 1):
            for taken in ("userfaultfd", "listener", "ring"):
                with contextlib.suppress(OSError):
                    os.close(facts[taken])
            os.write(tell, b"{}\n")
        signal.pause()
    except BaseException:  # noqa: BLE001 - whatever it is, it must be seen
        traceback.print_exc()
    finally:
        os._exit(0)


def answer(fd: int) -> dict[str, Any]:
    """Return what a child tells."""
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(fd, 1)
        if not more:
            raise RuntimeError("a process of the scene has failed")
        line += more
    found: dict[str, Any] = json.loads(line)
    return found


def pair(facts: dict[str, int]) -> dict[str, int]:
    """Make X and Y, children of a session leader that has ended: they are ours then."""
    reader, writer = os.pipe()
    leader = os.fork()
    if not leader:
        try:
            os.write(writer, json.dumps(_made_by_leader(facts)).encode() + b"\n")
        except BaseException:  # noqa: BLE001 - whatever it is, it must be seen
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(leader, 0)
    return answer(reader)


def _made_by_leader(facts: dict[str, int]) -> dict[str, int]:
    os.setsid()
    call("ioprio_set", 1, 0, 2 << 13 | 4)
    semaphore(facts["sem"], 2, SEM_UNDO)
    flags = CLONE_SYSVSEM | CLONE_IO
    y, y_told, y_go = child(facts, "tied-y", y_does, flags)
    facts = answer(y_told) | {"y": y}
    x, x_told, _ = child(facts, "tied-x", x_does, flags)
    facts = answer(x_told) | {"x": x}
    os.write(y_go, b".")
    answer(y_told)
    return facts


def vfork(facts: dict[str, int]) -> None:
    """Make a process that waits in a vfork for a sibling."""
    reader, writer = os.pipe()
    waits = os.fork()
    if not waits:
        _linux.die_with_parent()
        pid = _linux.fork_sharing(_linux.CLONE_VFORK | CLONE_PARENT)
        if not pid:
            _linux.die_with_parent()
            os.write(writer, json.dumps({"vforked": os.getpid()}).encode() + b"\n")
            signal.pause()
        os._exit(0)
    facts |= answer(reader) | {"waits": waits}


@contextlib.contextmanager
def surroundings(facts: dict[str, int]) -> Iterator[None]:
    """Make what all have in common, and remove what outlives processes."""
    call("keyctl", 1, b"cranalyze-tied\0")  # KEYCTL_JOIN_SESSION_KEYRING
    facts |= {"sem": call("semget", 0, 3, 0o600), "msg": call("msgget", 0, 0o600)}
    call("msgsnd", facts["msg"], struct.pack("=q", 1) + b"x", 1, 0)
    group = cgroup()
    facts["cgroup"] = int(group is not None)
    try:
        yield
    finally:
        for name in ("x", "y", "vforked", "waits"):
            if name in facts:
                with contextlib.suppress(OSError):
                    os.kill(facts[name], signal.SIGKILL)
        while True:
            try:
                os.wait()
            except ChildProcessError:
                break
        call("semctl", facts["sem"], 0, 0, 0)
        call("msgctl", facts["msg"], 0, None)
        with contextlib.suppress(OSError):
            call("mq_unlink", _QUEUE % os.getpid())
        if group:
            (group.parent / "cgroup.procs").write_text("0")
            for _ in range(50):
                with contextlib.suppress(OSError):
                    group.rmdir()
                    break
                time.sleep(0.02)


def own_group(pid: int) -> Path:
    """Return where the group of a scene is to be."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    place = next((m[1] for m in mounts if m[2] == "cgroup2"), "/proc")
    return Path(place) / f"cranalyze-tied-{pid}"


def cgroup() -> Path | None:
    """Go into a new version 2 group, where that can be had."""
    group = own_group(os.getpid())
    try:
        group.mkdir()
        (group / "cgroup.procs").write_text("0")
    except OSError:
        return None
    return group


def main() -> None:
    """Make the scene, tell it, and wait for the end of our standard input."""
    os.setsid()
    _linux.prctl(_linux.PR_SET_CHILD_SUBREAPER, 1)
    facts = {"top": os.getpid()}
    with surroundings(facts):
        facts |= pair(facts)
        vfork(facts)
        print(json.dumps(facts), flush=True)  # noqa: T201 - a script
        sys.stdin.read()


if __name__ == "__main__":
    main()
