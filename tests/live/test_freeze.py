"""Stopping a subtree: all of it, for a moment, and nothing stays stopped whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import fixtures
from analyzer.core.errors import EXIT_UNDECIDED, NotPermittedError, TargetVanishedError
from analyzer.sources.freeze import MISSED, FreezeError, at_hand, descendants, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.live, pytest.mark.needs("root")]

ROOT = Path(__file__).parents[2]
PRELUDE = """
import ctypes, os, signal, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
libc.ptrace.restype = ctypes.c_long
def die_with_parent(): libc.prctl(1, 9, 0, 0, 0)
def say(*words): print(*words, flush=True)
def thread(target, *args): threading.Thread(target=target, args=args, daemon=True).start()
threading.stack_size(65536)
die_with_parent()
"""


@contextmanager
def python(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run some Python that says when it is ready, with all that it starts, in the block."""
    command = [sys.executable, "-I", "-S", "-c", PRELUDE + code, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert hear(process)
            yield process
        finally:
            process.kill()


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdin is not None
    process.stdin.write(word + "\n")
    process.stdin.flush()
    return hear(process)


def tree(process: subprocess.Popen[str]) -> Callable[[], list[int]]:
    return lambda: descendants(process.pid)


def states(tids: list[int]) -> Counter[str]:
    return Counter(letter for tid in tids if (letter := state(tid)))


def state(tid: int) -> str:
    try:
        stat = Path(f"/proc/{tid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return stat.rpartition(")")[2].split()[0]


def settle(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def runs(process: subprocess.Popen[str]) -> bool:
    """Tell whether no thread of a tree is stopped or traced any more."""
    return settle(lambda: not set(states(descendants(process.pid))) & set("tT"))


MANY = """
for _ in range(int(sys.argv[1])): thread(time.sleep, 600)
for _ in range(3):
    if not os.fork():
        die_with_parent()
        time.sleep(600)
say("ready")
time.sleep(600)
"""


def test_a_thousand_threads_stand_still_and_run_again() -> None:
    with python(MANY, "1000") as process:
        everyone = set(descendants(process.pid))
        assert len(everyone) == 1004
        with frozen(process.pid, tree(process)) as held:
            assert held.tids == everyone
            assert states(sorted(everyone)) == {"t": 1004}
        assert held.left == ()
        assert held.gaps() == []
        assert 0 < held.seconds < 20  # milliseconds, where nobody else wants the processors
        assert runs(process)


BUSY = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
def fork():
    while True:
        if not os.fork():
            if not os.fork(): os._exit(0)
            time.sleep(0.01)
            os._exit(0)
        time.sleep(0.0005)
def threads():
    while True:
        thread(time.sleep, 0.001)
        time.sleep(0.0005)
thread(threads)
say("ready")
fork()
"""


def test_whatever_is_born_meanwhile_is_stopped_too() -> None:
    """A tree that forks, exits and makes threads all the time has no member that still moves."""
    with python(BUSY) as process:
        for _ in range(20):
            with frozen(process.pid, tree(process)) as held:
                before = descendants(process.pid)
                time.sleep(0.005)
                assert descendants(process.pid) == before
                assert set(states(before)) <= {"t", "Z"}
                assert held.left == ()
        assert runs(process)


EXECS = """
def go(): os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", *[sys.argv[1]] * 2])
for _ in range(5): thread(time.sleep, 600)
if sys.argv[-1] == "first": say("ready")
thread(go)
time.sleep(600)
"""


def test_threads_that_replace_their_process_are_stopped() -> None:
    """An execve(2) by a thread kills its leader and takes its id, under our hands."""
    with python(EXECS, PRELUDE + EXECS, "first") as process:
        for _ in range(20):
            time.sleep(0.007)
            with frozen(process.pid, tree(process)) as held:
                assert set(states(descendants(process.pid))) == {"t"}
            assert held.left == ()
        assert runs(process)


def test_a_list_that_missed_somebody_is_not_the_last() -> None:
    with python(MANY, "5") as process:
        everyone = descendants(process.pid)
        lists = [[process.pid, MISSED], [process.pid]]
        with frozen(process.pid, lambda: lists.pop() if lists else everyone) as held:
            assert held.tids == set(everyone)


def test_it_is_stopped_once_that_is_wanted_and_again_when_it_was_let_go() -> None:
    with python(MANY, "5") as process, at_hand(process.pid, tree(process)) as held:
        assert all_sleep(process, 9)
        for _ in range(2):
            held.renew()
            assert states(descendants(process.pid)) == {"t": 9}
            before = held.seconds
            held.let_go()
            assert all_sleep(process, 9)
            assert held.seconds > before
        assert not held.expired
    assert held.seconds > 0


HOLDER = """
sys.path.insert(0, sys.argv[1])
from analyzer.sources.freeze import descendants, frozen
pid = int(sys.argv[2])
with frozen(pid, lambda: descendants(pid)) as held:
    say(held.helper)
    time.sleep(600)
"""


@contextmanager
def asking(pid: int) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the tree of `pid` and says who helps it."""
    command = [sys.executable, "-c", PRELUDE + HOLDER, str(ROOT), str(pid)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as asker:
        try:
            yield asker
        finally:
            asker.kill()


def all_sleep(process: subprocess.Popen[str], count: int) -> bool:
    return settle(lambda: states(descendants(process.pid)) == {"S": count})


@pytest.mark.parametrize("victim", ["asker", "asker of a stopped helper", "helper"])
def test_nothing_stays_stopped_when_we_are_killed(victim: str) -> None:
    with python(MANY, "500") as process:
        with asking(process.pid) as asker:
            helper = int(hear(asker))
            assert states(descendants(process.pid)) == {"t": 504}
            if "stopped" in victim:
                os.kill(helper, signal.SIGSTOP)
            os.kill(helper if victim == "helper" else asker.pid, signal.SIGKILL)
            try:
                assert all_sleep(process, 504)
            finally:
                with suppress(ProcessLookupError):
                    os.kill(helper, signal.SIGKILL)
        assert settle(lambda: not Path(f"/proc/{helper}").exists())


def test_killed_in_the_middle_of_it_nothing_stays_stopped() -> None:
    with python(MANY, "500") as process:
        for delay in range(10):
            with asking(process.pid):
                assert settle(lambda: "t" in states(descendants(process.pid)))
                time.sleep(delay * 0.001)
            assert all_sleep(process, 504)


# Python runs one handler for signals that come together, but tells each of them to this pipe.
COUNTS = """
ready, told = os.pipe2(os.O_NONBLOCK)
signal.set_wakeup_fd(told)
signal.signal(signal.SIGRTMIN, lambda number, frame: None)
for _ in range(300): thread(time.sleep, 600)
say("ready")
seen = 0
for line in sys.stdin:
    try: seen += len(os.read(ready, 1 << 16))
    except BlockingIOError: pass
    say(seen)
"""


@contextmanager
def signals(pid: int) -> Iterator[list[int]]:
    """Send SIGRTMIN to the process all the time; the list has one item for each."""
    sent: list[int] = []
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.0002):
            os.kill(pid, signal.SIGRTMIN)
            sent.append(pid)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("killed", [False, True])
def test_no_signal_is_lost(*, killed: bool) -> None:
    """Each arrives once: those that threads are stopped at, and if we are killed then."""
    with python(COUNTS) as process:
        with signals(process.pid) as sent:
            for _ in range(15):
                with frozen(process.pid, tree(process)) as held:
                    if killed:
                        os.kill(held.helper, signal.SIGKILL)
        assert settle(lambda: tell(process, "?") == str(len(sent)))
        assert len(sent) > 100


def test_a_stopped_job_stays_stopped_and_its_parent_hears_nothing() -> None:
    with python(
        "child = os.fork()\nif not child:\n  die_with_parent()\n  time.sleep(600)\n"
        "say('ready')\nsys.stdin.readline()\n"
        "say(child, os.waitid(os.P_PID, child, os.WSTOPPED).si_status)\n"
        "sys.stdin.readline()\n"
        "say(os.waitid(os.P_PID, child, os.WSTOPPED | os.WCONTINUED | os.WNOHANG))\n"
        "time.sleep(600)"
    ) as process:
        (child,) = set(descendants(process.pid)) - {process.pid}
        os.kill(child, signal.SIGSTOP)
        assert tell(process, "wait") == f"{child} {signal.SIGSTOP}"
        with frozen(process.pid, tree(process)) as held:
            assert held.tids == {process.pid, child}
        assert settle(lambda: states([child]) == {"T": 1})
        assert tell(process, "look") == "None"
        os.kill(child, signal.SIGCONT)
        assert settle(lambda: states([child]) == {"S": 1})


TRACER = """
for tid in map(int, sys.argv[1:]):
    assert not libc.ptrace(0x4206, tid, 0, 0), ctypes.get_errno()
say("ready")
time.sleep(600)
"""


def test_what_has_a_tracer_is_left_and_said() -> None:
    with python(MANY, "2") as process:
        thread = max(os.listdir(f"/proc/{process.pid}/task"), key=int)
        with python(TRACER, thread) as other, frozen(process.pid, tree(process)) as held:
            assert int(thread) not in held.tids
            assert len(held.tids) == 5
            name = Path(f"/proc/{other.pid}/comm").read_text().strip()
        (row,) = held.gaps()
        assert row["where"] == f"thread {thread}: traced by pid {other.pid} ({name})"
        assert row["syscall"] == "ptrace"
        assert runs(process)


def test_a_tree_of_which_nothing_may_be_stopped_is_refused() -> None:
    with (
        python("say('ready')\ntime.sleep(600)") as process,
        python(TRACER, str(process.pid)) as other,
        pytest.raises(NotPermittedError, match=f"{process.pid} cannot.* traced by pid {other.pid}"),
        frozen(process.pid, tree(process)),
    ):
        pass


def test_a_parent_in_vfork_is_left_and_not_waited_for_long() -> None:
    """It sleeps until its child goes on, and the child stands still."""
    with fixtures.start("vfork") as running:
        (parent,) = running.info["outside"]
        assert states([parent]) == {"D": 1}
        started = time.monotonic()
        with frozen(parent, lambda: descendants(parent), timeout=20, limit=60) as held:
            assert held.tids == {running.info["root"]}
            assert time.monotonic() - started < 20  # a quarter of the timeout, and not all of it
        assert [(one.tid, one.why) for one in held.left] == [(parent, "blocked (D)")]
        assert states([parent]) == {"D": 1}
        assert "TracerPid:\t0\n" in Path(f"/proc/{parent}/status").read_text()


# Lets its tracee run on from every signal, as strace(1) does.
STRACER = """
for tid in map(int, sys.argv[1:]):
    assert not libc.ptrace(0x4206, tid, 0, 0), ctypes.get_errno()
say("ready")
while True:
    tid, status = os.waitpid(-1, 0x40000000)
    libc.ptrace(7, tid, 0, os.WSTOPSIG(status))
"""
FORKS = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(3):
    if not os.fork():
        die_with_parent()
        break
else:
    say("ready")
sys.stdin.readline()
while True:
    if not os.fork():
        time.sleep(0.02)
        os._exit(0)
"""


def test_a_tree_that_forks_faster_than_it_is_stopped_is_named() -> None:
    """Four processes cannot be stopped, having a tracer, and have new children at every look."""
    with python(FORKS) as process:
        with python(STRACER, *map(str, descendants(process.pid))):
            assert process.stdin is not None
            process.stdin.write("go\n" * 4)
            process.stdin.close()
            started = time.monotonic()
            with (
                pytest.raises(FreezeError, match=f"pid {process.pid} forks faster") as caught,
                frozen(process.pid, tree(process)),
            ):
                pass
            assert caught.value.exit_code == EXIT_UNDECIDED
            assert time.monotonic() - started < 60
        assert runs(process)


STUCK = """
say("ready")
sys.stdin.readline()
say("gone")
os.execv("/bin/true", ["true"])
"""


def test_a_process_that_blocks_ptrace_is_an_error_and_no_hang() -> None:
    """Its execve(2) waits for a thread that another tracer does not bury, and holds the lock."""
    with python(
        "thread(time.sleep, 600)\nfor _ in range(50):\n  if not os.fork():\n"
        "    die_with_parent()\n    time.sleep(600)\n" + STUCK
    ) as process:
        thread = max(os.listdir(f"/proc/{process.pid}/task"), key=int)
        with python(TRACER, thread):
            assert tell(process, "go") == "gone"
            assert settle(lambda: states([process.pid]) == {"D": 1})
            started = time.monotonic()
            with (
                pytest.raises(FreezeError, match=r"ptrace\(2\) did not return"),
                frozen(process.pid, tree(process)),
            ):
                pass
            assert time.monotonic() - started < 60
            others = set(descendants(process.pid)) - {process.pid, int(thread)}
            assert settle(lambda: set(states(sorted(others))) == {"S"})


def test_we_let_go_after_a_while_even_if_we_hang() -> None:
    with python(MANY, "10") as process, frozen(process.pid, tree(process), limit=0.2) as held:
        assert states(descendants(process.pid)) == {"t": 14}
        assert runs(process)
    assert held.expired
    assert [row["where"] for row in held.gaps()] == ["the subtree"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_error_in_the_block_lets_go(error: type[BaseException]) -> None:
    with python(MANY, "10") as process:
        with pytest.raises(error), frozen(process.pid, tree(process)):
            raise error
        assert runs(process)


def test_ctrl_c_lets_go() -> None:
    with python(MANY, "50") as process:
        with asking(process.pid) as asker:
            assert hear(asker)
            asker.send_signal(signal.SIGINT)
            assert asker.wait(10) == -signal.SIGINT
        assert all_sleep(process, 54)


PARENT = """
import subprocess
holder = sys.argv[1].replace("time.sleep(600)", "say(*held.tids)")
subprocess.run([sys.executable, "-c", holder, sys.argv[2], str(os.getpid())])
say("done")
"""


def test_we_do_not_stop_ourselves_inside_of_the_subtree() -> None:
    command = [sys.executable, "-I", "-S", "-c", PRELUDE + PARENT, PRELUDE + HOLDER, str(ROOT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        output, _ = parent.communicate(timeout=30)
    helper, tids, done = output.splitlines()
    assert done == "done"
    assert tids == str(parent.pid)
    assert not Path(f"/proc/{helper}").exists()


def test_a_process_that_is_gone_has_vanished() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
        with (
            pytest.raises(TargetVanishedError, match=str(process.pid)),
            frozen(process.pid, lambda: descendants(process.pid)),
        ):
            pass


def test_a_zombie_is_neither_stopped_nor_missing() -> None:
    with fixtures.start("zombies") as running:
        root = running.info["root"]
        everyone = descendants(root)
        with frozen(root, lambda: descendants(root)) as held:
            dead = [tid for tid in everyone if states([tid]) == {"Z": 1}]
            assert len(dead) == 2
            assert held.tids == set(everyone) - set(dead)
            assert held.left == ()
