"""What a command is about, as somebody names it: read once, and found once in a snapshot."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError

if TYPE_CHECKING:
    from analyzer.snapshot.value import Snapshot

_PID_MAX_LIMIT: Final = 1 << 22  # the largest that kernel.pid_max can be (include/linux/threads.h)


@dataclass(frozen=True)
class Target:
    """A subtree by the process id of its root, or (None) what a snapshot is of: or the machine.

    `label` is how it was named; a snapshot that is taken of it keeps that.
    """

    pid: int | None
    label: str

    @classmethod
    def parse(cls, text: str | None, *, of_dump: bool = False) -> Target:
        """Return what `text` names, of this machine; BadInputError when there can be no such.

        The pids of a dump, or a snapshot, are another machine's: kernel.pid_max of this one says
        nothing of them.
        """
        if text is None:
            return cls(None, HOST)
        return cls(_pid(text, of_dump=of_dump), text)

    def root(self, snapshot: Snapshot) -> int:
        """Return the root in a snapshot: its own where none was named.

        Raises BadInputError when there is neither, or when a border snapshot is of another root.
        """
        from analyzer.report.make import checked_pid

        return checked_pid(snapshot, self.pid)

    def __str__(self) -> str:
        """Return what it is, for the name of a file: "4711", "host"."""
        return HOST if self.pid is None else str(self.pid)


HOST: Final = "host"


def _pid(text: str, *, of_dump: bool) -> int:
    if text == "self":
        raise BadInputError(
            "self is cranalyze, which is no part of what it checks: your shell is $$"
        )
    if not (text.isascii() and text.isdecimal()):
        raise BadInputError(f"not a process id: {text}")
    limit = _PID_MAX_LIMIT if of_dump else _pid_max()
    if len(text) > len(str(_PID_MAX_LIMIT)) or not 0 < int(text) < limit:
        raise BadInputError(f"not a process id: {text[:24]} (they go from 1 to {limit - 1} here)")
    if int(text) == os.getpid() and not of_dump:
        raise BadInputError(f"{text} is cranalyze itself, which is no part of what it checks")
    return int(text)


def _pid_max() -> int:
    try:
        with open("/proc/sys/kernel/pid_max", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return _PID_MAX_LIMIT
