"""The command line on this machine: whole runs on real processes, and what disturbs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
CRANALYZE: Final = [sys.executable, "-m", "analyzer"]
SHARES_A_FILE: Final = (
    "import os, sys\n"
    "fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
    "print(os.getpid(), flush=True)\n"
    "sys.stdin.read()\n"
)


def run(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CRANALYZE, *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def process(tmp_path: Path) -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", SHARES_A_FILE, str(tmp_path / "own.log")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        assert started.stdout is not None
        yield int(started.stdout.readline())
        started.communicate()


@pytest.mark.bpf
def test_check_and_collect_and_report_agree(process: int, tmp_path: Path) -> None:
    checked = run("check", str(process), "--json")
    found = json.loads(checked.stdout)
    assert checked.returncode == found["exit_code"] == 16
    assert found["subject"]["pid"] == process
    assert found["subject"]["source"] == "kernel"
    collected = run("collect", str(process), cwd=tmp_path)
    assert (collected.returncode, collected.stderr.count("\n")) == (0, 1)
    file = collected.stdout.strip()
    again = json.loads(run("report", file, "--json", cwd=tmp_path).stdout)
    assert again["status"] == found["status"]
    assert again["exit_code"] == 0
    kinds = [sorted(o["kind"] for o in one["objects"] if o["initial"]) for one in (found, again)]
    assert kinds[0] == kinds[1]


@pytest.mark.bpf
def test_its_own_file_is_contained_and_named(process: int, tmp_path: Path) -> None:
    found = json.loads(run("check", str(process), "--json", "--all").stdout)
    (own,) = [o for o in found["objects"] if o["name"] == str(tmp_path / "own.log")]
    assert (own["verdict"], own["basis"], own["users"], own["refcount"]) == (
        "contained",
        "proven",
        1,
        1,
    )


def test_a_thread_is_no_root() -> None:
    code = (
        "import sys, threading\n"
        "t = threading.Thread(target=sys.stdin.read); t.start()\n"
        "print(t.native_id, flush=True); t.join()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        ran = run("check", started.stdout.readline().strip())
        started.communicate()
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"is a thread of process {started.pid}: give {started.pid}" in ran.stderr


def test_a_process_that_ended_has_vanished() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    ran = run("check", str(ended.pid))
    assert ran.returncode == 5
    assert ran.stderr.startswith("cranalyze: ")
    assert ran.stderr.count("\n") == 1


def test_an_ancestor_may_be_the_root_and_we_are_no_part_of_it() -> None:
    ran = run("check", str(os.getpid()), "--json")
    found = json.loads(ran.stdout)
    assert ran.returncode in {3, 16}
    assert found["subject"]["pid"] == os.getpid()
    named = {t["comm"] for o in found["objects"] for h in o["holders"]
             if h["side"] == "observer" for t in h["tasks"]}  # fmt: skip
    assert len(named) <= 1


def test_doctor_agrees_with_the_check() -> None:
    ran = run("doctor", "--json")
    found = json.loads(ran.stdout)
    assert ran.returncode == 0
    text = run("doctor").stdout
    for one in found["capabilities"]:
        assert f"{'yes' if one['ok'] else 'no':4}{one['name']}: " in text
        assert one["ok"] or (one["reason"] and one["remedy"])


def test_an_interrupt_while_waiting_is_130() -> None:
    with subprocess.Popen(
        [*CRANALYZE, "report", "-"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as started:
        children = Path(f"/proc/{started.pid}/wchan")
        deadline = time.monotonic() + 20
        while "pipe" not in children.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        started.send_signal(signal.SIGINT)
        out, said = started.communicate()
    assert (started.returncode, out, said) == (130, b"", b"cranalyze: interrupted\n")


@pytest.mark.needs("root", "tool:unshare", "tool:mount")
@pytest.mark.bpf
def test_a_full_disk_loses_nothing(process: int, tmp_path: Path) -> None:
    # A filesystem of one page more than its root needs, in a mount namespace that ends with us.
    script = (
        'mount -t tmpfs -o size=4k tmpfs "$1" && cd "$1" || exit 99\n'
        '"$2" -m analyzer collect "$3" -o full.crz; code=$?\n'
        "ls -A; exit $code\n"
    )
    ran = subprocess.run(
        [
            "unshare",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
            str(tmp_path),
            sys.executable,
            str(process),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "cranalyze: cannot write full.crz: No space left on device: "
        "free some space, or write elsewhere\n"
    )
    assert os.listdir(tmp_path) == ["own.log"]
