"""What CRIU stops at, in real processes; each beside the same without what CRIU minds."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from analyzer.check.leaks import check
from analyzer.cli.prover import proven
from analyzer.criu import Outcome, asked_of
from analyzer.report.make import make
from analyzer.report.value import Report, ReportOptions
from analyzer.sources import collect
from analyzer.sources.request import Request
from analyzer.writers.terminal import render, to_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from analyzer.report.preflight import Blocker
    from analyzer.snapshot.value import Snapshot

pytestmark = [pytest.mark.live, pytest.mark.bpf, pytest.mark.needs("root")]

ROOT = Path(__file__).parents[2]
STOPS = {Outcome.REFUSES, Outcome.FAILS}

# What each scene makes: the rules that apply to it, and how often at least.
BLOCKED = {
    "sockets": {
        "tcp-connection": 2, "tcp-waiting": 1, "udp-corked": 1, "inet-protocol": 1,
        "socket-family": 1, "netlink-queue": 1, "unix-backlog": 1, "unix-closed": 1,
        "unix-stream-peer": 1, "unix-datagram-peer": 1,
    },
    "files": {
        "io-uring": 1, "userfaultfd": 1, "perf-event": 1, "anon-inode": 1, "device": 1,
        "packet-pipe": 1, "message-queue": 1, "link-left": 1, "ghost": 1, "pidfd-thread": 1,
        "pidfd-outside": 1, "epoll-lost": 1, "namespace-file": 1, "file-lock": 3, "shm-host": 1,
        "kernel-file": 1,
    },
    "tasks": {
        "memfd-program": 1, "traced": 1, "trap-pending": 1, "vfork-parent": 1,
        "shared-fs-inside": 1, "nested-namespace": 1, "time-for-children": 1,
    },
    "mounts": {
        "covered": 1, "bind-mount": 1, "slave-mount": 1, "filesystem": 1, "detached-mount": 1,
        "foreign-file": 1,
    },
}  # fmt: skip


@contextmanager
def outsider(*fds: int) -> Iterator[int]:
    """Run a process that has some descriptors of ours: what we have ourselves is the observer's."""
    holder = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=fds)
    try:
        yield holder.pid
    finally:
        holder.communicate(timeout=30)


