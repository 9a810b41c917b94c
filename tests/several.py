"""Several command lines of cranalyze in one process, which pays for its imports once.

    echo '[["report"], ["check", "1"]]' | python -m tests.several [--core]

Prints for each, as a line of JSON, what it exits with, what it says on stdout and on stderr, and
whether pandas has been imported by then. With --core the packages of the extra [all] are not there.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from analyzer.cli import main
from tests.bare import without_extras

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parents[1]


class Ran(NamedTuple):
    """What came of one command line."""

    code: int
    stdout: str
    stderr: str
    pandas: bool


def ran(lines: Sequence[Sequence[str]], folder: Path, *, core: bool = False) -> list[Ran]:
    """Run command lines in a process of their own, in `folder`."""
    made = subprocess.run(
        [sys.executable, "-m", "tests.several", *["--core"] * core],
        input=json.dumps(lines),
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    found = [Ran(*json.loads(line)) for line in made.stdout.splitlines()]
    assert len(found) == len(lines)
    return found


def _run(words: Sequence[str]) -> Ran:
    out, err = io.BytesIO(), io.BytesIO()
    with redirect_stdout(_text(out)) as said, redirect_stderr(_text(err)) as complained:
        code = main(words)
        said.flush()
        complained.flush()
    pandas = "pandas" in sys.modules
    return Ran(code, out.getvalue().decode(), err.getvalue().decode(), pandas)


def _text(data: io.BytesIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(data, encoding="utf-8")


if __name__ == "__main__":
    if "--core" in sys.argv:
        without_extras()
    for line in json.load(sys.stdin):
        print(json.dumps(_run(line)))  # noqa: T201 - for the one that started it
