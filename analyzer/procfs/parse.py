"""What the parsers share: numbers out of bytes, and the error that names file and line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError

if TYPE_CHECKING:
    from analyzer.core.model import ColumnSpec

_I64: Final = 1 << 63
_C_INT: Final = 1 << 31


def malformed(where: str, line: int, expected: str) -> BadInputError:
    """Return the error for line `line` (from 1) of the file `where`."""
    return BadInputError(f"{where}: line {line}: {expected}")


def passed_over(error: BadInputError, lost: list[BadInputError] | None) -> None:
    """Keep the error of a line that is passed over in `lost`; raise it where there is none."""
    if lost is None:
        raise error
    lost.append(error)


def decode(data: bytes) -> str:
    """Return bytes from a stranger as str; nothing is lost (surrogateescape)."""
    return data.decode("utf-8", "surrogateescape")


def number(word: bytes, *, base: int = 10, below: int = _I64) -> int:
    """Return a number from 0 to `below`; ValueError for anything else."""
    value = int(word, base)
    if not 0 <= value < below:
        raise ValueError(word)
    return value


def device(major: bytes, minor: bytes, *, base: int = 10) -> int:
    """Return a device as makedev(3), which takes ints of C; ValueError for anything else."""
    return os.makedev(*(number(word, base=base, below=_C_INT) for word in (major, minor)))


def in_column(word: bytes, spec: ColumnSpec, *, base: int = 10) -> int:
    """Return a number that fits into a column; ValueError for anything else."""
    value = int(word, base)
    least, most = spec.limits
    if not least <= value <= most:
        raise ValueError(word)
    return value


def unescape(data: bytes) -> bytes:
    r"""Undo the octal escapes (``\012``) that seq_path() in fs/seq_file.c makes."""
    if b"\\" not in data:
        return data
    head, *rest = data.split(b"\\")
    return head + b"".join(_byte(part) for part in rest)


def _byte(part: bytes) -> bytes:
    digits = part[:3]
    octal = len(digits) == 3 and all(b"0"[0] <= d <= b"7"[0] for d in digits)  # noqa: PLR2004
    if not octal or int(digits, 8) > 0xFF:  # noqa: PLR2004 -- not a byte: a plain backslash
        return b"\\" + part
    return bytes([int(digits, 8)]) + part[3:]
