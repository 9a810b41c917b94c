"""Two readings, the observer, and what happens while it is being read."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fixtures
from analyzer.core.errors import BadInputError, TargetVanishedError
from analyzer.sources import collect, kernel
from analyzer.sources import describe as describing
from analyzer.sources.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from analyzer.memory.reader import Memory
    from analyzer.snapshot.tables import Table
    from analyzer.sources.reading import Reading

pytestmark = [pytest.mark.live, pytest.mark.bpf]


@contextmanager
def python(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run some Python in a process of its own that talks over pipes."""
    command = [sys.executable, "-I", "-S", "-c", code, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(process: subprocess.Popen[str], word: str = "") -> str:
    """Send a line (or nothing), and wait for the answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    if word:
        process.stdin.write(word + "\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


DUPLICATES = """
import os, sys
fd = os.open("/etc/passwd", os.O_RDONLY)
print(fd, flush=True)
for line in sys.stdin:
    os.dup(fd) if line.strip() == "dup" else os.open("/etc/group", os.O_RDONLY)
    print("done", flush=True)
"""


def files(reading: Reading) -> np.ndarray:
    """Tell which of the objects are files: nothing else of a process is its own alone."""
    kinds = [np.full(len(at), kind == "FILE") for kind, at in reading.numbering.address.items()]
    return np.concatenate(kinds)


def test_what_moves_between_two_readings_is_found(memory: Memory) -> None:
    """A dup(2) between the readings moves that file, and no other object."""
    with python(DUPLICATES) as process:
        ask(process)
        first = kernel._read(memory, Request(process.pid))
        quiet = kernel._read_again(memory, Request(process.pid), first)
        assert not quiet.appeared
        ask(process, "dup")
        moved = kernel._read_again(memory, Request(process.pid), first).moved & files(first)
        assert not (quiet.moved & files(first)).any()
        assert first.refcount[moved].tolist() == [1]


def test_what_appears_between_two_readings_is_found(memory: Memory) -> None:
    with python(DUPLICATES) as process:
        ask(process)
        first = kernel._read(memory, Request(process.pid))
        ask(process, "open")
        assert kernel._read_again(memory, Request(process.pid), first).appeared == 1


CHURN = """
import os
fd = os.open("/etc/passwd", os.O_RDONLY)
print(fd, flush=True)
while True:
    os.close(os.dup(fd))
"""


def test_an_object_that_never_rests_is_unstable_or_right(memory: Memory) -> None:
    """Reading a busy process ends, and never calls its own file leaked."""
    with python(CHURN) as process:
        ask(process)
        for _ in range(5):
            snapshot = kernel.collect(memory, Request(process.pid))
            objects = snapshot.tables["objects"]
            rows = [i for i in range(len(objects)) if objects["name"][i] == "/etc/passwd"]
            assert len(rows) == 1
            assert snapshot.meta["passes"] <= kernel.READINGS
            assert objects["refcount"][rows[0]] in {1, 2}


def cranalyze(*arguments: str, script: str = "") -> dict[str, Any]:
    """Run the command line (from a shell script, if given) and return its JSON."""
    command = [sys.executable, "-m", "analyzer", *arguments]
    if script:
        command = ["sh", "-c", script, "sh", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["exit_code"] == done.returncode
    return result


def test_cranalyze_inside_the_subtree_is_the_observer() -> None:
    """A file that only the shell and cranalyze hold is contained: our reference is counted."""
    result = cranalyze(
        "check",
        "PID",
        "--json",
        "--all",
        script='exec 7</etc/hostname; c=$1; shift; "$c" "$1" "$2" check $$ --json --all; exit $?',
    )
    files = [o for o in result["objects"] if o["name"] == "/etc/hostname"]
    assert [(o["users"], o["observer"], o["outside"], o["unnamed"]) for o in files] == [
        (1, 1, 0, 0)
    ]
    assert files[0]["verdict"] == "contained"
    sides = {h["side"]: [t["comm"] for t in h["tasks"]] for h in files[0]["holders"]}
    assert set(sides) == {"inside", "observer"}
    assert sides["inside"] == ["sh"]


def test_an_ancestor_can_be_the_root(memory: Memory) -> None:
    """Our own parent's subtree has us in it, as the observer; we ourselves are refused."""
    snapshot = kernel.collect(memory, Request(os.getppid()))
    tasks = snapshot.tables["tasks"]
    assert tasks["observer"][tasks["tid"] == os.getpid()].all()
    with pytest.raises(BadInputError, match="cranalyze itself"):
        kernel.collect(memory, Request(os.getpid()))


def test_a_thread_and_a_kernel_thread_are_refused_by_name(memory: Memory) -> None:
    with python(
        "import threading,time\n"
        "t=threading.Thread(target=time.sleep,args=(60,));t.start()\n"
        "print(t.native_id,flush=True)"
    ) as process:
        tid = int(ask(process))
        with pytest.raises(BadInputError, match=f"thread of process {process.pid}"):
            kernel.collect(memory, Request(tid))
    with pytest.raises(BadInputError, match="kernel thread"):
        kernel.collect(memory, Request(2))


def test_a_process_that_is_gone_has_vanished(memory: Memory) -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
        with pytest.raises(TargetVanishedError, match=str(process.pid)):
            kernel.collect(memory, Request(process.pid))


def test_a_process_that_dies_while_it_is_read_never_breaks_it() -> None:
    """Killed at any moment: a snapshot, or a clear error; nothing else."""
    for delay in range(12):
        with python("print(1,flush=True)\nimport time\ntime.sleep(60)") as process:
            ask(process)
            killer = threading.Timer(delay * 0.004, os.kill, (process.pid, signal.SIGKILL))
            killer.start()
            with contextlib.suppress(TargetVanishedError):
                collect(process.pid, source="kernel")
            killer.join()


def test_thousands_of_forks_elsewhere_do_not_change_a_quiet_subtree(memory: Memory) -> None:
    """Churn outside: the verdict's numbers of a contained tree stay what they are."""
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            subprocess.run(["true"], check=True)

    with fixtures.start("contained") as running:
        threads = [threading.Thread(target=churn) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            deadline = time.monotonic() + 2
            while time.monotonic() < deadline:
                snapshot = kernel.collect(memory, Request(running.info["root"]))
                assert snapshot.meta["incomplete"] is False
        finally:
            stop.set()
            for thread in threads:
                thread.join()


CLOSES = """
import os, sys
fds = [os.open(name, os.O_RDONLY) for name in ("/etc/passwd", "/etc/group")]
print(*fds, flush=True)
for line in sys.stdin:
    os.close(int(line))
    print("done", flush=True)
"""


def test_what_is_closed_while_it_is_named_is_nobodys(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then its address may be another file's, and so may be the name that was read there."""
    with python(CLOSES) as process:
        first, second = map(int, ask(process).split())
        names = describing.describe

        def slowly(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401
            described = names(*arguments, **more)
            assert ask(process, str(first)) == "done"
            return described

        monkeypatch.setattr(kernel, "describe", slowly)
        everything = Request(None, wanted=lambda found: np.ones(len(found.tables["objects"]), bool))
        snapshot = kernel.collect(memory, everything)
    references = snapshot.tables["references"]
    tables = [
        row["target"]
        for row in rows(references)
        if (row["association"], row["holder"]) == ("files", process.pid)
    ]
    slots = {
        row["slot"]: row["target"]
        for row in rows(references)
        if (row["association"], row["holder"]) == ("fd", tables[0])
    }
    assert second in slots
    assert first not in slots
    ours = slots[second] - 1
    assert snapshot.tables["objects"]["name"][ours] == "/etc/group"
    assert snapshot.tables["objects"]["stable"][ours]


def rows(table: Table) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a table."""
    return (table.row(row) for row in range(len(table)))
