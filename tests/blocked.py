"""Processes that CRIU would stop at, in every way that one can be made: a script.

`python -m tests.blocked SCENE blocked|clean` makes what its rules are about, or the same without
what CRIU minds, prints what it knows of it as JSON, and keeps it until its standard input ends.
What this kernel or user cannot have is told as a name in `lacks`.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import select
import shutil
import signal
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fixtures import _linux
from tests import tied

if TYPE_CHECKING:
    from collections.abc import Callable

_UDP_CORK: Final = 1
_MPTCP: Final = 262
# AF_VSOCK, AF_ALG, AF_XDP, AF_KEY, AF_CAN: which of them there is, is the machine's affair.
_FAMILIES: Final = ((40, 1), (38, 5), (44, 3), (15, 3), (29, 3))
_F_SETLEASE: Final = 1024
_PIDFD_THREAD: Final = os.O_EXCL
_CLONE_FS: Final = 0x200
_CLONE_VFORK: Final = 0x4000
_CLONE_NEWTIME: Final = 0x80
_MS_BIND, _MS_REC, _MS_PRIVATE, _MS_SHARED, _MS_SLAVE = 4096, 16384, 1 << 18, 1 << 20, 1 << 19
_MNT_DETACH: Final = 2
_LOCAL: Final = "127.0.0.1"

_KEPT: list[object] = []

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Stage:
    """How a scene is made, where, and what is known of it."""

    blocked: bool
    folder: str
    shared: str
    known: dict[str, Any] = field(default_factory=dict)

    def lacks(self, name: str) -> None:
        """Tell that there is no such thing here."""
        self.known.setdefault("lacks", []).append(name)


def kept(thing: Any) -> Any:  # noqa: ANN401 - whatever is to stay open
    """Keep something open to the end."""
    _KEPT.append(thing)
    return thing


def opened(path: str, flags: int = os.O_RDONLY) -> int:
    """Open a file, to the end."""
    fd: int = kept(os.open(path, flags, 0o600))
    return fd


def mount(source: str, target: str, kind: str = "", flags: int = 0) -> None:
    _linux.call(
        "mount",
        *(os.fsencode(word) + b"\0" for word in (source, target, kind)),
        flags,
        None,
    )


def helper(main: Callable[[], object]) -> int:
    """Run `main` in a child that dies with us, and then stands still; return its pid."""
    inward, outward = os.pipe()
    pid = os.fork()
    if not pid:
        _linux.die_with_parent()
        try:
            main()
            os.write(outward, b"+")
            os.close(outward)
            signal.pause()
        finally:
            os._exit(1)
    os.close(outward)
    done = os.read(inward, 1)
    os.close(inward)
    if not done:
        raise OSError("the helper could not do it")
    return pid


# --- sockets


def tcp(stage: Stage) -> None:
    listener = kept(socket.create_server((_LOCAL, 0)))
    if stage.blocked:
        one = kept(socket.create_connection(listener.getsockname()))
        kept(listener.accept())
        stage.known["connection"] = os.fstat(one.fileno()).st_ino
    kept(socket.socket())


def tcp_waiting(stage: Stage) -> None:
    listener = kept(socket.create_server((_LOCAL, 0)))
    if stage.blocked:
        kept(socket.create_connection(listener.getsockname()))
        select.select([listener], [], [], 10)


def corked(stage: Stage) -> None:
    one = kept(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    one.bind((_LOCAL, 0))
    one.connect(one.getsockname())
    if stage.blocked:
        one.setsockopt(socket.IPPROTO_UDP, _UDP_CORK, 1)
    else:  # held back as well, but not by the option
        one.send(b"held back", socket.MSG_MORE)


def protocol(stage: Stage) -> None:
    try:
        kept(socket.socket(socket.AF_INET, socket.SOCK_STREAM, _MPTCP if stage.blocked else 0))
    except OSError:
        stage.lacks("inet-protocol")


def family(stage: Stage) -> None:
    kept(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
    for number, sort in _FAMILIES if stage.blocked else ():
        with suppress(OSError):
            kept(socket.socket(number, sort))
            return
    if stage.blocked:
        stage.lacks("socket-family")


def netlink(stage: Stage) -> None:
    one = kept(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE))
    one.bind((0, 0))
    if stage.blocked:  # RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP
        one.send(struct.pack("=LHHLL", 20, 18, 0x301, 1, 0) + bytes(4))
        select.select([one], [], [], 10)


def unix_listener(name: str) -> socket.socket:
    one: socket.socket = kept(socket.socket(socket.AF_UNIX))
    one.bind(f"\0cranalyze-{name}-{os.getpid()}")
    one.listen()
    return one


def unix_backlog(stage: Stage) -> None:
    listener, one = unix_listener("backlog"), kept(socket.socket(socket.AF_UNIX))
    one.connect(listener.getsockname())
    if stage.blocked:
        one.send(b"too early")


def unix_closed(stage: Stage) -> None:
    listener, one = unix_listener("closed"), socket.socket(socket.AF_UNIX)
    one.connect(listener.getsockname())
    if not stage.blocked:
        kept(listener.accept())
        kept(one)
        return
    one.close()


def unix_peer(stage: Stage) -> None:
    """Take the socket that we were given, whose other end is outside; or have both ends."""
    one, other = socket.socketpair()
    if stage.blocked and (fd := os.environ.get("CRANALYZE_PEER")):
        one.close()
        other.close()
        stage.known["peer"] = os.fstat(int(fd)).st_ino
        return
    kept((one, other))


def unix_datagram(stage: Stage) -> None:
    one = kept(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    name = os.environ.get("CRANALYZE_LOG", "") if stage.blocked else ""
    if not name:
        server = kept(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        server.bind(f"\0cranalyze-log-{os.getpid()}")
        name = server.getsockname().decode()[1:]
    one.connect(f"\0{name}")


# --- files


def anonymous(stage: Stage) -> None:
    made: tuple[tuple[str, Callable[[], int]], ...] = (
        ("io-uring", lambda: tied.call("io_uring_setup", 4, bytes(120))),
        ("userfaultfd", lambda: tied.call("userfaultfd", 1)),
        (
            "perf-event",
            lambda: tied.call(
                "perf_event_open", struct.pack("=2IQ", 1, 112, 0) + bytes(96), 0, -1, -1, 0
            ),
        ),
        ("anon-inode", lambda: _libc.syscall(430, b"tmpfs\0", 0)),  # fsopen(2), on all machines
    )
    for name, make in made if stage.blocked else ():
        try:
            lacks = make() < 0
        except OSError:
            lacks = True
        if lacks:
            stage.lacks(name)
    kept((select.epoll(), os.eventfd(0)))


def bpf(stage: Stage) -> None:
    if stage.blocked:
        kept(tied.bpf_map())


def device(stage: Stage) -> None:
    opened("/dev/null")
    if not stage.blocked:
        return
    for name in ("/dev/fuse", "/dev/loop-control", "/dev/kvm", "/dev/rtc0"):
        with suppress(OSError):
            opened(name)
            return
    stage.lacks("device")


def packets(stage: Stage) -> None:
    kept(os.pipe2(os.O_DIRECT if stage.blocked else 0))


def queue(stage: Stage) -> None:
    if stage.blocked:
        try:
            kept(tied.message_queue(b"cranalyze-blocked-%d\0" % os.getpid()))
            tied.call("mq_unlink", b"cranalyze-blocked-%d\0" % os.getpid())
        except OSError:
            stage.lacks("message-queue")


def names(stage: Stage) -> None:
    """Unlink a file that has another name, and a large one: or a small one, and neither."""
    one, large = f"{stage.folder}/one", f"{stage.folder}/large"
    opened(one, os.O_WRONLY | os.O_CREAT)
    os.link(one, f"{stage.folder}/other")
    os.write(opened(large, os.O_WRONLY | os.O_CREAT), bytes(2 << 20 if stage.blocked else 4096))
    os.unlink(large)
    if stage.blocked:
        os.unlink(one)
    big = os.memfd_create("big")  # never had a name
    os.write(kept(big), bytes(2 << 20))


def pidfds(stage: Stage) -> None:
    kept(os.pidfd_open(os.getpid()))
    if not stage.blocked:
        return
    kept(os.pidfd_open(int(os.environ["CRANALYZE_OUTSIDER"])))
    thread = threading.Thread(target=time.sleep, args=(3600,), daemon=True)
    thread.start()  # when this returns it has an id
    try:
        kept(os.pidfd_open(thread.native_id or 0, _PIDFD_THREAD))
    except OSError:
        stage.lacks("pidfd-thread")


def epoll(stage: Stage) -> None:
    """Watch what no descriptor is of any more, though it is open: it is under way in a socket."""
    polls, fd = kept(select.epoll()), os.eventfd(0)
    one, _ = kept(socket.socketpair())
    polls.register(fd, select.EPOLLIN)
    if stage.blocked:
        socket.send_fds(one, [b"x"], [fd])
        os.close(fd)


def namespace_file(stage: Stage) -> None:
    pid = helper(lambda: _linux.call("unshare", 0x04000000)) if stage.blocked else os.getpid()
    kept(os.open(f"/proc/{pid}/ns/uts", os.O_RDONLY))
    if stage.blocked:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def program(stage: Stage) -> None:
    path = shutil.which("sleep")
    assert path is not None
    fd = os.memfd_create("program", 0)
    if stage.blocked:
        os.write(fd, Path(path).read_bytes())
        path = f"/proc/self/fd/{fd}"
    pid = os.fork()
    if not pid:
        _linux.die_with_parent()
        try:
            os.execv(path, ["sleep", "3600"])  # noqa: S606 - no shell
        finally:
            os._exit(1)
    while os.readlink(f"/proc/{pid}/exe") == os.readlink("/proc/self/exe"):
        time.sleep(0.01)


def locks(stage: Stage) -> None:
    files = [opened(f"{stage.folder}/lock{n}", os.O_RDWR | os.O_CREAT) for n in range(2)]
    os.close(os.open(f"{stage.folder}/lease", os.O_WRONLY | os.O_CREAT))
    leased = opened(f"{stage.folder}/lease")
    if stage.blocked:
        fcntl.flock(files[0], fcntl.LOCK_EX)
        fcntl.lockf(files[1], fcntl.LOCK_EX)
        fcntl.fcntl(leased, _F_SETLEASE, fcntl.F_RDLCK)


def secret(stage: Stage) -> None:
    """Have memory that not even the kernel maps: a file of a mount of the kernel's own."""
    if stage.blocked:
        fd = _libc.syscall(447, 0)  # memfd_secret(2), on all machines
        if fd < 0:
            stage.lacks("kernel-file")


