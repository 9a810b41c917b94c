"""Both ends of what crosses: sockets, terminals, epolls, interfaces, between real processes.

A launcher starts two processes, A and B, with one end each: seen from A the other is outside, and
from B; seen from the launcher all is inside, and nothing of it crosses.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest

from analyzer.check.leaks import check
from analyzer.core.model import Impact, Side
from analyzer.memory.probe import open_memory
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.sources import kernel
from analyzer.sources.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.report.crossed import Crossed
    from analyzer.report.value import Report

pytestmark = [pytest.mark.live, pytest.mark.bpf, pytest.mark.needs("root")]

PROGRAM = """
import ctypes, fcntl, json, os, pty, select, signal, socket, struct, subprocess, sys, termios
libc = ctypes.CDLL(None, use_errno=True)
kept = []
def new_net():
    assert libc.unshare(0x40000000) == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ask:
        fcntl.ioctl(ask, 0x8914, struct.pack("16sH22x", b"lo", 1))
def start(run):
    ready, done = os.pipe()
    pid = os.fork()
    if not pid:
        libc.prctl(1, 9)
        os.close(ready)
        run()
        os.write(done, b"x")
        os.close(done)
        while True:
            signal.pause()
    os.close(done)
    assert os.read(ready, 1), "it failed"
    os.close(ready)
    return pid
before = a = b = after = lambda *_: None
exec(sys.argv[1])
before()
pids = start(a), start(b)
after(*pids)
print(json.dumps([os.getpid(), *pids]), flush=True)
sys.stdin.read()
"""


class Seen(NamedTuple):
    """What each of three sees of one relation: what is around both, A, and B."""

    around: tuple[Crossed, ...]
    a: tuple[Crossed, ...]
    b: tuple[Crossed, ...]


@contextmanager
def two(code: str) -> Iterator[list[int]]:
    argv = [sys.executable, "-c", PROGRAM, code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            pids: list[int] = json.loads(process.stdout.readline())
            yield pids
        finally:
            process.kill()


def report(pid: int) -> Report:
    with open_memory() as memory:
        snapshot = kernel.collect(memory, Request(pid))
    return make(snapshot, check(snapshot, pid), ReportOptions("check", gate=True))


def seen(code: str, relation: str) -> Seen:
    with two(code) as pids:
        return Seen(
            *(tuple(c for c in report(pid).crossings if c.relation == relation) for pid in pids)
        )


def details(one: Crossed) -> str:
    return " ".join(tie.detail for tie in one.ties)


UNIX = {
    "a pair": """
one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
a, b = other.close, one.close
after = lambda *_: (one.close(), other.close())
""",
    "a hostile name": """
name = b"\\0ends\\n\\x1b[31m" + str(os.getpid()).encode()
def a():
    kept.append(socket.socket(socket.AF_UNIX)); kept[0].bind(name); kept[0].listen()
def b():
    kept.append(socket.socket(socket.AF_UNIX)); kept[0].connect(name)
""",
    "datagrams": """
name = b"\\0ends" + str(os.getpid()).encode()
def a():
    kept.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)); kept[0].bind(name)
def b():
    kept.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)); kept[0].sendto(b"x", name)
""",
    "a connected datagram socket": """
name = b"\\0ends" + str(os.getpid()).encode()
def a():
    kept.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)); kept[0].bind(name)
def b():
    kept.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)); kept[0].connect(name)
""",
}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a pair", "seqpacket"),
        ("a hostile name", "not accepted yet"),
        ("datagrams", "1 message not yet received"),
        ("a connected datagram socket", "datagram, @ends"),
    ],
)
def test_unix_sockets_of_both_sides(name: str, said: str) -> None:
    found = seen(UNIX[name], "unix-peer")
    assert not found.around
    for (one,) in (found.a, found.b):
        assert said in details(one)
        assert one.impact is Impact.LOST
        assert {tie.side for tie in one.ties} == {Side.INSIDE, Side.OUTSIDE}
        assert all(tie.tasks for tie in one.ties)


INTERNET = """
before = new_net
address = ("127.0.0.1", 4242)
def listening(kind):
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(address)
    if kind == socket.SOCK_STREAM:
        sock.listen()
    kept.append(sock)
def connected(kind):
    sock = socket.socket(socket.AF_INET, kind)
    sock.connect(address)
    kept.append(sock)
"""
NOT_ACCEPTED = """
def a(): listening(socket.SOCK_STREAM)
def b(): connected(socket.SOCK_STREAM)
"""
ACCEPTED = """
def before():
    global client, server
    new_net()
    listening(socket.SOCK_STREAM)
    client = socket.create_connection(address)
    server, _ = kept[0].accept()
    kept.pop().close()
