"""The processes that the notebooks look at: a program of its own, which `stage.py` starts.

    python -I actors.py first_leak|shop|pinned

It prints a line of JSON when all stands, and one more for each line that it reads: every line is a
step of its scene. The end of stdin ends it, and whatever ends it, all that it started ends with it:
each process asks for SIGKILL when its parent goes, and a container is a pid namespace, which goes
with its first process. No file, mount or name is left behind.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Final, NoReturn

from analyzer.demo.stage import NAMESPACES, call_me, contained, end, map_ids, sleep_for_ever

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Scene = Generator[dict[str, object], None, None]

_FILE: Final = "/etc/passwd"
_SHOP_FILE: Final = 5
_PIDFD_GETFD: Final = 438  # include/uapi/asm-generic/unistd.h, the same on x86-64
_PATIENCE: Final = 10.0  # seconds

_libc = ctypes.CDLL(None, use_errno=True)


def first_leak() -> Scene:
    """Start a container that inherits an open file, and a monitor that looks into it."""
    call_me("supervisor")
    leaked = os.open(_FILE, os.O_RDONLY)
    root = container("service", leaked)
    monitor = outside("monitor", lambda: keep(os.open(f"/proc/{root}/ns/net", os.O_RDONLY)))
    try:
        yield {"root": root, "leaked": leaked}
        os.kill(root, signal.SIGUSR1)
        _until(lambda: not os.path.lexists(f"/proc/{root}/fd/{leaked}"))
        yield {"now": f"the service has closed its descriptor {leaked}"}
        end(monitor)
        monitor = 0
        yield {"now": "the monitor has ended"}
    finally:
        end(root, *filter(None, [monitor]))


def service(leaked: int) -> None:
    """Be the first process of that container; SIGUSR1 has it close what it inherited."""
    signal.signal(signal.SIGUSR1, lambda *_: os.close(leaked))
    keep(leaked)


def shop() -> Scene:
    """Start a container of three processes, and three outside that hold something of it."""
    call_me("supervisor")
    reader, writer = os.pipe()
    root = container("shop", writer)
    os.close(writer)
    outsiders = [
        outside("logger", lambda: keep(reader)),
        outside("backup", lambda: mail(_copy(root, _SHOP_FILE))),
        outside("debugger", lambda: keep(os.open(f"/proc/{root}/ns/net", os.O_RDONLY))),
    ]
    os.close(reader)
    try:
        yield {"root": root}
    finally:
        end(root, *outsiders)


def shop_inside(log: int) -> None:
    """Be the shop: one log and one open file for all, and two children with a line between them."""
    keep(log)
    file = os.open(_FILE, os.O_RDONLY)
    os.dup2(file, _SHOP_FILE)
    os.close(file)
    ends = socket.socketpair()
    for name, own in zip(("web", "worker"), ends, strict=True):
        if not os.fork():
            call_me(name)
            keep(log, _SHOP_FILE, own.fileno(), *_READY)
            return
    for one in ends:
        one.close()


def pinned() -> Scene:
    """Make a network namespace that nobody is in; keep it open, then in a queue."""
    call_me("keeper")
    builder = outside("builder", lambda: _libc.unshare(NAMESPACES["net"]))
    kept = os.open(f"/proc/{builder}/ns/net", os.O_RDONLY)
    end(builder)
    number = os.fstat(kept).st_ino
    yield {"keeper": os.getpid(), "fd": kept, "asked": f"net:[{number}]"}
    here, there = socket.socketpair()
    socket.send_fds(here, [b"keep this"], [kept])
    os.close(kept)
    yield {"now": f"the keeper has sent descriptor {kept} to itself, and closed it"}
    for fd in socket.recv_fds(there, 16, 1)[1]:
        os.close(fd)
    yield {"now": "the keeper has received it, and closed that too"}


_READY: list[int] = []  # the end of a pipe that says by its closing that we are in place


def container(entry: str, *inherited: int) -> int:
    """Start `entry` as the first process of a container, with these descriptors; return its pid."""
    ready, done = os.pipe()
    go, start = os.pipe()
    pid, without = contained()
    if not pid:
        call_me(entry)
        os.close(start)
        os.read(go, 1)
        for fd in (done, *inherited):
            os.set_inheritable(fd, True)  # noqa: FBT003
        words = [entry, *map(str, (done, *inherited))]
        os.execv(sys.executable, [sys.executable, "-I", __file__, *words])
    if "user" not in without:
        map_ids(pid)
    os.close(start)
    _settled(ready, done, go)
    return pid


def outside(name: str, act: Callable[[], object]) -> int:
    """Start a process beside us that does `act` and then waits; return its pid."""
    ready, done = os.pipe()
    pid = os.fork()
    if not pid:
        _live(name, done, act)
    _settled(ready, done)
    return pid


def _live(name: str, done: int, act: Callable[[], object]) -> NoReturn:
    try:
        call_me(name)
        _READY.append(done)
        act()
        os.close(done)
        sleep_for_ever()
    finally:
        os._exit(1)


def _settled(ready: int, *others: int) -> None:
    """Wait until nobody has the other end of `ready` open."""
    for fd in others:
        os.close(fd)
    os.read(ready, 1)
    os.close(ready)


def keep(*kept: int) -> None:
    """Close every descriptor but these, and have a standard input, output and error of our own."""
    for fd in set(range(256)) - {*kept, *_READY}:
        try:
            os.close(fd)
        except OSError:  # it was not open
            continue
    for _ in range(3):
        os.open("/dev/null", os.O_RDWR)


def mail(fd: int) -> None:
    """Send a descriptor to ourselves and close it: the file is then in flight, open nowhere."""
    here, there = socket.socketpair()
    socket.send_fds(here, [b"keep this"], [fd])
    keep(here.detach(), there.detach())


def _copy(pid: int, fd: int) -> int:
    """Copy a descriptor of another process (pidfd_getfd(2)), as debuggers do."""
    pidfd = os.pidfd_open(pid)
    copied = int(_libc.syscall(_PIDFD_GETFD, pidfd, fd, 0))
    if copied < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return copied


def _until(true: Callable[[], bool]) -> None:
    patience = time.monotonic() + _PATIENCE
    while not true():
        if time.monotonic() > patience:
            raise TimeoutError("what was asked for did not happen")
        time.sleep(0.01)


def play(scene: Scene) -> None:
    """Take a step of the scene for each line on stdin, and say what stands."""
    for facts in scene:
        os.write(1, json.dumps(facts).encode() + b"\n")
        if not os.read(0, 64):  # stdin has ended, and so do we
            return


def main() -> None:
    """Play a scene, or (for our own child) be the first process of its container."""
    word, *numbers = sys.argv[1:]
    inside = {"service": service, "shop": shop_inside}
    if numbers:
        call_me(word)  # exec took the name away
        _READY.append(int(numbers[0]))
        inside[word](*map(int, numbers[1:]))
        os.close(_READY[0])
        sleep_for_ever()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    scene = {"first_leak": first_leak, "shop": shop, "pinned": pinned}[word]()
    try:
        play(scene)
    except OSError as error:
        os.write(1, json.dumps({"error": str(error)}).encode() + b"\n")
    finally:
        scene.close()


if __name__ == "__main__":
    main()
