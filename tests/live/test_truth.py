"""The table truth x dump: it makes up no leaks, containment or counts (benchmarks/truth.py)."""

from __future__ import annotations

from collections import Counter
from typing import Final

import pytest

from analyzer.core.model import Conclusion, Verdict
from benchmarks import truth

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
