"""What a process has imported once a line of ours has run in it: what a command costs to start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
HEAVY: Final = {"numpy", "pandas", "pyarrow", "networkx", "matplotlib"}
# Of the standard library, what takes milliseconds to import.
SLOW: Final = {
    "asyncio", "email", "html", "http", "importlib.metadata", "logging", "multiprocessing",
    "numpy.typing", "random", "secrets", "statistics", "tempfile", "tomllib", "unittest", "xml",
}  # fmt: skip
ROOMS: Final = {"cli", "core"}
READING: Final = ROOMS | {
    "check", "kinds", "memory", "procfs", "relations", "report", "snapshot", "sources", "subjects",
    "writers",
}  # fmt: skip

_TELLS: Final = """
import json, sys, analyzer
def told(): print(json.dumps(sorted(sys.modules)))
told()
import typer.main, numpy
told()
from analyzer.cli import main
for words in json.loads(sys.argv[1]):
    main(words)
    told()
"""


def loaded(*lines: list[str]) -> list[set[str]]:
    """Return the modules that are there after the lines, one after the other in one process.

    First come those of the package alone, and those of numpy and typer.
    """
    ran = subprocess.run(
        [sys.executable, "-c", _TELLS, json.dumps(lines)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=True,
    )
    return [set(json.loads(line)) for line in ran.stdout.splitlines() if line[:2] == '["']


def unneeded(line: list[str], rooms: set[str]) -> set[str]:
    """Return what a line imports beside numpy, typer, these rooms of ours and its own command."""
    _, given, after = loaded(line)
    new = after - given
    tops = {name.partition(".")[0] for name in new}
    strange = tops - sys.stdlib_module_names - {"analyzer", "numpy", "typer", "click"}
    ours = [name.split(".") for name in after if name.startswith("analyzer.")]
    others = {parts[1] for parts in ours if len(parts) > 2} - rooms
    commands = {parts[3] for parts in ours if parts[1:3] == ["cli", "commands"] and parts[3:]}
    return strange | (new | tops) & SLOW | others | commands - {line[0]}
