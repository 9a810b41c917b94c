"""The errors a user can see. Each carries the exit code that the command line returns for it.

The message is one line that says what went wrong, where, and what to do about it. Only the
command line prints errors; everything else raises them.
"""

from __future__ import annotations

from typing import ClassVar, Final

EXIT_OK: Final = 0
EXIT_USAGE: Final = 2
EXIT_UNDECIDED: Final = 3
EXIT_PERMISSION: Final = 4
EXIT_VANISHED: Final = 5
EXIT_LEAK: Final = 16
EXIT_INTERNAL: Final = 70


class CranalyzeError(Exception):
    """Any failure that cranalyze explains itself; `exit_code` is what the process returns."""

    exit_code: ClassVar[int] = EXIT_INTERNAL


class BadInputError(CranalyzeError):
    """The arguments, or a file that was given, cannot be used (exit code 2)."""

    exit_code = EXIT_USAGE


class NotPermittedError(CranalyzeError):
    """The kernel refuses what the request needs (exit code 4)."""

    exit_code = EXIT_PERMISSION


class UnseenError(CranalyzeError):
    """The subject is there, but could not be read: neither it nor its absence is seen (exit 3)."""

    exit_code = EXIT_UNDECIDED


class TargetVanishedError(CranalyzeError):
    """The subject exited, or its pid was reused, before it was read (exit code 5)."""

    exit_code = EXIT_VANISHED
