"""Containers as runtimes make them, and what people share with them without a thought."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import analyzer
from analyzer.core.model import Side
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.core.model import SourceName
    from analyzer.report.value import Report, ReportObject

pytestmark = [pytest.mark.live, pytest.mark.bpf, pytest.mark.needs("root", "tool:unshare")]

OWN = ("--pid", "--mount", "--ipc", "--uts", "--net", "--cgroup")
READY = "exec sleep 1000 </dev/null >/dev/null 2>&1"


def the_child(pid: int) -> int:
    """Return the child of a process, once it sleeps."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for word in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split():
            if Path(f"/proc/{word}/comm").read_text("utf-8") == "sleep\n":
                return int(word)
        time.sleep(0.01)
    raise TimeoutError


@contextmanager
def unshared(*flags: str, alone: bool) -> Iterator[tuple[int, int]]:
    """Run `unshare FLAGS --fork` and yield its pid and its child's; `alone` ends unshare itself."""
    with subprocess.Popen(
        ["unshare", *flags, "--fork", "sh", "-c", READY],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as launcher:
        child = 0
        try:
            child = the_child(launcher.pid)
            if alone:
                launcher.kill()
                launcher.wait()
            yield launcher.pid, child
        finally:
            with suppress(ProcessLookupError):
                if child:
                    os.kill(child, signal.SIGKILL)
            launcher.kill()


def decided(root: int) -> Report:
    """Check by the kernel source, again while other processes keep it from being read whole.

    Only references: the containers of unshare(1) have the host's file tree, which reaches out.
    """
    for _ in range(20):
        report = analyzer.check(analyzer.collect(root, source="kernel"), references_only=True)
        if report.exit_code != 3:
            return report
    pytest.fail("never decided")


def of_kind(report: Report, kind: str) -> ReportObject:
    (entry,) = (one for one in report.objects if one.kind == kind)
    return entry


def test_a_default_container_is_contained() -> None:
    """Its user and time namespaces are the host's, as those of all containers: one line."""
    with unshared(*OWN, alone=True) as (_, root):
        report = decided(root)
        strict = analyzer.check(report.snapshot, strict=True, references_only=True)
    assert (report.status.value, report.exit_code) == ("contained", 0)
    (finding,) = report.findings
    assert (finding.finding, finding.gates) == ("host_namespaces", False)
    assert finding.detail == "time and user namespaces"
    assert strict.exit_code == 16
    assert {entry.kind for entry in strict.objects} == {"TIME_NS", "USER_NS"}


@pytest.mark.parametrize("shared", ["uts", "ipc", "net"])
def test_another_namespace_of_the_hosts_is_a_leak(shared: str) -> None:
    flags = [flag for flag in OWN if flag != f"--{shared}"]
    with unshared(*flags, alone=True) as (_, root):
        report = decided(root)
    assert report.exit_code == 16
    assert [entry.kind for entry in report.objects] == [f"{shared.upper()}_NS"]
    assert each(group.of_container for group in report.groups)


@pytest.mark.parametrize("source", ["kernel", "procfs"])
def test_who_has_the_same_set_of_namespaces_is_in_each_of_them(source: SourceName) -> None:
    with unshared("--net", "--fork", alone=False) as (outsider, root):
        report = analyzer.check(analyzer.collect(root, source=source))
    held = of_kind(report, "NET_NS").holders
    outside = {t.tgid for h in held if h.holds_from(Side.OUTSIDE) for t in h.led_by(Side.OUTSIDE)}
    assert outside == {outsider}
    if source == "kernel":
        assert of_kind(report, "NSPROXY").passes == (of_kind(report, "NET_NS").name,)
