"""What objects say of their state, held against what their makers know of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import fixtures
from analyzer.core.model import TASK
from analyzer.memory.probe import open_memory
from analyzer.sources import kernel, procfs
from analyzer.sources.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.snapshot.value import Snapshot

pytestmark = [pytest.mark.live, pytest.mark.bpf]

FILES = """
import ctypes, fcntl, json, os, pty, select, signal, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def say(**fds):
    print(json.dumps(fds), flush=True)
    sys.stdin.read()
def memfd():
    fd = os.memfd_create("hostile\\nname", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 8192)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return fd
"""


@contextmanager
def made(code: str, *arguments: str) -> Iterator[tuple[dict[str, Any], Snapshot, int]]:
    """Yield what a program that ran `code` says of itself, what was read of it, and its pid."""
    argv = [sys.executable, "-c", FILES + code, *arguments]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            said = json.loads(process.stdout.readline())
            with open_memory() as memory:
                yield said, kernel.collect(memory, Request(process.pid)), process.pid
        finally:
            process.kill()


def facts(snapshot: Snapshot, kind: str, ref: int) -> dict[str, Any]:
    table = snapshot.tables["facts"]
    rows = [table.row(row) for row in range(len(table))]
    return {
        row["fact"]: row["text"] if row["number"] is None else row["number"]
        for row in rows
        if (row["kind"], row["ref"]) == (kind, ref)
    }


def opened(snapshot: Snapshot, pid: int, fd: int) -> int:
    """Return the objref of what a process has open."""
    references = snapshot.tables["references"]
    rows = [references.row(row) for row in range(len(references))]
    (files,) = (
        row["target"] for row in rows if (row["association"], row["holder"]) == ("files", pid)
    )
    (found,) = (
        row["target"]
        for row in rows
        if (row["association"], row["holder"], row["slot"]) == ("fd", files, fd)
    )
    return int(found)


def behind(snapshot: Snapshot, objref: int, association: str) -> int:
    references = snapshot.tables["references"]
    rows = [references.row(row) for row in range(len(references))]
    (found,) = (
        row["target"]
        for row in rows
        if (row["holder_kind"], row["holder"], row["association"]) == ("FILE", objref, association)
    )
    return int(found)


ANONYMOUS = """
event, poll = os.eventfd(7), select.epoll()
poll.register(event, select.EPOLLIN)
timer = libc.timerfd_create(1, 0)
interval = struct.pack("@4q", 5, 250, 3600, 0)
libc.timerfd_settime(timer, 0, interval, None)
mask = ctypes.create_string_buffer(struct.pack("@Q", 1 << 14 | 1 << 9), 128)
signals = libc.signalfd(-1, mask, 0)
watch = libc.inotify_init1(0)
libc.inotify_add_watch(watch, b"/etc/passwd", 0xfff)
libc.inotify_add_watch(watch, b"/", 0xfff)
log = os.open("/etc/passwd", os.O_RDONLY | os.O_NONBLOCK)
path = os.open("/", os.O_PATH)
say(event=event, poll=poll.fileno(), timer=timer, signals=signals, watch=watch, memfd=memfd(),
    process=os.pidfd_open(os.getppid()), parent=os.getppid(), log=log, path=path,
    size=os.stat(log).st_size)
