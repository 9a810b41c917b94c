"""What holds an open file without being a table or a mapping is found by name, and adds up."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

import fixtures
from analyzer.check import leaks
from analyzer.core.model import TASK, Side, Verdict
from analyzer.sources import collect
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from analyzer.snapshot.value import Snapshot
    from fixtures._start import Info

pytestmark = [pytest.mark.live, pytest.mark.bpf]


class Edge(NamedTuple):
    holder_kind: str
    holder: int
    association: str
    slot: int | None
    detail: str | None
    weight: int
    side: str


class Held:
    """A checked snapshot, asked who holds what."""

    def __init__(self, snapshot: Snapshot, pid: int) -> None:
        self.pid = pid
        tasks = snapshot.tables["tasks"]
        self.threads = list(zip(tasks["tid"].tolist(), tasks["tgid"].tolist(), strict=True))
        self.objects = snapshot.tables["objects"]
        self.verdicts = leaks.check(snapshot, pid)
        table, sides = snapshot.tables["references"], tuple(Side)
        slots = zip(table["slot"].tolist(), table.known("slot").tolist(), strict=True)
        columns = zip(
            table["target"].tolist(), table.words("holder_kind"), table["holder"].tolist(),
            table.words("association"), [slot if known else None for slot, known in slots],
            table.words("detail"), table["weight"].tolist(),
            self.verdicts.border.reference_side.tolist(), self.verdicts.border.counted.tolist(),
            strict=True,
        )  # fmt: skip
        self._held: dict[int, list[Edge]] = {}
        for target, kind, holder, association, slot, detail, weight, side, counted in columns:
            edge = Edge(kind, holder, association, slot, detail, weight, sides[side])
            if counted:  # references of the historic rules alone are none of these
                self._held.setdefault(target, []).append(edge)

    def of(self, objref: int, association: str = "") -> list[Edge]:
        edges = self._held.get(objref, [])
        return [edge for edge in edges if association in {"", edge.association}]

    def targets(self, association: str) -> list[int]:
        """What is held at such a place from inside, or is the subtree's and held at one."""
        collected = self.verdicts.border.collected
        return [
            objref
            for objref in self._held
            if (edges := self.of(objref, association))
            and (collected[objref - 1] or any(edge.side == "inside" for edge in edges))
        ]

    def fd(self, number: int) -> int:
        """The file of a descriptor of the subtree's root."""
        tables = [o for o in self.targets("fd") if self._is_fd(o, number)]
        assert len(tables) == 1, tables
        return tables[0]

    def _is_fd(self, objref: int, number: int) -> bool:
        return any(
            edge.slot == number and self._is_root(edge.holder) for edge in self.of(objref, "fd")
        )

    def _is_root(self, table: int) -> bool:
        return any(edge.holder == self.pid for edge in self.of(table, "files"))

    def associations(self, objref: int) -> dict[str, int]:
        """How often it is held, by association and side."""
        held: dict[str, int] = {}
        for edge in self.of(objref):
            key = f"{edge.side} {edge.association}"
            held[key] = held.get(key, 0) + edge.weight
        return held

    def name(self, objref: int) -> str:
        return str(self.objects.value("name", objref - 1))

    def verdict(self, objref: int) -> str:
        assert self.verdicts.unnamed[objref - 1] == 0, self.of(objref)
        return str(tuple(Verdict)[self.verdicts.verdict[objref - 1]])


def checked(info: Info) -> Held:
    return Held(collect(info["root"], source="kernel"), info["root"])


def facts(info: Info) -> dict[str, int]:
    """The descriptors that a fixture tells in its notes: "NAME is fd N, ..."."""
    pairs = [part.split(" is fd ") for part in info["notes"].split(", ")]
    return {name: int(number) for name, number in pairs}


CALLS = {"pipe": "read", "counter": "readv", "socket": "accept", "epoll": "epoll_wait"}
POLLS = {"polled": ("poll", 12), "other": ("poll", 12), "selected": ("pselect6", 1),
         "crowded": ("poll", 150)}  # fmt: skip


def test_a_thread_in_a_system_call_is_named_with_its_call() -> None:
    """Each file has its descriptors and what the kernel holds for the calls, and no more."""
    with fixtures.start("sleepers") as running:
        held, fds = checked(running.info), facts(running.info)
    for name, call in CALLS.items():
        file = held.fd(fds[name])
        (edge,) = held.of(file, "syscall")
        assert (edge.holder_kind, edge.slot, edge.side) == (TASK, fds[name], "inside")
        assert edge.detail in {call, f"{call}4"}  # accept(2) is accept4 to the kernel
        assert held.verdict(file) == "contained"
    for name, (call, times) in POLLS.items():
        file = held.fd(fds[name])
        assert held.associations(file)["inside poll"] == times
        assert {edge.detail for edge in held.of(file, "poll")} == {call}
        assert held.verdict(file) == "contained"
    watched = held.fd(fds["watched"])
    assert held.associations(watched) == {"inside fd": 1}  # epoll holds none
    assert held.verdict(watched) == "contained"


