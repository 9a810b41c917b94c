"""/proc/PID/fdinfo/N: the state of one descriptor and its open file (proc_pid_fdinfo(5)).

The first lines are the same for every file: pos, flags (octal), mnt_id, and ino since 5.14
(3845f256a8b5 "procfs/fd: add inode number of the file to fdinfo"). Close-on-exec belongs to the
descriptor, not to the file; the kernel adds it to the flags that it shows.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from analyzer.procfs.parse import malformed

CLOEXEC: Final = 0o2000000  # O_CLOEXEC, include/uapi/asm-generic/fcntl.h

_I64: Final = 1 << 63
_MINIMUM: Final = 4  # pos, its value, flags, its value


class FdInfo(NamedTuple):
    """Offset in bytes, open(2) flags without O_CLOEXEC; None for what old kernels do not say."""

    pos: int
    flags: int
    mnt_id: int | None
    ino: int | None
    cloexec: bool


def parse(data: bytes, where: str) -> FdInfo:
    """Parse the file's content; BadInputError when it is cut or is something else."""
    word = data.split(None, 8)
    try:
        if len(word) < _MINIMUM or word[0] != b"pos:" or word[2] != b"flags:":
            raise malformed(where, 1, "expected pos: and flags:")
        pos, flags = int(word[1]), int(word[3], 8)
        mnt_id = int(word[5]) if word[4:5] == [b"mnt_id:"] else None
        ino = int(word[7]) if word[6:7] == [b"ino:"] else None
        sane = abs(pos) < _I64 and 0 <= flags < _I64 and abs(mnt_id or 0) < _I64
        if not sane or not 0 <= (ino or 0) < 2 * _I64:
            raise malformed(where, 1, "a number is out of range")
        return FdInfo(pos, flags & ~CLOEXEC, mnt_id, ino, bool(flags & CLOEXEC))
    except (ValueError, IndexError):
        raise malformed(where, 1 + data.count(b"\n", 0, -1), "expected numbers") from None
