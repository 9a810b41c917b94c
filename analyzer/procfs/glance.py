"""What inode a path leads to, asked by a child: a dead filesystem cannot keep us.

stat(2) of a file on a filesystem whose server is gone (FUSE, NFS) does not return, and a thread
that waits so may be beyond any signal. So a child asks, with statx(2) and AT_STATX_DONT_SYNC, which
most such filesystems answer from what they know already; when it says nothing for a while it is
left behind, and another one goes on with the next path.

This file is the child as well, run by itself: it imports nothing of the package.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import struct
import sys
import time
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

PATIENCE: Final = 2.0  # seconds for one path
_WHOLE: Final = 8.0  # seconds for all that do not answer

# Error number, device, inode (0: not told), mounted, mode (0: not told), device that it is, size
# in bytes, id of its mount (-1: not told).
_ANSWER: Final = struct.Struct("=iQQiIQQq")
_NUL: Final = b"\0"

# include/uapi/linux/fcntl.h and stat.h: places in struct statx of mask, inode, and device.
_AT_FDCWD, _AT_NO_AUTOMOUNT, _AT_STATX_DONT_SYNC = -100, 0x800, 0x4000
_STATX_INO: Final = 0x100
_STATX_TYPE: Final = 0x1
_STATX_SIZE: Final = 0x200
_STATX_MNT_ID: Final = 0x1000  # fa2fcf4f1df1 "statx: add mount ID", 5.8
_SIZE, _ATTRIBUTES_AT, _MODE_AT, _INO_AT, _ATTRIBUTES_MASK_AT = 256, 8, 28, 32, 56
_SIZE_AT, _RDEV_AT, _DEV_AT, _MNT_ID_AT = 40, 128, 136, 144
_MOST: Final = (1 << 63) - 1
_TYPE: Final = 0o170000  # S_IFMT
_MOUNT_ROOT: Final = 0x2000  # 80340fe3605c "statx: add mount_root", 5.8


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
    import subprocess  # not in the child, which is to start fast

    asked = os.memfd_create("paths")  # unlike a pipe, it takes them all at once
    with os.fdopen(asked, "w+b") as file:
        file.write(b"".join(os.fsencode(path) + _NUL for path in paths))
        file.seek(0)
        child = subprocess.Popen(  # noqa: S603 - our own interpreter, our own file
            [sys.executable, "-I", "-S", __file__],
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
        whole = len(data) - len(data) % _ANSWER.size
        for code, dev, ino, mounted, *more in _ANSWER.iter_unpack(data[:whole]):
            yield code or Inode(dev, ino or None, bool(mounted), *more)
        left = data[whole:]


def main() -> None:
    """Be the child: answer for the paths on stdin, each of which a NUL ends."""
    ask = getattr(ctypes.CDLL(None, use_errno=True), "statx", None)
    for path in sys.stdin.buffer.read().split(_NUL)[:-1]:
        os.write(1, _ANSWER.pack(*(_stat(path) if ask is None else _statx(ask, path))))


def _statx(ask: Any, path: bytes) -> tuple[int, ...]:  # noqa: ANN401 - of ctypes
    out = ctypes.create_string_buffer(_SIZE)
    flags = _AT_NO_AUTOMOUNT | _AT_STATX_DONT_SYNC
    # A FUSE filesystem of another user tells even root the device only, and if asked for no more.
    for mask in (_STATX_INO | _STATX_TYPE | _STATX_SIZE | _STATX_MNT_ID, 0):
        if ask(_AT_FDCWD, path, flags, mask, out) == 0:
            dev = os.makedev(*struct.unpack_from("=II", out.raw, _DEV_AT))
            rdev = os.makedev(*struct.unpack_from("=II", out.raw, _RDEV_AT))
            told = struct.unpack_from("=I", out.raw)[0] & mask
            mode = struct.unpack_from("=H", out.raw, _MODE_AT)[0] & _TYPE
            number = [_u64(out.raw, at) for at in (_INO_AT, _ATTRIBUTES_AT, _ATTRIBUTES_MASK_AT)]
            root = number[1] & _MOUNT_ROOT or not number[2] & _MOUNT_ROOT
            ino = number[0] if told & _STATX_INO else 0
            mode = mode if told & _STATX_TYPE else 0
            size = min(_u64(out.raw, _SIZE_AT), _MOST) if told & _STATX_SIZE else 0
            mount = _u64(out.raw, _MNT_ID_AT) if told & _STATX_MNT_ID else -1
            return 0, dev, ino, int(bool(root)), mode, rdev, size, mount
        if ctypes.get_errno() != errno.EACCES:
            break
    code = ctypes.get_errno()
    return _stat(path) if code == errno.ENOSYS else (code, 0, 0, 0, 0, 0, 0, -1)


def _u64(data: bytes, at: int) -> int:
    return int(struct.unpack_from("=Q", data, at)[0])


def _stat(path: bytes) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError as error:
        return error.errno or errno.EIO, 0, 0, 0, 0, 0, 0, -1
    kind = found.st_mode & _TYPE
    return 0, found.st_dev, found.st_ino, 1, kind, found.st_rdev, found.st_size, -1


if __name__ == "__main__":
    main()
