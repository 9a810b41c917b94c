"""Where the command line meets its streams: data on stdout, everything else on stderr."""

from __future__ import annotations

import os
import shutil
import sys
from typing import IO, Final, Self

from analyzer.errors import BadInputError
from analyzer.writers.text import printable

_MOST_COLUMNS: Final = 120
_CLEAR: Final = "\r\x1b[K"


def emit(text: str) -> None:
    """Write data to stdout and flush it. BrokenPipeError passes; BadInputError for a full disk."""
    if sys.stdout is None:
        raise BadInputError("stdout is closed: there is nowhere to write to")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise BadInputError(f"cannot write to stdout: {error.strerror}") from error


def speak_utf8() -> None:
    """Let stdout be UTF-8 whatever the locale is: what is written says so of itself."""
    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")


def note(text: str) -> None:
    """Say one line about the work, or an error, on stderr."""
    if sys.stderr is not None:
        sys.stderr.write(f"{printable(text)}\n")
        sys.stderr.flush()


def columns() -> int:
    """Return how wide the report may be: the terminal's width ($COLUMNS), 80 without one."""
    return min(shutil.get_terminal_size((80, 24)).columns, _MOST_COLUMNS)


def coloured(stream: IO[str] | None = None) -> bool:
    """Return whether colours are wanted: a terminal, and neither NO_COLOR nor TERM=dumb."""
    out = stream or sys.stdout
    if os.environ.get("NO_COLOR") or out is None:
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return out.isatty() and os.environ.get("TERM") != "dumb"


class Progress:
    """Shows on stderr what is being done, on a terminal only, and wipes it off at the end."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._live = not quiet and sys.stderr is not None and sys.stderr.isatty()
        self._live = self._live and os.environ.get("TERM") != "dumb"

    def __call__(self, text: str) -> None:
        """Show `text` in place of what was shown."""
        if self._live:
            sys.stderr.write(f"{_CLEAR}{printable(text)[: columns() - 1]}")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()


def discard_stdout() -> None:
    """Let what is still buffered for a closed pipe or a full disk go nowhere, without a word."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 1)
    finally:
        os.close(null)
