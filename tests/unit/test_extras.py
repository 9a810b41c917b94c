"""The core installation: what it lacks is said in one line, with what installs it; no pandas."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from analyzer.core import extras
from tests.build import Machine

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

ROOT: Final = Path(__file__).parents[2]
CORE: Final = [sys.executable, "-m", "tests.bare"]
NO_PANDAS: Final = """
import sys
from analyzer.cli import main
code = main()
sys.exit(code or "pandas" in sys.modules)
"""
FULL: Final = [sys.executable, "-c", NO_PANDAS]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = Machine()
    made.task(77, comm="bash")
    made.task(100, 77)
    tables = [made.object("FILE_TABLE", 1, holders=[(task, "files")]) for task in (100, 77)]
    made.object("FILE", 2, holders=[(table, "fd", 3) for table in tables])
    made.snapshot(100).save(tmp_path / "leak.crz")
    return tmp_path


def run(start: list[str], *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*start, *words], cwd=cwd, env={"PYTHONPATH": str(ROOT)}, check=False,
                          capture_output=True, text=True, timeout=60)  # fmt: skip


LACKING: Final = {
    "collect 1 -o a.crz": ("collect", "pyarrow"),
    "report": ("report", "pyarrow"),
    "export --csv out": ("export", "pyarrow"),
    "graph -o a.dot": ("graph", "networkx and pyarrow"),
    "plot -o a.svg": ("plot", "matplotlib and pyarrow"),
    """check 1 -Q 'NAME =~ "x"'""": ("-Q with a regular expression (=~, !~)", "pyarrow"),
}


@pytest.mark.parametrize("words", LACKING)
def test_what_the_core_lacks_is_one_line_with_the_command_that_installs_it(
    words: str, folder: Path
) -> None:
    what, packages = LACKING[words]
    before = sorted(os.listdir(folder))
    ran = run(CORE, *shlex.split(words), cwd=folder)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    said, command = line.split(" not installed here: ")
    assert said.startswith(f"cranalyze: {what} needs {packages}, which ")
    named = packages.split(" and ")
    assert command.endswith(f"install {' '.join(named)}") or "--python" in command
    assert ran.stdout == ""
    assert sorted(os.listdir(folder)) == before


@pytest.mark.parametrize("words", ["-h", "--version", "plot --list", "graph -h", "doctor --json"])
def test_help_and_what_needs_nothing_works_on_the_core(words: str, folder: Path) -> None:
    ran = run(CORE, *words.split(), cwd=folder)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout


@pytest.mark.parametrize("there", ["pip", "uv"])
def test_the_command_is_one_that_this_environment_has(
    there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = importlib.util.find_spec

    def find(name: str) -> ModuleSpec | None:
        return None if name == "networkx" or (name == "pip" and there == "uv") else known(name)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(extras.MissingExtraError) as refused:
        extras.need("this", "networkx", "numpy")
    command = str(refused.value).partition("here: ")[2]
    if there == "pip":
        assert command == shlex.join([sys.executable, "-m", "pip", "install", "networkx"])
    else:
        assert command == f"uv pip install --python {shlex.quote(sys.executable)} networkx"


@pytest.mark.parametrize(
    "words",
    ["report", "report --json", "report --html a.html", """report -Q 'NAME =~ "x"'""",
     "graph -o a.dot", "export --csv out", "export --parquet out"],
)  # fmt: skip
def test_no_command_imports_pandas(words: str, folder: Path) -> None:
    ran = run(FULL, *shlex.split(words), cwd=folder)
    assert ran.returncode == 0, ran.stderr


def test_writing_a_snapshot_imports_no_pandas(folder: Path) -> None:
    code = ("import sys\nfrom analyzer.snapshot import crz\n"
            "crz.save(crz.load('leak.crz'), 'b.crz')\n"
            "sys.exit('pandas' in sys.modules)")  # fmt: skip
    ran = run([sys.executable, "-c", code], cwd=folder)
    assert ran.returncode == 0, ran.stderr
    assert (folder / "b.crz").read_bytes() == (folder / "leak.crz").read_bytes()
