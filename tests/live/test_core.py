"""What has to work on the core installation, without the packages of the extra [all]."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]


@pytest.fixture
def process() -> Iterator[int]:
    with subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL) as made:
        try:
            yield made.pid
        finally:
            made.kill()


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-m", "tests.bare", *words], cwd=cwd, env=given,
                          capture_output=True, text=True, check=False, timeout=120)  # fmt: skip


def test_check_in_every_form(process: int, tmp_path: Path) -> None:
    for words in ([], ["--json"], ["--tree"], ["--markdown"], ["--junit"], ["--html", "a.html"],
                  ["-o", "PID,COMMAND,NAME"], ["-Q", 'SIDE == "inside" and PID > 1']):  # fmt: skip
        ran = run("check", str(process), *words, cwd=tmp_path)
        assert ran.returncode in {3, 16}, (words, ran.stderr)
        assert "not installed" not in ran.stderr
        assert str(process) in ran.stdout or "--html" in words


@pytest.mark.parametrize("command", ["doctor", "procdump"])
def test_doctor_and_procdump(command: str, process: int, tmp_path: Path) -> None:
    words = [str(process), "-o", "a.tar"] if command == "procdump" else []
    ran = run(command, *words, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    if command == "procdump":
        assert run("check", "--proc", "a.tar", str(process), cwd=tmp_path).returncode in {3, 16}


@pytest.mark.needs("userns")
def test_demo(tmp_path: Path) -> None:
    assert run("demo", cwd=tmp_path).returncode == 0


@pytest.mark.bpf
def test_who_and_census(process: int, tmp_path: Path) -> None:
    ran = run("who", f"{process}:0", "--json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(run("census", "--json", cwd=tmp_path).stdout)["kinds"]
