"""A file that goes back and forth between both sides while a dump is made (SCM_RIGHTS, unix(7))."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from analyzer.check.leaks import check
from analyzer.core.model import Conclusion
from analyzer.procfs import tarball
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.sources import procdump, replay
from benchmarks import truth

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from analyzer.snapshot.value import Snapshot

pytestmark = [pytest.mark.live, pytest.mark.needs("root", "kcmp")]

# A child, which is the subject, has one file of its own and one that it sends to its parent and
# gets back, each time closing it, from when it is told to go on.
_PROGRAM: Final = """
import os, socket, sys
def take(sock):
    _, (fd, *_), *_ = socket.recv_fds(sock, 1, 1)
    return fd
def give(sock, fd):
    socket.send_fds(sock, [b"x"], [fd])
    os.close(fd)
one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
pid = os.fork()
mine, theirs = (one, other) if pid == 0 else (other, one)
theirs.close()
if pid == 0:
    kept, goes = (os.open(os.path.join(sys.argv[1], name), os.O_RDWR) for name in ("kept", "goes"))
    mine.send(b"x")
    take(mine)
    while True:
        give(mine, goes)
        goes = take(mine)
mine.recv(1)
print(pid, flush=True)
sys.stdin.readline()
give(mine, os.dup(2))
while True:
    give(mine, take(mine))
"""
_ROUNDS: Final = 3


@contextmanager
def _sending(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    for name in ("kept", "goes"):
        (folder / name).touch()
    command = [sys.executable, "-c", _PROGRAM, str(folder)]
    pipe = subprocess.PIPE
    null = subprocess.DEVNULL  # the child says that its parent is gone
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=null) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def _dumped(pid: int, folder: Path, more: Iterable[int] = ()) -> Snapshot:
    """Return what a dump of a process, those that it descends from, and `more` alone says."""
    pids = {truth.KTHREADD, *truth.above(pid), *more}
    path = folder / "dump.tar"
    with path.open("wb") as file:
        tarball.write(truth.alone(procdump.record(pid, only=pids), pids), file)
    return replay.collect(path, pid)


def _concluded(pid: int, folder: Path) -> dict[str, Conclusion | None]:
    """Return what a dump of these processes alone concludes of the files, by name."""
    snapshot = _dumped(pid, folder)
    report = make(snapshot, check(snapshot, pid), ReportOptions("check", all=True))
    names = {str(folder / name): name for name in ("kept", "goes")}
    return {names[one.name]: one.conclusion for one in report.objects if one.name in names}


def test_what_is_handed_over_is_neither_contained_nor_is_a_leak_made_up(tmp_path: Path) -> None:
    with _sending(tmp_path) as (process, pid):
        # While nobody runs, nothing is handed over, and that is seen.
        at_rest = dict.fromkeys(("kept", "goes"), Conclusion.CONSISTENT)
        assert any(_concluded(pid, tmp_path) == at_rest for _ in range(_ROUNDS))
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
        rounds = [_concluded(pid, tmp_path) for _ in range(_ROUNDS)]
    assert {one["kept"] for one in rounds} <= {Conclusion.UNKNOWN, Conclusion.CONSISTENT}
    assert Conclusion.UNKNOWN in {one["kept"] for one in rounds}
    assert Conclusion.CONSISTENT not in {one.get("goes") for one in rounds}


def test_others_that_may_have_handed_something_over_are_named(tmp_path: Path) -> None:
    """Those that ran, and have a socket: where there are none, nothing was handed over."""
    with _sending(tmp_path) as (process, pid), subprocess.Popen(["sleep", "60"]) as subject:
        both = {process.pid, pid}

        def ran() -> set[int]:
            return both & set(_dumped(subject.pid, tmp_path, both).meta["source"]["ran"])

        try:
            assert any(not ran() for _ in range(_ROUNDS))
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()
            assert any(ran() == both for _ in range(_ROUNDS))
        finally:
            subject.kill()
