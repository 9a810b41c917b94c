"""A busy neighbour: strangers' objects of every kind, that stand, come and go beside the tests.

    python -m tests.neighbour     # until stdin ends, or its parent does

Nothing may assume an idle machine, so CI has none. In the namespaces that the tests live in there
are a shared memory segment, an AIO context, an io_uring, pipes, sockets and files in flight between
two strangers, made anew every second; beside them the fixtures, as containers that come and go: six
stand at a time. It is bounded (one fixture a second, niced), and all of it dies with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import mmap
import os
import platform
import random
import select
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import fixtures
from fixtures import _linux, _uring

if TYPE_CHECKING:
    from collections.abc import Iterator

STANDING: Final = 6
_PACE: Final = 1.0  # seconds from one change to the next
_PAIR: Final = "--pair"
_IO_SETUP: Final = {"x86_64": 206, "aarch64": 0}
_IPC_CREAT_0600: Final = 0o1600
_IPC_RMID: Final = 0

# Those that leave the host's own devices and mounts alone, and are cheap.
CONTAINERS: Final = (
    "contained", "shm", "scm", "fork-file", "aio", "io-uring", "join-net", "pipes", "unix-peer",
    "nested", "pin-uts", "sleepers", "tcp-orphans", "kinds", "shm-outside", "bind-empty",
    "io-uring-outside", "pin-pid", "clone-files", "mqueue",
)  # fmt: skip


def main() -> None:
    """Be busy until stdin ends."""
    _linux.die_with_parent()
    os.nice(10)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    order = random.Random(8)  # noqa: S311 - the same days every time
    usable = [name for name in CONTAINERS if name in fixtures.FACTORIES and _may(name)]
    with contextlib.ExitStack() as everything:
        standing: list[contextlib.ExitStack] = []
        for turn in itertools.count():
            standing.append(everything.enter_context(contextlib.ExitStack()))
            _start(standing[-1], order.choice(usable))
            if turn + 1 == STANDING:
                print("busy", flush=True)  # noqa: T201 - who started it waits for this
            if len(standing) > STANDING:
                standing.pop(0).close()
            if select.select([sys.stdin], [], [], _PACE if turn >= STANDING else 0)[0]:
                return


def _may(name: str) -> bool:
    return os.geteuid() == 0 or not fixtures.FACTORIES[name].needs_root


def _start(stack: contextlib.ExitStack, name: str) -> None:
    """Start a fixture, and a pair of strangers; what this machine cannot make is left out."""
    with contextlib.suppress(RuntimeError):
        stack.enter_context(_whatever_happens(name))
    stack.enter_context(_strangers())


@contextlib.contextmanager
def _whatever_happens(name: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(fixtures.start(name))
        yield
        with contextlib.suppress(RuntimeError):  # it ended otherwise: not our matter
            stack.close()


@contextlib.contextmanager
def _strangers() -> Iterator[None]:
    command = [sys.executable, "-m", "tests.neighbour", _PAIR]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            yield
        finally:
            process.kill()


def pair() -> None:
    """Be two strangers that share what they have, in the namespaces of who started us."""
    _linux.die_with_parent()
    above = os.getppid()
    kept = [*_segment(), *_ring(), *_sockets(), *os.pipe()]
    kept += [os.open("/etc/passwd", os.O_RDONLY), os.open("/dev/null", os.O_RDWR)]
    _context()
    leader = os.getpid()
    if os.fork() == 0:
        _linux.die_with_parent()
        above = leader
    while os.getppid() == above:  # it may have died before we could ask to be told
        os.close(os.dup(kept[-1]))
        select.select([], [], [], 0.05)


def _segment() -> list[int]:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
    number = libc.shmget(0, mmap.PAGESIZE, _IPC_CREAT_0600)
    if number >= 0:
        libc.shmat(number, None, 0)
        libc.shmctl(number, _IPC_RMID, None)  # it goes with its last attach
    return []


def _context() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    number = _IO_SETUP.get(platform.machine())
    if number is not None:
        libc.syscall(number, 4, ctypes.byref(ctypes.c_ulong(0)))


def _ring() -> list[int]:
    try:
        return [_uring.Ring().fd]
    except OSError:
        return []


def _sockets() -> list[int]:
    ends = socket.socketpair()
    read, write = os.pipe()
    socket.send_fds(ends[0], [b"x"], [read, write, ends[1].fileno()])
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    return [read, write, *(one.detach() for one in (*ends, server, client))]


if __name__ == "__main__":
    pair() if sys.argv[1:] == [_PAIR] else main()
