"""The busy neighbour that CI has: it comes, and goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def test_the_neighbour_ends_with_its_input() -> None:
    """As an ordinary user too: it makes what it may."""
    command = [sys.executable, "-m", "tests.neighbour"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, text=True, stdout=subprocess.PIPE
    ) as process:
        try:
            said, _ = process.communicate("", timeout=120)
        finally:
            process.kill()
    assert process.returncode == 0
    assert said in {"", "busy\n"}
