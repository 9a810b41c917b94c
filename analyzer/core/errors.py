"""The errors a user can see. Each carries the exit code that the command line returns for it.

The message is one line that says what went wrong, where, and what to do about it. Only the
command line prints errors; everything else raises them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

EXIT_OK: Final = 0
EXIT_USAGE: Final = 2
EXIT_UNDECIDED: Final = 3
EXIT_PERMISSION: Final = 4
EXIT_VANISHED: Final = 5
EXIT_LEAK: Final = 16
EXIT_INTERNAL: Final = 70

_LONGEST: Final = 64  # letters of a word that are looked at for what it may mean
_MANY: Final = 60  # names that fill a screen


class CranalyzeError(Exception):
    """Any failure that cranalyze explains itself; `exit_code` is what the process returns."""

    exit_code: ClassVar[int] = EXIT_INTERNAL


class BadInputError(CranalyzeError):
    """The arguments, or a file that was given, cannot be used (exit code 2)."""

    exit_code = EXIT_USAGE


def no_such(what: str, word: str, known: Iterable[str], more: str = "") -> BadInputError:
    """Return the error for a `word` that is none of `known`; see `instead`.

    `what` says what it is not ("no kind"); `more` ends the line.
    """
    return BadInputError(f"{what} {word or 'without a name'}{instead(word, known)}{more}")


def instead(word: str, known: Iterable[str]) -> str:
    """Return what could have been meant by `word`: the nearest of `known`, and all there are.

    Beside one that is near, a long list is left out: nobody finds it in there.
    """
    names = list(known)
    near = nearest(word, names)
    return near if near and len(names) > _MANY else f"{near}; there are: {', '.join(names)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return " (did you mean X?)" for the nearest of `known`, "" where none is near."""
    from difflib import get_close_matches

    folded = {name.casefold(): name for name in known}
    near = get_close_matches(word.casefold()[:_LONGEST], folded, n=1)
    return f" (did you mean {folded[near[0]]}?)" if near else ""


class NotPermittedError(CranalyzeError):
    """The kernel refuses what the request needs (exit code 4)."""

    exit_code = EXIT_PERMISSION


class UnseenError(CranalyzeError):
    """The subject is there, but could not be read: neither it nor its absence is seen (exit 3)."""

    exit_code = EXIT_UNDECIDED


class TargetVanishedError(CranalyzeError):
    """The subject exited, or its pid was reused, before it was read (exit code 5)."""

    exit_code = EXIT_VANISHED
