"""/proc/PID/fdinfo/N: the state of one descriptor and its open file (proc_pid_fdinfo(5)).

The first lines are the same for every file: pos, flags (octal), mnt_id, and ino since 5.14
(3845f256a8b5 "procfs/fd: add inode number of the file to fdinfo"). Close-on-exec belongs to the
descriptor, not to the file; the kernel adds it to the flags that it shows.
"""

from __future__ import annotations

import re
from typing import Final

from analyzer.core.model import OBJECTS
from analyzer.core.values import NamedTuple
from analyzer.procfs.parse import in_column, malformed

ACCESS: Final = {b"r": 0, b"w": 1, b"u": 2}
"""How a file was opened by the letters of lsof: O_RDONLY, O_WRONLY, O_RDWR."""

CLOEXEC: Final = 0o2000000  # O_CLOEXEC, include/uapi/asm-generic/fcntl.h

_POS, _FLAGS, _MNT_ID, _INO = map(OBJECTS.column, ("pos", "flags", "mnt_id", "ino"))
_MINIMUM: Final = 4  # pos, its value, flags, its value
_USUAL: Final = re.compile(
    rb"pos:\t(-?[0-9]{1,18})\nflags:\t([0-7]{1,12})\nmnt_id:\t([0-9]{1,9})\nino:\t([0-9]{1,18})\n(?!\s)"
)


class FdInfo(NamedTuple):
    """Offset in bytes, open(2) flags without O_CLOEXEC; None for what old kernels do not say.

    `more` is all that follows, as it is: see `shown.lines`. Of what captures show (`of_letter`)
    there are neither, and `access` is all that is known.
    """

    pos: int | None
    flags: int | None
    mnt_id: int | None
    ino: int | None
    cloexec: bool
    more: bytes = b""
    access: int | None = None


def parse(data: bytes, where: str) -> FdInfo:
    """Parse the file's content; BadInputError when it is cut or is something else."""
    usual = _USUAL.match(data)
    if usual is not None:
        pos, flags, mnt_id, ino = usual.groups()
        return _made(int(pos), int(flags, 8), int(mnt_id), int(ino), data[usual.end() :])
    word = data.split(None, 8)
    try:
        if len(word) < _MINIMUM or word[0] != b"pos:" or word[2] != b"flags:":
            raise malformed(where, 1, "expected pos: and flags:")
        pos, flags = in_column(word[1], _POS), in_column(word[3], _FLAGS, base=8)
        mnt_id = in_column(word[5], _MNT_ID) if word[4:5] == [b"mnt_id:"] else None
        ino = in_column(word[7], _INO) if word[6:7] == [b"ino:"] else None
        told = _MINIMUM + 2 * (mnt_id is not None) + 2 * (ino is not None)
        (more,) = data.split(None, told)[told:] if len(word) > told else (b"",)
        return _made(pos, flags, mnt_id, ino, more)
    except (ValueError, IndexError):
        line = 1 + data.count(b"\n", 0, -1)
        raise malformed(where, line, "expected numbers that such files have") from None


def _made(pos: int, flags: int, mnt_id: int | None, ino: int | None, more: bytes) -> FdInfo:
    return FdInfo(pos, flags & ~CLOEXEC, mnt_id, ino, bool(flags & CLOEXEC), more)


def of_letter(letter: bytes) -> FdInfo | None:
    """Return what a letter of ACCESS tells."""
    if letter not in ACCESS:
        return None
    return FdInfo(None, None, None, None, cloexec=False, access=ACCESS[letter])
