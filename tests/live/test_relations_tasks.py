"""Processes that are tied in ways that no count shows: both ends are named, from both sides."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from analyzer.check.leaks import check
from analyzer.core.model import Impact, Side
from analyzer.report.make import make
from analyzer.report.value import Report, ReportOptions
from analyzer.sources import collect
from analyzer.writers.terminal import render, to_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.report.crossed import Crossed, Tie

pytestmark = [pytest.mark.live, pytest.mark.bpf]

ROOT = Path(__file__).parents[2]

# What X does to Y: who of the two is the left end, and the impact as X sees it, and Y.
DIRECT = {
    "tracer": ("y", Impact.REACHES_OUT, Impact.LOST),
    "pidfd": ("x", Impact.LOST, Impact.WATCHES),
    "perf-event": ("x", Impact.WATCHES, Impact.WATCHES),
    "seccomp-listener": ("y", Impact.REACHES_OUT, Impact.LOST),
    "bpf-link": ("y", Impact.REACHES_OUT, Impact.LOST),
    "userfault": ("x", Impact.REACHES_OUT, Impact.LOST),
    "uring-worker": ("x", Impact.REACHES_OUT, Impact.LOST),
}
SHARED = {
    "semaphore-undo": Impact.SHARED_STATE,
    "io-context": Impact.SHARED_STATE,
    "sysv-semaphore": Impact.SHARED_STATE,
    "sysv-queue": Impact.SHARED_STATE,
    "posix-queue": Impact.SHARED_STATE,
    "bpf-map": Impact.SHARED_STATE,
    "keyring": Impact.BY_DESIGN,
    "cgroup": Impact.BY_DESIGN,
    "session-left": Impact.LOST,
}
# What the kernel or this machine may not have.
NEEDS = {"perf-event": "perf", "userfault": "userfaultfd", "uring-worker": "ring",
         "seccomp-listener": "listener", "posix-queue": "mq", "bpf-link": "link"}  # fmt: skip


@contextmanager
def scene(*command: str) -> Iterator[dict[str, int]]:
    """Run a script that tells its ids, until we are done with them."""
    running = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert running.stdin
    assert running.stdout
    try:
        assert select.select([running.stdout], [], [], 60)[0], "the scene was not made in a minute"
        facts: dict[str, int] = json.loads(running.stdout.readline())
        yield facts
    finally:
        running.stdin.close()
        running.stdout.close()
        try:
            running.wait(30)
        finally:
            running.kill()
            running.wait(30)


def report(pid: int) -> Report:
    snapshot = collect(pid, source="kernel")
    return make(snapshot, check(snapshot, pid), ReportOptions("check", gate=True))


@pytest.fixture(scope="module")
def tied() -> Iterator[dict[str, Any]]:
    with scene("-m", "tests.tied") as facts:
        reports = {name: report(facts[name]) for name in ("x", "y", "waits", "vforked", "top")}
        yield facts | {"reports": reports}


def of(found: Report, relation: str) -> list[Crossed]:
    return [one for one in found.crossings if one.relation == relation]


def processes(ties: tuple[Tie, ...]) -> set[int]:
    return {task.tgid for tie in ties for task in tie.tasks}


@pytest.mark.parametrize("relation", DIRECT)
@pytest.mark.parametrize("asked", ["x", "y"])
def test_what_one_does_to_the_other(tied: dict[str, Any], relation: str, asked: str) -> None:
    needs(tied, relation)
    left, *impacts = DIRECT[relation]
    (one,) = of(tied["reports"][asked], relation)
    assert one.impact is impacts[asked == "y"]
    other = "y" if asked == "x" else "x"
    assert tied[asked] in processes(one.of(Side.INSIDE))
    others = processes(one.of(Side.OUTSIDE))
    # In the cgroup that X attached to are all of the scene.
    assert tied[other] in others if relation == "bpf-link" else others == {tied[other]}
    assert tied[left] in processes(one.ties[:-1])
    assert one.stable
    assert one.gates is (one.impact is Impact.REACHES_OUT)


@pytest.mark.parametrize("relation", SHARED)
@pytest.mark.parametrize("asked", ["x", "y"])
def test_what_both_have(tied: dict[str, Any], relation: str, asked: str) -> None:
    needs(tied, relation)
    (one,) = of(tied["reports"][asked], relation)
    assert one.impact is SHARED[relation]
    other = "y" if asked == "x" else "x"
    assert processes(one.of(Side.INSIDE)) == {tied[asked]}
    assert tied[other] in processes(one.of(Side.OUTSIDE))
    assert one.meeting is not None
    assert one.gates is (one.impact is Impact.SHARED_STATE)


def needs(tied: dict[str, Any], relation: str) -> None:
    if tied.get(NEEDS.get(relation, ""), 0) < 0:
        pytest.skip(f"this machine has no {NEEDS[relation]}")
    if relation == "cgroup" and not tied["cgroup"]:
        pytest.skip("this machine has no cgroup of version 2 to be made")


def test_files_in_proc(tied: dict[str, Any]) -> None:
    mine = {one.ties[0].detail: one.impact for one in of(tied["reports"]["x"], "proc-files")}
    assert mine == {"mem": Impact.REACHES_OUT, "stat": Impact.LOST}
    theirs = {one.ties[0].detail: one.impact for one in of(tied["reports"]["y"], "proc-files")}
    assert theirs == {"mem": Impact.SHARED_STATE, "stat": Impact.WATCHES}


@pytest.mark.parametrize(("asked", "inside"), [("vforked", 0), ("waits", 1)])
def test_who_waits_for_the_end_of_a_vfork(tied: dict[str, Any], asked: str, inside: int) -> None:
    (one,) = of(tied["reports"][asked], "vfork")
    assert [tie.tid for tie in one.ties] == [tied["vforked"], tied["waits"]]
    assert one.ties[inside].side is Side.INSIDE
    assert one.impact is Impact.LOST


def test_a_sub_reaper_inherits_the_orphans(tied: dict[str, Any]) -> None:
    (one,) = of(tied["reports"]["x"], "reaper")
    assert [tie.tid for tie in one.ties] == [tied["x"], tied["top"]]
    assert one.impact is Impact.BY_DESIGN


def test_wholly_inside_none_of_it_is_told(tied: dict[str, Any]) -> None:
    found = {one.relation for one in tied["reports"]["top"].crossings}
    made = {*DIRECT, *SHARED, "vfork", "proc-files", "session", "joined"}
    assert not found & made


@pytest.fixture(scope="module")
def company() -> Iterator[dict[str, Any]]:
    with scene("-m", "tests.company") as facts:
        names = ("member", "leader", "init", "top")
        yield facts | {"reports": {name: report(facts[name]) for name in names}}


def test_a_process_in_the_session_of_its_shell_is_one_line(company: dict[str, Any]) -> None:
    ones = of(company["reports"]["member"], "session")
    assert {(tie.tid, tie.side) for one in ones for tie in one.ties} == {
        (company["member"], Side.INSIDE),
        (company["top"], Side.OUTSIDE),
    }
    (one,) = ones
    assert (one.impact, one.gates) == (Impact.LOST, False)
    said = to_text(render(company["reports"]["member"], 400)).splitlines()
    (line,) = [line for line in said if f"led by python ({company['top']}) outside" in line]
    assert f"in session {company['top']} and process group {company['top']}" in line


def test_a_leader_inside_with_a_member_outside(company: dict[str, Any]) -> None:
    (one,) = of(company["reports"]["leader"], "session")
    assert processes(one.of(Side.INSIDE)) == {company["leader"]}
    assert processes(one.of(Side.OUTSIDE)) == {company["left"]}


def test_a_leader_outside_of_the_pid_namespace_is_0_inside(company: dict[str, Any]) -> None:
    (one,) = of(company["reports"]["init"], "session")
    assert {tie.detail for tie in one.ties} == {
        f"session {company['top']} (0 inside) and process group {company['top']} (0 inside)",
        "",
    }


def test_who_joined_is_named_once_with_what_it_joined(company: dict[str, Any]) -> None:
    found = {one.ties[1].tid: one for one in of(company["reports"]["init"], "joined")}
    joined = found[company["joined"]]
    said = joined.ties[0].detail
    assert "joined its 3 namespaces (" in said
    for name in ("pid", "uts", "ipc"):
        assert name in said
    assert "with 1 more that it started" in said
    assert "killed when its pid namespace ends" in said
    assert (joined.impact, joined.gates) == (Impact.LOST, False)
    parent = found[company["parent"]]
    assert parent.impact is Impact.BY_DESIGN
    assert "is in its 2 namespaces" in parent.ties[0].detail
    assert set(found) == {company["joined"], company["parent"]}


def test_nobody_joins_the_host(company: dict[str, Any]) -> None:
    for name in ("member", "leader", "top"):
        assert not of(company["reports"][name], "joined")
    assert not of(company["reports"]["top"], "session")
