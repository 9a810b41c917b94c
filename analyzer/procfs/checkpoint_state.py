"""The state of open files in images of CRIU, in the lines that fdinfo has of each type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.procfs.protobuf import content, inner, inners, number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from analyzer.procfs.protobuf import Fields

_ID: Final = 1 << 31
_COUNT: Final = 1 << 64
_MNT_MARK: Final = 2  # enum mark_type, images/fsnotify.proto


def lines(kind: int, said: Fields) -> bytes:
    """Return the lines of an open file, by its type (images/fdinfo.proto); none for most."""
    tell = _TYPES.get(kind)
    return b"" if tell is None else b"".join(tell(said))


def _eventfd(said: Fields) -> Iterator[bytes]:
    yield b"eventfd-count: %16x\n" % number(said, 4)


def _eventpoll(said: Fields) -> Iterator[bytes]:
    for one in inners(said, 4):
        told = [number(one, field) for field in (2, 3, 4, 7, 6, 5)]
        yield b"tfd: %8d events: %8x data: %16x  pos:%d ino:%x sdev:%x\n" % tuple(told)


def _signalfd(said: Fields) -> Iterator[bytes]:
    yield b"sigmask:\t%016x\n" % number(said, 4)


def _timerfd(said: Fields) -> Iterator[bytes]:
    told = [number(said, field) for field in (4, 5, 6, 7, 8, 9, 10)]
    yield (
        b"clockid: %d\nticks: %d\nsettime flags: 0%o\nit_value: (%d, %d)\nit_interval: (%d, %d)\n"
    ) % tuple(told)


def _inotify(said: Fields) -> Iterator[bytes]:
    for one in inners(said, 5):
        told = [number(one, field) for field in (6, 2, 5, 3, 4)]
        yield b"inotify wd:%x ino:%x sdev:%x mask:%x ignored_mask:%x \n" % tuple(told)


def _fanotify(said: Fields) -> Iterator[bytes]:
    yield b"fanotify flags:%x event-flags:%x\n" % (number(said, 4), number(said, 5))
    for one in inners(said, 6):
        masks = b"mflags:%x mask:%x ignored_mask:%x" % tuple(number(one, at) for at in (3, 4, 5))
        if number(one, 2) == _MNT_MARK:
            yield b"fanotify mnt_id:%x %s\n" % (number(inner(one, 8), 1), masks)
        else:
            ino = number(inner(one, 7), 1)
            yield b"fanotify ino:%x sdev:%x %s \n" % (ino, number(one, 6), masks)


def _tun(said: Fields) -> Iterator[bytes]:
    name = content(said, 2)
    if name and b"\n" not in name:
        yield b"iff:\t%s\n" % name


def _pidfd(said: Fields) -> Iterator[bytes]:
    pid = number(said, 4)
    yield b"Pid:\t%d\n" % (pid if pid < _ID else pid - _COUNT)


_TYPES: Final[Mapping[int, Callable[[Fields], Iterator[bytes]]]] = {
    6: _eventfd,
    7: _eventpoll,
    8: _inotify,
    9: _signalfd,
    12: _fanotify,
    15: _tun,
    17: _timerfd,
    20: _pidfd,
}
