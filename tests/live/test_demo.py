"""The demo, as a stranger sees it first: as root, as a user, and killed in the middle of it."""

from __future__ import annotations

import ctypes
import json
import os
import re
import select
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from analyzer.core import syscall
from analyzer.demo import show as demo
from analyzer.memory import capability

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.live

_PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 8, 47, 2  # prctl(2)


def run(become: Callable[[], None] | None = None) -> str:
    """Run the demo and return what it prints; nothing of it may be left."""
    done = subprocess.run(
        [sys.executable, "-m", "analyzer", "demo"],
        capture_output=True, text=True, check=False, timeout=60, preexec_fn=become,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    pids = {int(pid) for pid in re.findall(r"pid (\d+)\)", done.stdout)}
    assert len(pids) >= 3
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert max(map(len, done.stdout.splitlines())) <= 80
    return done.stdout


@pytest.mark.bpf
def test_as_root_it_proves_both_answers() -> None:
    said = run()
    leaking, closed = said.split("2. The same container")
    assert "not contained:" in leaking
    for leak in ("open file /etc/passwd", "file descriptor table", "uts namespace uts:["):
        assert f"* {leak}" in leaking
    both = r"launcher \(\d+\) and backup-job \(\d+\)"  # its table is the container's as well
    assert re.search(rf"outside +{both}: fd \d", leaking)
    assert "gconv-modules.cache: referenced" not in leaking  # a library's: mapped to be read
    assert re.search(r"executables(,| and) libraries .*mapped\s+by\s+both", leaking)
    assert re.search(r"\ncontained: none of \d+ objects is referenced from outside", closed)
    assert "session" not in said
    assert "(exit code 16)" in leaking
    assert "(exit code 0)" in closed


@pytest.mark.needs("userns")
def test_without_root_it_shows_what_it_can_and_says_what_it_cannot() -> None:
    """In a child that gave root up (or as the user that we are)."""
    if not os.geteuid() and not _for_everybody(Path(sys.executable).resolve()):
        pytest.skip("the Python that runs this is root's alone: the container could not start it")
    said = run(_become_nobody if not os.geteuid() else None)
    assert "not contained:" in said
    assert "undecided:" in said
    assert "Not shown: the kernel's own refcounts." in said


def _for_everybody(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


def _become_nobody() -> None:
    """Be another user, who may still read the Python that runs this (it may be root's alone)."""
    keep = 1 << capability.NUMBERS["CAP_DAC_READ_SEARCH"]
    syscall.call("prctl", _PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3
    sets = (ctypes.c_uint32 * 6)(keep, keep, keep)
    pointers = (ctypes.c_void_p(ctypes.addressof(each)) for each in (header, sets))
    syscall.call("capset", *pointers)
    syscall.call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, 2, 0, 0)


@pytest.mark.needs("root")
@pytest.mark.parametrize("scene", ["leaky", "closed"])
def test_a_killed_stage_leaves_no_process(scene: str) -> None:
    """SIGKILL of the launcher, the one process that the demo could lose track of."""
    command = [sys.executable, "-I", "-S", str(demo._STAGE), scene]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stage:
        assert stage.stdout is not None
        facts = json.loads(stage.stdout.readline())
        pidfds = [os.pidfd_open(facts[who]) for who in ("root", "backup") if who in facts]
        stage.send_signal(signal.SIGKILL)
    for pidfd in pidfds:
        with open(pidfd, closefd=True):
            assert demo_ended(pidfd)


def demo_ended(pidfd: int) -> bool:
    """Wait until the process of a pidfd has ended, 10 seconds at the most."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(10_000))
