"""How anything is written: every byte or an error, a file whole or not at all."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

import pytest

from analyzer.core import files
from analyzer.core.errors import BadInputError
from tests.build import Machine
from tests.unit.test_cli import CRANALYZE, environment

if TYPE_CHECKING:
    from pathlib import Path

_LARGE: Final = 300_000  # more than a pipe holds
_NAMED = pytest.mark.parametrize("named", ["", "filesystem", "proc"])


@pytest.fixture
def without_tmpfile(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files need a name: the filesystem makes no others, or there is no /proc."""
    if named == "proc":
        monkeypatch.setattr(files, "_BY_NUMBER", "/no proc/self/fd/{}")
    if named == "filesystem":
        monkeypatch.setattr(files, "_NEW", os.O_WRONLY | os.O_CLOEXEC)
        monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY)


@_NAMED
@pytest.mark.usefixtures("without_tmpfile")
class TestWhole:
    def test_it_is_there_when_it_is_whole(self, tmp_path: Path) -> None:
        with files.whole(str(tmp_path / "a"), force=False) as file:
            file.write(b"x")
            assert not (tmp_path / "a").exists()
        assert (tmp_path / "a").read_bytes() == b"x"
        assert os.listdir(tmp_path) == ["a"]

    @pytest.mark.parametrize("force", [False, True])
    def test_nothing_is_left_when_it_fails(self, tmp_path: Path, *, force: bool) -> None:
        def interrupted() -> None:
            with files.whole(str(tmp_path / "a"), force=force) as file:
                file.write(b"x")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("force", [False, True])
    def test_what_comes_meanwhile_is_replaced_only_by_force(
        self, tmp_path: Path, *, force: bool
    ) -> None:
        def write() -> None:
            with files.whole(str(tmp_path / "a"), force=force) as file:
                file.write(b"x")
                (tmp_path / "a").write_bytes(b"precious")

        if force:
            write()
        else:
            with pytest.raises(BadInputError, match="exists: --force"):
                write()
        assert (tmp_path / "a").read_bytes() == (b"x" if force else b"precious")
        assert os.listdir(tmp_path) == ["a"]

    def test_a_name_of_255_bytes(self, tmp_path: Path) -> None:
        files.write_file(str(tmp_path / ("n" * 255)), b"x", force=False)
        files.write_file(str(tmp_path / ("n" * 255)), b"y", force=True)
        assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"y"]


