"""What crosses the border as /proc shows it, live and in a dump: as the kernel's memory has it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest

from analyzer import collect
from analyzer.check.leaks import check
from analyzer.core.model import Side, Verdict
from analyzer.relations import relations
from analyzer.report.facts import of_objects
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.sources import procdump, replay
from tests.graph import Graph
from tests.live.test_crossings_files import INOTIFY, pair
from tests.live.test_ends import ACCEPTED, INTERNET, NOT_ACCEPTED, REUSE, UDP, UNIX, two
from tests.live.test_relations_tasks import scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from analyzer.core.model import SourceName
    from analyzer.report.crossed import Crossed, Tie
    from analyzer.snapshot.value import Snapshot

pytestmark = [pytest.mark.live, pytest.mark.bpf, pytest.mark.needs("root", "kcmp")]

SHOWN: Final = {name for name, one in relations().items() if one.from_proc and one.told}
TIED: Final = frozenset(
    {"tracer", "pidfd", "proc-files", "session-left", "cgroup", "bpf-map", "sysv-queue"}
)
MADE: Final = {"cgroup"}  # a machine may have none of version 2 that can be made
SCENES: Final = {
    ("tests.company", "member"): {"session"},
    ("tests.company", "leader"): {"session"},
    ("tests.company", "init"): {"session", "joined"},
    ("tests.company", "top"): set[str](),
    ("tests.tied", "x"): TIED,
    ("tests.tied", "y"): TIED,
    ("tests.tied", "top"): set[str](),
}


@contextmanager
def quiet() -> Iterator[None]:
    """Let scenes not inherit the file into which the tests' own words go: it is deleted."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def said(one: Crossed, pids: set[int]) -> tuple[Any, ...]:
    """All that is said of a crossing, but for others of this machine that are in it too."""
    ends = {_end(tie, pids) for tie in one.ties if not _is_mapped(one, tie)}
    meeting = None if one.meeting is None else (one.meeting.kind, one.meeting.name)
    known = [end for end in ends if end[-1] != "[]" or end[1] == "MNT_NS" or "/here" in end[3]]
    ours = tuple(sorted(known))  # what else is mounted on this machine changes meanwhile
    if one.relation in {"internet-peer", "unix-peer"}:  # told from the end that is met first
        ours = tuple((*end[:6], end[-1]) for end in ours)
    return (one.relation, one.impact, one.gates, meeting, *ours)


def _is_mapped(one: Crossed, tie: Tie) -> bool:
    """Tell what /proc cannot: on which mount a file is that is mapped and not open."""
    return one.relation == "foreign-mount" and tie.kind == "FILE" and "fd" not in str(tie.via)


def _end(tie: Tie, pids: set[int]) -> tuple[str, ...]:
    tasks = sorted({task.tgid for task in tie.tasks} & pids)
    parts = (tie.side, tie.kind, tie.tid, tie.name, tie.role, tie.slot, tie.detail, tasks)
    return tuple(map(str, parts))


def _is_hidden(one: Crossed) -> bool:
    """Tell what /proc does not show: the queue of a filesystem that is mounted nowhere."""
    name = "" if one.meeting is None else one.meeting.name or ""
    return "/cranalyze-tied-" in name or (one.relation == "shared-mapping" and "/usr/" in name)


def crossed(snapshot: Snapshot, pid: int, pids: set[int]) -> set[tuple[Any, ...]]:
    report = make(snapshot, check(snapshot, pid), ReportOptions("check", gate=True))
    ours = [one for one in report.crossings if one.relation in SHOWN and not _is_hidden(one)]
    found = {said(one, pids) for one in ours}
    return {one for one in found if any(end[0] == Side.INSIDE for end in one[4:])}


_TURNS: Final = 6


def alike(pid: int, pids: set[int], folder: Path) -> Iterator[tuple[str, Any, Any]]:
    """Yield what the kernel's memory has, and what another source says.

    Asked again where they differ: a process of others that ends while it is read is one that was
    not seen, and then nobody is said to be gone.
    """

    def dumped() -> Snapshot:
        path = folder / f"{pid}-{time.monotonic_ns()}.tar"
        procdump.dump(pid, path)
        return replay.collect(path, pid)

    def kernel() -> Any:  # noqa: ANN401
        return crossed(collect(pid, source="kernel"), pid, pids)

    for name, read in (("procfs", partial(collect, pid, source="procfs")), ("a dump", dumped)):
        turns = ((crossed(read(), pid, pids), kernel()) for _ in range(_TURNS))
        told, first = next((pair for pair in turns if pair[0] == pair[1]), None) or (
            crossed(read(), pid, pids),
            kernel(),
        )
        yield name, told, first


