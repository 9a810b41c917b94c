"""A real process is watched: what it is handed is new, its pipes grow, and it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import uuid
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.live, pytest.mark.bpf]

SUBJECT = """
import os, select, socket, sys
held = []
channel = socket.socket(fileno=int(sys.argv[1]))
print("ready", flush=True)
while True:
    if select.select([channel], [], [], 0.1)[0]:
        held += socket.recv_fds(channel, 1, 1)[1]
    if len(held) < 400:
        held.append(os.pipe())
"""


def watching(subject: int | str, *words: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "analyzer",
        "watch",
        str(subject),
        "--json",
        "--every",
        "100ms",
    ]
    return subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True)


def events(watch: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert watch.stdout
    for line in watch.stdout:
        yield json.loads(line)


def test_what_is_new_what_grows_and_the_end_of_a_process_are_told(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    shared = tmp_path / "handed-in"
    command = [sys.executable, "-c", SUBJECT, str(theirs.fileno())]
    with (
        ours,
        theirs,
        shared.open("w") as file,
        subprocess.Popen(["sleep", "600"], pass_fds=[file.fileno()]) as other,
        subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[theirs.fileno()]) as process,
        watching(process.pid, "--over", "3") as watch,
    ):
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            told = events(watch)
            assert next(told)["event"] == "start"
            socket.send_fds(ours, [b"x"], [file.fileno()])
            seen: dict[str, dict[str, Any]] = {}
            for event in told:
                if event["event"] == "growth" or str(shared) in event["message"]:
                    seen.setdefault(event["event"], event)
                if {"growth", "new"} <= seen.keys():
                    break
            process.kill()
            end = list(told)[-1]
        finally:
            for one in (process, other, watch):
                one.kill()
    assert seen["new"]["change"]["decides"]
    assert seen["growth"]["growth"]["pid"] == process.pid
    assert seen["growth"]["growth"]["what"] == "pipes"
    assert (end["event"], end["exit_code"], watch.returncode) == ("end", 5, 5)


@pytest.fixture
def group() -> Iterator[Path]:
    """A cgroup of our own, in whichever hierarchy one can be made."""
    fields = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    places = [Path(one[4]) for one in fields if one[one.index("-") + 1] in {"cgroup", "cgroup2"}]
    for place in places:
        path = place / f"cranalyze-{uuid.uuid4().hex}"
        with suppress(OSError):
            path.mkdir()
            break
    else:
        pytest.skip("no cgroup can be made here")
    try:
        yield path
    finally:
        path.rmdir()


@contextmanager
def member(group: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            try:
                (group / "cgroup.procs").write_text(f"{process.pid}\n")
            except OSError as error:
                pytest.skip(f"nobody can be put into {group}: {error}")
            yield process
        finally:
            process.kill()


@pytest.mark.needs("root")
def test_what_is_started_again_under_its_name_is_followed(group: Path) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(member(group))
        watch = stack.enter_context(watching(f"cgroup:/{group.name}"))
        stack.callback(watch.kill)
        told = events(watch)
        assert next(told)["event"] == "start"
        first.kill()
        first.wait()
        assert next(one for one in told if one["event"] == "ended")["exit_code"] is None
        stack.enter_context(member(group))
        assert next(one for one in told if one["event"] != "gone")["event"] == "start"
        watch.send_signal(signal.SIGTERM)
        end = list(told)[-1]
    assert (end["event"], end["message"]) == ("end", "SIGTERM")
    assert end["exit_code"] in {0, 16}


def test_a_signal_ends_it_cleanly() -> None:
    with subprocess.Popen(["sleep", "600"]) as process, watching(process.pid) as watch:
        try:
            told = events(watch)
            assert next(told)["event"] == "start"
            watch.send_signal(signal.SIGTERM)
            end = list(told)[-1]
        finally:
            watch.kill()
            process.kill()
    assert (end["event"], end["message"]) == ("end", "SIGTERM")
    assert end["exit_code"] == watch.returncode
    assert watch.returncode in {0, 16}  # what others have to do with it may change meanwhile
