"""Stopping a subtree for a moment, so that what is read of it is true of one instant.

Every thread is stopped with PTRACE_SEIZE and PTRACE_INTERRUPT, by a small process of ours
(`tracer`), again and again until a fresh listing of the subtree shows nobody new. No
signal is sent and nothing is visible to parents; a job that was stopped stays stopped, a signal
that was on its way arrives. Whatever happens to us, the kernel lets everything go on.

Not without effect: a thread that sleeps in one of the system calls that signal(7) lists under
"Interruption of system calls and library functions by stop signals" (epoll_wait, semop, msgrcv,
sigtimedwait, socket calls with a timeout, ...) sees it return EINTR.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from array import array
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from analyzer.core.errors import (
    EXIT_UNDECIDED,
    CranalyzeError,
    NotPermittedError,
    TargetVanishedError,
)
from analyzer.core.values import NamedTuple
from analyzer.sources import tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

ROUNDS: Final = 50
MISSED: Final = 0
"""In a list of threads: there are more, which it missed."""
_PATIENCE: Final = 5  # timeouts, for all rounds together
_SLACK: Final = 1.0  # seconds beyond the timeout, after which the tracer counts as blocked
_PIPE: Final = subprocess.PIPE
_SHOWN: Final = 5  # thread ids in the line of a gap

_SEEN_MEANWHILE: Final = "not stopped: it ran on while it was read, what it changed is unstable"
_BLOCKED: Final = "not stopped: it sleeps in the kernel, and stops before it returns from there"


Outcomes = dict[int, tuple[int, int]]


class FreezeError(CranalyzeError):
    """The subtree cannot be stopped as a whole; all of it runs again (exit code 3)."""

    exit_code: ClassVar[int] = EXIT_UNDECIDED


class Left(NamedTuple):
    """A thread that was not stopped, and why."""

    tid: int
    why: str
    effect: str
    errno: int | None


@dataclass
class Frozen:
    """A stopped subtree: ids of the threads that stand still, and what was left.

    `helper` is the process that holds them, an observer as we are. `seconds`, the time from the
    first stop to the last release, and `expired`, whether all was let go before we were done, are
    known once it was let go.
    """

    pid: int
    helper: int
    stop: Callable[[], Outcomes] = field(repr=False)
    free: Callable[[], tuple[bool, float]] = field(repr=False)
    tids: frozenset[int] = frozenset()
    left: tuple[Left, ...] = ()
    seconds: float = 0.0
    expired: bool = False

    @property
    def blocked(self) -> frozenset[int]:
        """The threads that were not stopped, and do not go on before they are."""
        return frozenset(one.tid for one in self.left if one.effect == _BLOCKED)

    def renew(self) -> None:
        """Look for threads that were not there, or not seen, before, and stop them too.

        Raises FreezeError for a tree that forks faster than it can be stopped, or that holds up
        ptrace(2); NotPermittedError when none of it may be traced; and what listing them raises.
        """
        outcomes = self.stop()
        self.tids = frozenset(tid for tid, (what, _) in outcomes.items() if what == tracer.STOPPED)
        self.left = tuple(filter(None, (_left(tid, *one) for tid, one in outcomes.items())))
        _require_any(self.pid, self)

    def let_go(self) -> None:
        """Let everything go on, until it is stopped anew."""
        if not self.expired:
            self.expired, self.seconds = self.free()

    def gaps(self) -> list[dict[str, object]]:
        """Return the rows of the table of gaps that tell what was not stopped."""
        groups: dict[tuple[str, str, int | None], list[int]] = {}
        for tid, why, effect, code in self.left:
            groups.setdefault((why, effect, code), []).append(tid)
        rows = [
            _gap(f"{_threads(tids)}: {why}", code, effect)
            for (why, effect, code), tids in groups.items()
        ]
        if self.expired:
            rows.append(_gap("the subtree", None, "went on before it was read to the end"))
        return rows


def _gap(where: str, code: int | None, effect: str) -> dict[str, object]:
    return {"where": where, "syscall": "ptrace", "errno": code, "effect": effect}


def _threads(tids: list[int]) -> str:
    shown = ", ".join(map(str, tids[:_SHOWN])) + (", ..." if len(tids) > _SHOWN else "")
    return f"thread {shown}" if len(tids) == 1 else f"{len(tids)} threads ({shown})"


@contextmanager
def frozen(pid: int, subtree: Callable[[], Iterable[int]], **limits: float) -> Iterator[Frozen]:
    """Hold the subtree of process `pid` still inside the with-block; see `at_hand`.

    Raises what `Frozen.renew` does.
    """
    with at_hand(pid, subtree, **limits) as held:
        held.renew()
        yield held


@contextmanager
def at_hand(
    pid: int,
    subtree: Callable[[], Iterable[int]],
    *,
    timeout: float = 0.2,
    limit: float = 10.0,
) -> Iterator[Frozen]:
    """Have at hand what stops the subtree of process `pid`: nothing is stopped before `renew`.

    `subtree` lists its threads anew at each call, by the ids that we know them by, with MISSED
    where it missed some; ourselves it may list or not. A thread has `timeout` seconds to stop, else
    it is left. After `limit` seconds all go on, whatever we do, and at the end of the block. Do
    nothing while they stand still that waits for somebody: a file server or a pager may be among
    them.
    """
    with _Helper(timeout, limit) as helper:
        known: Outcomes = {}
        stop = partial(_stop_all, helper, pid, subtree, timeout, known)
        held = Frozen(pid, helper.pid, stop, partial(_free, helper, known))
        try:
            yield held
        finally:
            held.let_go()


def descendants(pid: int) -> list[int]:
    """Return the threads of process `pid` and of all its descendants, as /proc lists them.

    proc_pid_task(5): needs CONFIG_PROC_CHILDREN; exact for processes that stand still.
    Raises TargetVanishedError when there is no such process.
    """
    found: list[int] = []
    todo = [pid]
    while todo:
        process = todo.pop()
        try:
            threads = os.listdir(f"/proc/{process}/task")
        except OSError:
            if process == pid:
                raise TargetVanishedError(f"no process {pid}: it has exited") from None
            continue
        found += map(int, threads)
        for thread in threads:
            todo += _children(process, thread)
    return found


def _children(process: int, thread: str) -> list[int]:
    try:
        with open(f"/proc/{process}/task/{thread}/children", "rb") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def _stop_all(
    helper: _Helper,
    pid: int,
    subtree: Callable[[], Iterable[int]],
    timeout: float,
    known: Outcomes,
) -> Outcomes:
    own = {helper.pid, os.getpid(), *map(int, os.listdir("/proc/self/task"))}
    deadline = time.monotonic() + _PATIENCE * timeout
    for _ in range(ROUNDS):
        listed = set(subtree())
        new = array("i", listed - known.keys() - own - {MISSED})
        answer = list(helper.ask(new))
        if not new and not answer and MISSED not in listed:
            return known
        for tid, what, detail in answer:
            known[tid] = what, detail
            if what == tracer.GONE:
                del known[tid]
        if time.monotonic() > deadline:
            break
    raise FreezeError(
        f"the tree of pid {pid} forks faster than it can be stopped: {len(known)} threads were, and"
        " there were ever more; all run again; try without --freeze"
    )


def _free(helper: _Helper, known: Outcomes) -> tuple[bool, float]:
    known.clear()
    return helper.release()


def _left(tid: int, what: int, detail: int) -> Left | None:
    if what == tracer.TRACED:
        return Left(tid, f"traced by {_named(detail)}", _SEEN_MEANWHILE, errno.EPERM)
    if what == tracer.REFUSED:
        return Left(tid, "may not be traced", _SEEN_MEANWHILE, detail)
    if what == tracer.STUCK and chr(detail) == "D":
        return Left(tid, "blocked (D)", _BLOCKED, None)
    if what == tracer.STUCK:
        return Left(tid, f"did not stop in time ({chr(detail)})", _SEEN_MEANWHILE, None)
    return None


def _named(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="surrogateescape") as file:
            return f"pid {pid} ({file.read().rstrip(chr(10))})"
    except OSError:
        return f"pid {pid}"


def _require_any(pid: int, held: Frozen) -> None:
    if held.tids or not any(one.errno for one in held.left):
        return
    raise NotPermittedError(
        f"pid {pid} cannot be stopped: {held.left[0].why} (ptrace(2): EPERM; it takes root or"
        " CAP_SYS_PTRACE, and that nobody else traces it); try without --freeze"
    )


class _Helper:
    """The tracer: a child of ours in a session of its own, which dies with us."""

    def __init__(self, timeout: float, limit: float) -> None:
        self._timeout = timeout
        python = [sys.executable, "-I", "-S", tracer.__file__]
        command = [*python, str(os.getpid()), str(timeout), str(limit)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own file
                command, stdin=_PIPE, stdout=_PIPE, stderr=subprocess.DEVNULL,
                bufsize=0, cwd="/", start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise FreezeError(f"the process that stops the tree cannot start: {error}") from None
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let everything go, by force if need be: the kernel detaches what a dead tracer held."""
        try:
            self._hang_up()
            self._process.wait(self._timeout + _SLACK)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._process.kill()
            self._process.wait()
            self._pipe("stdout").close()

    def ask(self, tids: array[int]) -> Iterator[tuple[int, int, int]]:
        """Stop threads and return the outcome of each; without any, return who slipped away.

        Raises FreezeError when the tracer blocks or has ended.
        """
        try:
            tracer.send(self._pipe("stdin").fileno(), tids)
        except BrokenPipeError:
            raise _ended() from None
        flat = self._answer()
        if flat is None or tracer.LET_GO in flat[:1]:
            raise _ended()
        return zip(flat[0::3], flat[1::3], flat[2::3], strict=True)

    def release(self) -> tuple[bool, float]:
        """Let everything go on; return whether that had been done already, and the time held."""
        try:
            with suppress(BrokenPipeError):  # it has ended, its last words are there
                tracer.send(self._pipe("stdin").fileno(), array("i", [tracer.LET_GO]))
            said = self._answer()
        except FreezeError:
            said = None
        if said is None or tracer.LET_GO not in said[:1]:
            return True, 0.0
        return bool(said[1]), said[2] / 1e6

    def _answer(self) -> array[int] | None:
        until = time.monotonic() + self._timeout + _SLACK
        try:
            return tracer.receive(self._pipe("stdout").fileno(), until)
        except TimeoutError:
            self._process.kill()
            raise FreezeError(
                f"ptrace(2) did not return in {self._timeout + _SLACK:g} s (a process of the tree"
                " may be in the middle of execve); all run again; try later, or without --freeze"
            ) from None

    def _hang_up(self) -> None:
        self._pipe("stdin").close()

    def _pipe(self, name: str) -> Any:  # noqa: ANN401 - subprocess types it as optional IO
        return getattr(self._process, name)


def _ended() -> FreezeError:
    return FreezeError("the process that stops the tree has ended; all run again; try again")