def test_a_poll_outside_is_named() -> None:
    with fixtures.start("polled-outside") as running:
        held = checked(running.info)
    polled = [(file, edge) for file in held.targets("poll") for edge in held.of(file, "poll")]
    own = [tid for tid, tgid in held.threads if tgid in running.info["outside"]]
    ((file, edge),) = [found for found in polled if found[1].holder in own]
    assert (edge.side, edge.detail) == ("outside", "poll")
    assert edge.holder_kind == TASK
    assert held.verdict(file) == "usage_leak"


def test_shared_memory_is_held_by_its_segment_and_its_attaches() -> None:
    """Attached twice, once, never; each attach holds the IPC namespace too."""
    with fixtures.start("shm") as running:
        held, ino = checked(running.info), _namespace(running.info, "ipc")
    files = held.targets("shm.file")
    kept = sorted(held.associations(file).get("inside shm.attach", 0) for file in files)
    assert kept == [0, 1, 2]
    assert {held.verdict(file) for file in files} == {"contained"}
    assert each(held.name(e.holder).startswith("shmid ") for e in held.of(files[0], "shm.file"))
    namespace = _own(held, "shm.ns", ino)
    assert held.associations(namespace) == {"inside nsproxy.ipc": 1, "inside shm.ns": 3}


def test_what_proc_shows_to_nobody_has_the_name_that_it_would_have() -> None:
    """Files that no descriptor, mapping or executable is left of: in a queue, in a segment."""
    with fixtures.start("scm") as running:
        held = checked(running.info)
    queued = {held.name(file) for file in held.targets("scm") if not held.of(file, "fd")}
    assert str(Path(fixtures.__file__).with_name("files.py")) in queued
    assert any(name.startswith("socket:[") for name in queued)
    with fixtures.start("shm") as running:
        held = checked(running.info)
    assert {held.name(file) for file in held.targets("shm.file")} == {"/SYSV00000000 (deleted)"}


IN_FLIGHT = """
import os, socket, sys
ends = socket.socketpair()
for path in ("/proc/self/ns/uts", "/proc/self/ns/net"):
    fd = os.open(path, os.O_RDONLY)
    socket.send_fds(ends[0], [b"x"], [fd])
    os.close(fd)
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_namespace_file_in_flight_has_the_name_of_its_namespace() -> None:
    command = [sys.executable, "-c", IN_FLIGHT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        held = Held(collect(process.pid, source="kernel"), process.pid)
        process.communicate()
    queued = {held.name(file) for file in held.targets("scm")}
    assert queued == {os.readlink(f"/proc/self/ns/{name}") for name in ("uts", "net")}


def test_an_attach_outside_makes_segment_and_namespace_leak() -> None:
    with fixtures.start("shm-outside") as running:
        held, outside = checked(running.info), running.info["outside"]
        ino = _namespace(running.info, "ipc")
    namespace = _own(held, "shm.ns", ino)
    assert held.associations(namespace)["outside shm.ns"] == 1
    assert held.verdict(namespace) == "usage_leak"
    shared = [file for file in held.targets("shm.file") if held.verdict(file) == "usage_leak"]
    assert [held.associations(file)["outside shm.attach"] for file in shared] == [1]
    (attach,) = (e.holder for e in held.of(shared[0], "shm.attach") if e.side == "outside")
    (space,) = held.of(attach, "vma")
    assert [edge.holder for edge in held.of(space.holder, "mm")] == outside


def test_asynchronous_requests_hold_their_files_and_the_ring() -> None:
    with fixtures.start("aio") as running:
        held = checked(running.info)
    requested = [held.associations(file) for file in held.targets("aio.request")]
    assert sorted(requested, key=len) == [
        {"inside aio.request": 1},
        {"inside fd": 1, "inside aio.request": 1},
    ]
    (ring,) = held.targets("aio.ring")
    assert held.associations(ring) == {"inside vma": 1, "inside aio.ring": 1}
    assert {held.verdict(file) for file in (ring, *held.targets("aio.request"))} == {"contained"}


def test_a_loop_device_is_named_and_lets_go() -> None:
    with fixtures.start("loop") as running:
        held = checked(running.info)
        (file,) = held.targets("loop")
        assert held.associations(file) == {"inside fd": 1, "outside loop": 1}
        (edge,) = held.of(file, "loop")
        backing = Path("/sys/block") / Path(held.name(edge.holder)).name / "loop/backing_file"
        assert backing.read_text("utf-8").rstrip().endswith("/backing")
        assert held.verdict(file) == "usage_leak"
    assert _gone(backing)


def _gone(path: Path) -> bool:
    end = time.monotonic() + 60
    while path.exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_a_mounted_device_is_held_by_its_superblock() -> None:
    """The file by which a filesystem has its device open is in nobody's table."""
    with fixtures.start("loop-mounted") as running:
        snapshot = collect(None, source="kernel")
        held = Held(snapshot, running.info["root"])
    (file,) = (
        file
        for file in held.targets("superblock.bdev")
        for edge in held.of(file, "superblock.bdev")
        if edge.side == "inside" and held.name(edge.holder).startswith("ext2 (loop")
    )
    assert held.associations(file) == {"inside superblock.bdev": 1}
    assert held.objects.value("refcount", file - 1) == 1
    assert held.verdicts.unnamed[file - 1] == 0


