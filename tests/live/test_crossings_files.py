"""What two processes have in common of files and mounts, without one counted reference.

Each test runs two processes, each in a session of its own, under one parent. Asked for either, the
other is outside; asked for the parent, both are inside, and nothing crosses.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from analyzer import collect
from analyzer.check.leaks import check
from analyzer.core.model import Impact, Rules, Side
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.sources import kernel
from analyzer.writers.terminal import render, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from analyzer.report.crossed import Crossed, Tie

pytestmark = [pytest.mark.live, pytest.mark.bpf, pytest.mark.needs("root")]

_PARENT: Final = """
import ctypes, fcntl, mmap, os, signal, struct, sys, time
os.setsid()
libc = ctypes.CDLL(None, use_errno=True)
place, codes, keep = sys.argv[1], sys.argv[2:4], {}
def do(got):
    if got < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return got
def path(name): return os.path.join(place, name)
def mount(source, target, kind, flags, data=None):
    do(libc.mount(os.fsencode(source), os.fsencode(target), kind, flags, data))
def own_mounts(flags=0x40000):
    do(libc.unshare(0x20000))
    mount("none", "/", None, 0x4000 | flags)
exec(sys.argv[4])
pids = []
for code in codes:
    go, ready = os.pipe()
    pid = os.fork()
    if not pid:
        os.setsid()
        signal.alarm(120)
        os.close(go)
        first = pids[0] if pids else None
        def done(): os.write(ready, b"x"); os.close(ready)
        exec(code)
        if "done()" not in code: done()
        while True: time.sleep(100)
    os.close(ready)
    if not os.read(go, 1): sys.exit("a child failed")
    os.close(go)
    pids.append(pid)
print(os.getpid(), *pids, flush=True)
sys.stdin.read()
for pid in pids: os.kill(pid, 9)
"""


@contextmanager
def pair(place: Path, one: str, other: str, before: str = "") -> Iterator[tuple[int, int, int]]:
    """Run two processes under one parent; yield the pids: the parent's, the one, the other."""
    command = [sys.executable, "-c", _PARENT, str(place), one, other, before]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        try:
            pids = [int(word) for word in parent.stdout.readline().split()]
            assert len(pids) == len(("parent", "one", "other"))
            yield pids[0], pids[1], pids[2]
        finally:
            parent.stdin.close()
            try:
                parent.wait(10)
            except subprocess.TimeoutExpired:
                parent.kill()


def crossings(pid: int, name: str, has: str = "") -> list[Crossed]:
    """Return the crossings of a kind that say `has` somewhere."""
    snapshot = collect(pid, source="kernel")
    found = make(snapshot, check(snapshot, rules=Rules.MODERN), ReportOptions("check", gate=True))
    return [
        one
        for one in found.crossings
        if one.relation == name and any(has in f"{end.words} {end.detail}" for end in _ends(one))
    ]


def _ends(one: Crossed) -> list[Tie]:
    return [*one.ties, *([one.meeting] if one.meeting else [])]


def roles(one: Crossed, side: Side) -> set[tuple[int, str]]:
    """Return who is on a side: the process, and its part."""
    return {(task.tgid, tie.role) for tie in one.of(side) for task in tie.tasks}


LOCKS: Final = {
    "flock": ("fcntl.flock(f, fcntl.LOCK_EX)", "flock, exclusive"),
    "posix": ("fcntl.lockf(f, fcntl.LOCK_EX, 10, 5)", "POSIX write lock, bytes 5 to 14"),
    "ofd": ("fcntl.fcntl(f, 37, struct.pack('hhqqi4x', 1, 0, 0, 0, 0))", "OFD write lock"),
}


