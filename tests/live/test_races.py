"""Trees that never rest, and neighbours that do not: no verdict is made of a race.

$CRANALYZE_ROUNDS says how often each scene is checked: a few times here, 200 times in CI.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from analyzer.check import leaks
from analyzer.core.model import Verdict
from analyzer.kinds import file_types
from analyzer.kinds._recognise import samples
from analyzer.sources import kernel, tasks
from analyzer.sources.freeze import FreezeError
from analyzer.sources.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.memory.reader import Memory

pytestmark = [pytest.mark.live, pytest.mark.bpf]

ROUNDS = int(os.environ.get("CRANALYZE_ROUNDS", "10"))
ROOT = Path(__file__).parents[2]
QUIET = ("sockets", "opens")
BUSY = ("forks", "threads", "bomb", "mixed")


class Found(NamedTuple):
    """What one check says of a container, the host's own namespaces apart."""

    leaks: tuple[str, ...]
    planted: bool
    undecided: bool
    frozen: bool


@contextmanager
def churning(scene: str, *, plant: bool = False) -> Iterator[int]:
    """Let a scene run, and yield the pid of its container."""
    command = [sys.executable, "-m", "fixtures._churn", scene, *(["--plant"] if plant else [])]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["root"]
        finally:
            process.communicate(timeout=60)


def check(memory: Memory, root: int, *, freeze: bool = False) -> Found:
    """Check a container, and tell the file that an outsider was given from other leaks."""
    snapshot = kernel.collect(memory, Request(root, freeze=freeze))
    found, objects = leaks.check(snapshot, root), snapshot.tables["objects"]
    said, planted, undecided = [], False, bool(snapshot.meta["incomplete"])
    for row in range(len(objects)):
        if not found.judged[row] or objects["initial"][row]:
            continue
        verdict = leaks.VERDICTS[found.verdict[row]]
        kind, name = objects.value("kind", row), objects.value("name", row)
        if verdict in {Verdict.USAGE_LEAK, Verdict.OVERCOUNT}:
            if (kind, name) == ("FILE", "/etc/passwd") and found.outside[row] > 0:
                planted = True
            else:
                numbers = found.users[row], found.outside[row], objects.value("refcount", row)
                said.append(f"{kind} {name}: {verdict} {numbers}")
        undecided |= verdict in {Verdict.UNSTABLE, Verdict.UNKNOWN}
    return Found(tuple(said), planted, undecided, bool(snapshot.meta["frozen"]))


@pytest.mark.parametrize("scene", QUIET)
def test_a_quiet_container_is_contained_beside_any_churn(memory: Memory, scene: str) -> None:
    with churning(scene) as root:
        found = [check(memory, root) for _ in range(ROUNDS)]
    assert [one.leaks for one in found if one.leaks] == []
    assert sum(one.undecided for one in found) <= ROUNDS / 100


@pytest.mark.parametrize("scene", BUSY)
def test_what_churns_inside_is_never_a_leak(memory: Memory, scene: str) -> None:
    with churning(scene) as root:
        found = [check(memory, root) for _ in range(ROUNDS)]
    assert [one.leaks for one in found if one.leaks] == []
    assert not any(one.planted for one in found)


@pytest.mark.parametrize("scene", BUSY)
def test_a_leak_is_found_in_the_same_churn(memory: Memory, scene: str) -> None:
    rounds = (ROUNDS + 1) // 2
    with churning(scene, plant=True) as root:
        found = [check(memory, root) for _ in range(rounds)]
    assert sum(one.planted for one in found) >= rounds * 95 / 100
    assert [one.leaks for one in found if one.leaks] == []


@pytest.mark.parametrize("scene", ["forks", "threads", "bomb"])
def test_what_is_frozen_is_decided_or_not_called_frozen(memory: Memory, scene: str) -> None:
    found: list[Found] = []
    refused: list[FreezeError] = []
    with churning(scene) as root:
        for _ in range(ROUNDS):
            try:
                found.append(check(memory, root, freeze=True))
            except FreezeError as error:  # it is faster than we are: that is said
                refused.append(error)
    assert [one.leaks for one in found if one.leaks] == []
    # What others do to it meanwhile (who reads its /proc holds its mm) is nothing that we stop.
    assert sum(one.frozen and one.undecided for one in found) <= len(found) / 10
    assert sum(one.frozen for one in found) >= ROUNDS * 9 / 10


def test_a_thread_that_no_list_has_is_missed(memory: Memory) -> None:
    """It is counted: a list of threads that come and go tells whether it has them all."""
    idle = threading.Event()
    thread = threading.Thread(target=idle.wait)
    thread.start()
    try:
        found = tasks.settled(memory, os.getpid())
        mine = found.address[found.table["tgid"] == found.known_as(os.getpid())]
        assert not tasks.missed(memory, mine)
        assert tasks.missed(memory, mine[1:])
    finally:
        idle.set()
        thread.join()


def test_our_samples_are_open_while_the_tables_are_read(memory: Memory) -> None:
    """They are closed after the last reading: nobody's file is where one of them was."""
    before = set(os.listdir("/proc/self/fd"))
    with samples(memory, file_types()):
        links = {
            os.readlink(f"/proc/self/fd/{fd}")
            for fd in set(os.listdir("/proc/self/fd")) - before
            if os.path.lexists(f"/proc/self/fd/{fd}")
        }
    assert "anon_inode:[eventpoll]" in links or any("socket:" in link for link in links)
    assert set(os.listdir("/proc/self/fd")) == before