class TestOwn:
    def test_a_file_of_ours(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("x")
        os.close(files.open_own(str(tmp_path / "a")))

    @pytest.mark.needs("root")
    @pytest.mark.parametrize("whose", ["a", "in", "in/a"])
    def test_what_is_another_users_is_not_opened(self, whose: str, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        for path in (tmp_path / "a", tmp_path / "in" / "a"):
            path.write_text("x")
        os.chown(tmp_path / whose, 65534, 65534)
        with pytest.raises(PermissionError):
            os.close(files.open_own(str(tmp_path / ("a" if whose == "a" else "in/a"))))

    @pytest.mark.parametrize("path", ["link", "folder/a"])
    def test_a_link_is_not_followed(self, path: str, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "real" / "a").write_text("x")
        (tmp_path / "folder").symlink_to("real")
        (tmp_path / "link").symlink_to("real/a")
        with pytest.raises(OSError, match=r"it is a link|symbolic links"):
            os.close(files.open_own(str(tmp_path / path)))


def test_every_byte_arrives_where_nothing_blocks() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    got = bytearray()

    def read() -> None:
        while chunk := os.read(reader, 4096):
            got.extend(chunk)

    reading = threading.Thread(target=read)
    reading.start()
    try:
        files.write_all(writer, b"x" * _LARGE)
    finally:
        os.close(writer)
        reading.join()
        os.close(reader)
    assert len(got) == _LARGE


# --- the streams of the whole program

STREAMS: Final = ["", "1"]  # PYTHONUNBUFFERED


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a snapshot whose outputs are all larger than what is buffered anywhere."""
    folder = tmp_path_factory.mktemp("large")
    machine = Machine()
    machine.task(77, comm="bash")
    machine.task(100, 77, nspid=1)
    fds = [machine.object("FILE_TABLE", 1, holders=[(task, "files")]) for task in (100, 77)]
    for number in range(300):
        held = [(table, "fd", number) for table in fds]
        machine.object("FILE", 2, name=f"/var/log/{number:0200}.log", holders=held)
    machine.snapshot(100).save(folder / "large.crz")
    return folder


OUTPUTS: Final = {
    "text": "report --all", "json": "report --json", "html": "report --html -",
    "columns": "report -o KIND,PID,NAME", "junit": "report --junit --all",
    "markdown": "report --markdown --all", "tree": "report --tree --all",
    "dot": "graph --format dot", "svg": "plot -o - --format svg", "help": "report -h",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "unbuffered"),
    [*((words, "1") for words in OUTPUTS.values()), ("report --html -", ""), ("report -h", "")],
)
def test_a_full_disk_is_never_silent(words: str, unbuffered: str, large: Path) -> None:
    with open("/dev/full", "wb") as full:
        ran = subprocess.run(
            [*CRANALYZE, *words.split()], cwd=large, stdout=full, stderr=subprocess.PIPE,
            env=environment(PYTHONUNBUFFERED=unbuffered), check=False,
        )  # fmt: skip
    assert (ran.returncode, ran.stderr.count(b"\n")) == (2, 1), ran.stderr
    assert b"No space left on device" in ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", STREAMS)
@pytest.mark.parametrize("words", ["report --html -", "report -h"])
def test_a_limit_is_never_silent(words: str, unbuffered: str, large: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))

    with open(tmp_path / "cut", "wb") as cut:
        ran = subprocess.run(
            [*CRANALYZE, *words.split()], cwd=large, stdout=cut, stderr=subprocess.PIPE,
            env=environment(PYTHONUNBUFFERED=unbuffered, PYTHONDONTWRITEBYTECODE="1"),
            preexec_fn=limit, check=False,
        )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (
        2,
        b"cranalyze: cannot write to stdout: File too large\n",
    )


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", STREAMS)
def test_a_reader_that_is_slow_gets_all_of_a_stdout_that_does_not_block(
    unbuffered: str, large: Path
) -> None:
    words = [*CRANALYZE, "report", "--html", "-"]
    spoken = environment(PYTHONUNBUFFERED=unbuffered)
    whole = subprocess.run(words, cwd=large, env=spoken, stdout=subprocess.PIPE, check=True).stdout
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with subprocess.Popen(words, cwd=large, env=spoken, stdout=writer) as started:
        os.close(writer)
        with open(reader, "rb", buffering=0) as pipe:
            parts = []
            while part := pipe.read(4096):
                parts.append(part)
                time.sleep(0.0005)
    assert started.returncode == 0
    assert len(b"".join(parts)) == len(whole) > _LARGE


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", STREAMS)
def test_a_stderr_that_cannot_be_written_changes_nothing(unbuffered: str, large: Path) -> None:
    words = [*CRANALYZE, "report", "-Q", "OBJREF == 1", "large.crz"]
    with open("/dev/full", "wb") as full:
        ran = subprocess.run(
            words, cwd=large, stdout=subprocess.PIPE, stderr=full, check=False,
            env=environment(PYTHONUNBUFFERED=unbuffered),
        )  # fmt: skip
    assert ran.returncode == 0
    assert ran.stdout
    with open("/dev/full", "wb") as full:
        ran = subprocess.run([*CRANALYZE, "no"], cwd=large, stderr=full, check=False)
    assert ran.returncode == 2


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_that_ends_a_run_cleans_up_first(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    script = (
        "import os, signal, sys\n"
        "from analyzer import cli\nfrom analyzer.core import files\n"
        "def run(_):\n"
        f"    with files.whole({str(tmp_path / 'a')!r}, force=True) as file:\n"
        "        file.write(b'x')\n"
        f"        os.kill(os.getpid(), {int(number)})\n"
        "files.os.O_TMPFILE = os.O_DIRECTORY\n"
        "cli._run = run\n"
        "sys.exit(cli.main())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, check=False
    )
    assert (ran.returncode, os.listdir(tmp_path)) == (code, [])
    assert ran.stderr == (b"cranalyze: interrupted\n" if number is signal.SIGINT else b"")
