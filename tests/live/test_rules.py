"""docs/rules.md on real processes: what each of the historic rules says, and what not."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

import fixtures
from analyzer.check import leaks
from analyzer.core.model import Rules, Verdict
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.sources import collect

if TYPE_CHECKING:
    from analyzer.report.value import Report, ReportObject

pytestmark = [pytest.mark.live, pytest.mark.bpf]

_SEED: Final = {"UTS_NS", "IPC_NS", "FILE", "MM"}
_LATER: Final = {"FILE_TABLE", "FS", "SIGHAND", "NSPROXY", "MNT_NS"}


def report_of(pid: int, rules: Rules) -> Report:
    snapshot = collect(pid, source="kernel")
    return make(snapshot, leaks.check(snapshot, pid, rules), ReportOptions(all=True, gate=True))


def scene(name: str, rules: Rules) -> Report:
    with fixtures.start(name) as running:
        return report_of(running.info["root"], rules)


def of_kind(report: Report, kind: str) -> list[ReportObject]:
    return [entry for entry in report.objects if entry.kind == kind]


def verdicts(report: Report, kind: str) -> set[Verdict]:
    return {entry.verdict for entry in of_kind(report, kind)}


def test_each_rule_compares_its_kinds() -> None:
    kinds = {
        rules: {entry.kind for entry in scene("contained", rules).objects}
        for rules in (Rules.SEED, Rules.LINUX_CR)
    }
    assert kinds == {Rules.SEED: _SEED, Rules.LINUX_CR: _SEED | _LATER}


def test_the_seed_names_files_as_their_entries() -> None:
    for name, said in (("fork-file", "files.py (files.py)"), ("stdio", " ()")):
        (entry,) = [e for e in of_kind(scene(name, Rules.SEED), "FILE") if e.message]
        assert (entry.message or "").endswith(f"\ncheck_obj_isolated: filename is {said}")


def test_exit_codes_of_a_root_that_is_no_init() -> None:
    with subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE) as process:
        found = {rules: report_of(process.pid, rules) for rules in Rules}
        process.kill()
    said = {rules: report.findings[0].detail for rules, report in found.items()}
    assert said[Rules.SEED].endswith("returned EBUSY)")
    assert said[Rules.LINUX_CR].endswith("returned EINVAL)")
    assert {report.exit_code for report in found.values()} == {16}


def test_linux_cr_refuses_nested_namespaces() -> None:
    with fixtures.start("nested") as running:
        root = running.info["root"]
        found = {rules: report_of(root, rules) for rules in Rules}
    said = {rules: [f.message for f in report.findings] for rules, report in found.items()}
    nested = ["Nested net_ns unsupported", "Nested pid_ns unsupported"]
    assert said == {Rules.LINUX_CR: nested, Rules.SEED: [], Rules.MODERN: []}
    assert found[Rules.LINUX_CR].exit_code == 16


def _scripted(script: str, *, pid_from: bool = False) -> dict[Rules, Report]:
    """Run a script that prints a line when it is ready; report on it, or on the pid it says."""
    command = [sys.executable, "-c", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            root = int(line) if pid_from else process.pid
            snapshot = collect(root, source="kernel")
        finally:
            process.kill()
    options = ReportOptions(all=True)
    return {rules: make(snapshot, leaks.check(snapshot, root, rules), options) for rules in Rules}


def _said(report: Report, *kinds: str) -> set[tuple[str | None, int, int | None, Verdict]]:
    return {
        (entry.name, entry.users, entry.refcount, entry.verdict)
        for kind in kinds
        for entry in of_kind(report, kind)
    }


_WATCHES: Final = """
import os, select, sys
read, write = os.pipe()
watch, other = select.epoll(), select.epoll()
watch.register(read)
watch.register(other)
print(flush=True)
sys.stdin.read()
"""


def test_linux_cr_counts_what_an_epoll_watches() -> None:
    """But for another epoll: one user more than there are, where it is open inside as well."""
    found = _scripted(_WATCHES)
    for rules, more in ((Rules.MODERN, 0), (Rules.LINUX_CR, 1)):
        files = [e for e in of_kind(found[rules], "FILE") if e.refcount == 1]
        pipes = [e for e in files if (e.name or "").startswith("pipe:[")]
        polls = [e for e in files if e.name == "anon_inode:[eventpoll]"]
        assert sorted(entry.users for entry in pipes) == [1, 1, 1, 1 + more]
        assert [entry.users for entry in polls] == [1, 1]
        told = [(e.message or "").rpartition("]")[2] for e in pipes]
        assert told.count("Usage leak (2 != 3)") == more


_WATCHES_OUTSIDE: Final = """
import os, select, sys
read, write = os.pipe()
child = os.fork()
if not child:
    watch = select.epoll()
    watch.register(read)
    os.write(write, b"!")
    os.close(read), os.close(write)
    sys.stdin.read()
    os._exit(0)