"""


def test_files_without_a_name_say_what_they_are() -> None:
    with made(ANONYMOUS) as (said, snapshot, pid):

        def of(name: str) -> dict[str, Any]:
            return facts(snapshot, "FILE", opened(snapshot, pid, said[name]))

        assert of("event")["eventfd.count"] == 7
        assert of("event")["eventfd.id"] >= 0
        assert of("poll")["epoll.targets"] == str(said["event"])
        assert of("timer")["timerfd.clock"] == "monotonic"
        assert of("timer")["timerfd.interval"] == 5 * 10**9 + 250
        assert of("signals")["signalfd.mask"] == "USR1,TERM"
        assert of("watch")["inotify.watches"] == 2
        assert of("watch")["inotify.paths"].count("/etc/passwd") == 1
        assert of("memfd")["memfd.seals"] == "shrink,grow"
        assert of("memfd")["size"] == 8192
        log = of("log")
        assert (log.pop("open.type"), log.pop("space") > 0) == ("file", True)
        assert log.pop("source")
        assert log == {
            "open.mode": "read",
            "open.flags": "nonblock",
            "size": said["size"],
        }
        assert of("path")["open.mode"] == "path"
        watched = {
            str(int(line.split("ino:")[1].split()[0], 16))
            for line in Path(f"/proc/{pid}/fdinfo/{said['watch']}").read_text().splitlines()
            if line.startswith("inotify ")
        }
        inodes = of("watch")["inotify.inodes"].split(",")
        assert ({*inodes[::2]}, all(inodes)) == (watched, True)
        process = of("process")
        assert process["pidfd.pid"]
        assert process["pidfd.comm"] == Path("/proc/self/comm").read_text().rstrip("\n")
        numbers = process["pidfd.nspid"].split(",")
        assert (numbers[0], numbers[-1]) == (str(process["pidfd.pid"]), str(os.getpid()))


SOCKETS = """
server = socket.socket()
server.bind(("127.0.0.1", 0)); server.listen(5)
client = socket.create_connection(server.getsockname())
waiting = socket.create_connection(server.getsockname())
accepted, _ = server.accept()
six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
six.bind(("::1", 0))
abstract = socket.socket(socket.AF_UNIX)
abstract.bind(b"\\0ends of \\xff" + str(os.getpid()).encode()); abstract.listen(3)
caller = socket.socket(socket.AF_UNIX)
caller.connect(abstract.getsockname())
one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
one.send(b"x"); one.send(b"y")
other.shutdown(socket.SHUT_WR)
link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15)
link.bind((0, 1))
packet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
packet.bind(("lo", 0x0806))
unbound = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
say(server=server.fileno(), port=server.getsockname()[1], client=client.fileno(),
    own=client.getsockname()[1], six=six.fileno(), sixth=six.getsockname()[1],
    abstract=abstract.fileno(), caller=caller.fileno(), one=one.fileno(), other=other.fileno(),
    packet=packet.fileno(), unbound=unbound.fileno(), raw=raw.fileno(),
    link=link.fileno(), linked=link.getsockname()[0], inode=os.fstat(one.fileno()).st_ino,
    net=os.stat("/proc/self/ns/net").st_ino)
"""


def test_sockets_say_their_addresses_and_states() -> None:
    with made(SOCKETS) as (said, snapshot, pid):

        def of(name: str, kind: str = "NET_SOCKET") -> dict[str, Any]:
            file = opened(snapshot, pid, said[name])
            return facts(snapshot, kind, behind(snapshot, file, "sock"))

        server, client = of("server"), of("client")
        assert (server["local"], server["socket.state"], server["socket.backlog"]) == (
            f"127.0.0.1:{said['port']}",
            "listening",
            5,
        )
        assert server["socket.waiting"] == 1
        assert (server["socket.family"], server["socket.type"], server["socket.protocol"]) == (
            "inet",
            "stream",
            "tcp",
        )
        assert client["socket.netns"] == said["net"]
        assert (client["local"], client["remote"]) == (
            f"127.0.0.1:{said['own']}",
            f"127.0.0.1:{said['port']}",
        )
        assert client["socket.state"] == "established"
        assert of("six")["local"] == f"[::1]:{said['sixth']}"
        assert of("six")["socket.state"] == "unconnected"
        abstract = of("abstract", "SOCKET")
        assert abstract["local"] == f"@ends of \udcff{pid}"
        assert (abstract["socket.waiting"], abstract["socket.state"]) == (1, "listening")
        assert of("caller", "SOCKET")["remote"] == abstract["local"]
        other = of("other", "SOCKET")
        assert (other["socket.queued"], other["socket.peer"]) == (2, said["inode"])
        assert (other["socket.type"], other["socket.state"]) == ("seqpacket", "connected")
        assert (other["socket.shutdown"], of("one", "SOCKET")["socket.shutdown"]) == ("r-", "-w")
        assert of("server")["socket.shutdown"] == "rw"
        packet, unbound = of("packet"), of("unbound")
        assert (packet["packet.interface"], packet["packet.protocol"]) == ("lo", "ARP")
        assert not {"packet.interface", "packet.protocol"} & {*unbound}
        assert (of("raw")["socket.type"], of("raw")["socket.protocol"]) == ("raw", "icmp")
        assert (of("link")["socket.protocol"], of("link")["local"]) == (
            "kobject_uevent",
            str(said["linked"]),
        )


TERMINAL = """
os.setsid()  # what started the tests may be in the kernel's first session, which has no number
master, slave = pty.openpty()
segment = libc.shmget(0, 12345, 0o1600)
libc.shmat.restype = ctypes.c_void_p
libc.shmat(segment, None, 0)
libc.shmctl(segment, 0, None)
child = os.fork()
if not child:
    os._exit(3)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
