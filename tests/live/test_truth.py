"""The table truth x dump: it makes up no leaks, containment or counts (benchmarks/truth.py)."""

from __future__ import annotations

import ctypes
import os
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

import fixtures
from analyzer.check import leaks
from analyzer.core.model import Conclusion, Side, Verdict
from analyzer.procfs import tarball
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.sources import procdump, replay
from analyzer.sources.privacy import Redaction
from benchmarks import truth

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from analyzer.sources.procdump import Entries

pytestmark = [pytest.mark.live, pytest.mark.bpf, pytest.mark.needs("root", "kcmp")]

# One of each way to hold something of a container from outside, and what has all for itself.
_SCENES: Final = (
    "contained", "two-inside", "threads-tables", "memfd", "tcp-orphans", "pipes", "terminal",
    "fork-file", "stdio", "mapped-only", "clone-files", "clone-fs", "clone-vm", "clone-sighand",
    "pidfd-getfd", "io-uring-outside", "loop", "shm-outside", "join-uts", "pin-mnt", "bind-net",
    "mounts-fd", "proc-net-fd", "message-net", "message-uts", "socket-net", "cgroup-fd",
    "pidfd-dead", "proc-dead", "proc-outside", "autofs-outside", "unix-peer", "pipe-outside",
    "owner-dead", "mapped-outside", "sleepers", "polled-outside", "aio",
)  # fmt: skip


def test_neither_leaks_nor_containment_are_made_up() -> None:
    """Nor counts; and what leaks is witnessed, possible, or what may hold it is named."""
    told = list(truth.told(_SCENES))
    table = Counter((one.what, one.truth.value, one.concluded.value) for one in told)
    table += Counter((one.what, "refcount", one.recount) for one in told)
    for row, count in sorted(table.items()):
        print(*row, count)  # noqa: T201 -- for `-s`
    assert not [one for one in told if one.wrong or one.recount == "wrong"]
    right = {one.what for one in told if one.recount == "right"}
    assert {"FILE", "PIPE", "FILE_TABLE", "MM", "UTS_NS", "NET_NS", "TIME_NS"} <= right
    leaks = [one for one in told if one.truth is Verdict.USAGE_LEAK]
    assert {"FILE", "mapped", "FILE_TABLE", "MM", "FS", "SIGHAND", "NET_NS"} <= {
        one.what for one in leaks
    }
    assert not truth.missed(told)
    backing = [one for one in leaks if one.fixture == "loop"]
    assert [one.concluded for one in backing] == [Conclusion.POSSIBLE]
    sealed = [one for one in told if one.fixture in {"contained", "two-inside"}]
    assert {one.concluded for one in sealed} == {Conclusion.CONSISTENT}


def test_a_dump_without_names_makes_up_no_containment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel calls things stays (`procdump --redact`): it says who may hold what."""
    whole, redaction = truth.alone, Redaction(b"k" * 16)

    def redacted(entries: Entries, pids: Collection[int]) -> Entries:
        told = whole(entries, pids)
        return {path: redaction.entry(path, entry) for path, entry in told.items()}

    monkeypatch.setattr(truth, "alone", redacted)
    scenes = ("mounts-fd", "proc-net-fd", "cgroup-fd", "proc-dead", "shm-outside", "loop", "aio")
    told = list(truth.told(scenes))
    assert [one for one in told if one.truth is Verdict.USAGE_LEAK]
    assert not [one for one in told if one.wrong or one.recount == "wrong"]


def test_a_bind_mount_in_another_mount_namespace_is_a_holder(tmp_path: Path) -> None:
    """`ip netns add` makes one: it is told with where it is, of a dump too."""
    with fixtures.start("bind-net") as running:
        root, (outside,) = running.info["root"], running.info["outside"]
        entries = procdump.record(None, only={2, root, outside, os.getpid()})
        space = os.readlink(f"/proc/{outside}/ns/mnt")
    with (tmp_path / "dump.tar").open("wb") as file:
        tarball.write(entries, file)
    snapshot = replay.collect(tmp_path / "dump.tar", root)
    report = make(snapshot, leaks.check(snapshot, root), ReportOptions("check"))
    (entry,) = (one for one in report.objects if one.kind == "NET_NS")
    (holder,) = (one for one in entry.holders if one.side is Side.OUTSIDE)
    assert (holder.kind, holder.association) == ("NSFS", "nsfs")
    assert "bind mount" in str(holder)
    assert space in str(holder)


@contextmanager
def _attached() -> Iterator[None]:
    """Have a System V segment attached, which goes with this."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype, libc.shmdt.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    ident = libc.shmget(0, 4096, 0o600)
    address = libc.shmat(ident, None, 0)
    libc.shmctl(ident, 0, None)  # IPC_RMID: it goes when it is not attached any more
    assert ident >= 0
    try:
        yield
    finally:
        libc.shmdt(address)


def test_a_segment_of_another_namespace_that_is_all_seen_is_no_doubt() -> None:
    """A database of the host's has some: they hold its ipc namespace, and no container's."""
    with _attached():
        told = {one.what: one for one in truth.told(["contained"])}
    assert told["IPC_NS"].concluded is Conclusion.CONSISTENT, told["IPC_NS"].why
    assert told["IPC_NS"].recount == "right"