# --- tasks


def traced(stage: Stage) -> None:
    pid = helper(lambda: None)
    if stage.blocked:
        tied.call("ptrace", 0x4206, pid, 0, 0)  # PTRACE_SEIZE


def pending(stage: Stage) -> None:
    wanted = signal.SIGTRAP if stage.blocked else signal.SIGUSR1
    signal.pthread_sigmask(signal.SIG_BLOCK, {wanted})
    os.kill(os.getpid(), wanted)


def vfork(stage: Stage) -> None:
    """Let a child wait for its own child, which does not execute anything."""
    inward, outward = os.pipe()
    pid = os.fork()
    if not pid:
        _linux.die_with_parent()
        if not _linux.fork_sharing(_CLONE_VFORK if stage.blocked else 0):
            _linux.die_with_parent()
            os.write(outward, b"+")
        signal.pause()
    os.read(inward, 1)


def shared_fs(stage: Stage) -> None:
    if not _linux.fork_sharing(_CLONE_FS if stage.blocked else 0):
        _linux.die_with_parent()
        while True:
            signal.pause()


def shared_io(stage: Stage) -> None:
    """Have an I/O priority, and share it with a child."""
    tied.call("ioprio_set", 1, 0, 2 << 13 | 4)  # IOPRIO_WHO_PROCESS, best effort
    if not _linux.fork_sharing(tied.CLONE_IO if stage.blocked else 0):
        _linux.die_with_parent()
        while True:
            signal.pause()


