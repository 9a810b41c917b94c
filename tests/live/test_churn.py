"""Whole machines while objects of every kind come and go on them, and storms of forks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from analyzer.sources import tasks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from analyzer.memory.reader import Memory

pytestmark = [pytest.mark.live, pytest.mark.bpf]

# One object of each kind, which a quiet machine may have none of, for a moment: by system calls of
# a process of its own, which ends when its input does. What cannot be made here is left out.
_OF_EVERY_KIND = """
import ctypes, errno, os, platform, select, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
IO_SETUP, IO_DESTROY = (206, 207) if X86 else (0, 1)
SHMGET, SHMCTL, SHMAT, SHMDT = (29, 31, 30, 67) if X86 else (194, 195, 196, 197)
NEW = [0x04000000, 0x08000000, 0x00020000, 0x40000000, 0x02000000, 0x10000000, 0x80]
libc.syscall.restype = ctypes.c_long

def aio():
    context = ctypes.c_ulong(0)
    if libc.syscall(IO_SETUP, 4, ctypes.byref(context)) == 0:
        return lambda: libc.syscall(IO_DESTROY, context)

def segment():
    number = libc.syscall(SHMGET, 0, 4096, 0o1600)
    at = libc.syscall(SHMAT, number, None, 0)
    libc.syscall(SHMCTL, number, 0, None)
    return lambda: libc.syscall(SHMDT, ctypes.c_void_p(at))

def uring():
    fd = libc.syscall(425, 4, ctypes.byref((ctypes.c_uint32 * 30)()))
    if fd >= 0:
        return lambda: os.close(fd)

def flight():
    a, b = socket.socketpair()
    socket.send_fds(a, [b"x"], [a.fileno(), os.open("/etc/passwd", os.O_RDONLY)])
    os.closerange(b.fileno() + 1, b.fileno() + 2)
    return lambda: (a.close(), b.close())

def various():
    fds = [os.pidfd_open(os.getpid()), os.eventfd(0), os.memfd_create("churn"), *os.pipe()]
    fds += [*os.openpty(), select.epoll().fileno(), os.open("/proc/self/ns/uts", os.O_RDONLY)]
    return lambda: [os.close(fd) for fd in fds if fd > 2]

def namespaces():
    down, up = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        os.close(down[1])
        for flag in NEW:
            libc.unshare(flag)
        os.write(up[1], b"x")
        os.read(down[0], 1)
        os._exit(0)
    os.read(up[0], 1)
    def end():
        for fd in (*down, *up):
            os.close(fd)
        os.waitpid(pid, 0)
    return end

print(flush=True)
while not select.select([0], [], [], 0)[0]:
    undo = []
    for make in (aio, segment, uring, flight, various, namespaces):
        try:
            undo.append(make())
        except OSError:
            pass
        time.sleep(0.01)
    for one in undo:
        if one:
            one()
        time.sleep(0.02)
"""

# What any user can do: 64 thousand numbers a second at best, none of which is used for long.
_FORKS = """
import ctypes, os, sys
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
parent = os.getppid()
print(flush=True)
while os.getppid() == parent:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
"""


@contextmanager
def running(code: str, times: int = 1) -> Iterator[None]:
    """Run a program in processes of its own."""
    command = [sys.executable, "-I", "-S", "-c", code]
    pipe = subprocess.PIPE
    started = [subprocess.Popen(command, stdin=pipe, stdout=pipe) for _ in range(times)]
    try:
        for one in started:
            assert one.stdout is not None
            one.stdout.readline()
        yield
    finally:
        for one in started:
            assert one.stdin is not None
            assert one.stdout is not None
            one.stdin.close()
            if code is _FORKS:
                one.kill()
            one.wait(20)
            one.stdout.close()


def cranalyze(*arguments: str) -> tuple[int, str, str]:
    """Run the command line; return its exit code, stdout and stderr."""
    command = [sys.executable, "-m", "analyzer", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_a_whole_machine_is_read_while_objects_of_every_kind_come_and_go(tmp_path: Path) -> None:
    file = str(tmp_path / "host.crz")
    with running(_OF_EVERY_KIND):
        for _ in range(5):
            assert cranalyze("census", "--json")[::2] == (0, "")
            assert cranalyze("who", f"{os.getpid()}:mm", "--json")[0] == 0
            code, _, said = cranalyze("collect", "--scope", "host", "--force", "-o", file)
            assert code == 0, said


def test_nobody_is_hidden_by_a_storm_of_forks(memory: Memory) -> None:
    """An idle process is found each time, and so are the others: no list is torn by neighbours."""
    quiet = {1, 2, os.getpid()}
    with running(_FORKS, 2), open("/etc/passwd", "rb") as file:
        for _ in range(300):
            found = tasks.read(memory)
            assert quiet <= set(found.local.tolist())
            assert not found.torn
        for _ in range(5):
            code, said, _ = cranalyze("who", f"{os.getpid()}:{file.fileno()}", "--json")
            assert code == 0
            assert json.loads(said)["answers"][0]["found"]
            assert cranalyze("check", str(os.getppid()), "--json")[0] == 16
