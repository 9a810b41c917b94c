"""Ask a runtime's own command for a name: in a process of its own, and not for long.

Nothing of a runtime is linked to, and no daemon is spoken to: what the command prints is all. One
that is not installed, fails or does not answer in time is a reason, which the error gives.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Final

from analyzer.core.text import printable
from analyzer.core.values import dataclass

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

SECONDS: Final = 5.0
"""How long a runtime may take to answer."""

_MOST: Final = 1 << 20  # characters of an answer that are looked at
_SAID: Final = 200
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Answer:
    """What a command said, or why it did not: `there` tells whether it is installed."""

    text: str = ""
    reason: str = ""
    there: bool = True

    @property
    def lines(self) -> list[list[str]]:
        """Return the fields of each line, which tabs part."""
        return [line.split("\t") for line in self.text.splitlines() if line.strip()]


def installed(tool: str) -> str | None:
    """Return where a command is; those of root's, too."""
    import shutil

    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:{_PATH}")


def ask(command: Sequence[str], seconds: float | None = None) -> Answer:
    """Run a command and return what it printed; one that takes too long is killed."""
    import subprocess

    tool, limit = command[0], SECONDS if seconds is None else seconds
    path = installed(tool)
    if path is None:
        return Answer(reason=f"{tool} is not installed", there=False)
    try:
        process = subprocess.Popen(  # noqa: S603 - found in PATH, and no shell
            [path, *command[1:]],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd="/", env={**os.environ, "LC_ALL": "C"}, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        return Answer(reason=f"{tool}: {error.strerror}")
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return Answer(reason=f"{tool} did not answer within {limit:g} s")
    finally:
        _end(process)
    if process.returncode:
        said = os.fsdecode(err[:_MOST]).strip().splitlines() or [f"exit {process.returncode}"]
        return Answer(reason=f"{tool}: {printable(said[-1])[:_SAID]}")
    return Answer(os.fsdecode(out[:_MOST]))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a command: a session of our own making, and nobody else's."""
    if process.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
