"""What a process has imported once a line of ours has run in it: what a command costs to start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parents[1]
HEAVY: Final = {"numpy", "pandas", "pyarrow", "networkx", "matplotlib"}
# Of the standard library, what takes milliseconds to import.
SLOW: Final = {
    "_hashlib", "asyncio", "dataclasses", "email", "glob", "html", "http", "importlib.metadata",
    "logging", "multiprocessing", "numpy.typing", "pathlib", "pkgutil", "random", "secrets",
    "shutil", "signal", "statistics", "subprocess", "tempfile", "threading", "tomllib", "unittest",
    "urllib", "uuid", "xml",
}  # fmt: skip
ROOMS: Final = {"cli", "core"}
READING: Final = ROOMS | {
    "check", "kinds", "memory", "procfs", "relations", "report", "snapshot", "sources", "writers",
}  # fmt: skip

_TELLS: Final = """
import json, sys, analyzer
def told(): print(json.dumps(sorted(sys.modules)))
told()
for name in json.loads(sys.argv[1]):
    __import__(name)
told()
from analyzer.cli import main
for words in json.loads(sys.argv[2]):
    main(words)
    told()
"""


def loaded(*lines: list[str], needed: Sequence[str] = ("numpy",)) -> list[set[str]]:
    """Return the modules that are there after the lines, one after the other in one process.

    First come those of the package alone, and those with what is `needed`.
    """
    ran = subprocess.run(
        [sys.executable, "-c", _TELLS, json.dumps(needed), json.dumps(lines)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=True,
    )
    return [set(json.loads(line)) for line in ran.stdout.splitlines() if line[:2] == '["']


def unneeded(line: list[str], rooms: set[str]) -> set[str]:
    """Return what a line imports beside numpy, these rooms of ours and its own command.

    Beside typer, too, if it asks for help: no other needs that.
    """
    needed = ["numpy", "typer.main"] if "--help" in line else ["numpy"]
    _, given, after = loaded(line, needed=needed)
    new = after - given
    tops = _tops(new)
    strange = tops - sys.stdlib_module_names - _tops(given)
    ours = [name.split(".") for name in after if name.startswith("analyzer.")]
    others = {parts[1] for parts in ours if len(parts) > 2} - rooms
    commands = {parts[3] for parts in ours if parts[1:3] == ["cli", "commands"] and parts[3:]}
    return strange | (new | tops) & SLOW | others | commands - {line[0]}


def _tops(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}