@pytest.mark.parametrize("kind", LOCKS)
def test_a_lock_names_its_owner_and_who_else_has_the_file(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a\nfile").write_bytes(b"x" * 100)
    code, said = LOCKS[kind]
    opened = "f = os.open(path('a\\nfile'), os.O_RDWR); "
    with pair(tmp_path, opened + code, opened) as (parent, one, other):
        (owns,) = crossings(one, "file-lock", "a\nfile")
        (uses,) = crossings(other, "file-lock", "a\nfile")
        (alone,) = crossings(parent, "file-lock", "a\nfile")
    assert (one, "lock owner") in roles(owns, Side.INSIDE)
    assert roles(owns, Side.OUTSIDE) == {(other, "")}
    assert (one, "lock owner") in roles(uses, Side.OUTSIDE)
    assert roles(uses, Side.INSIDE) == {(other, "")}
    assert said in {tie.detail for tie in owns.ties}
    assert (owns.impact, owns.alone, owns.gates) == (Impact.LOST, False, False)
    assert alone.alone


@pytest.mark.parametrize("kind", LOCKS)
def test_who_waits_for_a_lock_is_named(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    code = f"f = os.open(path('file'), os.O_RDWR); done(); {LOCKS[kind][0]}".replace("37", "38")
    with pair(tmp_path, code.replace("done(); ", ""), code) as (_, one, other):
        _until_blocked(other)
        (waited,) = crossings(one, "file-lock", "/file")
        (waits,) = crossings(other, "file-lock", "/file")
    assert (other, "waits for the lock") in roles(waited, Side.OUTSIDE)
    assert (other, "waits for the lock") in roles(waits, Side.INSIDE)
    assert (one, "lock owner") in roles(waits, Side.OUTSIDE)


def _until_blocked(pid: int) -> None:
    _until(lambda: "lock" in Path(f"/proc/{pid}/wchan").read_text("utf-8"))


def test_a_lease_is_a_lock(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    opened = "f = os.open(path('file'), os.O_RDONLY)"
    with pair(tmp_path, f"{opened}; fcntl.fcntl(f, 1024, 0)", opened) as (_, one, other):
        (found,) = crossings(one, "file-lock", "/file")
    assert roles(found, Side.INSIDE) == {(one, "lock owner")}
    assert roles(found, Side.OUTSIDE) == {(other, "")}
    assert "read lease" in {tie.detail for tie in found.ties}


def test_a_file_that_both_write_is_shared_state(tmp_path: Path) -> None:
    opened = "f = os.open(path('file'), os.O_RDWR | os.O_CREAT)"
    with pair(tmp_path, opened, opened) as (parent, one, other):
        for pid, outside in ((one, other), (other, one)):
            (found,) = crossings(pid, "same-file", "/file")
            assert (found.impact, found.gates) == (Impact.SHARED_STATE, True)
            assert roles(found, Side.INSIDE) == {(pid, "writes")}
            assert roles(found, Side.OUTSIDE) == {(outside, "writes")}
        assert not crossings(parent, "same-file", "/file")


def test_a_file_that_one_writes_and_the_other_reads_is_watched(tmp_path: Path) -> None:
    one, other = "os.open(path('file'), os.O_WRONLY | os.O_CREAT)", "os.open(path('file'), 0)"
    with pair(tmp_path, one, other) as (_, writer, reader):
        (found,) = crossings(writer, "same-file", "/file")
    assert (found.impact, found.gates) == (Impact.WATCHES, False)
    assert roles(found, Side.OUTSIDE) == {(reader, "reads")}


def test_a_file_that_nobody_writes_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    opened = "os.open(path('file'), 0); keep[1] = mmap.mmap(os.open(path('file'), 0), 1, prot=1)"
    with pair(tmp_path, opened, opened) as (_, one, _other):
        assert not crossings(one, "same-file", "/file")
        assert not crossings(one, "shared-mapping", "/file")


def test_a_fifo_is_told_once_with_both_ends(tmp_path: Path) -> None:
    one = "os.mkfifo(path('fifo')); f = os.open(path('fifo'), os.O_RDWR); os.write(f, b'hello')"
    two = "f = os.open(path('fifo'), os.O_RDONLY | os.O_NONBLOCK)"
    with pair(tmp_path, one, two) as (parent, writer, reader):
        for pid, outside in ((writer, reader), (reader, writer)):
            snapshot = collect(pid, source="kernel")
            found = make(snapshot, check(snapshot), ReportOptions("check", gate=True))
            (pipe,) = (one for one in found.objects if (one.name or "").endswith("/fifo"))
            assert (pipe.kind, pipe.facts["unread"]) == ("PIPE", 5)
            held = [holder for holder in pipe.holders if holder.side is Side.OUTSIDE]
            assert {task.tgid for holder in held for task in holder.tasks} == {outside}
            assert not crossings(pid, "same-file")
        assert not crossings(parent, "same-file")
        shown = collect(writer, source="procfs")
        report = make(shown, check(shown), ReportOptions("check", gate=True))
    (said,) = (one for one in report.crossings if one.relation == "same-file")
    assert roles(said, Side.OUTSIDE) == {(reader, "reads")}


def test_the_other_end_of_a_unix_socket_is_asked_for_where_proc_has_none(tmp_path: Path) -> None:
    """In another network namespace too: who connects by a path is in one of its own."""
    one = (
        "do(libc.unshare(0x40000000)); b.close(); "
        "s = socket.socket(socket.AF_UNIX); s.bind(path('a\\nb')); s.listen()"
    )
    two = "a.close(); c = socket.socket(socket.AF_UNIX); c.connect(path('a\\nb'))"
    with pair(tmp_path, one, two, "import socket; a, b = socket.socketpair()") as (parent, a, b):
        for pid, outside in ((a, b), (b, a)):
            shown = collect(pid, source="procfs")
            report = make(shown, check(shown), ReportOptions("check", gate=True))
            found = [one for one in report.crossings if one.relation == "unix-peer"]
            named = [
                one for one in found if outside in {pid for pid, _ in roles(one, Side.OUTSIDE)}
            ]
            said = {tie.detail for one in named for tie in one.ties}
            assert {"stream", f"stream, {tmp_path}/a\nb, not accepted yet"} <= said
            assert all(one.impact is Impact.LOST for one in named)
        shown = collect(parent, source="procfs")
        report = make(shown, check(shown), ReportOptions("check", gate=True))
    assert not [
        one
        for one in report.crossings
        if one.relation == "unix-peer"
        and "a\nb" in one.title + str([tie.detail for tie in one.ties])
    ]


def test_memory_that_all_who_have_it_open_map_is_told_once(tmp_path: Path) -> None:
    mapped = (
        "f = os.open(path('file'), os.O_RDWR | os.O_CREAT); os.ftruncate(f, 4096); "
        "keep[0] = mmap.mmap(f, 4096)"
    )
    opened = "f = os.open(path('file'), os.O_RDWR)"
    with pair(tmp_path, mapped, f"{mapped}; {opened}") as (_, one, other):
        assert crossings(one, "shared-mapping", "/file")
        assert crossings(one, "same-file", "/file"), "by another open file it is only open"
        assert crossings(other, "same-file", "/file")
    with pair(tmp_path, mapped, mapped) as (_, one, other):
        for pid in (one, other):
            assert crossings(pid, "shared-mapping", "/file")
            assert not crossings(pid, "same-file", "/file")


MOVES: Final = {
    "same-file": ("", "f = os.open(path('file'), 2)", "os.close(f)"),
    "shared-mapping": (
        "keep[0] = mmap.mmap(f, 4096)",
        "f = os.open(path('file'), 2); m = mmap.mmap(f, 4096); os.close(f)",
        "m.close()",
    ),
    "watched-file": (
        "",
        "f = do(libc.inotify_init1(0)); w = libc.inotify_add_watch(f, path('file').encode(), 2)",
        "do(libc.inotify_rm_watch(f, w))",
    ),
}


@pytest.mark.parametrize("name", MOVES)
def test_what_moves_while_it_is_read_is_no_firm_crossing(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"x" * 4096)
    mine, theirs, moves = MOVES[name]
    react = f"signal.signal(10, lambda *_: ({moves}, os.mkdir(path('moved'))))"
    with pair(tmp_path, f"f = os.open(path('file'), 2); {mine}", f"{theirs}; {react}") as pids:
        (before,) = crossings(pids[1], name, "/file")
        read = kernel._read_again

        def again(*given: Any) -> Any:  # noqa: ANN401 - as it is
            if not (tmp_path / "moved").exists():
                os.kill(pids[2], signal.SIGUSR1)
                _until((tmp_path / "moved").exists)
            return read(*given)

        monkeypatch.setattr(kernel, "_read_again", again)
        found = crossings(pids[1], name, "/file")
        assert not crossings(pids[1], name, "/file"), "it is over"
    assert before.stable
    assert not [one for one in found if one.stable]


def _until(there: Callable[[], bool]) -> None:
    for _ in range(400):
        if there():
            return
        time.sleep(0.05)


MEMORY: Final = {
    "memfd": ("", "keep[0] = os.memfd_create('frames'); os.ftruncate(keep[0], 4096)", "/memfd:fra"),
    "anonymous": ("m = keep[0]", "keep[0] = mmap.mmap(-1, 4096)", "/dev/zero"),
    "file": (
        "keep[0] = os.open(path('file'), 2)",
        "open(path('file'), 'w').write('x' * 4096)",
        "fi",
    ),
}


@pytest.mark.parametrize("kind", MEMORY)
def test_shared_memory_names_both_sides(tmp_path: Path, kind: str) -> None:
    code, before, name = MEMORY[kind]
    mapped = f"{code}\nif isinstance(keep[0], int): keep[1] = mmap.mmap(keep[0], 4096)"
    with pair(tmp_path, mapped, mapped, before) as (parent, one, other):
        (found,) = crossings(one, "shared-mapping", name)
        (back,) = crossings(other, "shared-mapping", name)
        assert not [c for c in crossings(parent, "shared-mapping", name) if c.alone]
    assert {pid for pid, _ in roles(found, Side.INSIDE)} == {one}
    assert other in {pid for pid, _ in roles(found, Side.OUTSIDE)}
    assert {pid for pid, _ in roles(back, Side.INSIDE)} == {other}
    assert (found.impact, found.gates) == (Impact.SHARED_STATE, True)


def test_a_file_that_signals_the_other_side_names_it(tmp_path: Path) -> None:
    signals = (
        "r, keep[0] = os.pipe(); fcntl.fcntl(r, fcntl.F_SETOWN, first);"
        "fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)"
    )
    with pair(tmp_path, "signal.signal(signal.SIGIO, signal.SIG_IGN)", signals) as pids:
        parent, signalled, signaller = pids
        (out,) = crossings(signaller, "signal-owner")
        (back,) = crossings(signalled, "signal-owner")
        assert not crossings(parent, "signal-owner")
    assert (out.impact, back.impact) == (Impact.REACHES_OUT, Impact.WATCHES)
    assert {pid for pid, _ in roles(out, Side.OUTSIDE)} == {signalled}
    assert {pid for pid, _ in roles(back, Side.OUTSIDE)} == {signaller}


INOTIFY: Final = (
    "n = do(libc.inotify_init1(0)); do(libc.inotify_add_watch(n, os.fsencode({}), 0xfff))"
)


@pytest.mark.parametrize("what", ["path('file')", "place"])
def test_a_watch_names_who_watches_and_who_is_watched(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    writes = "f = os.open(path('file'), os.O_WRONLY)"
    with pair(tmp_path, INOTIFY.format(what), writes) as (parent, one, other):
        (out,) = crossings(one, "watched-file", "")
        (back,) = crossings(other, "watched-file", "")
        assert not crossings(parent, "watched-file", str(tmp_path))
    assert roles(out, Side.INSIDE) == {(one, "watches it")}
    assert roles(out, Side.OUTSIDE) == {(other, "")}
    assert roles(back, Side.OUTSIDE) == {(one, "watches it")}
    assert out.impact is Impact.WATCHES


BOUND: Final = """
own_mounts()
for at in "volume", "read-only", "hosts", "single": mount(path(at), path("in/" + at), None, 0x1000)
for at in "read-only", "hosts": mount("none", path("in/" + at), None, 0x1000 | 0x20 | 1)
"""


def _bound(place: Path) -> None:
    for name in ("volume", "read-only", "in/volume", "in/read-only"):
        (place / name).mkdir(parents=True)
    for name in ("hosts", "single", "in/hosts", "in/single"):
        (place / name).write_bytes(b"")


def test_a_bind_mount_is_judged_by_what_it_gives(tmp_path: Path) -> None:
    _bound(tmp_path)
    with pair(tmp_path, BOUND, "pass") as (parent, one, other):
        found = crossings(one, "bind-mount")
        assert not crossings(other, "bind-mount")  # it lives with its parent's mounts
        above = crossings(parent, "bind-mount")
    told = _told(found, tmp_path)
    # The parent lives with the mounts of the host, or of who started it: those are outside for it
    # as well, and what the one shows of them is shown there too.
    ours = {name for name in told if name == "/" or name.startswith("/in/")}
    assert {name: _told(above, tmp_path).get(name) for name in ours} == {
        name: told[name] for name in ours
    }
    assert told["/in/volume"][0] is Impact.REACHES_OUT
    assert told["/in/read-only"][0] is Impact.PINS
    assert told["/in/hosts"][0] is Impact.BY_DESIGN
    assert told["/in/single"][0] is Impact.SHARED_STATE
    assert told["/"][0] is Impact.REACHES_OUT
    assert told["/in/volume"][1].startswith(f"{tmp_path}/volume of ")
    assert told["/in/read-only"][1].endswith(", read-only")


def _told(found: list[Crossed], place: Path) -> dict[str, tuple[Impact, str]]:
    return {
        tie.name.removeprefix(str(place)): (crossing.impact, tie.detail)
        for crossing in found
        for tie in crossing.of(Side.INSIDE)
        if tie.name is not None
    }


def test_a_bind_mount_of_what_only_the_parent_has(tmp_path: Path) -> None:
    for name in ("own", "in"):
        (tmp_path / name).mkdir()
    before = "own_mounts()\nmount('none', path('own'), b'tmpfs', 0)"
    bound = "own_mounts()\nmount(path('own'), path('in'), None, 0x1000)"
    with pair(tmp_path, bound, "pass", before) as (parent, one, _other):
        mine, above = crossings(one, "bind-mount"), crossings(parent, "bind-mount")
    assert {"/own", "/in"} <= set(_told(mine, tmp_path))
    assert not {"/own", "/in"} & set(_told(above, tmp_path))


def test_where_the_subtree_lives_too_is_no_other_place(tmp_path: Path) -> None:
    """A launcher with the mounts of who started it, and a process with mounts of its own."""
    opened = "os.open(place, os.O_DIRECTORY)"
    with pair(tmp_path, "own_mounts()", "pass", opened) as (parent, one, _):
        assert crossings(one, "foreign-mount")
        assert not crossings(parent, "foreign-mount")


def test_a_detached_copy_of_a_directory_is_a_door_to_its_filesystem(tmp_path: Path) -> None:
    """open_tree(2): the mount is in a namespace that nobody can be in (CLONE, CLOEXEC)."""
    opened = "keep[0] = do(libc.syscall(428, -100, os.fsencode(place), 0x80001))"
    with pair(tmp_path, "own_mounts()", "pass", opened) as (_, one, _other):
        found = crossings(one, "foreign-mount")
    doors = [c for c in found if any(end.kind == "SUPERBLOCK" for end in c.ties)]
    assert [crossing.impact for crossing in doors] == [Impact.REACHES_OUT]
    assert one not in {pid for pid, _ in roles(doors[0], Side.OUTSIDE)}


def test_who_has_a_namespace_of_others_open_is_not_said_to_be_in_it(tmp_path: Path) -> None:
    opened = "keep[0] = os.open('/proc/self/ns/uts', os.O_RDONLY)"
    with pair(tmp_path, "do(libc.unshare(0x04000000))", "pass", opened) as (_, one, _other):
        snapshot = collect(one, source="kernel")
        report = make(snapshot, check(snapshot), ReportOptions("check", gate=True, brief=True))
        said = " ".join(to_text(render(report, 80)).split())
    name = os.readlink("/proc/self/ns/uts")
    (entry,) = (e for e in report.objects if (e.kind, e.name) == ("UTS_NS", name))
    inside = {task for h in entry.holders for task in h.tasks if task.side is Side.INSIDE}
    assert {task.tgid for task in inside} == {one}
    assert f"uts namespace {name}: referenced from outside" in said
    assert "uts, " not in said.partition("shares the host's ")[2].partition("namespaces")[0]


def test_who_merely_lives_among_the_mounts_of_others_is_not_told_of_them(tmp_path: Path) -> None:
    """Whose they are is the subtree that was there first, whoever is with it."""
    code = "own_mounts()\nif not os.fork():\n    while True: time.sleep(100)"
    with pair(tmp_path, code, "pass") as (_, one, _other):
        guest = int(Path(f"/proc/{one}/task/{one}/children").read_text())
        assert crossings(one, "bind-mount")
        assert not crossings(guest, "bind-mount")
        snapshot = collect(guest, source="procfs")
        found = make(snapshot, check(snapshot), ReportOptions("check", gate=True))
        assert "bind-mount" not in {crossing.relation for crossing in found.crossings}
        os.kill(guest, signal.SIGKILL)


def test_mounts_of_its_own_are_nothing(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    code = "own_mounts()\nmount('none', path('own'), b'tmpfs', 0)"
    with pair(tmp_path, code, "pass") as (_, one, _other):
        names = {
            tie.name
            for kind in ("bind-mount", "shared-filesystem", "mount-propagation")
            for crossing in crossings(one, kind)
            for tie in crossing.ties
        }
    assert str(tmp_path / "own") not in names


PROPAGATION: Final = {
    "shared": ("0x100000", "gives and gets mounts", Impact.REACHES_OUT),
    "slave": ("0x80000", "gets mounts", Impact.WATCHES),
}


@pytest.mark.parametrize("kind", PROPAGATION)
def test_mounts_that_pass_across_are_named(tmp_path: Path, kind: str) -> None:
    flag, role, impact = PROPAGATION[kind]
    before = "own_mounts()\nmount('none', place, b'tmpfs', 0)\nmount('none', place, None, 0x100000)"
    code = f"do(libc.unshare(0x20000))\nmount('none', place, None, {flag})"
    with pair(tmp_path, code, "pass", before) as (parent, one, _):
        (found,) = crossings(one, "mount-propagation", str(tmp_path))
        assert not crossings(parent, "mount-propagation", str(tmp_path))
    assert found.impact is impact
    assert {tie.role for tie in found.of(Side.INSIDE)} == {role}


OVERLAID: Final = """
own_mounts()
layers = f"lowerdir={path('lower')},upperdir={path('upper')},workdir={path('work%d')}"
mount("none", path("at"), b"overlay", 0, os.fsencode(f"index=off,{layers}"))
"""
LAYERS: Final = """
own_mounts()
mount("none", place, b"tmpfs", 0)
for name in "lower", "upper", "work1", "work2", "at": os.mkdir(path(name))
"""


def test_an_upper_directory_of_two_overlays_is_shared_state(tmp_path: Path) -> None:
    with pair(tmp_path, OVERLAID % 1, OVERLAID % 2, LAYERS) as (parent, one, other):
        for pid in (one, other):
            found = crossings(pid, "overlay-layer", "upper layer /upper")
            assert Impact.SHARED_STATE in {crossing.impact for crossing in found}
            lower = crossings(pid, "overlay-layer", "lower layer /lower")
            assert Impact.BY_DESIGN in {crossing.impact for crossing in lower}
        assert not [found for found in crossings(parent, "overlay-layer") if found.gates]
