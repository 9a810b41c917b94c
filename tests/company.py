"""A session with members elsewhere, and a container that somebody joined: a script.

It prints the ids of its processes as JSON, and keeps them until its standard input ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from fixtures import _linux

if TYPE_CHECKING:
    from collections.abc import Callable

_SPACES = _linux.NEW["uts"] | _linux.NEW["ipc"]


def rest() -> NoReturn:
    """Do nothing, until the parent ends."""
    _linux.die_with_parent()
    while True:
        signal.pause()


def started(does: Callable[[int], None]) -> tuple[int, dict[str, int]]:
    """Return a child that does, and what it tells."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            _linux.die_with_parent()
            os.closerange(3, writer)  # else what we inherited keeps our parent's parent waiting
            does(writer)
            os.close(writer)
            rest()
        finally:
            os._exit(1)
    os.close(writer)
    with open(reader, "rb") as told:
        return pid, json.loads(told.read() or b"{}")


def tell(writer: int, **facts: int) -> None:
    """Tell the parent."""
    os.write(writer, json.dumps(facts).encode())


def container(writer: int) -> None:
    """Make namespaces, and their first process."""
    _linux.call("unshare", _linux.NEW["pid"] | _SPACES)
    pid, _ = started(lambda _: None)
    tell(writer, init=pid)


def join(writer: int, init: int) -> None:
    """Go into the namespaces of a process, and start one there."""
    _linux.call("setns", os.pidfd_open(init), _linux.NEW["pid"] | _SPACES)
    started(lambda _: None)
    tell(writer)


def lead(writer: int) -> None:
    """Lead a session, in which a process stays that is no descendant any more."""
    os.setsid()
    between = os.fork()
    if not between:
        pid = os.fork()
        if not pid:
            os.close(writer)
            while True:
                signal.pause()
        tell(writer, left=pid)
        os._exit(0)
    os.waitpid(between, 0)


def main() -> None:
    """Make all, tell it, and wait for the end of our standard input."""
    os.setsid()
    _linux.prctl(_linux.PR_SET_CHILD_SUBREAPER, 1)
    facts = {"top": os.getpid()}
    facts["member"], _ = started(lambda _: None)
    facts["leader"], more = started(lead)
    facts |= more
    facts["parent"], more = started(container)
    facts |= more
    facts["joined"], _ = started(lambda writer: join(writer, facts["init"]))
    print(json.dumps(facts), flush=True)  # noqa: T201 - a script
    sys.stdin.read()
    os.kill(facts["left"], signal.SIGKILL)


if __name__ == "__main__":
    main()
