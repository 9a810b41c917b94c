"""Run CRIU once, with the options that were proposed: in a process that has kept its privileges.

The rest of the program gives them up before it looks at anything. This process does before that
what it takes: it is there, holds nothing but its two pipes, and waits to be told the command. It is
never told a shell's: the words are an argument each.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from analyzer.core.files import uninterrupted, write_all
from analyzer.core.values import replace
from analyzer.criu import Outcome
from analyzer.criu.verified import Verified, compared, errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from analyzer.report.preflight import Preflight
    from analyzer.report.value import Report

SECONDS: Final = 120.0
"""How long a dump may take."""
_ENV: Final = "CRIU"  # names another program than the one in PATH
_MOST: Final = 1 << 20
_LOG: Final = "dump.log"
_SKIPS: Final = (4, 0)  # 4.2 can, 3.17 cannot


class Prover:
    """A process that runs CRIU when it is asked to; it ends with us."""

    def __enter__(self) -> Self:
        """Start the process."""
        inward, self._out = os.pipe()
        self._in, outward = os.pipe()
        with uninterrupted():
            self._pid = os.fork()
            if not self._pid:
                _serve(inward, outward)
        os.close(inward)
        os.close(outward)
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        with uninterrupted():
            for fd in (self._out, self._in):
                with contextlib.suppress(OSError):
                    os.close(fd)
            os.waitpid(self._pid, 0)

    def prove(self, flight: Preflight) -> Preflight:
        """Return what CRIU would do with what it did."""
        write_all(self._out, json.dumps(shlex.split(flight.dump)).encode())
        os.close(self._out)
        self._out = os.open(os.devnull, os.O_RDONLY)
        with open(self._in, "rb", closefd=False) as answer:
            said: dict[str, Any] = json.loads(answer.read() or b'{"reason": "it has ended"}')
        ran = Verified(**{**said, "said": tuple(said.get("said", ()))})
        unsure = Outcome.UNKNOWN
        messages = [b.message for b in flight.blockers if b.stops or b.outcome is unsure]
        verified = compared(ran, possible=flight.possible, messages=messages)
        return flight._replace(verified=verified)


@contextlib.contextmanager
def proven(*, asked: bool) -> Iterator[Callable[[Report], Report]]:
    """Yield what has a report proven, if that is asked for; to be entered before privileges go."""
    if not asked:
        yield lambda report: report
        return
    with Prover() as prover:

        def prove(report: Report) -> Report:
            if report.preflight is None:
                return report
            return replace(report, preflight=prover.prove(report.preflight))

        yield prove


def _serve(inward: int, outward: int) -> None:
    """Run the command that arrives, tell what came of it, and end the process."""
    try:
        low, high = sorted((inward, outward))
        os.closerange(0, low)
        os.closerange(low + 1, high)
        os.closerange(high + 1, os.sysconf("SC_OPEN_MAX"))
        for fd in range(3):  # what we start gets these, whatever ours were
            with contextlib.suppress(OSError):
                if fd not in {inward, outward}:
                    os.open(os.devnull, os.O_RDWR)
        with open(inward, "rb") as asked:
            words = json.loads(asked.read() or b"[]")
        if words:
            write_all(outward, json.dumps(run(words)._asdict()).encode())
    finally:
        os._exit(0)


def run(words: Sequence[str]) -> Verified:
    """Run the command of a dump, leave the processes running, and throw the images away."""
    from analyzer.subjects.commands import installed

    tool = os.environ.get(_ENV) or installed(words[0])
    if tool is None:
        return Verified(reason="criu is not installed")
    code, said = _ask([tool, "check"], 30)
    if code:
        why = (errors(said) or tuple(said.strip().splitlines()[-1:]) or (f"exit {code}",))[-1]
        return Verified(reason=f"criu check: {why}")
    _, version = _ask([tool, "--version"], 30)
    number = version.partition("Version:")[2].split()[:1]
    with tempfile.TemporaryDirectory(prefix="cranalyze-criu-") as folder:
        command = [tool, *(folder if word == "DIR" else word for word in words[1:])]
        command += ["--leave-running", "--log-file", _LOG, "-v1", *_unlocked("".join(number))]
        code, said = _ask(command, SECONDS)
        log = Path(folder, _LOG)
        if log.exists():
            with log.open(errors="replace") as text:
                said = text.read(_MOST)
    return Verified("".join(number), "", code == 0, errors(said))


def _unlocked(version: str) -> list[str]:
    """Return what leaves the network of what runs on alone, where CRIU can: nobody restores it.

    Connections are not held up then, and no iptables(8) or nft(8) is asked for.
    """
    parts = version.split(".")[:2]
    known = len(parts) == len(_SKIPS) and all(part.isdecimal() for part in parts)
    skips = known and tuple(map(int, parts)) >= _SKIPS
    return ["--network-lock", "skip"] if skips else []


def _ask(command: Sequence[str], seconds: float) -> tuple[int, str]:
    """Return how a command exited, and what it said; -1 for one that was not done in time."""
    try:
        process = subprocess.Popen(  # noqa: S603 - found in PATH, and no shell
            command,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            cwd="/", env={**os.environ, "LC_ALL": "C"}, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        return -1, f"{command[0]}: {error.strerror}"
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return -1, f"Error (criu): not done within {seconds:g} s"
    return process.returncode, out[:_MOST].decode("utf-8", "replace")
