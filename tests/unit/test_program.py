"""How the program tells people to start it: the command works, from any folder, and under sudo."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from analyzer.core import program
from scripts import docs
from scripts.docs import commands
from tests.each import each

if TYPE_CHECKING:
    from pathlib import Path

SUDO: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}  # all that sudo leaves of an environment


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be an installed script of our interpreter's, in a folder with a hostile name."""
    path = tmp_path / "it's $HOME" / "cranalyze"
    path.parent.mkdir()
    path.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(docs.ROOT)!r})\n"
        "from analyzer.cli import main\nsys.exit(main())\n"
    )
    path.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(path)])
    return path


def sudo(command: str, *words: str) -> str:
    """Run what is behind sudo as sudo would: with its PATH, elsewhere."""
    first, *rest = shlex.split(command)
    assert first == "sudo"
    ran = subprocess.run(
        [*rest, *words], capture_output=True, text=True, check=True, env=SUDO, cwd="/", timeout=60
    )
    return ran.stdout


def test_what_is_printed_works_under_sudo(script: Path) -> None:
    said = program.command(sudo=True)
    assert str(script) in shlex.split(said)
    assert sudo(said, "--version").startswith("cranalyze ")


def test_a_relative_path_works_in_another_folder(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(script.parent)
    monkeypatch.setattr(sys, "argv", ["./cranalyze"])
    assert sudo(program.command(sudo=True), "--version").startswith("cranalyze ")


def test_what_sudo_finds_by_itself_needs_no_path(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_SECURE_PATH", str(script.parent))
    assert program.command(sudo=True) == "sudo cranalyze"
    monkeypatch.setenv("PATH", str(script.parent))
    assert program.command(sudo=False) == "cranalyze"


@pytest.mark.parametrize("name", ["/usr/lib/x/__main__.py", "-c", "", "/usr/bin/jupyter-lab"])
def test_without_a_script_it_is_the_one_beside_the_interpreter_or_a_module(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", [name])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    assert program.command(sudo=True) == shlex.join(
        ["sudo", f"{tmp_path}/python3", "-m", "analyzer"]
    )
    (tmp_path / "cranalyze").write_text("")
    (tmp_path / "cranalyze").chmod(0o755)
    assert program.command(sudo=True) == f"sudo {tmp_path}/cranalyze"


def test_an_example_is_typed_as_it_works_here(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quoted = shlex.quote(str(script))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert program.here("sudo cranalyze who 1:2", 999) == (f"sudo {quoted} who 1:2",)
    assert program.here("sudo cranalyze who 1:2", 9) == (f"sudo {quoted} \\", "  who 1:2")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert program.here("sudo cranalyze who 1:2", 999) == (f"{quoted} who 1:2",)
    assert program.here("cranalyze report", 9) == ("cranalyze report",)


def test_nothing_that_people_read_says_sudo_with_a_name_that_sudo_does_not_find(
    script: Path,
) -> None:
    helped = [
        sudo(f"sudo {shlex.quote(str(script))}", name, "-h")
        for name in ("check", "who", "namespaces", "collect", "census", "doctor", "demo")
    ]
    assert each(str(script.parent)[-5:] in text for text in helped)
    root = docs.ROOT
    pages = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("docs/man/*"),
             *root.glob("notebooks/*.ipynb")]  # fmt: skip
    texts = [*helped, *(page.read_text() for page in pages if page.name != "CHANGELOG.md")]
    assert not [text for text in texts if "sudo cranalyze" in text]
    assert program.ANYWHERE in commands.commands_page()