def test_a_proc_is_on_the_side_of_the_mounts_that_show_it() -> None:
    with fixtures.start("proc-own") as running:
        held, ino = checked(running.info), _namespace(running.info, "pid")
    own = _own(held, "superblock.pid_ns", ino)
    assert held.associations(own)["inside superblock.pid_ns"] == 1
    assert held.verdict(own) == "contained"


def test_a_proc_outside_makes_the_pid_namespace_leak() -> None:
    with fixtures.start("proc-outside") as running:
        held, ino = checked(running.info), _namespace(running.info, "pid")
    own = _own(held, "superblock.pid_ns", ino)
    (edge,) = held.of(own, "superblock.pid_ns")
    assert (held.name(edge.holder), edge.side) == ("proc", "outside")
    assert held.verdict(own) == "usage_leak"


def _namespace(info: Info, name: str) -> int:
    return os.stat(f"/proc/{info['root']}/ns/{name}").st_ino


def _own(held: Held, association: str, ino: int) -> int:
    """The namespace of the container's: others have their own, and the host has one."""
    (found,) = (o for o in held.targets(association) if held.objects.value("ino", o - 1) == ino)
    return found


def test_files_of_an_overlay_hold_files_of_its_layers() -> None:
    with fixtures.start("overlay") as running:
        held = checked(running.info)
    real, upper = held.targets("overlay.real"), held.targets("overlay.upper")
    assert (len(real), len(upper)) == (4, 1)
    mapped = [file for file in real if "inside vma" in held.associations(file)]
    assert len(mapped) <= 1
    assert {held.verdict(file) for file in (*real, *upper)} == {"contained"}


def test_process_accounting_holds_its_file() -> None:
    with fixtures.start("acct") as running:
        held = checked(running.info)
    (file,) = held.targets("acct.file")
    assert held.associations(file) == {"inside acct.file": 1}
    assert held.verdict(file) == "contained"


@pytest.mark.skipif(
    "binfmt_misc" not in Path("/proc/filesystems").read_text(), reason="no binfmt_misc here"
)
def test_an_interpreter_that_binfmt_misc_holds_is_named() -> None:
    with fixtures.start("binfmt") as running:
        held = checked(running.info)
    (file,) = held.targets("binfmt.file")
    assert held.associations(file) == {"inside binfmt.file": 1}
    assert held.verdict(file) == "contained"
    assert str(held.objects.value("name", file - 1)).endswith("/interpreter")
    assert [edge.detail for edge in held.of(file)] == ["format fixture\x1b[2J"]


EVERYTHING = (
    "sleepers", "polled-outside", "shm", "shm-outside", "aio", "memfd", "loop", "loop-mounted",
    "overlay", "acct", "pidfd-getfd", "seccomp-addfd", "proc-fd", "mqueue",
)  # fmt: skip


@pytest.mark.slow
def test_every_file_of_every_fixture_adds_up_on_the_whole_host() -> None:
    """All fixtures at once, one census: each of their files has exactly the references named."""
    with ExitStack() as stack:
        running = [stack.enter_context(fixtures.start(name)) for name in EVERYTHING]
        for attempt in itertools.count():
            snapshot = collect(None, source="kernel")
            wrong = [
                row for one in running for row in _unexplained(Held(snapshot, one.info["root"]))
            ]
            if not wrong:
                return
            assert attempt < 3, wrong


def _unexplained(held: Held) -> Iterator[Mapping[str, object]]:
    ours = held.verdicts.border.collected & (held.verdicts.unnamed != 0)
    ours &= held.objects["kind"] == held.objects.code("kind", "FILE")
    for row in np.flatnonzero(ours):
        yield {**held.objects.row(int(row)), "held": held.of(int(row) + 1)}
