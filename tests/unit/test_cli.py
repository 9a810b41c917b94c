"""The command line as people and scripts meet it: exit codes, streams, one line for a failure."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from unittest import mock

import pytest

from analyzer import cli
from analyzer.cli import arguments, commands, output
from analyzer.cli.commands import report
from analyzer.cli.target import Target
from analyzer.core import program, settings
from analyzer.core.errors import BadInputError, NotPermittedError
from analyzer.core.settings import Settings
from analyzer.sources.request import Request
from tests.build import Machine, Obj
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parents[2]
COMMANDS: Final = (
    "collect", "report", "check", "diff", "watch", "who", "namespaces", "census", "graph", "plot",
    "export", "fleet", "explain", "doctor", "demo", "procdump", "schema",
)  # fmt: skip
CRANALYZE: Final = [sys.executable, "-m", "analyzer"]


def environment(**more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CRANALYZE", "NO_COLOR"))}
    return clean | {"PYTHONPATH": str(ROOT)} | more


@dataclass(frozen=True)
class Ran:
    returncode: int
    stdout: str
    stderr: str


def run(*words: str, cwd: Path = ROOT, stdin: Path | str = os.devnull, **env: str) -> Ran:
    """Run the command line in this process, which is ten times as fast as in one of its own."""
    spoken = env.get("PYTHONIOENCODING", "utf-8")
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=spoken) for _ in range(2)]
    with (
        open(stdin, encoding="utf-8") as source,
        contextlib.chdir(cwd),
        mock.patch.dict(os.environ, environment(**{"COLUMNS": "80"} | env), clear=True),
        mock.patch.multiple(sys, stdin=source, stdout=streams[0], stderr=streams[1]),
    ):
        try:
            code = cli.main(words)
        except SystemExit as done:  # of typer's, after a completion
            code = int(done.code or 0)
    return Ran(code, *map(written, streams))


def written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


def start(*words: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CRANALYZE, *words],
        cwd=cwd,
        env=environment(**env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def leaking() -> Machine:
    made = Machine()
    made.task(77, comm="bash")
    made.task(100, 77, comm="a\udcff\x1b[2J", nspid=1)
    fds = [made.object("FILE_TABLE", 1, holders=[(task, "files")]) for task in (100, 77)]
    made.object("FILE", 2, name="/srv/\x1b[2J\n", holders=[(fds[0], "fd", 3), (fds[1], "fd", 7)])
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    leaking().snapshot(100).save(tmp_path / "leak.crz")
    alone = Machine()
    alone.task(100, 1, nspid=1)
    alone.snapshot(100).save(tmp_path / "alone.crz")
    os.utime(tmp_path / "alone.crz", (1, 1))
    return tmp_path


# --- help and start-up


@pytest.mark.parametrize("command", ["", *COMMANDS, "fleet check", "fleet report", "fleet plot"])
def test_every_command_has_help_with_examples_and_it_fits(command: str) -> None:
    ran = run(*command.split(), "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    deep = f"{program.as_root()} \\"  # alone on a line: where it lies is not ours to shorten
    assert each(len(line) <= 80 or line.strip() == deep for line in ran.stdout.splitlines())
    assert "Examples:\n    " in ran.stdout or not command
    assert "..." not in re.sub(
        r"(KIND,|WORD,|COL,|TYPE,|, |[\[{]?(OBJECT|ARGS|FILE|SUBJECT)[\]}]?)\.\.\.",
        "",
        ran.stdout,
    )


def test_help_names_every_command_and_exit_code() -> None:
    said = run("--help").stdout
    assert each(f"  {command} " in said for command in COMMANDS)
    assert each(f" {code} " in said for code in (0, 16, 3, 2, 4, 5, 70))


def test_help_says_of_a_command_what_the_command_says() -> None:
    assert tuple(commands.COMMANDS) == COMMANDS
    for name, line in commands.COMMANDS.items():
        command = importlib.import_module(f"analyzer.cli.commands.{name}")
        assert command.run.__doc__.splitlines()[0] == line


def test_the_public_names_are_there_whatever_is_imported_first() -> None:
    code = (
        "import analyzer.check.leaks, analyzer;"
        "assert all(map(callable, (analyzer.check, analyzer.load, analyzer.collect)));"
        "assert analyzer.Report and analyzer.Snapshot;"
        "assert set(analyzer.__all__) <= set(dir(analyzer))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_without_a_command_the_help_is_a_usage_error() -> None:
    ran = run()
    assert ran.returncode == 2
    assert "Commands:" in ran.stdout


def test_the_version() -> None:
    assert re.fullmatch(r"cranalyze \d+\.\d+\.\d+\n", start("--version").stdout)


def test_completion_answers() -> None:
    ran = run(_CRANALYZE_COMPLETE="complete_bash", COMP_WORDS="cranalyze ch", COMP_CWORD="1")
    assert ran.stdout.split() == ["check"]


# --- report


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        (["leak.crz"], 0, "leaks"),
        (["leak.crz", "--check"], 16, "leaks"),
        (["leak.crz", "--check", "--subtree"], 0, "leaks"),
        (["leak.crz", "--check", "--ignore", "file"], 0, "contained"),
        (["leak.crz", "--check", "--fail-on", "MM,UTS_NS"], 0, "contained"),
        (["leak.crz", "--check", "--fail-on", "FILE"], 16, "leaks"),
        (["leak.crz", "--check", "--rules", "seed"], 16, "leaks"),
        (["alone.crz", "--check"], 0, "contained"),
        (["--check"], 16, "leaks"),
    ],
)
def test_a_report_and_what_it_exits_with(
    folder: Path, words: Sequence[str], code: int, status: str
) -> None:
    ran = run("report", *words, "--json", cwd=folder)
    found = json.loads(ran.stdout)
    assert (ran.returncode, found["exit_code"], found["status"]) == (code, code, status)
    newest = "cranalyze: leak.crz is the newest *.crz here\n"
    assert ran.stderr == ("" if ".crz" in words[0] else newest)


def test_the_report_for_people_is_plain_where_nobody_watches(folder: Path) -> None:
    ran = run("report", "leak.crz", cwd=folder)
    assert ran.stdout.startswith("not contained: 1 of 2 objects is referenced from outside\n")
    assert "\x1b" not in ran.stdout
    assert run("report", "leak.crz", cwd=folder, FORCE_COLOR="1").stdout.startswith("\x1b[1;31m")
    both = run("report", "leak.crz", cwd=folder, FORCE_COLOR="1", NO_COLOR="1")
    assert "\x1b" not in both.stdout


def test_a_pipe_and_a_file_set_no_limit_to_lines(folder: Path) -> None:
    made = leaking()
    name = "/srv/" + "a-long-name/" * 30
    made.object("FILE", 2, name=name, holders=[(made_table(made), "fd", 3), (100, "exe")])
    made.snapshot(100).save(folder / "long.crz")
    assert name in start("report", "long.crz", cwd=folder, COLUMNS="").stdout
    assert run("report", "long.crz", "--output", "out.txt", cwd=folder, COLUMNS="").returncode == 0
    assert name in (folder / "out.txt").read_text()
    narrow = run("report", "long.crz", cwd=folder, COLUMNS="60").stdout
    assert name in narrow.replace("\n    ", "").replace("\n", "")
    assert max(map(len, narrow.splitlines())) <= 60


def made_table(made: Machine) -> Obj:
    return made.object("FILE_TABLE", 1, holders=[(77, "files")])


@pytest.mark.slow
def test_who_asks_for_c_gets_ascii(folder: Path) -> None:
    made = leaking()
    made.rows["objects"][2]["name"] = "/srv/\xe9"
    made.snapshot(100).save(folder / "latin.crz")
    asked = ("report", "latin.crz", "--tree")
    plain = start(*asked, cwd=folder, LC_ALL="C", PYTHONUTF8="").stdout
    assert plain.isascii()
    assert "\\xe9" in plain
    assert "/srv/\xe9" in start(*asked, cwd=folder, LC_ALL="C.UTF-8").stdout
    page = start("report", "latin.crz", "--markdown", cwd=folder, LC_ALL="C", PYTHONUTF8="").stdout
    assert "\xe9" in page


def test_a_file_that_was_written_is_told(folder: Path) -> None:
    ran = run("report", "leak.crz", "--html", "page.html", cwd=folder)
    assert (ran.stdout, ran.stderr) == ("", "cranalyze: wrote page.html: the page\n")
    ran = run("report", "leak.crz", "--junit", "-o", "leaks.xml", cwd=folder)
    said = "the report as JUnit XML (-o is for columns: a file is --output)"
    assert (ran.stdout, ran.stderr) == ("", f"cranalyze: wrote leaks.xml: {said}\n")


def test_an_interrupt_of_the_imports_says_nothing() -> None:
    # The interrupt comes while the first of what the program imports is imported.
    code = (
        "import sys, os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Slow:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'analyzer': os.kill(os.getpid(), signal.SIGINT)\n"
        "import cranalyze\n"
        "sys.meta_path.insert(0, Slow())\n"
        "sys.exit(cranalyze.main())\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(),
                         capture_output=True, text=True, check=False)  # fmt: skip
    assert (ran.returncode, ran.stdout, ran.stderr) == (-signal.SIGINT, "", "")


def test_the_width_follows_the_terminal(folder: Path) -> None:
    narrow = run("report", "leak.crz", cwd=folder, COLUMNS="50").stdout.splitlines()
    assert 40 < max(map(len, narrow)) <= 50


def test_a_report_through_stdin_and_into_a_file(folder: Path) -> None:
    file = folder / "leak.crz"
    ran = run("report", "-", "--json", "-o", "out.json", cwd=folder, stdin=file)
    assert (ran.returncode, ran.stdout) == (0, "")
    assert json.loads((folder / "out.json").read_text())["status"] == "leaks"
    again = run("report", "leak.crz", "-o", "out.json", cwd=folder)
    assert (again.returncode, again.stderr) == (
        2,
        "cranalyze: out.json exists: --force replaces it, --output writes elsewhere\n",
    )
    assert run("report", "leak.crz", "-o", "out.json", "--force", cwd=folder).returncode == 0


def test_a_host_snapshot_answers_for_any_root(tmp_path: Path) -> None:
    made = leaking()
    made.snapshot(None, scope="host").save(tmp_path / "host.crz")
    assert "--pid N" in run("report", "host.crz", cwd=tmp_path).stderr
    ran = run("report", "host.crz", "--pid", "77", "--json", "--check", cwd=tmp_path)
    assert json.loads(ran.stdout)["subject"]["pid"] == 77
    assert ran.returncode == 16
    assert run("report", "host.crz", "--pid", "5", cwd=tmp_path).returncode == 5


# --- what goes wrong is one line


WRONG: Final[dict[str, tuple[list[str], int, str]]] = {
    "no such pid": (["check", "4194303"], 2, "they go from 1 to|no process"),
    "not a number": (["check", "x\x1b[2J\n"], 2, r"^cranalyze: x\\e\[2J\\n: no process, container"),
    "other digits": (["check", "٣"], 2, "no process, container"),
    "negative": (["check", "-1"], 2, "No such option"),
    "zero": (["check", "0"], 2, "they go from 1 to"),
    "huge": (["check", "9" * 5000], 2, "they go from 1 to"),
    "no pid": (["check"], 2, "name what to check"),
    "no pid to collect": (["collect"], 2, "--scope host"),
    "no option": (["report", "--frob"], 2, "No such option.*cranalyze report --help"),
    "no command": (["frob"], 2, "No such command"),
    "no rules": (["report", "--rules", "mine"], 2, "mine"),
    "no kind": (
        ["report", "leak.crz", "--ignore", "FILES"],
        2,
        "no kind, impact or relation FILES .did you mean FILE..",
    ),
    "no impact": (
        ["report", "leak.crz", "--ignore", "shared-sate"],
        2,
        "did you mean shared-state",
    ),
    "no relation": (
        ["report", "leak.crz", "--fail-on", "foreign-mounts"],
        2,
        "did you mean foreign-mount",
    ),
    "empty kinds": (["report", "leak.crz", "--fail-on", ","], 2, "--fail-on needs a kind"),
    "no file": (["report", "absent.crz"], 2, "cannot read absent.crz: No such file"),
    "no snapshot": (["report", "note.txt"], 2, "note.txt is no snapshot"),
    "folder": (["report", "."], 2, "Is a directory"),
    "empty stdin": (["report", "-"], 2, "stdin is empty"),
    "other pid": (["report", "leak.crz", "--pid", "5"], 2, "the border of pid 100, not of 5"),
    "no settings": (["report", "leak.crz", "--config", "no.toml"], 2, "no settings file no.toml"),
    "bad settings": (["report", "leak.crz", "--config", "note.txt"], 2, "are not TOML"),
    "exists": (["collect", "1", "-o", "note.txt"], 2, "note.txt exists"),
    "no folder": (["collect", "1", "-o", "no/x.crz"], 2, "there is no folder no"),
    "dump to stdout": (["procdump", "1", "-o", "-"], 2, "name a file with -o"),
    "dump exists": (["procdump", "1", "-o", "note.txt"], 2, "note.txt exists"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_gets_one_line_and_loses_nothing(name: str, folder: Path) -> None:
    words, code, said = WRONG[name]
    (folder / "note.txt").write_text("precious")
    before = sorted(os.listdir(folder))
    ran = run(*words, cwd=folder)
    assert ran.returncode == code
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    assert line.startswith("cranalyze: ")
    assert line.isprintable()
    assert re.search(said, line)
    assert sorted(os.listdir(folder)) == before
    assert (folder / "note.txt").read_text() == "precious"


@pytest.mark.parametrize("words", [["check", "0"], ["check"], ["report", "absent.crz"]])
def test_with_json_an_error_is_the_envelope(words: list[str], folder: Path) -> None:
    ran = run(*words, "--json", cwd=folder)
    found = json.loads(ran.stdout)
    assert (found["status"], found["command"]) == ("error", words[0])
    assert ran.returncode == found["exit_code"] == found["errors"][0]["exit_code"] == 2


def test_no_snapshot_here(tmp_path: Path) -> None:
    assert "no *.crz here" in run("report", cwd=tmp_path).stderr


def test_an_error_of_our_own_is_70_and_never_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> str:
        raise ZeroDivisionError("a\x1b[2J")

    monkeypatch.setattr(arguments, "newest_snapshot", broken)
    monkeypatch.setattr(report, "newest_snapshot", broken)
    assert cli.main(["report"]) == 70
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        r"cranalyze: internal error, please report it: ZeroDivisionError: a\e[2J"
    )
    monkeypatch.setenv("CRANALYZE_DEBUG", "1")
    assert cli.main(["report"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_without_memory_nothing_is_decided(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> str:
        raise MemoryError("Unable to allocate 16.7 KiB for an array")

    monkeypatch.setattr(report, "newest_snapshot", full)
    limits = {resource.RLIMIT_AS: (resource.RLIM_INFINITY,) * 2, resource.RLIMIT_DATA: (2048, 2048)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    assert cli.main(["report"]) == 3
    assert capsys.readouterr().err == "cranalyze: out of memory: ulimit -d is 2, raise it\n"


@pytest.mark.parametrize("in_a_class", [False, True], ids=["anywhere", "where a class is made"])
def test_an_interrupt_is_130(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *, in_a_class: bool
) -> None:
    """Until Python 3.11 type.__new__ hides one behind an error of its own."""

    def interrupted() -> str:
        if in_a_class:
            raise RuntimeError("Error calling __set_name__") from KeyboardInterrupt()
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "newest_snapshot", interrupted)
    assert cli.main(["report"]) == 130
    assert capfd.readouterr().err == "cranalyze: interrupted\n"


@pytest.mark.slow
@pytest.mark.parametrize("words", [["report", "leak.crz"], ["-h"]])
def test_a_reader_that_went_away_is_141_without_a_word(words: list[str], folder: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ran = subprocess.run(
            [*CRANALYZE, *words], cwd=folder, env=environment(), stdout=writer,
            stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert (ran.returncode, ran.stderr) == (141, b"")


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["report", "leak.crz"], ["-h"], ["report", "-h"], []])
def test_a_full_disk_behind_stdout_is_one_line(
    words: list[str], unbuffered: str, folder: Path
) -> None:
    given = environment(PYTHONUNBUFFERED=unbuffered)
    with open("/dev/full", "wb") as full:
        ran = subprocess.run(
            [*CRANALYZE, *words], cwd=folder, env=given, stdout=full,
            stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert ran.returncode == 2
    assert ran.stderr == "cranalyze: cannot write to stdout: No space left on device\n"


@pytest.mark.slow
def test_a_closed_stdout_is_one_line(folder: Path) -> None:
    command = f"exec {' '.join(CRANALYZE)} report leak.crz >&-"
    ran = subprocess.run(["sh", "-c", command], cwd=folder, env=environment(), capture_output=True,
                         text=True, check=False)  # fmt: skip
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)


def test_names_survive_an_ascii_terminal(folder: Path) -> None:
    made = Machine()
    made.task(100, comm="é☃", nspid=1)
    made.snapshot(100).save(folder / "snow.crz")
    ran = run("report", "snow.crz", cwd=folder, PYTHONIOENCODING="ascii")
    assert ran.returncode == 0
    assert r"\xe9\u2603" in ran.stdout


# --- arguments, settings, policy


def test_the_default_name_tells_host_pid_and_time() -> None:
    found = arguments.default_name(Machine().snapshot(100, host="we/../b 1\n"))
    assert re.fullmatch(r"we-\.\.-b-1-100-\d{8}T\d{6}Z\.crz", found)
    assert "-host-" in arguments.default_name(Machine().snapshot(None))


def test_names_of_one_second_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = set()
    for _ in range(12):
        name = arguments.default_name(Machine().snapshot(100))
        assert name not in found
        found.add(name)
        (tmp_path / name).touch()


def test_a_pid_of_a_dump_is_not_bound_by_this_machine() -> None:
    assert Target.parse("4194303", of_dump=True).pid == 4194303
    assert Target.parse(str(os.getpid()), of_dump=True).pid == os.getpid()
    with pytest.raises(BadInputError, match="cranalyze itself"):
        Target.parse(str(os.getpid()))


def test_a_target_is_found_once_in_a_snapshot() -> None:
    border, host = Machine().snapshot(100), Machine().snapshot(None, scope="host")
    assert Target.parse(None).root(border) == Target.parse("100", of_dump=True).root(border) == 100
    assert Target.parse("7", of_dump=True).root(host) == 7
    with pytest.raises(BadInputError, match="the border of pid 100, not of 7"):
        Target.parse("7", of_dump=True).root(border)
    with pytest.raises(BadInputError, match="of the whole host"):
        Target.parse(None).root(host)


def test_how_a_subject_was_named_is_kept() -> None:
    assert Request(7, label="007").selector == "007"
    assert (Request(7).selector, Request(None).selector) == ("7", "host")


def test_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert settings.load() == Settings(subtree_allowed=True)
    (tmp_path / "cranalyze.toml").write_text("[policy]\nsubtree_allowed = false\n")
    assert settings.load() == Settings(subtree_allowed=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert settings.default_path().endswith("/.config/cranalyze.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[policy]\nsubtree_alowed = true", "no key 'subtree_alowed'; known are: subtree_allowed"),
        ('[policy]\nsubtree_allowed = "no"', "must be true or false"),
        ("[polizei]\n", "unknown section 'polizei'"),
        ("policy = 1", "unknown section 'policy'"),
        ("[policy", "are not TOML"),
        ("[policy]\nsubtree_allowed = " + "9" * 5000, "are not TOML"),
        (".".join("a" * 100_000) + " = 1", "are larger than"),
        ("[policy]\nsubtree_allowed = 0x" + "f" * 9000, "must be true or false, is a number"),
    ],
)
def test_a_wrong_setting_is_said(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(BadInputError, match=re.escape(said)):
        settings.load(str(tmp_path / "a.toml"))


def test_the_policy_refuses_subtree_and_asks_for_sys_admin(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "no.toml").write_text("[policy]\nsubtree_allowed = false\n")
    ran = run("report", "leak.crz", "--subtree", "--config", "no.toml", cwd=folder)
    assert (ran.returncode, ran.stdout) == (4, "")
    assert run("report", "leak.crz", "--config", "no.toml", cwd=folder).returncode == 0
    monkeypatch.setattr("analyzer.memory.capability.effective", lambda: 0)
    with pytest.raises(NotPermittedError, match="CAP_SYS_ADMIN"):
        arguments.obey_policy(Settings(subtree_allowed=False), subtree=False, live=True)
    arguments.obey_policy(Settings(subtree_allowed=False), subtree=False, live=False)
    arguments.obey_policy(Settings(subtree_allowed=True), subtree=True, live=True)


def test_progress_is_for_terminals_only(capsys: pytest.CaptureFixture[str]) -> None:
    with output.Progress() as progress:
        progress("reading")
    assert capsys.readouterr().err == ""