def nested(stage: Stage) -> None:
    helper(lambda: _linux.call("unshare", 0x04000000 if stage.blocked else 0x40000000))


def time_namespace(stage: Stage) -> None:
    if stage.blocked:
        try:
            helper(lambda: _linux.call("unshare", _CLONE_NEWTIME))
        except OSError:
            stage.lacks("time-for-children")


def segment(stage: Stage) -> None:
    kept(mmap.mmap(-1, 4096))
    if stage.blocked:
        _libc.shmat.restype = ctypes.c_void_p
        number = _libc.shmget(0, 4096, 0o600)
        assert number >= 0
        address = _libc.shmat(number, None, 0)
        _libc.shmctl(number, 0, None)  # IPC_RMID: it goes with us
        assert address not in {None, ctypes.c_void_p(-1).value}


# --- mounts: in mount namespaces of its own


def below(stage: Stage) -> None:
    """Have a directory open, and mount something on it, or beside it."""
    for name in ("under", "beside"):
        Path(f"{stage.folder}/{name}").mkdir()
    kept(os.open(f"{stage.folder}/under", os.O_RDONLY))
    mount("none", f"{stage.folder}/{'under' if stage.blocked else 'beside'}", "tmpfs")


def part(stage: Stage) -> None:
    """Bind a part of a filesystem that is mounted nowhere else any more, or is."""
    for name in ("whole", "part"):
        Path(f"{stage.folder}/{name}").mkdir()
    mount("none", f"{stage.folder}/whole", "tmpfs")
    Path(f"{stage.folder}/whole/inner").mkdir()
    mount(f"{stage.folder}/whole/inner", f"{stage.folder}/part", "", _MS_BIND)
    if stage.blocked:
        os_umount(f"{stage.folder}/whole")


