"""Where the command line meets its streams: data on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import IO, TYPE_CHECKING, Any, Final, Self

from analyzer.core.errors import BadInputError
from analyzer.core.files import write_all
from analyzer.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

_MOST_COLUMNS: Final = 120
_NO_LIMIT: Final = 1 << 20
_CLEAR: Final = "\r\x1b[K"
_AT_THE_END: Final[list[str]] = []


class _Counted(io.RawIOBase):
    """A descriptor of ours as a stream that takes all that it is given, or raises.

    Nothing is kept back, so that nothing fails behind our back at the end.
    """

    def __init__(self, fd: int, name: str) -> None:
        super().__init__()
        self._fd = fd
        self.name = name

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def write(self, data: Buffer, /) -> int:
        view = bytes(data)
        try:
            write_all(self._fd, view)
        except BrokenPipeError:
            raise
        except OSError as error:
            reason = f"cannot write to {self.name}: {error.strerror}"
            raise BadInputError(reason) from error
        return len(view)


@contextlib.contextmanager
def counted_streams() -> Iterator[None]:
    """Let what is written to stdout and stderr in the block be written whole, or be an error.

    Python loses the rest of a short write where stdout is unbuffered (PYTHONUNBUFFERED), and where
    it is not, tries once more at the very end. A stream that is no descriptor's stays as it is.
    """
    before = sys.stdout, sys.stderr
    try:
        sys.stdout, sys.stderr = _counted(sys.stdout, "stdout"), _counted(sys.stderr, "stderr")
        yield
    finally:
        sys.stdout, sys.stderr = before


def _counted(stream: Any, name: str) -> Any:  # noqa: ANN401 - None where it is closed
    if stream is None:
        return None
    try:
        stream.flush()
        raw = _Counted(stream.fileno(), name)
    except (OSError, ValueError):  # not to be had of what a test or a notebook puts there
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        return stream
    # As typeshed has it a raw stream is none that text can be wrapped around; it is.
    wrapped: Any = raw
    return io.TextIOWrapper(
        wrapped,
        _asked_for() or stream.encoding,
        "backslashreplace",
        newline="\n",
        write_through=True,
    )


def _asked_for() -> str | None:
    # In the locale C Python speaks UTF-8 all the same (PEP 540); who asks for C by name wants
    # ASCII. (LC_CTYPE is Python's own by then, PEP 538.)
    environ = os.environ
    if not sys.flags.utf8_mode or environ.get("PYTHONUTF8") or environ.get("PYTHONIOENCODING"):
        return None
    return "ascii" if (environ.get("LC_ALL") or environ.get("LANG")) in {"C", "POSIX"} else None


def emit(text: str) -> None:
    """Write data to stdout. BrokenPipeError passes; BadInputError for a full disk."""
    if sys.stdout is None:
        raise BadInputError("stdout is closed: there is nowhere to write to")
    sys.stdout.write(text)
    sys.stdout.flush()


def speak_utf8() -> None:
    """Let stdout be UTF-8 whatever the locale is: what is written says so of itself."""
    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def note(text: str) -> None:
    """Say one line about the work, or an error, on stderr; where that fails, to nobody."""
    _say(f"{printable(text)}\n")


def note_at_the_end(text: str) -> None:
    """Say one line about the work once it is done: a failure is one line, and no other."""
    _AT_THE_END.append(text)


def say_the_end(*, done: bool) -> None:
    """Say what was left for the end, if all is `done`; forget it."""
    for text in _AT_THE_END if done else ():
        note(text)
    _AT_THE_END.clear()


def _say(text: str) -> None:
    if sys.stderr is not None:
        with contextlib.suppress(OSError, BadInputError):
            sys.stderr.write(text)
            sys.stderr.flush()


def columns(otherwise: int = _NO_LIMIT, *, stdout: bool = True) -> int:
    """Return how wide a report may be: $COLUMNS, else the terminal's width.

    A pipe and a file (not `stdout`) set no limit, but for `otherwise`: whoever looks for something
    in them finds it in one line.
    """
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given[:9]) > 0:
        return min(int(given[:9]), _MOST_COLUMNS)
    if not stdout or sys.stdout is None or not sys.stdout.isatty():
        return otherwise
    import shutil

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
            _say(f"{_CLEAR}{printable(text)[: columns(80) - 1]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            _say(_CLEAR)