@contextmanager
def scene(name: str, how: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Run a scene of `tests.blocked`, in a session of its own."""
    ours, theirs = socket.socketpair()
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind(f"\0cranalyze-criu-{os.getpid()}-{name}-{how}")
    with ExitStack() as stack:
        outside = stack.enter_context(outsider(ours.fileno(), log.fileno()))
        door = os.open(folder.parent, os.O_RDONLY)
        stack.callback(os.close, door)
        environment = {
            **os.environ,
            "CRANALYZE_FOLDER": str(folder),
            "CRANALYZE_PEER": str(theirs.fileno()),
            "CRANALYZE_LOG": log.getsockname()[1:].decode(),
            "CRANALYZE_DOOR": str(door),
            "CRANALYZE_OUTSIDER": str(outside),
        }
        passed = [theirs.fileno()] * (name == "sockets" and how == "blocked")
        passed += [door] * (name == "mounts")
        running = subprocess.Popen(
            [sys.executable, "-m", "tests.blocked", name, how],
            cwd=ROOT, env=environment, pass_fds=passed, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        for one in (ours, theirs, log):
            one.close()
        try:
            assert running.stdout is not None
            assert select.select([running.stdout], [], [], 60)[0]
            line = running.stdout.readline()
            assert line, running.communicate(timeout=10)
            yield json.loads(line)
        finally:
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate(timeout=30)


def preflight(pid: int) -> Report:
    """Return what `check --for criu` says of a process."""

    def listed(snapshot: Snapshot) -> npt.NDArray[np.bool_]:
        return asked_of(snapshot, check(snapshot))

    snapshot = collect(Request(pid, wanted=listed, thorough=True), source="kernel")
    return make(snapshot, check(snapshot), ReportOptions("check", gate=True, tool="criu"))


def stops(report: Report) -> dict[str, list[Blocker]]:
    assert report.preflight is not None
    found: dict[str, list[Blocker]] = {}
    for one in report.preflight.blockers:
        if one.outcome in STOPS:
            found.setdefault(one.rule, []).append(one)
    return found


@pytest.mark.parametrize("name", BLOCKED)
def test_what_criu_stops_at_is_told_at_once(name: str, tmp_path: Path) -> None:
    with scene(name, "blocked", tmp_path) as known:
        report = preflight(known["pid"])
    lacks = {word.partition(":")[0] for word in known["lacks"]}
    found = {rule: len(many) for rule, many in stops(report).items()}
    missing = {
        rule: least
        for rule, least in BLOCKED[name].items()
        if found.get(rule, 0) < least and rule not in lacks
    }
    assert not missing, (found, known["lacks"])
    assert report.exit_code == 16
    assert not report.preflight.possible  # type: ignore[union-attr]
    lines = to_text(render(report, 80)).splitlines()
    assert all(len(line) <= 80 or line.startswith("    criu ") for line in lines)


@pytest.mark.parametrize("name", BLOCKED)
def test_the_same_without_what_criu_minds_is_dumped(name: str, tmp_path: Path) -> None:
    with scene(name, "clean", tmp_path) as known:
        report = preflight(known["pid"])
    assert not known["lacks"]
    assert not stops(report)
    assert report.preflight is not None
    assert report.preflight.possible


def test_a_snapshot_tells_what_the_machine_told(tmp_path: Path) -> None:
    with scene("mounts", "blocked", tmp_path) as known:
        live = preflight(known["pid"])
        snapshot = collect(Request(known["pid"], thorough=True), source="kernel")
    kept = make(snapshot, check(snapshot), ReportOptions("report", tool="criu"))
    assert kept.preflight is not None
    assert kept.preflight.lacks == ""
    found, again = ({rule: len(many) for rule, many in stops(one).items()} for one in (live, kept))
    assert again == found


def test_options_name_what_they_are_for(tmp_path: Path) -> None:
    with scene("sockets", "blocked", tmp_path) as known:
        report = preflight(known["pid"])
    (one,) = stops(report)["unix-stream-peer"]
    assert one.option == f"--external 'unix[{known['peer']}]'"
    assert report.preflight is not None
    assert f"--inherit-fd 'fd[3]:socket:[{known['peer']}]'" in report.preflight.restore
    numbers = {entry.what.rpartition("socket:[")[2] for entry in stops(report)["tcp-connection"]}
    assert f"{known['connection']}]" in numbers


def test_a_mount_and_a_file_of_it_are_named_as_criu_wants_them(tmp_path: Path) -> None:
    with scene("mounts", "blocked", tmp_path) as known:
        report = preflight(known["pid"])
    found = stops(report)
    point = f"{known['folder']}/part"
    (one,) = (b for b in found["bind-mount"] if b.what.endswith(point))
    assert one.option.startswith(f"--external 'mnt[{point}]:")
    assert any(b.option.endswith(f":{known['door']:x}]'") for b in found["foreign-file"])


@pytest.mark.parametrize("name", ["allowed", "refused"])
def test_a_criu_that_works_agrees(name: str, tmp_path: Path) -> None:
    """It is run with what was proposed; `CRIU` in the environment names another than PATH's."""
    with scene(name, "blocked", tmp_path) as known, proven(asked=True) as prove:
        report = prove(preflight(known["pid"]))
        assert report.preflight is not None
        ran = report.preflight.verified
        assert ran is not None
        if ran.reason:
            pytest.skip(ran.reason)
        assert ran.agrees, ran.said
        assert ran.worked is report.preflight.possible is (name == "allowed")
        os.kill(known["pid"], 0)  # it was left running


def test_what_depends_on_how_criu_was_built_is_unknown(tmp_path: Path) -> None:
    for how, rules in (("blocked", ["bpf-map-file"]), ("clean", [])):
        folder = tmp_path / how
        folder.mkdir()
        with scene("unsure", how, folder) as known:
            report = preflight(known["pid"])
        assert report.preflight is not None
        unknown = [b.rule for b in report.preflight.blockers if b.outcome is Outcome.UNKNOWN]
        assert unknown == rules
        assert not stops(report)
