"""Text for a terminal: names from strangers made harmless, and lines that fit.

A process may call itself anything, and so may a file: a name can hold newlines, escape sequences
that repaint the screen, marks that turn the direction of writing round, bytes that are no UTF-8.
`printable` is the one way by which such a name reaches a terminal.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NAMED: Final = {"\n": r"\n", "\t": r"\t", "\r": r"\r", "\x1b": r"\e"}
_LONG_RUN: Final = 3
_SURROGATE_BYTES: Final = range(0xDC80, 0xDD00)  # how os.fsdecode keeps a byte that is no UTF-8

SIZES: Final[Mapping[str, int]] = {
    f"{letter}{end}": base**power
    for power, letter in enumerate("KMGT", 1)
    for end, base in (("", 1 << 10), ("iB", 1 << 10), ("B", 1_000))
}
"""What a suffix stands for where people write a size, as util-linux takes it (scols-filter(5))."""


def printable(text: str) -> str:
    r"""Return `text` with everything escaped that is not simply printed.

    Control characters (C0, C1, DEL), marks of direction and other format characters, line
    separators, unassigned and private characters become escapes as in Python; a byte that is no
    UTF-8 becomes ``\xNN``. `str.isprintable` holds for the result, which is one line.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def is_pid(text: str) -> bool:
    """Tell whether somebody names a process by its number."""
    return text.isascii() and text.isdecimal()


def valid(text: str) -> str:
    r"""Return `text` as valid Unicode: a byte that is no UTF-8 becomes ``\xNN``, all else stays."""
    if not any("\ud800" <= char <= "\udfff" for char in text):
        return text
    return "".join(_escape(char) if "\ud800" <= char <= "\udfff" else char for char in text)


def width(text: str) -> int:
    """Return how many cells of a terminal printable text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_cells, text))


def shorten(text: str, cells: int, *, keep_end: bool = True) -> str:
    """Return printable text cut to at most `cells` cells, an ellipsis where something is missing.

    With `keep_end` the middle is cut, and more of the end is kept than of the start, since the end
    of a path says the most.
    """
    if width(text) <= cells:
        return text
    if cells < 2:  # noqa: PLR2004 - an ellipsis and something beside it
        return "…"[:cells]
    tail = (cells - 1) * 2 // 3 if keep_end else 0
    return _head(text, cells - 1 - tail) + "…" + _head(text[::-1], tail)[::-1]


def wrap(text: str, cells: int, first: str = "", indent: int = 0) -> list[str]:
    """Return printable text as lines of at most `cells` cells.

    The first line starts with `first`, later ones with `indent` spaces; a word that is longer than
    a line is broken.
    """
    lines, line, empty = [], first, True
    for word in text.split(" "):
        rest = word
        if not empty and width(line) + 1 + width(rest) <= cells:
            line += f" {rest}"
            continue
        if not empty:
            lines.append(line)
            line = " " * indent
        while width(line) + width(rest) > cells:
            part = _head(rest, cells - width(line)) or rest[:1]
            lines.append(line + part)
            rest, line = rest[len(part) :], " " * indent
        line, empty = line + rest, False
    return [*lines, line]


def spans(numbers: Iterable[int]) -> list[str]:
    """Return numbers in order, each once, with long runs together: 1, 2 and 7 to 12."""
    runs: list[list[int]] = []
    for one in sorted(set(numbers)):
        if runs and runs[-1][-1] == one - 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    return [
        word
        for run in runs
        for word in (map(str, run) if len(run) < _LONG_RUN else [f"{run[0]} to {run[-1]}"])
    ]


def _escape(char: str) -> str:
    if char in _NAMED:
        return _NAMED[char]
    code = ord(char)
    if code in _SURROGATE_BYTES:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:  # noqa: PLR2004 - one byte
        return f"\\x{code:02x}"
    return char.encode("ascii", "backslashreplace").decode()


def _cells(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _head(text: str, cells: int) -> str:
    taken = 0
    for index, char in enumerate(text):
        taken += _cells(char)
        if taken > cells:
            return text[: max(index, 0)]
    return text
