"""What a CRIU that was run says, held against what the rules say: whose fault a difference is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NOISE: Final = ("RLIMIT_NOFILE", "kdat cache", "Dumping FAILED", "util.c")
"""What is in lines of errors that are no reason: the same with every dump."""


class Verified(NamedTuple):
    """What `criu dump --leave-running` did with the options proposed.

    It was not run where there is a `reason`. `said` are its errors, but for the usual ones;
    `agrees` tells whether all is as the rules say.
    """

    version: str = ""
    reason: str = ""
    worked: bool = False
    said: tuple[str, ...] = ()
    agrees: bool = False


def errors(log: str) -> tuple[str, ...]:
    """Return the errors of a log of CRIU's that may be reasons, in its order."""
    lines = (line for line in log.splitlines() if "Error (" in line)
    kept = (line[line.index("Error (") :] for line in lines)
    return tuple(line for line in kept if not any(word in line for word in _NOISE))


def compared(ran: Verified, *, possible: bool, messages: Iterable[str]) -> Verified:
    """Return a run with whether it agrees.

    `messages` are of what no option allows, and of what is not known.
    """
    if ran.reason:
        return ran
    if ran.worked:
        return ran._replace(agrees=possible)
    known = [one for message in messages for one in message.split("; ") if one]
    told = any(_is(message, line) for message in known for line in ran.said)
    # What has no message known is believed: what else may have stopped it cannot be told.
    believed = not possible and (not known or not ran.said)
    return ran._replace(agrees=told or believed)


def _is(message: str, line: str) -> bool:
    """Tell whether all words of a message are in a line, in their order: the rest is arguments."""
    words: Sequence[str] = message.replace("(", " ").replace(")", " ").split()
    at = 0
    for word in words:
        found = line.find(word, at)
        if found < 0:
            return False
        at = found + len(word)
    return True
