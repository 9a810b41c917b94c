"""Completion, asked as a shell asks it: by the protocol, and by bash itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from analyzer import plots
from analyzer.cli import completion
from analyzer.core.errors import BadInputError
from analyzer.fleet import plots as fleet_plots
from analyzer.kinds import registry
from analyzer.plots import base
from analyzer.report.columns import names_of_columns
from analyzer.report.value import CONTAINER_INIT
from tests.unit.test_cli import run

ROOT: Final = Path(__file__).parents[2]


def environment(**more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CRANALYZE", "_CRANALYZE"))}
    return clean | {"PYTHONPATH": str(ROOT)} | more


def asked(*words: str) -> list[str]:
    """Return what is offered for the last of `words`, as bash would ask."""
    ran = run(
        _CRANALYZE_COMPLETE="complete_bash",
        COMP_WORDS="\n".join(["cranalyze", *words]),
        COMP_CWORD=str(len(words)),
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.split()


def test_commands_and_options_are_offered() -> None:
    assert {"check", "collect", "report", "export"} <= set(asked(""))
    assert {"--json", "--junit", "--markdown"} <= set(asked("report", "--"))


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("check", "--rules", ""), ["modern", "linux-cr", "seed"]),
        (("check", "--source", "k"), ["kernel"]),
        (("collect", "--scope", "b"), ["border"]),
        (("check", "--fail-on", "UTS"), ["UTS_NS"]),
        (("report", "--ignore", "FILE,ut"), ["FILE,uts_ns"]),
        (("check", "--ignore", "shared-st"), ["shared-state"]),
        (("check", "--fail-on", "FILE,foreign-m"), ["FILE,foreign-mount"]),
        (("graph", "--ignore", "shared-s"), []),
        (("graph", "--scope", ""), ["border", "subtree", "host"]),
        (("graph", "--format", "g"), ["graphml", "gexf"]),
        (("plot", "--kind", "b"), ["border"]),
        (("plot", "--format", "p"), ["pdf", "png"]),
        (("report", "-o", "KIND,USE"), ["KIND,USERS", "KIND,USER"]),
        (("check", "1", "--columns", "+MNT"), ["+MNTID"]),
        (("who", "--kind", "ino"), ["inode", "inotify"]),
        (("namespaces", "-t", "net,p"), ["net,pid"]),
        (("namespaces", "-o", "NS,KE"), ["NS,KEPT"]),
        (("who", "--kind", "pty", "-o", "+HOL"), ["+HOLDERS"]),
        (("graph", "docs/m"), ["docs/man/"]),
    ],
)
def test_values_are_offered(words: tuple[str, ...], offered: list[str]) -> None:
    assert asked(*words) == offered


def test_bash_itself_completes(tmp_path: Path) -> None:
    (tmp_path / "web.crz").touch()
    (tmp_path / "notes.txt").touch()
    program = tmp_path / "bin" / "cranalyze"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m analyzer "$@"\n')
    program.chmod(0o755)
    script = """
        eval "$(_CRANALYZE_COMPLETE=source_bash cranalyze)"
        COMP_WORDS=(cranalyze report w) COMP_CWORD=2
        _cranalyze_completion cranalyze
        printf '%s\\n' "${COMPREPLY[@]}"
        complete -p cranalyze
    """
    ran = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=tmp_path,
        env=environment(PATH=f"{program.parent}:{os.environ['PATH']}"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    first, last = ran.stdout.splitlines()
    assert first == "web.crz"
    assert "-F _cranalyze_completion cranalyze" in last


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_printed_for_each_shell(shell: str) -> None:
    ran = run(_CRANALYZE_COMPLETE=f"source_{shell}")
    assert "_CRANALYZE_COMPLETE=complete_" + shell in ran.stdout
    assert ran.stderr == ""


# --- what is offered


def test_kinds_are_those_that_the_options_take() -> None:
    assert set(completion.kinds("")) == {*registry(), CONTAINER_INIT}
    assert completion.kinds("ut") == ["uts_ns"]
    assert completion.kinds("nothing") == []


def test_a_kind_is_offered_once_in_a_list() -> None:
    assert "FILE,PIPE,MM" in completion.kinds("FILE,PIPE,")
    assert not {"FILE,PIPE,FILE", "FILE,PIPE,PIPE"} & set(completion.kinds("FILE,PIPE,"))


def test_columns_are_those_that_the_options_take() -> None:
    assert completion.columns("") == names_of_columns()
    assert completion.columns("+KIND,NA") == ["+KIND,NAME"]
    assert completion.columns("kind,cgr") == ["kind,cgroup"]
    assert completion.columns("out/") == []


def test_plots_and_pictures_are_those_that_there_are() -> None:
    assert completion.plots("") == list(plots.registry())
    assert completion.fleet_plots("") == list(fleet_plots.PLOTS)
    assert [base.form_of(f"a.{form}", None) for form in completion.pictures("")] == [
        "pdf",
        "png",
        "svg",
    ]
    with pytest.raises(BadInputError, match=r"\(png, svg and pdf\)"):
        base.form_of("a.gif", None)


def test_snapshots_are_offered_and_where_there_are_none_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.crz", "a.crz", "a.txt", ".hidden.crz", "with\nnewline.crz"):
        (tmp_path / name).touch()
    (tmp_path / "day" / "more").mkdir(parents=True)
    (tmp_path / "day" / "c.crz").touch()
    assert completion.snapshots("") == ["a.crz", "b.crz"]
    assert completion.snapshots("d") == ["day/"]
    assert completion.snapshots("day/") == ["day/c.crz"]
    assert completion.snapshots("day/m") == ["day/more/"]
    assert completion.snapshots("nowhere/") == []