def a(): client.close()
def b(): server.close()
def after(*_): client.close(); server.close()
"""
UDP = """
def a(): listening(socket.SOCK_DGRAM)
def b(): connected(socket.SOCK_DGRAM)
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (NOT_ACCEPTED, "TCP 127.0.0.1:"),
        (NOT_ACCEPTED, "not accepted yet"),
        (ACCEPTED, "127.0.0.1:4242"),
        (UDP, "UDP 127.0.0.1:"),
    ],
    ids=["to a listener", "waiting", "accepted", "datagrams"],
)
def test_connections_of_which_both_ends_are_here(code: str, said: str) -> None:
    found = seen(INTERNET + code, "internet-peer")
    assert not found.around
    for (one,) in (found.a, found.b):
        assert said in details(one)
        assert {tie.side for tie in one.ties} == {Side.INSIDE, Side.OUTSIDE}


WIRE = """
def a(): new_net()
b = a
def ip(*words): subprocess.run(["ip", *words], check=True)
def after(one, other):
    ip("link", "add", "wa", "netns", str(one), "type", "veth",
       "peer", "name", "wb", "netns", str(other))
"""


@pytest.mark.needs("tool:ip")
def test_the_two_ends_of_a_wire() -> None:
    found = seen(WIRE, "interface-pair")
    assert not found.around
    for (one,) in (found.a, found.b):
        assert details(one).strip() in {"wa is paired with wb", "wb is paired with wa"}
        assert one.impact is Impact.BY_DESIGN
        assert not one.gates
        assert {tie.side for tie in one.ties} == {Side.INSIDE, Side.OUTSIDE}


REUSE = """
before = new_net
def a():
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", 4243))
    sock.listen()
    kept.append(sock)
b = a
"""


def test_a_port_that_both_sides_take_turns_at() -> None:
    found = seen(REUSE, "reuseport")
    assert not found.around
    for (one,) in (found.a, found.b):
        assert "TCP 127.0.0.1:4243" in details(one)
        assert one.gates


FOREIGN = """
def before():
    kept.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    kept.append(socket.socket(socket.AF_UNIX))
def a(): new_net()
def b(): new_net(); kept.pop(); kept.pop()
"""


def test_a_socket_of_the_hosts_network() -> None:
    found = seen(FOREIGN, "foreign-net")
    assert not found.around
    assert not found.b
    (one,) = found.a
    assert one.impact is Impact.REACHES_OUT
    assert one.gates
    assert "inet udp" in details(one)
    assert "unix" in details(one)


ELSEWHERE = """
def before():
    new_net()
    kept.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
def a(): new_net()
def b(): kept.pop()
"""


def test_a_socket_of_a_network_that_others_live_in() -> None:
    found = seen(ELSEWHERE, "foreign-net")
    assert not found.around
    assert not found.b
    (one,) = found.a
    (tie,) = one.of(Side.OUTSIDE)
    assert tie.kind == "TASK"
    assert one.gates


PTY = """
master, slave = pty.openpty()
def a(): os.close(slave)
def b(): os.close(master)
def after(*_): os.close(master); os.close(slave)
"""


def test_the_two_ends_of_a_pseudo_terminal() -> None:
    found = seen(PTY, "terminal")
    assert not found.around
    ((a,), (b,)) = found.a, found.b
    assert (a.impact, b.impact) == (Impact.REACHES_OUT, Impact.LOST)
    for one, role in ((a, "master"), (b, "slave")):
        assert {tie.role for tie in one.of(Side.INSIDE)} == {role}


CONTROLLING = """
def before():
    os.setsid()
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
"""


def test_a_controlling_terminal_of_both_sides() -> None:
    found = seen(CONTROLLING, "controlling-terminal")
    assert not found.around
    for (one,) in (found.a, found.b):
        assert {tie.side for tie in one.ties} == {Side.INSIDE, Side.OUTSIDE}


EPOLL = """
reader, writer = os.pipe()
def a():
    kept.append(select.epoll())
    kept[0].register(reader, select.EPOLLIN)
    os.close(reader)
def after(*_): os.close(reader)
"""


def test_an_epoll_on_a_file_of_the_other_side() -> None:
    found = seen(EPOLL, "epoll-watch")
    assert not found.around
    for (one,) in (found.a, found.b):
        assert "added as fd " in details(one)
        assert one.impact is Impact.WATCHES
        assert not one.gates


TUN = """
before = new_net
def a():
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", b"ends0", 0x1101))
    kept.append(fd)
b = a
"""


def test_an_interface_with_queues_on_both_sides() -> None:
    found = seen(TUN, "tun-queue")
    assert not found.around
    for (one,) in (found.a, found.b):
        assert "ends0" in details(one)
        assert one.gates
