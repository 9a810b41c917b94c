"""A real process is watched: what it is handed is new, its pipes grow, and it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


def watching(pid: int, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "analyzer", "watch", str(pid), "--json", "--every", "100ms"]
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