def os_umount(path: str) -> None:
    if _libc.umount2(os.fsencode(path), _MNT_DETACH):
        raise OSError(ctypes.get_errno(), "umount2")


def slave(stage: Stage) -> None:
    """Follow a mount whose group nothing of the namespace is in: what came before, unshared it."""
    place = stage.shared
    mount("none", place, "", _MS_SLAVE if stage.blocked else _MS_PRIVATE)


def ramfs(stage: Stage) -> None:
    Path(f"{stage.folder}/ram").mkdir()
    mount("none", f"{stage.folder}/ram", "ramfs" if stage.blocked else "tmpfs")


def detached(stage: Stage) -> None:
    Path(f"{stage.folder}/gone").mkdir()
    mount("none", f"{stage.folder}/gone", "tmpfs")
    kept(os.open(f"{stage.folder}/gone", os.O_RDONLY))
    if stage.blocked:
        os_umount(f"{stage.folder}/gone")


def door(stage: Stage) -> None:
    fd = int(os.environ["CRANALYZE_DOOR"])
    if not stage.blocked:
        os.close(fd)
        return
    stage.known["door"] = os.fstat(fd).st_ino


SCENES: Final = {
    "sockets": (
        tcp, tcp_waiting, corked, protocol, family, netlink, unix_backlog, unix_closed, unix_peer,
        unix_datagram,
    ),
    "files": (
        anonymous, bpf, device, packets, queue, names, pidfds, epoll, namespace_file, locks,
        segment, secret,
    ),
    "tasks": (program, traced, pending, vfork, shared_fs, shared_io, nested, time_namespace),
    "mounts": (below, part, slave, ramfs, detached, door),
    # For a CRIU that is there: what options allow, and what none does.
    "allowed": (names, locks),
    "refused": (packets,),
    "unsure": (bpf,),
}  # fmt: skip


def run(scene: str, how: str) -> None:
    """Make a scene, tell of it, and wait."""
    shared = os.environ.get("CRANALYZE_SHARED", "")
    stage = Stage(how == "blocked", os.environ["CRANALYZE_FOLDER"], shared)
    stage.known.update(pid=os.getpid(), folder=stage.folder, lacks=[])
    for make in SCENES[scene]:
        try:
            make(stage)
        except OSError as error:
            stage.lacks(f"{make.__name__}: {error}")
    print(json.dumps(stage.known), flush=True)  # noqa: T201 - the test reads it
    sys.stdin.read()


def main() -> None:
    """Run what the arguments say; mounts in namespaces and on a tmpfs of their own."""
    scene, how = sys.argv[1:]
    if scene != "mounts" or "CRANALYZE_SHARED" in os.environ:
        run(scene, how)
        return
    _linux.call("unshare", 0x00020000)
    mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    place = os.environ["CRANALYZE_FOLDER"]
    mount("none", place, "tmpfs")
    shared = f"{place}/shared"
    Path(shared).mkdir()
    mount("none", shared, "tmpfs")
    mount("none", shared, "", _MS_SHARED)
    pid = os.fork()
    if not pid:
        _linux.die_with_parent()
        os.setsid()
        _linux.call("unshare", 0x00020000)
        os.environ["CRANALYZE_SHARED"] = shared
        # A program of this namespace: what is mapped is of it, not of the one before.
        os.execv(sys.executable, [sys.executable, "-m", "tests.blocked", scene, how])  # noqa: S606 - no shell
    os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
