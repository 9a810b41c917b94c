"""What an open file says in fdinfo of others that it keeps: in messages, or registered.

A unix socket says how many are in the messages that wait in it, and not which (unix_show_fdinfo(),
net/unix/af_unix.c, since 5.6). An io_uring lists what is registered with it by path, and that
requests wait, but not for what (__io_uring_show_fdinfo(), io_uring/fdinfo.c); nothing of it where
somebody is just using it (mutex_trylock()), and names without a path in older kernels.
"""

from __future__ import annotations

import re
from typing import Final

from analyzer.core.errors import BadInputError
from analyzer.core.values import NamedTuple
from analyzer.procfs import fdinfo
from analyzer.procfs.parse import decode, unescape
from analyzer.relations.shown import PATH_ONLY

RING: Final = "anon_inode:[io_uring]"
KEEPERS: Final = ("socket:[", RING)
"""Links of open files that may keep others."""

_IN_FLIGHT: Final = re.compile(rb"^scm_fds:[ \t]*0*[1-9]", re.MULTILINE)
_REGISTERED: Final = re.compile(
    rb"^UserFiles:[ \t]*[0-9]{1,9}\n((?: *[0-9]+: .*\n)*)", re.MULTILINE
)
_WAITING: Final = re.compile(rb"^PollList:\n +op=", re.MULTILINE)
_SLOT: Final = re.compile(rb" *[0-9]+: (.*)")
_NONE: Final = b"<none>"
_WHOLE: Final = re.compile(r"/|[a-z_]+:")


class Kept(NamedTuple):
    """What an open file keeps: `paths` are of what is registered, None where it does not say.

    `in_flight` tells that messages have files, `waiting` that requests may.
    """

    in_flight: bool = False
    paths: tuple[str, ...] | None = ()
    waiting: bool = False


def parse(link: str, data: bytes) -> Kept:
    """Return what the content of fdinfo says of a file with this link."""
    if _is_path(data):
        return Kept()
    if not link.startswith(RING):
        return Kept(in_flight=_IN_FLIGHT.search(data) is not None)
    return Kept(paths=_paths(data), waiting=_WAITING.search(data) is not None)


def _is_path(data: bytes) -> bool:
    try:
        return bool((fdinfo.parse(data, "").flags or 0) & PATH_ONLY)
    except BadInputError:
        return False


def _paths(data: bytes) -> tuple[str, ...] | None:
    found = _REGISTERED.search(data)
    if found is None:
        return None
    slots = (slot[1] for line in found[1].splitlines() if (slot := _SLOT.fullmatch(line)))
    paths = tuple(decode(unescape(path)) for path in slots if path != _NONE)
    return paths if all(map(_WHOLE.match, paths)) else None