ENDS: Final = {
    "controlling-terminal": """
def before():
    os.setsid()
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
""",
    "terminal": """
assert libc.unshare(0x20000) == 0
assert libc.mount(b"none", b"/", None, 0x4000 | 0x40000, None) == 0
while libc.umount2(b"/dev/pts", 2) == 0: pass
assert libc.mount(b"devpts", b"/dev/pts", b"devpts", 0, b"ptmxmode=0666") == 0
master, slave = pty.openpty()
def a(): os.close(slave)
def b(): os.close(master)
def after(*_): os.close(master); os.close(slave)
""",
    "internet-peer": INTERNET + ACCEPTED,
    "unix-peer": UNIX["a hostile name"],
    "reuseport": REUSE,
    "foreign-net": """
def before():
    kept.append(socket.socket(socket.AF_UNIX))
    kept.append(socket.create_server(("127.0.0.1", 0)))
def a(): new_net()
def b(): new_net(); kept.pop(); kept.pop()
""",
    "epoll-watch": """
reader, writer = os.pipe()
def a():
    kept.append(select.epoll())
    kept[0].register(reader, select.EPOLLIN)
    os.close(reader)
def after(*_): os.close(reader)
""",
}


LOCKED = "f = os.open(path('a\\nfile'), os.O_RDWR | os.O_CREAT); "
MAPPED = "if isinstance(keep[0], int): keep[1] = mmap.mmap(keep[0], 4096)"
SHARE = "own_mounts()\nmount('none', place, b'tmpfs', 0)\nmount('none', place, None, 0x100000)"
BIND = """
os.mkdir(path("volume")); os.mkdir(path("in")); open(path("hosts"), "w"); open(path("at"), "w")
own_mounts()
mount(path("volume"), path("in"), None, 0x1000)
mount(path("hosts"), path("at"), None, 0x1000)
mount("none", path("at"), None, 0x1000 | 0x20 | 1)
"""

OUT_THERE = """
own_mounts()
host, mine = os.open(f"/proc/{os.getppid()}/ns/mnt", 0), os.open("/proc/self/ns/mnt", 0)
do(libc.setns(host, 0))
folder = os.open(place, 0)
do(libc.setns(mine, 0))
os.fchdir(folder)
"""

WHOLE = """
own_mounts()
for name in "own", "at": os.mkdir(path(name))
mount("none", path("own"), b"tmpfs", 0)
os.mkdir(path("own/sub"))
"""
PART = """
mount(path("own/sub"), path("at"), None, 0x1000)
do(libc.umount2(os.fsencode(path("own")), 2))
"""

# What crosses, what one does and the other, and what their parent does before.
FILES: Final = {
    "flock": ("file-lock", LOCKED + "fcntl.flock(f, 2)", LOCKED, ""),
    "posix": ("file-lock", LOCKED + "fcntl.lockf(f, fcntl.LOCK_EX, 10, 5)", LOCKED, ""),
    "ofd": (
        "file-lock",
        LOCKED + "fcntl.fcntl(f, 37, struct.pack('hhqqi4x', 1, 0, 0, 0, 0))",
        LOCKED,
        "",
    ),
    "lease": (
        "file-lock",
        "f = os.open(path('f'), 0); fcntl.fcntl(f, 1024, 0)",
        "f = os.open(path('f'), 0)",
        "open(path('f'), 'w').close()",
    ),
    "both write": ("same-file", LOCKED, LOCKED, ""),
    "one reads": ("same-file", LOCKED, "os.open(path('a\\nfile'), 0)", ""),
    "deleted": (
        "deleted-file",
        "os.open(path('f'), 0)",
        "os.open(path('f'), 0); os.unlink(path('f'))",
        "open(path('f'), 'w').write('x' * 99)",
    ),
    "memfd": (
        "shared-mapping",
        MAPPED,
        MAPPED,
        "keep[0] = os.memfd_create('m'); os.ftruncate(keep[0], 4096)",
    ),
    "anonymous": ("shared-mapping", "m = keep[0]", "", "keep[0] = mmap.mmap(-1, 4096)"),
    "mapped": (
        "shared-mapping",
        "keep[0] = os.open(path('f'), 2)\n" + MAPPED,
        "keep[0] = os.open(path('f'), 2)\n" + MAPPED,
        "open(path('f'), 'w').write('x' * 4096)",
    ),
    "inotify": (
        "watched-file",
        INOTIFY.format("path('f')"),
        "os.open(path('f'), 1)",
        "open(path('f'), 'w').close()",
    ),
    "bound": ("bind-mount", BIND, "", ""),
    "shared": (
        "mount-propagation",
        "do(libc.unshare(0x20000))\nmount('none', place, None, 0x100000)",
        "",
        SHARE,
    ),
    "slave": (
        "mount-propagation",
        "do(libc.unshare(0x20000))\nmount('none', place, None, 0x80000)",
        "",
        SHARE,
    ),
    "message queue": (
        "posix-queue",
        "q = os.open(path('q'), os.O_RDWR)",
        "q = os.open(path('q'), os.O_RDWR)",
        "own_mounts()\nmount('none', place, b'mqueue', 0)\nopen(path('q'), 'w').close()",
    ),
    "a part outside": ("shared-filesystem", "own_mounts()", PART, WHOLE),
    "held directory": (
        "foreign-mount",
        "own_mounts()",
        "",
        "os.open(place, os.O_DIRECTORY); os.open('/dev/null', 1)",
    ),
    "working directory": (
        "foreign-mount",
        OUT_THERE,
        "",
        "",
    ),
}


