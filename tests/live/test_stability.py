"""Verdicts that do not change while the machine around them does, for 200 rounds."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

import fixtures
from analyzer.check import leaks
from analyzer.core.model import Verdict
from analyzer.sources import kernel
from analyzer.sources.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.memory.reader import Memory

pytestmark = [pytest.mark.live, pytest.mark.bpf]

# Forks and executes, opens and closes, without a pause.
_CHURN = """
import os
print(flush=True)
while True:
    pid = os.fork()
    if not pid:
        os.execv("/bin/true", ["true"])
    for _ in range(50):
        a, b = os.pipe()
        os.close(a)
        os.close(os.dup(b))
        os.close(b)
    os.waitpid(pid, 0)
"""


@contextmanager
def churn() -> Iterator[int]:
    """Run the churn in a process of its own; yield its pid."""
    command = [sys.executable, "-I", "-S", "-c", _CHURN]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def verdicts(memory: Memory, pid: int, *, freeze: bool = False) -> dict[str, int]:
    """Count the verdicts on what is not the host's."""
    snapshot = kernel.collect(memory, Request(pid, freeze=freeze))
    found = leaks.check(snapshot, pid)
    rows = found.judged & ~snapshot.tables["objects"]["initial"]
    codes = found.verdict[rows]
    return {word.value: int(np.count_nonzero(codes == code)) for code, word in enumerate(Verdict)}


def test_churn_elsewhere_never_changes_the_verdict_on_a_quiet_subtree(memory: Memory) -> None:
    with fixtures.start("contained") as quiet, churn():
        first = verdicts(memory, quiet.info["root"])
        assert first["contained"] == sum(first.values())
        for _ in range(200):
            assert verdicts(memory, quiet.info["root"]) == first


def test_churn_inside_never_makes_a_frozen_subtree_unstable(memory: Memory) -> None:
    """A process that forks and opens without end: nothing of it moves while it stands still."""
    with churn() as pid:
        for _ in range(40):
            found = verdicts(memory, pid, freeze=True)
            assert found["unstable"] == found["overcount"] == 0, found
