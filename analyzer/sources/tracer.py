"""The process that stops others: started by `freeze`, a program of the standard library.

It is a process of its own because attaching can block in the kernel where no signal but SIGKILL
reaches (a tracee in the middle of execve(2) holds the lock that PTRACE_SEIZE takes), and because it
has to let go when the one that asked hangs, is stopped or dies. Whatever ends it, the kernel
detaches what it has stopped (ptrace(2), "If the tracer dies").

Messages are arrays of native 32-bit integers behind their length. In: thread ids to stop, none to
ask who slipped away, or LET_GO to let all go on until others are to stop; the end of the stream
lets go for good. Out: for each thread id its outcome and a detail; where it let go, LET_GO, whether
it did so by itself, and the time held until then, in microseconds.

A stop is looked at and never collected (WNOWAIT): a collected one would lose the signal that it is
about if the tracer died then.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import sys
import time
from array import array
from typing import Final

STOPPED, ENDED, GONE, TRACED, REFUSED, STUCK = range(6)
"""The outcomes; the details: of TRACED the tracer's pid, of REFUSED the errno, of STUCK the state
letter. ENDED threads are listed still, GONE ones are not."""
LET_GO: Final = -1

# include/uapi/linux/ptrace.h. Children that a thread makes once it is attached are attached too.
_DETACH, _SEIZE, _INTERRUPT = 17, 0x4206, 0x4207
_TRACE_FORK, _TRACE_VFORK, _TRACE_CLONE = 2, 4, 8
_OPTIONS: Final = _TRACE_FORK | _TRACE_VFORK | _TRACE_CLONE
_WALL: Final = 0x40000000
_LOOK: Final = os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT | _WALL
_PR_SET_PDEATHSIG: Final = 1

_PAUSE: Final = 0.0002
_GRACE: Final = 0.25  # of the timeout: after it, what sleeps deeply is not waited for
_STILL: Final = frozenset("DZX")

_libc: Final = ctypes.CDLL(None, use_errno=True)
_ptrace: Final = _libc.ptrace
_ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_ulong, ctypes.c_ulong)
_ptrace.restype = ctypes.c_long


class Tracer:
    """Stops threads and keeps, for each that it has stopped, the signal to give back."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._held: dict[int, int] = {}
        self._ended: set[int] = set()
        self._seconds = 0.0
        self.first = 0.0

    def stop(self, tids: array[int]) -> array[int]:
        """Stop threads and return tid, outcome, detail of each, after the timeout at the latest."""
        refused = {tid: why for tid in tids if (why := _attach(tid))}
        attached = [tid for tid in tids if tid not in refused]
        self.first = self.first or time.monotonic()
        for tid in attached:
            _ptrace(_INTERRUPT, tid, 0, 0)
        rows = [(tid, *why) for tid, why in refused.items()] + self._await(attached)
        self._ended.update(tid for tid, what, _ in rows if what == ENDED)
        return array("i", [number for row in rows for number in row])

    def slipped(self) -> array[int]:
        """Return tid, GONE, 0 of each that has been stopped, or had ended, and is so no more.

        An execve(2) that was under way kills the other threads, and the one that goes on takes the
        id of its process.
        """
        gone = [tid for tid in tuple(self._held) if self._look(tid) != STOPPED]
        gone += [tid for tid in self._ended if _state(tid) not in {"Z", "X"}]
        self._ended.difference_update(gone)
        for tid in gone:
            self._held.pop(tid, None)
        return array("i", [number for tid in gone for number in (tid, GONE, 0)])

    def release(self, *, expired: bool = False) -> array[int]:
        """Let everything that was stopped go on, with the signal that it was stopped at.

        Returns what is said of it.
        """
        for tid, number in self._held.items():
            _ptrace(_DETACH, tid, 0, number)
        self._held.clear()
        self._ended.clear()
        self._seconds += time.monotonic() - self.first if self.first else 0.0
        self.first = 0.0
        return array("i", [LET_GO, int(expired), int(self._seconds * 1e6)])

    def _await(self, waiting: list[int]) -> list[tuple[int, int, int]]:
        rows: list[tuple[int, int, int]] = []
        start = time.monotonic()
        while True:
            found = [(tid, self._look(tid)) for tid in waiting]
            rows += [(tid, outcome, 0) for tid, outcome in found if outcome is not None]
            waiting = [tid for tid, outcome in found if outcome is None]
            if not waiting or self._enough(waiting, time.monotonic() - start):
                return rows + [_stuck(tid) for tid in waiting]
            time.sleep(_PAUSE)

    def _enough(self, waiting: list[int], spent: float) -> bool:
        if spent < self._timeout * _GRACE:
            return False
        return spent > self._timeout or all(_state(tid) in _STILL for tid in waiting)

    def _look(self, tid: int) -> int | None:
        try:
            seen = os.waitid(os.P_PID, tid, _LOOK)
            if seen is not None and seen.si_code != os.CLD_TRAPPED:
                # Only now does its real parent, or a thread that waits in execve, hear of it.
                os.waitid(os.P_PID, tid, os.WEXITED | os.WNOHANG | _WALL)
                return ENDED
        except ChildProcessError:
            return GONE
        if seen is None:
            return None
        event, number = seen.si_status >> 8, seen.si_status & 0x7F
        self._held[tid] = 0 if event else number
        return STOPPED


