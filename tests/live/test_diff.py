"""Two readings of a real process between which it was given a file, and opened pipes.

Another process holds the file too: what only we have is the observer's.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import analyzer
from analyzer.changes.between import Answer, Way, between
from analyzer.changes.identity import By
from analyzer.check.leaks import check
from analyzer.report.make import make
from analyzer.report.value import ReportObject, ReportOptions

if TYPE_CHECKING:
    from pathlib import Path

    from analyzer.core.model import SourceName
    from analyzer.report.value import Report

pytestmark = [pytest.mark.live, pytest.mark.bpf]

PIPES = 6
SUBJECT = f"""
import os, socket, sys
held = []
channel = socket.socket(fileno=int(sys.argv[1]))
print("ready", flush=True)
for line in sys.stdin:
    held += [os.pipe() for _ in range({PIPES})]
    held += socket.recv_fds(channel, 1, 1)[1]
    print("done", flush=True)
"""


def look(pid: int, source: SourceName) -> Report:
    snapshot = analyzer.collect(pid, source=source)
    return make(snapshot, check(snapshot), ReportOptions("diff", all=True, brief=True))


@pytest.mark.parametrize(("source", "by"), [("kernel", By.ADDRESS), ("procfs", By.HOLDER)])
def test_a_file_that_was_handed_in_is_new_and_pipes_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: SourceName, by: By
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    ours, theirs = socket.socketpair()
    shared = tmp_path / "handed-in"
    command = [sys.executable, "-c", SUBJECT, str(theirs.fileno())]
    with (
        ours,
        theirs,
        shared.open("w") as file,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[theirs.fileno()]
        ) as process,
        subprocess.Popen(["sleep", "60"], pass_fds=[file.fileno()]) as other,
    ):
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        first = look(process.pid, source)
        process.stdin.write(b"go\n")
        process.stdin.flush()
        socket.send_fds(ours, [b"x"], [file.fileno()])
        assert process.stdout.readline() == b"done\n"
        changes = between(first, look(process.pid, source))
        other.kill()

    assert (changes.by, changes.answer) == (by, Answer.NEW)
    new = [c.now.name for c in changes.of(Way.NEW) if isinstance(c.now, ReportObject)]
    assert str(shared) in new
    grown = {(one.pid, one.what): one.more for one in changes.growth}
    assert grown[process.pid, "pipes"] == 2 * PIPES
    assert grown[process.pid, "files"] == 1
    back = between(changes.after, changes.before)
    assert str(shared) in [c.was.name for c in back.of(Way.GONE) if isinstance(c.was, ReportObject)]
