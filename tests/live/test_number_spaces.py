"""From inside of a pid namespace: a number means the process that it means there."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.live, pytest.mark.bpf, pytest.mark.needs("tool:unshare")]

# The init of the namespace starts a process with a file open, and runs cranalyze on it.
_SCENE = r"""
sleep 60 9<"$1" & pid=$!
shift
python=$1; shift
for word in "$@"; do set -- "$@" "$(echo "$word" | sed "s/PID/$pid/")"; shift; done
echo "$pid"
"$python" -m analyzer "$@"; code=$?
kill "$pid"
exit "$code"
"""


def nested(file: Path, *words: str, proc: bool = True) -> tuple[int, int, str, str]:
    """Run cranalyze (PID: the process) in there; return pid, exit code, stdout, stderr."""
    shell = ["sh", "-c", _SCENE, "sh", str(file), sys.executable, *words]
    mount = ["--mount-proc"] if proc else []
    command = ["unshare", "--pid", "--fork", "--kill-child", *mount, *shell]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    pid, _, said = done.stdout.partition("\n")
    return int(pid), done.returncode, said, done.stderr


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of nobody else's."""
    path = tmp_path / "held"
    path.write_text("x")
    return path


def subject(said: str) -> dict[str, Any]:
    """Return the subject of a report."""
    found: dict[str, Any] = json.loads(said)["subject"]
    return found


def test_check_is_of_the_process_that_is_called_so_there(file: Path) -> None:
    for more in ((), ("--freeze",)):
        pid, code, said, _ = nested(file, "check", "PID", "--json", "--all", *more)
        assert code == 16
        about = subject(said)
        assert (about["local_pid"], about["comm"], about["source"]) == (pid, "sleep", "kernel")
        assert about["pid"] > pid
        assert about["frozen"] == bool(more)
        held = [one for one in json.loads(said)["objects"] if one["name"] == str(file)]
        assert [(one["users"], one["refcount"], one["verdict"]) for one in held] == [
            (1, 1, "contained")
        ]


def test_number_1_is_the_init_of_that_namespace(file: Path) -> None:
    _, _, said, _ = nested(file, "check", "1", "--json")
    about = subject(said)
    assert (about["local_pid"], about["comm"], about["container_init"]) == (1, "sh", True)
    assert about["pid"] > 1
    _, _, said, _ = nested(file, "check", "1")
    assert "which is 1 in the pid namespace of cranalyze" in " ".join(said.split())


def test_a_number_of_the_host_is_nobody_there(file: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            _, code, said, error = nested(file, "check", str(other.pid))
        finally:
            other.kill()
    assert (code, said) == (5, "")
    assert f"no process {other.pid}" in error


def test_procfs_speaks_of_the_same_process(file: Path) -> None:
    for more in ((), ("--freeze",)):
        pid, _, said, _ = nested(file, "check", "PID", "--json", "--source", "procfs", *more)
        about = subject(said)
        assert (about["pid"], about["local_pid"], about["comm"]) == (pid, pid, "sleep")
        assert about["frozen"] == bool(more)


def test_where_proc_has_other_numbers_nothing_is_mistaken(file: Path) -> None:
    """The kernel source does without /proc; what cannot says so."""
    pid, _, said, _ = nested(file, "check", "PID", "--json", "--all", proc=False)
    about = subject(said)
    assert (about["local_pid"], about["comm"]) == (pid, "sleep")
    names = [one["name"] for one in json.loads(said)["objects"]]
    assert str(file) in names
    for more in ("--freeze", "--source=procfs"):
        _, code, _, error = nested(file, "check", "PID", more, proc=False)
        assert code == 2
        assert "/proc is of another pid namespace" in error


def test_who_and_collect(file: Path, tmp_path: Path) -> None:
    for proc in (True, False):
        pid, code, said, _ = nested(file, "who", "PID:9", "--json", proc=proc)
        assert code == 0
        (answer,) = json.loads(said)["answers"]
        (held,) = answer["held"]
        assert (held["name"], held["refcount"]) == (str(file), 1)
        assert answer["pid"] > pid
    pid, code, said, _ = nested(file, "who", "PID:9")
    assert f"{pid}:9 is of process " in said
    target = tmp_path / "n.crz"
    pid, code, _, _ = nested(file, "collect", "PID", "-o", str(target))
    assert code == 0
    command = [sys.executable, "-m", "analyzer", "report", str(target), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert subject(done.stdout)["local_pid"] == pid
    assert subject(done.stdout)["comm"] == "sleep"
