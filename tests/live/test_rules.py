"""docs/rules.md on real processes: what each of the historic rules says, and what not."""

from __future__ import annotations

import os
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


_WATCHES: Final = """
import os, select, sys
read, write = os.pipe()
watch = select.epoll()
watch.register(read)
print(read, flush=True)
sys.stdin.read()
"""


def test_linux_cr_does_not_count_what_an_epoll_watches() -> None:
    command = [sys.executable, "-c", _WATCHES]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        try:
            assert process.stdout is not None
            link = os.readlink(f"/proc/{process.pid}/fd/{int(process.stdout.readline())}")
            report = report_of(process.pid, Rules.LINUX_CR)
        finally:
            process.kill()
    watched = [entry for entry in of_kind(report, "FILE") if entry.name == link]
    assert sorted((e.users, e.refcount, e.verdict) for e in watched) == [
        (1, 1, Verdict.CONTAINED), (1, 1, Verdict.CONTAINED),
    ]  # fmt: skip


def test_linux_cr_does_not_compare_dead_senders() -> None:
    report = scene("message-own", Rules.LINUX_CR)
    assert [entry.verdict for entry in of_kind(report, "SOCKET")] == [Verdict.CONTAINED]


@pytest.mark.needs("root")
def test_linux_cr_compares_the_open_files_of_a_terminal() -> None:
    assert verdicts(scene("terminal", Rules.LINUX_CR), "TTY") == {Verdict.CONTAINED}


def test_linux_cr_does_not_compare_internet_sockets() -> None:
    report = scene("tcp-orphans", Rules.LINUX_CR)
    assert {entry.kind for entry in report.objects} <= _SEED | _LATER
    assert verdicts(report, "FILE") == {Verdict.CONTAINED}


def test_linux_cr_does_not_collect_the_peer() -> None:
    """One inside has its other end outside, and leaks; one is connected to a server, and not."""
    sockets = of_kind(scene("unix-peer", Rules.LINUX_CR), "SOCKET")
    assert sorted(entry.verdict for entry in sockets) == [Verdict.CONTAINED, Verdict.USAGE_LEAK]


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