os.read(read, 1)
print(child, flush=True)
sys.stdin.read()
"""


def test_linux_cr_takes_what_is_watched_for_held() -> None:
    """A file that is open only outside is no leak: the watch is counted in the holder's place."""
    found = _scripted(_WATCHES_OUTSIDE, pid_from=True)
    pipes = {
        rules: [e for e in of_kind(report, "FILE") if (e.name or "").startswith("pipe:[")]
        for rules, report in found.items()
    }
    (masked,) = [e for e in pipes[Rules.LINUX_CR] if e.objref not in _refs(pipes[Rules.MODERN])]
    assert (masked.users, masked.refcount, masked.verdict) == (1, 1, Verdict.CONTAINED)


def _refs(entries: list[ReportObject]) -> set[int]:
    return {entry.objref for entry in entries}


def test_linux_cr_collects_closed_senders() -> None:
    """A message holds its sender, and counts for nothing: 0 users of 0, as both sides had it."""
    sockets = of_kind(scene("message-own", Rules.LINUX_CR), "SOCKET")
    assert sorted((e.users, e.refcount) for e in sockets) == [(0, 0), (2, 2)]
    assert {entry.verdict for entry in sockets} == {Verdict.CONTAINED}


_CLOSED: Final = """
import socket, sys
one, other = socket.socketpair()
other.close()
print(flush=True)
sys.stdin.read()
"""


def test_linux_cr_expects_one_less_of_a_closed_socket() -> None:
    """Of one without a message that is one too few: it is held by the other end alone."""
    found = _scripted(_CLOSED)
    (dead,) = [e for e in of_kind(found[Rules.LINUX_CR], "SOCKET") if e.refcount == 1]
    assert (dead.users, dead.verdict) == (0, Verdict.USAGE_LEAK)
    assert (dead.message or "").endswith("[str SOCKET]Usage leak (2 != 1)")
    assert verdicts(found[Rules.MODERN], "SOCKET") == {Verdict.CONTAINED}


_TERMINAL: Final = """
import os, sys
master, slave = os.openpty()
again = os.open(os.ttyname(slave), os.O_RDWR | os.O_NOCTTY)
print(flush=True)
sys.stdin.read()
"""


def test_linux_cr_compares_the_kref_of_a_terminal() -> None:
    """A terminal that is open twice is held once: its kref counts sessions."""
    found = _scripted(_TERMINAL)
    assert verdicts(found[Rules.MODERN], "TTY") == {Verdict.CONTAINED}
    slave = [e for e in of_kind(found[Rules.LINUX_CR], "TTY") if (e.name or "")[:9] == "/dev/pts/"]
    assert [(e.users, e.refcount, e.verdict) for e in slave] == [(3, 1, Verdict.OVERCOUNT)]


_INTERNET: Final = """
import socket, sys
bound, free = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
bound.bind(("127.0.0.1", 0))
print(flush=True)
sys.stdin.read()
"""


def test_linux_cr_compares_internet_sockets() -> None:
    """Two are expected: of one that is in no hash table that is one too many."""
    found = _scripted(_INTERNET)
    assert not of_kind(found[Rules.MODERN], "NET_SOCKET")
    sockets = of_kind(found[Rules.LINUX_CR], "NET_SOCKET")
    assert sorted((e.users, e.refcount, e.verdict) for e in sockets) == [
        (2, 1, Verdict.OVERCOUNT),
        (2, 2, Verdict.CONTAINED),
    ]


def test_linux_cr_compares_the_peer() -> None:
    """One inside has its other end outside, one is connected to a server: both ends are leaks."""
    sockets = of_kind(scene("unix-peer", Rules.LINUX_CR), "SOCKET")
    said = sorted((e.message or "").rpartition("]")[2] for e in sockets)
    assert said == ["", "Usage leak (4 != 2)", "Usage leak (4 != 2)", "Usage leak (4 != 3)"]


def test_linux_cr_does_not_count_files_in_flight() -> None:
    with fixtures.start("unix-peer") as running:
        root = running.info["root"]
        place = running.info["expect"][2]["match"]
        snapshot = collect(root, source="kernel")
    modern, old = (
        make(snapshot, leaks.check(snapshot, root, rules), ReportOptions(all=True))
        for rules in (Rules.MODERN, Rules.LINUX_CR)
    )
    (seen,) = [
        entry
        for entry in of_kind(modern, "FILE")
        if any(
            (holder.association, holder.slot) == ("fd", place["slot"])
            and place["tid"] in {task.tid for task in holder.tasks}
            for holder in entry.holders
        )
    ]
    (there,) = [e for e in of_kind(old, "FILE") if e.objref == seen.objref]
    assert (seen.outside, there.outside, there.unnamed) == (2, 1, 1)
