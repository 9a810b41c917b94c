"""What the suite must not assume, and what CI does about it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PARTS: Final = ("unit", "slow", "live")


def test_a_failing_part_of_the_suite_hides_no_other(tmp_path: Path) -> None:
    """`make test` runs all parts, and fails when one did."""
    rules = (ROOT / "Makefile").read_text()
    rules = re.sub(
        r"(?m)^(unit|slow|live): .*\n(\t.*\n)+", r"\1:\n\t@echo ran \1; exit ${\1}\n", rules
    )
    rules = re.sub(r"(?m)^\.venv.*stamp:.*\n(\t.*\n)+", "", rules)
    (tmp_path / "Makefile").write_text(rules)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".stamp").touch()
    for codes in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)):
        given = [f"{part}={code}" for part, code in zip(PARTS, codes, strict=True)]
        ran = subprocess.run(
            ["make", "test", *given], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        said = [line for line in ran.stdout.splitlines() if line.startswith("ran")]
        assert said == [f"ran {part}" for part in PARTS]
        assert bool(ran.returncode) == any(codes)


def test_every_test_is_in_one_part() -> None:
    """What is neither slow nor live is quick, and what is slow or live has a part of its own."""
    rules = (ROOT / "Makefile").read_text()
    chosen = dict(
        re.findall(r"(?m)^(unit|slow|live): .*\n(?:\t.*\\\n)?\t.* -m ('[^']*'|\w+)", rules)
    )
    assert chosen == {
        "unit": "'not live and not slow'",
        "slow": "'(slow or hypothesis) and not live'",
        "live": "live",
    }


def test_ci_has_a_plain_environment_two_users_and_a_neighbour() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert script.count("env -i ") == 2
    assert re.search(r"suite_of_root\(\).*make test", script, re.DOTALL)
    assert re.search(r"suite_of_user\(\).*as_user env -i .*make test", script, re.DOTALL)
    assert script.index("\nstart_neighbour\n") < script.index("' suite_of_root\n")
    ran = subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=False)
    assert ran.returncode == 0
