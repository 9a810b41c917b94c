"""The demo's stage: a small container with leaks, or the same one closed properly.

Run as a program of its own (`python -I -S demo_stage.py leaky|closed`), so that cranalyze, which
looks at it, is no part of it. It prints one line of JSON and stays until it is told to end.
Everything it starts dies with it, whatever kills it: each process asks for SIGKILL when its parent
goes (PR_SET_PDEATHSIG), and the container is a pid namespace, which goes with its first process.

Cast: the launcher (this process), the container's init, a worker in it, and a backup job outside
that still holds what it should have closed.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import sys

CLONE_FILES = 0x00000400
# include/uapi/linux/sched.h
NAMESPACES = {
    "user": 0x10000000,
    "mnt": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "pid": 0x20000000,
    "net": 0x40000000,
    "time": 0x00000080,
}
# What to do without, in this order, where the kernel or its administrator forbids one.
DISPENSABLE = ("time", "cgroup", "user")

_CLONE3 = 435  # include/uapi/asm-generic/unistd.h, the same on x86-64
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_HOST_FILE = "/etc/passwd"

_libc = ctypes.CDLL(None, use_errno=True)


def clone3(flags: int) -> int:
    """Fork with the given CLONE_* flags; return the child's pid, 0 in the child."""
    arguments = (ctypes.c_uint64 * 11)(flags, 0, 0, 0, signal.SIGCHLD)
    pid = int(_libc.syscall(_CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments)))
    if pid < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "clone3")
    return pid


def call_me(name: str) -> None:
    """Name this process, and tie its life to its parent's."""
    _libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def contained(extra: int = 0) -> tuple[int, list[str]]:
    """Fork a child into namespaces of its own; return its pid and the kinds done without."""
    without: list[str] = []
    while True:
        kinds = [kind for kind in NAMESPACES if kind not in without]
        try:
            pid = clone3(extra | sum(NAMESPACES[kind] for kind in kinds))
        except OSError as error:
            left = [kind for kind in DISPENSABLE if kind not in without]
            if error.errno not in (errno.EPERM, errno.EINVAL, errno.ENOSPC) or not left:
                raise
            without.append(left[0])
            continue
        if not pid:
            os.setsid()  # no session, and no terminal, of the launcher's
        return pid, without


def map_ids(pid: int) -> None:
    """Make us root in the child's user namespace (user_namespaces(7))."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {os.geteuid()} 1"),
        ("gid_map", f"0 {os.getegid()} 1"),
    ):
        with open(f"/proc/{pid}/{name}", "w") as file:
            file.write(text)


def sleep_for_ever() -> None:
    """Wait for the signal that ends us."""
    while True:
        signal.pause()


def own_stdio() -> None:
    """Open standard input, output and error anew, and close everything else."""
    os.closerange(0, 256)
    for _ in range(3):
        os.open("/dev/null", os.O_RDWR)


def start_backup(orders: int, ready: int) -> None:
    """Play the backup job: keep the launcher's file open and pin the container's uts namespace."""
    call_me("backup-job")
    root = int(os.read(orders, 32))
    os.close(orders)
    os.open(f"/proc/{root}/ns/uts", os.O_RDONLY)
    for fd in (0, 1, 2):
        os.close(fd)
    os.close(ready)
    sleep_for_ever()


def leaky() -> dict[str, object]:
    """Start a container that shares its launcher's descriptor table, and more."""
    os.open(_HOST_FILE, os.O_RDONLY)
    orders, tell = os.pipe()
    ready, done = os.pipe()
    backup = os.fork()
    if not backup:
        os.close(tell)
        os.close(ready)
        start_backup(orders, done)
    os.close(done)
    go, start = os.pipe()
    heard, hear = os.pipe()
    root, without = contained(CLONE_FILES)
    if not root:
        call_me("container")
        os.read(go, 1)
        os.write(hear, b"!")  # its last use of the table, which is the launcher's too
        sleep_for_ever()
    _mapped(root, without)
    os.write(start, b"!")
    os.read(heard, 1)
    os.write(tell, str(root).encode())
    os.read(ready, 1)
    for fd in (orders, tell, ready, go, start, heard, hear):
        os.close(fd)
    return {"root": root, "backup": backup, "without": without}


def closed() -> dict[str, object]:
    """Start the same container, closed properly: nothing inherited, nothing pinned."""
    ready, done = os.pipe()
    go, start = os.pipe()
    root, without = contained()
    if not root:
        os.close(ready)
        os.close(start)
        call_me("container")
        os.read(go, 1)
        os.set_inheritable(done, True)  # noqa: FBT003
        os.execv(sys.executable, [sys.executable, "-I", "-S", __file__, "inner", str(done)])
    os.close(done)
    os.close(go)
    _mapped(root, without)
    os.write(start, b"!")
    os.close(start)
    os.read(ready, 1)
    os.close(ready)
    return {"root": root, "without": without}


def inner(done: int) -> None:
    """Be the container's first process: own stdio, one worker. Closing `done` says ready."""
    call_me("container")
    ready, said = os.pipe()
    if not os.fork():
        own_stdio()
        call_me("worker")
        sleep_for_ever()
    os.close(said)
    os.read(ready, 1)
    keep = os.dup2(done, 255)
    os.closerange(0, 255)
    for _ in range(3):
        os.open("/dev/null", os.O_RDWR)
    os.close(keep)
    sleep_for_ever()


def end(*children: object) -> None:
    """Kill the children and wait for them, so that not even a zombie is left."""
    for child in children:
        if isinstance(child, int):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _mapped(root: int, without: list[str]) -> None:
    if "user" not in without:
        map_ids(root)


def main() -> None:
    """Play one scene: argv[1] is leaky, closed, or (for our own child) inner."""
    scene = sys.argv[1]
    if scene == "inner":
        inner(int(sys.argv[2]))
    call_me("launcher")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        facts = leaky() if scene == "leaky" else closed()
    except OSError as error:
        facts = {"error": f"{error.filename or 'the stage'}: {error.strerror}"}
    os.write(1, json.dumps({**facts, "launcher": os.getpid()}).encode() + b"\n")
    try:
        sleep_for_ever()  # not in read(2): with a shared table that holds the file once more
    finally:
        end(facts.get("root"), facts.get("backup"))


if __name__ == "__main__":
    main()