def _attach(tid: int) -> tuple[int, int] | None:
    """Attach a thread; return why not, None when it is attached (by its parent's fork, perhaps)."""
    if not _ptrace(_SEIZE, tid, 0, _OPTIONS):
        return None
    why = _refusal(tid, ctypes.get_errno())
    # In execve(2) of a thread its process has a dead leader for a moment.
    if why and why[0] == REFUSED and not _ptrace(_SEIZE, tid, 0, _OPTIONS):
        return None
    return why


def _refusal(tid: int, code: int) -> tuple[int, int] | None:
    if code == errno.ESRCH:
        return GONE, 0
    status = _status(tid)
    tracer = int(status.get("TracerPid", "0"))
    if tracer == os.getpid():
        return None
    if not status:
        return GONE, 0
    if status["State"][0] in "ZX":
        return ENDED, 0
    return (TRACED, tracer) if tracer else (REFUSED, code)


def _stuck(tid: int) -> tuple[int, int, int]:
    state = _state(tid)
    if not state:
        return tid, GONE, 0
    return (tid, ENDED, 0) if state in "ZX" else (tid, STUCK, ord(state))


def _state(tid: int) -> str:
    return _status(tid).get("State", "")[:1]


def _status(tid: int) -> dict[str, str]:
    try:
        with open(f"/proc/{tid}/status", encoding="utf-8", errors="replace") as file:
            lines = [line.partition(":") for line in file]
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in lines}


def send(fd: int, numbers: array[int]) -> None:
    """Write one message; BrokenPipeError when nobody reads any more."""
    data = memoryview(array("i", [len(numbers)]).tobytes() + numbers.tobytes())
    while data:
        data = data[os.write(fd, data) :]


def receive(fd: int, until: float | None) -> array[int] | None:
    """Read one message, None at the end; TimeoutError when it is not whole by `until` (monotonic).

    None for `until` is no limit.
    """
    size = _read(fd, array("i").itemsize, until)
    if size is None:
        return None
    count = array("i", size)[0]
    data = _read(fd, count * array("i").itemsize, until)
    return None if data is None else array("i", data)


def _read(fd: int, size: int, until: float | None) -> bytes | None:
    data = b""
    while len(data) < size:
        left = None if until is None else max(0.0, until - time.monotonic())
        if not select.select([fd], [], [], left)[0]:
            raise TimeoutError
        more = os.read(fd, size - len(data))
        if not more:
            return None
        data += more
    return data


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the one that asked has ended")


def _serve(tracer: Tracer, limit: float) -> bool:
    """Stop what is asked for until the end; return whether `limit` seconds were over before."""
    while True:
        try:
            tids = receive(0, tracer.first + limit if tracer.first else None)
        except TimeoutError:
            return True
        if tids is None:
            return False
        if LET_GO in tids[:1]:
            send(1, tracer.release())
        else:
            send(1, tracer.stop(tids) if tids else tracer.slipped())


def main() -> None:
    """Serve the process that is the first argument: timeout and limit follow, in seconds."""
    _die_with(int(sys.argv[1]))
    tracer = Tracer(float(sys.argv[2]))
    send(1, tracer.release(expired=_serve(tracer, float(sys.argv[3]))))


if __name__ == "__main__":
    main()