queue = libc.mq_open(b"/ends-%d" % os.getpid(), 0o102, 0o600, None)
libc.mq_send(queue, b"x", 1, 0)
libc.mq_unlink(b"/ends-%d" % os.getpid())
say(master=master, slave=slave, name=os.ttyname(slave), child=child, queue=queue,
    most=int(open("/proc/sys/fs/mqueue/msg_default").read()))
"""


def test_terminals_queues_and_zombies_say_who_they_are() -> None:
    with made(TERMINAL) as (said, snapshot, pid):
        slave = opened(snapshot, pid, said["slave"])
        told = facts(snapshot, "TTY", behind(snapshot, slave, "tty.file"))
        assert told["tty.driver"] == "pty_slave"
        assert told["tty.index"] == int(said["name"].rsplit("/", 1)[1])
        assert told["tty.other"].startswith("/dev/ptm")
        queue = facts(snapshot, "FILE", opened(snapshot, pid, said["queue"]))
        assert (queue["mqueue.messages"], queue["mqueue.most"]) == (1, said["most"])
        table = snapshot.tables["tasks"]
        dead = {
            row["tid"]: facts(snapshot, TASK, row["tid"])
            for row in map(table.row, range(len(table)))
            if row["state"] == "Z" and row["ppid"] == pid
        }
        (zombie,) = dead.values()
        assert zombie["zombie.status"] == 3 << 8
        own = facts(snapshot, TASK, pid)
        assert "zombie.status" not in own
        assert (own["task.group"], own["task.session"]) == (pid, pid)


SEGMENT = """
assert libc.unshare(0x08000000) == 0  # CLONE_NEWIPC: nothing outlives us
segment = libc.shmget(4242, 12345, 0o1600)
libc.shmat.restype = ctypes.c_void_p
for _ in range(2):
    assert libc.shmat(segment, None, 0) != 2**64 - 1