@pytest.mark.parametrize("scene_", FILES)
def test_proc_says_of_files_what_the_kernel_has(scene_: str, tmp_path: Path) -> None:
    relation, one, other, before = FILES[scene_]
    (tmp_path / "here").mkdir()
    with quiet(), pair(tmp_path / "here", one, other, before) as pids:
        for pid in pids:
            for source, told, first in alike(pid, set(pids), tmp_path):
                assert told == first, source
                if pid == pids[1]:
                    assert relation in {one[0] for one in told}


MORE: Final = (("internet-peer", INTERNET + NOT_ACCEPTED), ("internet-peer", INTERNET + UDP))


@pytest.mark.parametrize(("relation", "code"), [*ENDS.items(), *MORE])
def test_proc_says_of_both_ends_what_the_kernel_has(
    relation: str, code: str, tmp_path: Path
) -> None:
    with quiet(), two(code) as pids:
        for pid in pids:
            for source, told, first in alike(pid, set(pids), tmp_path):
                assert told == first, source
                crosses = pid == pids[1] if relation == "foreign-net" else pid != pids[0]
                assert (relation in {one[0] for one in told}) is crosses


@pytest.mark.parametrize(("script", "asked"), SCENES)
def test_proc_says_what_the_kernel_has(script: str, asked: str, tmp_path: Path) -> None:
    with quiet(), scene("-m", script) as facts:
        for source, told, first in alike(facts[asked], set(facts.values()), tmp_path):
            assert told == first, source
            assert SCENES[script, asked] - MADE <= {one[0] for one in told}


def test_each_relation_that_proc_shows_is_in_a_scene() -> None:
    in_files = {relation for relation, *_ in FILES.values()}
    assert in_files.union(ENDS, *SCENES.values()) >= SHOWN


def told_of(relation: str, pid: int, pids: set[int]) -> list[set[tuple[Any, ...]]]:
    """Return what each live source says of one relation of a process, the kernel's memory first."""
    sources: tuple[SourceName, ...] = ("kernel", "procfs")
    read = [collect(pid, source=source) for source in sources]
    reports = [make(one, check(one, pid), ReportOptions("check", gate=True)) for one in read]
    return [{said(one, pids) for one in r.crossings if one.relation == relation} for r in reports]


@pytest.mark.parametrize("name", UNIX)
def test_a_dump_knows_who_holds_a_unix_socket(name: str, tmp_path: Path) -> None:
    """Who is connected to it does, though it be not accepted yet."""
    with quiet(), two(UNIX[name]) as pids:
        for pid in pids[1:]:
            procdump.dump(pid, tmp_path / f"{pid}.tar")
            dumped = replay.collect(tmp_path / f"{pid}.tar", pid)
            kernel, told = map(unix_sockets, (collect(pid, source="kernel"), dumped), (pid, pid))
            assert kernel == told != {}


def unix_sockets(snapshot: Snapshot, pid: int) -> dict[int, bool]:
    """Return of the unix sockets of a process, by inode, whether others hold them."""
    report = make(snapshot, check(snapshot, pid), ReportOptions("check", all=True))
    return {
        one.ino: one.verdict is Verdict.USAGE_LEAK
        for one in report.objects
        if one.kind == "SOCKET" and one.ino
    }


