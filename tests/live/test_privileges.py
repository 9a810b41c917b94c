"""Commands that look into strangers' files have no privileges any more when they do."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from analyzer.snapshot import crz
from tests.unit.test_cli import CRANALYZE, environment, leaking, start

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = pytest.mark.needs("root")

_SOMEBODY: Final = 54_321  # a user that is in no table

SNAPSHOT: Final = {
    "report": "report - -o out.txt",
    "page": "report - --html out.txt",
    "graph": "graph - -o out.dot",
    "plot": "plot - -o out.svg",
    "export": "export - --csv out",
}


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder of somebody's with a snapshot, private to them."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    leaking().snapshot(100).save(folder / "leak.crz")
    for path in (folder, folder / "leak.crz"):
        os.chown(path, _SOMEBODY, _SOMEBODY)
    folder.chmod(0o700)
    return folder


def status(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def waits(started: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while "pipe" not in Path(f"/proc/{started.pid}/wchan").read_text():
        assert started.poll() is None, started.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    while status(started.pid)["NoNewPrivs"] != ["1"]:  # it was the one that writes, say
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def waiting(request: pytest.FixtureRequest, theirs: Path) -> Iterator[subprocess.Popen[bytes]]:
    words: Sequence[str] = request.param.split()
    with subprocess.Popen(
        [*CRANALYZE, *words], cwd=theirs, env=environment(), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as started:  # fmt: skip
        try:
            waits(started)
            yield started
        finally:
            started.kill()


@pytest.mark.parametrize("waiting", SNAPSHOT.values(), ids=SNAPSHOT, indirect=True)
def test_nothing_is_parsed_with_a_privilege(waiting: subprocess.Popen[bytes], theirs: Path) -> None:
    seen = status(waiting.pid)
    assert {int(seen[name][0], 16) for name in ("CapEff", "CapPrm", "CapAmb")} == {0}
    out, said = waiting.communicate((theirs / "leak.crz").read_bytes())
    assert (waiting.returncode, b"internal" in said) == (0, False), (out, said)
    assert [path for path in theirs.iterdir() if path.name.startswith("out")]


@pytest.mark.parametrize("waiting", ["report - -o out.txt", "export - --csv out"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_who_ends_early_leaves_nothing(
    waiting: subprocess.Popen[bytes], number: signal.Signals, theirs: Path
) -> None:
    (writer,) = Path(f"/proc/{waiting.pid}/task/{waiting.pid}/children").read_text().split()
    waiting.send_signal(number)
    waiting.communicate()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{writer}/exe").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{writer}/exe").exists()
    assert os.listdir(theirs) == ["leak.crz"]


def test_what_only_root_can_read_and_write_is_read_and_written(theirs: Path) -> None:
    ran = start("report", "leak.crz", "--output", "out.txt", cwd=theirs)
    assert (ran.returncode, ran.stderr) == (0, "cranalyze: wrote out.txt: the report\n")
    assert "not contained" in (theirs / "out.txt").read_text()
    ran = start("plot", "--kind", "life", "-o", "life.svg", cwd=theirs)
    assert ran.returncode == 0
    assert "wrote life.svg" in ran.stderr
    ran = start("export", "leak.crz", "--parquet", "fleet", cwd=theirs)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(ran.stdout.splitlines()) == len(list(theirs.glob("fleet/**/*.parquet")))


def test_what_is_written_under_sudo_is_the_callers(theirs: Path) -> None:
    caller = {"SUDO_UID": str(_SOMEBODY), "SUDO_GID": str(_SOMEBODY)}
    ran = start("report", "leak.crz", "--output", "out.txt", cwd=theirs, **caller)
    assert (ran.returncode, ran.stderr) == (0, "cranalyze: wrote out.txt: the report\n")
    assert (theirs / "out.txt").stat().st_uid == _SOMEBODY


def test_what_cannot_be_written_is_one_line(theirs: Path) -> None:
    (theirs / "out").write_text("in the way")
    ran = start("export", "leak.crz", "--parquet", "out", cwd=theirs)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "cranalyze: cannot make the folder out: File exists\n"


def dump(folder: Path) -> Path:
    found = folder / "dump"
    for place in (found / "100", found / "100" / "task" / "100"):
        place.mkdir(parents=True)
        for name in ("stat", "status", "cgroup", "maps"):
            (place / name).write_bytes(Path(f"/proc/self/{name}").read_bytes())
        stat = (place / "stat").read_text()
        (place / "stat").write_text(f"100 {stat.partition(' ')[2]}")
    return found


@pytest.mark.parametrize("sudo", [False, True])
def test_a_folder_is_read_without_privileges_too(theirs: Path, *, sudo: bool) -> None:
    found = dump(theirs)
    for path in [found, *found.rglob("*")]:
        os.chown(path, _SOMEBODY, _SOMEBODY)
        path.chmod(0o700)
    caller = {"SUDO_UID": str(_SOMEBODY), "SUDO_GID": str(_SOMEBODY)} if sudo else {}
    ran = start("collect", "--proc", "dump", "100", "-o", "d.crz", cwd=theirs, **caller)
    assert ran.returncode == 0, ran.stderr
    assert len(crz.load(theirs / "d.crz").tables["tasks"]) == 1
    ran = start("check", "--proc", "dump", "100", "--json", cwd=theirs, **caller)
    assert ran.returncode in {3, 16}, ran.stderr


@pytest.mark.parametrize("place", ["dump/1", "dump/proc"])
def test_a_dump_does_not_lead_out_of_itself(place: str, tmp_path: Path) -> None:
    found = dump(tmp_path)
    if place == "dump/proc":
        (found / "100").rename(tmp_path / "100")
    (tmp_path / place).symlink_to("/proc" if place == "dump/proc" else "/proc/1")
    ran = start("check", "--proc", "dump", "1", cwd=tmp_path)
    assert ran.returncode == (2 if place == "dump/proc" else 5)
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("what", ["config", "folder"])
def test_root_takes_no_settings_of_another_user(what: str, theirs: Path) -> None:
    config = theirs / "config" / "cranalyze.toml"
    config.parent.mkdir()
    config.write_text("[nonsense]\n")
    os.chown(config if what == "config" else config.parent, _SOMEBODY, _SOMEBODY)
    ran = start("report", "leak.crz", cwd=theirs, XDG_CONFIG_HOME=str(config.parent))
    assert ran.returncode == 0
    assert "cranalyze.toml is not read" in ran.stderr
    ran = start("report", "leak.crz", "--config", str(config), cwd=theirs)
    assert ran.returncode == 2
