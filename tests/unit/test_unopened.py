"""What keeps a thing that no process has open: probes, formats, programs, the kernel itself."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from analyzer.core.text import spans
from analyzer.lookup import who
from analyzer.lookup.release import releases
from analyzer.lookup.value import Answer, Held, Node, Outcome
from analyzer.lookup.words import parse
from analyzer.procfs import blockdev, bpfobj, netports, people, places, rtnetlink, uprobes, waits
from analyzer.procfs.glance import look
from analyzer.procfs.rtnetlink import Link
from tests.build import Machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def port() -> Iterator[tuple[int, int]]:
    """A UDP port that is bound, and the inode of the socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1], os.fstat(bound.fileno()).st_ino


def bound_to(port: int, inode: int, protocol: str = "udp") -> Machine:
    """A machine with one open socket, at that port."""
    made = Machine()
    made.task(7)
    table = made.object("FILE_TABLE", 1, holders=[(7, "files")])
    file = made.object("FILE", 1, holders=[(table, "fd", 3)])
    sock = made.object("NET_SOCKET", 1, holders=[(file, "sock")], name=f"socket:[{inode}]")
    made.fact(sock, "socket.protocol", protocol)
    made.fact(sock, "local", f"127.0.0.1:{port}")
    return made


def test_a_port_that_no_open_file_leads_to_is_the_kernel_s_own(port: tuple[int, int]) -> None:
    number, inode = port
    query = parse(f"udp:{number}")
    found = who.answer(bound_to(number, inode + 1).snapshot(), query)
    assert [place.what for place in found.places] == [
        "a UDP socket of the kernel's own, which no process has"
    ]
    assert found.outcome is Outcome.HELD
    assert found.next
    assert not who.answer(bound_to(number, inode).snapshot(), query).places
    elsewhere = parse(f"udp:127.0.0.2:{number}")
    assert not who.answer(bound_to(number, inode + 1).snapshot(), elsewhere).places
    unread = bound_to(number, inode + 1)
    unread.gap("1 task", "bpf_probe_read_kernel", 14, "references may be missing")
    assert not who.answer(unread.snapshot(), query).places, "it may have been missed"


def test_a_port_that_was_bound_after_the_machine_was_read_is_not_the_kernel_s() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        number = bound.getsockname()[1]
        early = parse(f"udp:{number}", recorded=True)
        assert not any(one.unopened(bound_to(1, 1).snapshot()) for one in early.meanings)


def test_who_listens_by_mptcp_listens_by_tcp() -> None:
    for protocol, count in (("mptcp", 1), ("udp", 0)):
        made = bound_to(80, 5, protocol).snapshot()
        assert len(who.answer(made, parse("127.0.0.1:80")).held) == 1
        assert len(who.answer(made, parse("tcp:80")).held) == count


def test_an_interface_tells_the_programs_that_run_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    known = bpfobj.Objects(
        names={("prog", 5): "filter", ("prog", 6): "old"},
        links={9: (5, ", attached to interface lo"), 10: (5, ", attached to interface other")},
    )
    monkeypatch.setattr(bpfobj, "all_objects", lambda: known)
    monkeypatch.setattr(bpfobj, "links", lambda: (Link("lo", programs=(5, 6)), Link("other")))
    made = Machine()
    made.task(7)
    table = made.object("FILE_TABLE", 1, holders=[(7, "files")])
    for number in (9, 10):
        name = "anon_inode:bpf_link"
        file = made.object("FILE", 1, name=name, holders=[(table, "fd", number)])
        made.fact(file, "bpf.id", number)
    found = who.answer(made.snapshot(), parse("iface:lo"))
    assert [place.what for place in found.places] == [
        "runs BPF program 5 (filter) by link 9", "runs BPF program 6 (old) (XDP)",
    ]  # fmt: skip
    assert [held.objref for held in found.held] == [2]
    assert {"bpftool link detach id 9", "ip link set lo xdp off"} < {*found.next}
    of_program = [place.what for place in bpfobj.keepers(known, "prog", 6)]
    assert of_program == ["attached to interface lo (XDP)"]


def attribute(kind: int, *values: bytes) -> bytes:
    """An attribute of netlink."""
    data = b"".join(values)
    return struct.pack("=HH", len(data) + 4, kind) + data + bytes(-len(data) % 4)


def test_ports_of_tunnels_and_programs_of_xdp_are_parsed() -> None:
    tunnel = attribute(18, attribute(1, b"vxlan\0"), attribute(2, attribute(15, b"\x12\xb5")))
    runs = attribute(43 | 0x8000, attribute(2, b"\2"), attribute(6, struct.pack("=I", 77)))
    bodies = [
        bytes(16) + attribute(3, b"vx0\0") + tunnel,
        bytes(16) + attribute(3, b"eth0\0") + runs,
        bytes(16) + attribute(18, b"") + runs,
    ]
    answer = b"".join(struct.pack("=IHHII", len(one) + 16, 16, 2, 1, 0) + one for one in bodies)
    expected = [Link("vx0", "vxlan", 4789), Link("eth0", "", 0, (77,))]
    assert list(rtnetlink.parse(answer)) == expected
    for cut in range(len(answer)):
        assert len(list(rtnetlink.parse(answer[:cut]))) <= len(expected)


def test_the_tunnels_of_a_port_are_those_that_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    known = (Link("a", "vxlan", 4789), Link("b", "vxlan", 4789), Link("wg0", "wireguard"))
    monkeypatch.setattr(rtnetlink, "links", lambda: known)
    assert rtnetlink.tunnels(4789) == ["a", "b"]
    assert rtnetlink.tunnels(51820) == ["wg0"]


