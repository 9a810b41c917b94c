"""What is told without kcmp(2), against what kcmp(2) says: the rules, and all of a scene."""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import select
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import fixtures
from analyzer.check import leaks
from analyzer.core.model import Conclusion
from analyzer.procfs import evidence, fdinfo
from analyzer.procfs.evidence import Descriptor
from analyzer.procfs.identity import Presumed
from analyzer.procfs.kcmp import What, comparer
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.sources import procfs
from tests import tied
from tests.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.report.value import ReportObject
    from analyzer.snapshot.value import Snapshot
    from fixtures._start import Info

pytestmark = [pytest.mark.live, pytest.mark.needs("kcmp")]

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_PARAMETERS: Final = 120  # bytes of a struct io_uring_params


def _opened() -> Iterator[int]:
    """Yield descriptors, of each type two that are alike."""
    mask = (ctypes.c_ulong * 16)(2)
    for _ in range(2):
        yield _LIBC.epoll_create1(0)
        yield _LIBC.timerfd_create(1, 0)
        yield _LIBC.inotify_init1(0)
        yield _LIBC.signalfd(-1, ctypes.byref(mask), 0)
        yield _LIBC.eventfd(0, 0)
        yield socket.socket().detach()
        yield socket.socket(socket.AF_UNIX).detach()
        for name, *arguments in (("userfaultfd", 1), ("io_uring_setup", 2, bytes(_PARAMETERS))):
            with suppress(OSError):  # where it is not to be had
                yield tied.call(name, *arguments)
        yield from os.pipe()
        yield os.memfd_create("alike")
        yield os.open(__file__, os.O_RDONLY)


def _told(fd: int) -> Descriptor:
    text = Path(f"/proc/self/fdinfo/{fd}").read_bytes()
    return Descriptor(os.readlink(f"/proc/self/fd/{fd}"), fdinfo.parse(text, "fdinfo"))


def test_the_rules_agree_with_kcmp() -> None:
    """What a rule calls one is one, and what it calls two is two; copies are in there too."""
    own, same = list(_opened()), comparer(What.FILE)
    assert min(own) >= 0
    poll = select.epoll.fromfd(own[0])
    poll.register(own[-1] - 2, select.EPOLLIN)
    fds = [*own, *map(os.dup, own)]
    try:
        told = {fd: _told(fd) for fd in fds}
        for one, two in itertools.combinations(fds, 2):
            equal = same((os.getpid(), one), (os.getpid(), two)) == 0
            rules = (*evidence.FIXED, *evidence.MOVING)
            differ = [r for r in rules if r(told[one]) != r(told[two])]
            assert not (equal and differ), (told[one], told[two])
            number = evidence.once(told[one])
            if number is not None and number == evidence.once(told[two]):
                assert equal
    finally:
        for fd in fds:
            os.close(fd)


def test_what_exists_once_cannot_be_opened_again() -> None:
    """But for its path: then it is another file, of which no number is told.

    The inode of an eventfd and an epoll is root's: a user is told EACCES.
    """
    for fd in (_LIBC.eventfd(0, 0), socket.socket().detach(), _LIBC.epoll_create1(0)):
        with os.fdopen(fd, "rb", buffering=0):
            with pytest.raises(OSError, match=r"fd/\d+") as caught:
                os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
            assert caught.value.errno == errno.ENXIO or os.geteuid()
            path = os.open(f"/proc/self/fd/{fd}", os.O_PATH)
            with os.fdopen(path, "rb", buffering=0):
                assert evidence.once(_told(path)) is None


def test_a_forked_process_may_share_what_it_maps() -> None:
    """kcmp(2) compares no mapped files: a dump with its answers has no others' either."""
    with fixtures.start("clone-files") as running:
        info = running.info
        snapshot = procfs.collect(info["root"])
    report = make(snapshot, leaks.check(snapshot), ReportOptions("check", all=True))
    files = [entry for entry in report.objects if entry.kind == "FILE"]
    mapped = [entry for entry in files if {one.kind for one in entry.holders} == {"MM"}]
    assert len(mapped) > 1  # the program, its libraries
    for entry in mapped:
        assert entry.conclusion is Conclusion.POSSIBLE
        assert set(info["outside"]) <= _named(entry)


_FORK: Final = """
import mmap, os, time
fd = os.open({path!r}, os.O_RDONLY)
memory = mmap.mmap(fd, 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
if os.fork():
    os.closerange(3, 64)  # mmap of Python has a copy of it
else:
    memory.close()
os.write(1, b"%d\\n" % os.getpid())
time.sleep(60)
"""


def test_a_forked_process_may_map_what_is_open_here_and_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    command = [sys.executable, "-c", _FORK.format(path=os.fspath(path))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        both = {int(parent.stdout.readline()) for _ in range(2)}
        (pid,) = both - {parent.pid}
        try:
            snapshot = procfs.collect(pid)
        finally:
            os.kill(pid, signal.SIGKILL)
            parent.kill()
    report = make(snapshot, leaks.check(snapshot), ReportOptions("check", all=True))
    files = [one for one in report.objects if one.name == os.fspath(path)]
    assert [one.conclusion for one in files] == [Conclusion.POSSIBLE]
    assert _named(files[0]) == {parent.pid}


# Of each way to share something one, and what has the same all for itself.
_SCENES: Final = (
    "fork-file", "stdio", "mapped-only", "clone-files", "clone-fs", "clone-vm", "clone-sighand",
    "vfork", "contained", "dup", "two-inside", "threads-tables",
)  # fmt: skip
_KINDS: Final = frozenset({"FILE", "FILE_TABLE", "MM", "FS", "SIGHAND"})


def _judged(snapshot: Snapshot, info: Info) -> Iterator[tuple[str, str, str, bool]]:
    """Yield of each promise: what it is of, the truth, what is concluded, and if all are named."""
    verdicts = leaks.check(snapshot, info["root"])
    report = make(snapshot, verdicts, ReportOptions("check", all=True))
    by, graph = {entry.objref: entry for entry in report.objects}, Graph(snapshot, verdicts)
    for item in info["expect"]:
        entry = by.get(graph.find(item["match"]) or 0)
        if item["kind"] not in _KINDS or entry is None or entry.conclusion is None:
            continue
        mapped = item["match"]["association"] in {"vma", "exe"}
        holders = {holder["tid"] for holder in item["holders_outside"]}
        named = holders <= _named(entry) or entry.doubt.more > 0
        what = "mapped" if mapped else item["kind"]
        yield what, item["verdict"], entry.conclusion.value, named


def _named(entry: ReportObject) -> set[int]:
    return {task.tid for one in entry.doubt.candidates for task in one.holder.tasks}


@pytest.mark.needs("root")
def test_a_leak_is_at_least_possible_and_none_is_made_up() -> None:
    """The table truth x conclusion, of one reading of all scenes; it is printed."""
    with ExitStack() as stack:
        scenes = [stack.enter_context(fixtures.start(name)).info for name in _SCENES]
        snapshot = procfs.collect(None, identity=Presumed())
    told = [one for info in scenes for one in _judged(snapshot, info)]
    table = Counter(one[:3] for one in told)
    for row, count in sorted(table.items()):
        print(f"{row[0]:12} {row[1]:12} {row[2]:12} {count}")  # noqa: T201 -- for `-s`
    assert not [row for row in table if row[1] == "contained" and row[2] == "witnessed"]
    found = [one for one in told if one[1] == "usage_leak"]
    assert {one[0] for one in found} >= {*_KINDS, "mapped"}
    missed = [one for one in found if one[2] == "unknown" or not one[3]]
    assert len(missed) <= len(found) // 20
