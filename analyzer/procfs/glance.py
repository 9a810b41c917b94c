"""What inode a path leads to, asked by a child: a dead filesystem cannot keep us.

stat(2) of a file on a filesystem whose server is gone (FUSE, NFS) does not return, and a thread
that waits so may be beyond any signal. So a child asks, with statx(2) and AT_STATX_DONT_SYNC, which
most such filesystems answer from what they know already; when it says nothing for a while it is
left behind, and another one goes on with the next path.

The child is `glancing`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
import time
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

from analyzer.core.values import NamedTuple
from analyzer.procfs.glancing import ANSWER, NUL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

PATIENCE: Final = 2.0  # seconds for one path
_WHOLE: Final = 8.0  # seconds for all that do not answer

_CHILD: Final = os.path.join(os.path.dirname(__file__), "glancing.py")


class Inode(NamedTuple):
    """Where a path leads: the device as makedev(3), and the inode where it is told.

    `mounted` tells that something is mounted there; before 5.8 it is true of everything. `mode` is
    its type (S_IFMT), 0 where it is not told; `rdev` the device that a device node is. `mnt_id` is
    that of its mount, since 5.8, else -1.
    """

    dev: int
    ino: int | None
    mounted: bool
    mode: int = 0
    rdev: int = 0
    size: int = 0
    mnt_id: int = -1


_SEEN: Final[list[dict[str, Inode | int]]] = []
_MADE: Final[list[dict[str, Any]]] = []


@contextlib.contextmanager
def once() -> Iterator[None]:
    """Ask for each path, and for what is `kept`, once within the block, whoever wants to know."""
    _SEEN.append({})
    _MADE.append({})
    try:
        yield
    finally:
        _SEEN.pop()
        _MADE.pop()


def kept(key: str, make: Callable[[], T]) -> T:
    """Return what `make` makes: once within a block of `once`, whoever wants to know."""
    if not _MADE:
        return make()
    if key not in _MADE[-1]:
        _MADE[-1][key] = make()
    found: T = _MADE[-1][key]
    return found


def look(paths: Sequence[str], patience: float = PATIENCE) -> list[Inode | int]:
    """Return where each path leads, symbolic links followed, or the errno that it has instead.

    ETIMEDOUT is the errno of what does not answer within `patience` seconds.
    """
    seen = _SEEN[-1] if _SEEN else {}
    new = list(dict.fromkeys(path for path in paths if path not in seen))
    if new:
        seen |= zip(new, _looked(new, patience), strict=True)
    return [seen[path] for path in paths]


def _looked(paths: Sequence[str], patience: float) -> list[Inode | int]:
    found: list[Inode | int] = []
    until = time.monotonic() + _WHOLE
    while len(found) < len(paths):
        found += _answers(paths[len(found) :], patience)
        if len(found) < len(paths):
            found.append(errno.ETIMEDOUT)
        if time.monotonic() > until:
            found += [errno.ETIMEDOUT] * (len(paths) - len(found))
    return found


def _answers(paths: Sequence[str], patience: float) -> Iterator[Inode | int]:
    """Yield what a child says, until it is done or keeps silent."""
    import subprocess

    asked = os.memfd_create("paths")  # unlike a pipe, it takes them all at once
    with os.fdopen(asked, "w+b") as file:
        file.write(b"".join(os.fsencode(path) + NUL for path in paths))
        file.seek(0)
        child = subprocess.Popen(  # noqa: S603 - our own interpreter, our own file
            [sys.executable, "-I", "-S", _CHILD],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
    assert child.stdout is not None  # noqa: S101 - it is a pipe
    try:
        yield from _read(child.stdout, patience)
    finally:
        child.stdout.close()
        child.kill()
        try:
            child.wait(patience / 10)
        except subprocess.TimeoutExpired:
            child.returncode = -9  # init will find its end


def _read(pipe: IO[bytes], patience: float) -> Iterator[Inode | int]:
    left = b""
    while select.select([pipe], [], [], patience)[0] and (part := pipe.read(1 << 16)):
        data = left + part
        whole = len(data) - len(data) % ANSWER.size
        for code, dev, ino, mounted, *more in ANSWER.iter_unpack(data[:whole]):
            yield code or Inode(dev, ino or None, bool(mounted), *more)
        left = data[whole:]
