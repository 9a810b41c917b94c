"""The core installation: what it lacks is said in one line, with what installs it; no pandas."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from analyzer.core import extras
from tests import several
from tests.build import Machine

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = Machine()
    made.task(77, comm="bash")
    made.task(100, 77)
    tables = [made.object("FILE_TABLE", 1, holders=[(task, "files")]) for task in (100, 77)]
    made.object("FILE", 2, holders=[(table, "fd", 3) for table in tables])
    made.snapshot(100).save(tmp_path / "leak.crz")
    return tmp_path


LACKING: Final = {
    "collect 1 -o a.crz": ("collect", "pyarrow"),
    "report": ("report", "pyarrow"),
    "export --csv out": ("export", "pyarrow"),
    "graph -o a.dot": ("graph", "networkx and pyarrow"),
    "plot -o a.svg": ("plot", "matplotlib and pyarrow"),
    """check 1 -Q 'NAME =~ "x"'""": ("-Q with a regular expression (=~, !~)", "pyarrow"),
}


HELPFUL: Final = ("-h", "--version", "plot --list", "graph -h", "doctor --json")


def test_what_the_core_lacks_is_one_line_and_what_needs_nothing_works(folder: Path) -> None:
    """The line has the command that installs it; nothing is written."""
    before = sorted(os.listdir(folder))
    lines = [shlex.split(words) for words in (*LACKING, *HELPFUL)]
    answers = several.ran(lines, folder, core=True)
    for (what, packages), ran in zip(LACKING.values(), answers, strict=False):
        assert ran.code == 2
        (line,) = ran.stderr.splitlines()
        said, command = line.split(" not installed here: ")
        assert said.startswith(f"cranalyze: {what} needs {packages}, which ")
        named = packages.split(" and ")
        assert command.endswith(f"install {' '.join(named)}") or "--python" in command
        assert ran.stdout == ""
    for words, ran in zip(HELPFUL, answers[len(LACKING) :], strict=True):
        assert (ran.code, ran.stderr) == (0, ""), words
        assert ran.stdout
    assert sorted(os.listdir(folder)) == before


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


WITHOUT_PANDAS: Final = (
    "report",
    "report --json",
    "report --html a.html",
    """report -Q 'NAME =~ "x"'""",
    "graph -o a.dot",
    "export --csv out",
    "export --parquet out",
)


def test_no_command_imports_pandas(folder: Path) -> None:
    answers = several.ran([shlex.split(words) for words in WITHOUT_PANDAS], folder)
    for words, ran in zip(WITHOUT_PANDAS, answers, strict=True):
        assert (ran.code, ran.pandas) == (0, False), (words, ran)


def test_writing_a_snapshot_imports_no_pandas(folder: Path) -> None:
    code = (
        "import sys; from analyzer.snapshot import crz; crz.save(crz.load('leak.crz'), 'b.crz'); "
        "sys.exit('pandas' in sys.modules)"
    )
    spoken = {"PYTHONPATH": str(several.ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=spoken, check=True)
    assert (folder / "b.crz").read_bytes() == (folder / "leak.crz").read_bytes()
