"""What each command writes with --json of a real machine is what its schema says."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import fixtures
from tests.schema import faults

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.live, pytest.mark.bpf]


def said(command: str, *arguments: str) -> list[str]:
    asked = [sys.executable, "-m", "analyzer", command, *arguments, "--json"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=120)
    return faults(command, json.loads(done.stdout))


def test_what_is_said_of_a_process_is_as_its_schema(tmp_path: Path) -> None:
    with fixtures.start("hostile") as running:
        pid = str(running.info["root"])
        assert said("check", pid, "--subtree", "--all", "--rules", "seed") == []
        assert said("check", pid, "--source", "procfs") == []
        file = str(tmp_path / "x.crz")
        taken = [sys.executable, "-m", "analyzer", "collect", pid, "-o", file]
        subprocess.run(taken, check=True, capture_output=True, timeout=120)
        assert said("report", file, "--all") == []
        asked = (pid, f"{pid}:mm", f"/proc/{pid}/root", "/dev/null", "pipe:[1]", "cgroup:/")
        assert said("who", *asked) == []


def test_what_is_said_of_the_machine_and_of_nothing_is_as_its_schema() -> None:
    assert said("census") == []
    assert said("check", "4194303") == []
    assert said("who", "frob:[1]") == []