def test_a_probe_of_a_program_keeps_it_and_its_filesystem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, other = tmp_path / "a b", tmp_path / "other"
    program.touch()
    other.touch()
    events = tmp_path / "events"
    events.write_text(f"p:perf/one {program}:0x0000000000001040\nr4:perf/two /no/such:0x10 a=%ax\n")
    monkeypatch.setattr(uprobes, "EVENTS", os.fspath(events))
    (at, beside) = (os.stat(path) for path in (program, other))
    (place,) = uprobes.probes(at.st_dev, at.st_ino)
    assert place.what == f"uprobe event perf/one is on {program}"
    assert place.release == f"echo -:perf/one >> {events}"
    assert list(uprobes.probes(at.st_dev, None)) == [place]
    assert not list(uprobes.probes(beside.st_dev, beside.st_ino))


def test_a_deleted_file_is_told_with_the_loop_device_that_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blockdev, "_backed", lambda: [(0x7FE, "/gone (deleted)"), (0x7FF, "/b")])
    assert "block device 7:254" in [meaning.what for meaning in parse("/gone").meanings]
    assert not any("block" in meaning.what for meaning in parse("/b").meanings)


def test_a_dead_process_is_its_tracer_s_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {
        7: {b"Name": b"job", b"State": b"Z (zombie)", b"PPid": b"5", b"TracerPid": b"6"},
        6: {b"Name": b"gdb", b"State": b"S (sleeping)"},
    }
    monkeypatch.setattr(people, "_status", known.get)
    assert people.unreaped(7) == "job (7) is dead (a zombie): gdb (6) has not waited for it"
    assert people.reaped(7) == "gdb (6) has to wait for job (7), or end"
    assert people.reaped(6) == people.unreaped(6) == ""


@pytest.mark.parametrize(
    ("call", "arguments", "says"),
    [
        ("futex", (0, 128), "one of its own threads has to let it go on"),
        ("futex", (0, 0), "one of its own threads, or who shares that memory, has to"),
        ("clock_nanosleep", (), "sleeps for a time, and waits for nobody"),
        ("pause", (), "waits for a signal"),
        ("semop", (5, 0), "waits in semop for sem:[5]"),
    ],
)
def test_what_is_waited_for_without_a_file_is_told(
    call: str, arguments: tuple[int, ...], says: str
) -> None:
    (said,) = waits._for_no_file(os.getpid(), call, arguments)
    assert f"({os.getpid()}) " in said
    assert says in said


def test_who_waits_by_select_or_epoll_for_few_waits_for_these() -> None:
    bits = (ctypes.c_uint64 * 16)(1 << 5 | 1 << 63, 1)
    at, many = ctypes.addressof(bits), (ctypes.c_uint64 * 16)(0xFF)
    assert waits._selected(os.getpid(), 65, at, 0, 0) == (5, 63, 64)
    assert waits._selected(os.getpid(), 6, at, at) == (5,)
    assert waits._selected(os.getpid(), 65, ctypes.addressof(many)) == ()
    with select.epoll() as epoll, socket.socket() as mine:
        epoll.register(mine.fileno())
        assert waits._watched(os.getpid(), epoll.fileno()) == (mine.fileno(),)
        assert waits.stale(os.getpid(), epoll.fileno()) == []
        with socket.socket() as other, other.dup() as same:
            epoll.register(fd := other.fileno())
            other.close()
            assert waits._watched(os.getpid(), epoll.fileno()) == (mine.fileno(),)
            there = os.fstat(same.fileno())
            assert waits.stale(os.getpid(), epoll.fileno()) == [(fd, there.st_ino, there.st_dev)]
            (kept,) = list(parse(f"{os.getpid()}:{epoll.fileno()}").meanings)[1:]
            assert f"was fd {fd}" in kept.what


def test_to_whom_a_socket_is_connected_is_told() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as mine,
    ):
        link = os.readlink(f"/proc/self/fd/{mine.fileno()}")
        port = server.getsockname()[1]
        assert netports.connected(os.getpid(), link) == f"connected to 127.0.0.1:{port}"
        link = os.readlink(f"/proc/self/fd/{server.fileno()}")
        assert not netports.connected(os.getpid(), link)
    assert not netports.connected(os.getpid(), "pipe:[1]")


@pytest.mark.parametrize("initial", [True, False])
def test_a_format_is_removed_before_what_its_interpreter_is_on(*, initial: bool) -> None:
    space = Node("USER_NS", None, 2, None, "binfmt", None, 1, "its formats", initial=initial)
    formats = Node(
        "BINFMT", None, 3, None, "binfmt.file", None, 1, "runs programs with it (format a b)",
        by=(space,),
    )  # fmt: skip
    held = Held(1, "FILE", "/m/qemu", initial=False, refcount=1, named=1, by=(formats,))
    step = "echo -1 > '/proc/sys/fs/binfmt_misc/a b'"
    assert releases(Answer("/m", (held,))).next == ((step,) if initial else ())


def test_who_watches_by_many_descriptors_is_told_once(tmp_path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    fds = [libc.inotify_init() for _ in range(4)]
    try:
        for fd in fds:
            assert libc.inotify_add_watch(fd, os.fsencode(tmp_path), 2) > 0
        (at,) = look([os.fspath(tmp_path)])
        assert not isinstance(at, int)
        dev = places.filesystem(at)
        (said,) = places.watched(at, dev, [os.getpid()])
    finally:
        for fd in fds:
            os.close(fd)
    assert said.endswith(f"({os.getpid()}): fd {', '.join(spans(fds))}, inotify")


def test_numbers_in_a_row_are_said_together() -> None:
    assert spans([12, 1, 2, 7, 8, 9, 9]) == ["1", "2", "7 to 9", "12"]
    assert spans([]) == []