say(segment=segment)
"""


@pytest.mark.needs("root")
def test_roots_and_working_directories_say_where_they_are(tmp_path: Path) -> None:
    code = "os.chdir(sys.argv[1]); os.chroot('.'); os.mkdir('in'); os.chdir('in'); say()"
    with made(code, str(tmp_path)) as (_, snapshot, pid):
        for one in (snapshot, procfs.collect(pid)):
            references = one.tables["references"]
            its = references["holder"] == pid  # others' may be at the end of something
            its &= references["holder_kind"] == references.code("holder_kind", "TASK")
            its &= references["association"] == references.code("association", "fs")
            (place,) = references["target"][its].tolist()
            assert facts(one, "FS", place) == {
                "fs.cwd": str(tmp_path / "in"), "fs.root": str(tmp_path),
            }  # fmt: skip


def test_a_segment_says_its_number_key_and_size() -> None:
    with made(SEGMENT) as (said, snapshot, _pid):
        (told,) = of_kind(snapshot, "SHM")
    assert told == {
        "shm.id": said["segment"],
        "shm.key": 4242,
        "shm.size": 12345,
        "shm.attaches": 2,
    }


def of_kind(snapshot: Snapshot, kind: str) -> list[dict[str, Any]]:
    """Return the facts of each object of a kind, which a subtree has one of."""
    table = snapshot.tables["facts"]
    rows = [table.row(row) for row in range(len(table))]
    refs = sorted({row["ref"] for row in rows if row["kind"] == kind})
    return [facts(snapshot, kind, ref) for ref in refs]


INTERFACE = """
assert libc.unshare(0x40000000) == 0  # CLONE_NEWNET
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"facts0", 0x1001))
say(tun=tun)
"""


@pytest.mark.needs("root")
@pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="this machine has no tun device")
def test_a_queue_says_its_interface() -> None:
    with made(INTERFACE) as (said, snapshot, pid):
        told = facts(snapshot, "FILE", opened(snapshot, pid, said["tun"]))
    assert told["tun.interface"] == "facts0"


VSOCK = """
try:
    sock = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    sock.bind((socket.VMADDR_CID_ANY, 0xFFFFFFFF))
    say(sock=sock.fileno(), port=sock.getsockname()[1])
except OSError:
    say(sock=-1)
"""


def test_a_socket_of_virtual_machines_says_its_port() -> None:
    with made(VSOCK) as (said, snapshot, pid):
        if said["sock"] < 0:
            pytest.skip("this kernel has no vsock")
        sock = behind(snapshot, opened(snapshot, pid, said["sock"]), "sock")
        told = facts(snapshot, "NET_SOCKET", sock)
    assert (told["socket.family"], told["socket.type"]) == ("vsock", "stream")
    assert told["local"] == f"*:{said['port']}"


@pytest.mark.needs("root")
@pytest.mark.skipif(not Path("/dev/loop-control").exists(), reason="this machine has no loop")
def test_a_loop_device_says_what_backs_it() -> None:
    with fixtures.start("loop"), open_memory() as memory:
        told = of_kind(kernel.collect(memory, Request(None)), "LOOP")
    assert any(one["loop.file"].endswith("/backing") for one in told)


BPF = """
def bpf(command, *fields):
    attr = struct.pack("@" + "".join(kind for kind, _ in fields), *(v for _, v in fields))
    return libc.syscall(321, command, ctypes.create_string_buffer(attr.ljust(128, b"\\0")), 128)
made = bpf(0, ("I", 2), ("I", 4), ("I", 8), ("I", 3), ("I", 0), ("I", 0), ("I", 0),
           ("16s", b"ends_map"))
code = ctypes.create_string_buffer(bytes.fromhex("b700000000000000" "9500000000000000"))
word = ctypes.create_string_buffer(b"GPL")
program = bpf(5, ("I", 1), ("I", 2), ("Q", ctypes.addressof(code)), ("Q", ctypes.addressof(word)),
              ("I", 0), ("I", 0), ("Q", 0), ("I", 0), ("I", 0), ("16s", b"ends_prog"))
say(map=made, program=program,
    ids=[int(open(f"/proc/self/fdinfo/{fd}").read().split(f"{what}_id:")[1].split()[0])
         for fd, what in ((made, "map"), (program, "prog"))])
"""


@pytest.mark.needs("root")
def test_bpf_says_its_number_name_and_type() -> None:
    with made(BPF) as (said, snapshot, pid):
        found = [
            facts(snapshot, "FILE", opened(snapshot, pid, said[name]))
            for name in ("map", "program")
        ]
        assert [(one["bpf.id"], one["bpf.name"], one["bpf.type"]) for one in found] == [
            (said["ids"][0], "ends_map", "array"),
            (said["ids"][1], "ends_prog", "socket_filter"),
        ]
