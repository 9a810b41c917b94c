"""What the suite must not assume, and what CI does about it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def test_a_failing_half_of_the_suite_hides_no_other(tmp_path: Path) -> None:
    """`make test` runs both halves, and fails when one did."""
    rules = (ROOT / "Makefile").read_text()
    rules = re.sub(r"(?m)^(unit|live): .*\n\t.*$", r"\1:\n\t@echo ran \1; exit ${\1}", rules)
    rules = re.sub(r"(?m)^\.venv.*stamp:.*\n(\t.*\n)+", "", rules)
    (tmp_path / "Makefile").write_text(rules)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".stamp").touch()
    for unit, live in ((1, 0), (0, 1), (0, 0)):
        ran = subprocess.run(["make", "test", f"unit={unit}", f"live={live}"], cwd=tmp_path,
                             capture_output=True, text=True, check=False)  # fmt: skip
        assert [line for line in ran.stdout.splitlines() if line.startswith("ran")] == [
            "ran unit", "ran live",
        ]  # fmt: skip
        assert bool(ran.returncode) == bool(unit or live)


def test_ci_has_a_plain_environment_two_users_and_a_neighbour() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert script.count("env -i ") == 2
    assert re.search(r"suite_of_root\(\).*make test", script, re.DOTALL)
    assert re.search(r"suite_of_user\(\).*as_user env -i .*make test", script, re.DOTALL)
    assert script.index("\nstart_neighbour\n") < script.index("' suite_of_root\n")
    ran = subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=False)
    assert ran.returncode == 0