def test_a_lock_on_a_device_that_all_have_is_told_by_nobody(tmp_path: Path) -> None:
    opened = "f = os.open('/dev/null', os.O_RDWR)"
    with quiet(), pair(tmp_path, f"{opened}; fcntl.flock(f, fcntl.LOCK_SH)", opened) as pids:
        for pid in pids:
            assert told_of("file-lock", pid, set(pids)) == [set(), set()]


STATES: Final = """
import ctypes, os, select, socket, struct, sys
libc = ctypes.CDLL(None)
kept = [os.eventfd(5), select.epoll(), *os.pipe(), libc.inotify_init1(0)]
kept[1].register(kept[2])
libc.inotify_add_watch(kept[4], b"/", 0xfff)
kept.append(libc.timerfd_create(1, 0))
libc.timerfd_settime(kept[-1], 0, struct.pack("qqqq", 3, 7, 1000, 0), None)
kept.append(libc.signalfd(-1, struct.pack("Q", 1 << 1 | 1 << 39), 0))
kept.append(socket.socket(socket.AF_UNIX))
kept[-1].bind("\\0a state %d" % os.getpid())
kept[-1].listen()
kept.append(socket.create_server(("127.0.0.1", 0)))
kept.append(socket.create_connection(kept[-1].getsockname()))
kept.append(kept[-2].accept()[0])
kept.append(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
kept[-1].bind((0, 0))
kept += [os.pidfd_open(os.getppid()), os.open("/etc/passwd", os.O_RDONLY | os.O_NONBLOCK)]
print(flush=True)
sys.stdin.read()
"""
TOLD: Final = {
    "open.mode", "open.flags", "eventfd.id", "eventfd.count", "epoll.targets", "inotify.watches",
    "timerfd.clock", "timerfd.interval", "timerfd.ticks", "signalfd.mask", "socket.family",
    "socket.type", "socket.protocol", "socket.state", "socket.netns", "local", "remote",
    "pidfd.pid",
}  # fmt: skip


def states(snapshot: Snapshot, pid: int) -> dict[int, dict[str, Any]]:
    """Return the facts of what a process has open, by descriptor."""
    references = snapshot.tables["references"]
    rows = [references.row(row) for row in range(len(references))]
    (table,) = (r["target"] for r in rows if (r["association"], r["holder"]) == ("files", pid))
    slots = {
        r["target"]: r["slot"] for r in rows if (r["association"], r["holder"]) == ("fd", table)
    }
    known = of_objects(snapshot, slots)
    return {slots[ref]: dict(facts) for ref, facts in known.items()}


def test_proc_says_of_states_what_the_kernel_has(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STATES]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            procdump.dump(process.pid, tmp_path / "d.tar")
            kernel = states(collect(process.pid, source="kernel"), process.pid)
            live = states(collect(process.pid, source="procfs"), process.pid)
            dumped = states(replay.collect(tmp_path / "d.tar", process.pid), process.pid)
        finally:
            process.kill()
    assert live == dumped
    assert {fact for facts in live.values() for fact in facts} >= TOLD
    for fd, facts in live.items():
        assert facts.items() <= kernel[fd].items(), fd


def test_a_bind_mount_of_a_namespace_holds_it(tmp_path: Path) -> None:
    """As `ip netns add` makes one."""
    binds = "mount(f'/proc/{first}/ns/net', path('ns'), None, 0x1000)"
    before = "own_mounts()\nopen(path('ns'), 'w').close()"
    with quiet(), pair(tmp_path, "do(libc.unshare(0x40000000))", binds, before) as (top, one, _):
        procdump.dump(one, tmp_path / "d.tar")
        mine = os.readlink(f"/proc/{one}/ns/net")
        dumped = replay.collect(tmp_path / "d.tar", one)
        for snapshot in (collect(one, source="procfs"), dumped):
            assert verdict(snapshot, one, mine) == "usage_leak"
            assert [row for row in binds_of(snapshot) if row["name"].endswith("/ns")]
        assert verdict(collect(top, source="procfs"), top, mine) != "usage_leak"


def verdict(snapshot: Snapshot, pid: int, name: str) -> str:
    """Return what the check says of the namespace that is called so."""
    objects = snapshot.tables["objects"]
    rows = [objects.row(row) for row in range(len(objects))]
    (ref,) = (r["objref"] for r in rows if r["name"] == name and r["kind"].endswith("_NS"))
    return Graph(snapshot, check(snapshot, pid)).verdict(ref)


def binds_of(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return the mounts that hold the file of a namespace."""
    references, objects = snapshot.tables["references"], snapshot.tables["objects"]
    rows = [references.row(row) for row in range(len(references))]
    return [objects.row(r["holder"] - 1) for r in rows if r["association"] == "bind"]
