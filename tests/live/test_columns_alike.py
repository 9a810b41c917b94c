"""What a column says does not depend on the command: check and collect, report say the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fixtures
from analyzer.report.columns import names_of_columns

pytestmark = [pytest.mark.live]

CRANALYZE = (sys.executable, "-m", "analyzer")
FILTER = "SIDE == 'inside' and not INITIAL"  # what others hold is theirs to change meanwhile
# Numbers of a snapshot, and what counts others' references too.
OF_A_READING = {"OBJREF", "HOLDER", "REFCOUNT", "OUTSIDE", "UNNAMED", "MESSAGE", "VERDICT", "BASIS"}


def rows(*words: str) -> list[dict[str, Any]]:
    asked = ("--all", "--json", "-o", ",".join(names_of_columns()), "-Q", FILTER)
    done = subprocess.run(
        [*CRANALYZE, *words, *asked], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode in {0, 3, 16}, done.stderr
    return sorted(
        (
            {k: v for k, v in row.items() if k not in OF_A_READING}
            for row in json.loads(done.stdout)["rows"]
        ),
        key=lambda row: json.dumps(row, sort_keys=True),
    )


@pytest.mark.parametrize("source", [pytest.param("kernel", marks=pytest.mark.bpf), "procfs"])
def test_every_column_says_the_same_both_ways(tmp_path: Path, source: str) -> None:
    path = str(tmp_path / "a.crz")
    with fixtures.start("kinds") as running:
        pid = str(running.info["root"])
        collect = ("collect", pid, "--source", source, "--output", path)
        subprocess.run([*CRANALYZE, *collect], check=True, timeout=120)
        live = rows("check", pid, "--source", source)
        kept = rows("report", path)
    assert live
    assert any(row["CGROUP"] for row in live)
    assert live == kept


def test_three_snapshots_of_one_second_are_three_files(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with fixtures.start("kinds") as running:
        command = [*CRANALYZE, "collect", str(running.info["root"]), "--source", "procfs"]
        started = [
            subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
            for _ in range(3)
        ]
        codes = [one.wait(120) for one in started]
    assert codes == [0, 0, 0]
    assert len(list(tmp_path.glob("*.crz"))) == 3
