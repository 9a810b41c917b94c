"""System V segments: those of the IPC namespace of who looked, and those that are attached.

/proc/sysvipc/shm lists the first, with how many mappings each has (shm_nattch counts them: one that
is attached is mapped again by fork(2), and cut in two by mprotect(2)). A mapping shows the id, as
its inode number, and the key (newseg(), ipc/shm.c), but not the namespace: two may have segments of
one id. As many mappings as the list has are all of them.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from analyzer.core.values import NamedTuple
from analyzer.relations.shown import Attach

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.relations.shown import Shown

PATH: Final = "/SYSV"
_KEY: Final = re.compile(r"/SYSV([0-9a-f]{8})(?: \(deleted\))?")
_SIGNED: Final = re.compile(r"-?[0-9]{1,18}")
_LEAST: Final = 7  # columns: key, id, permissions, size, creator, last user, mappings
_WORD: Final = 0xFFFFFFFF

Name = tuple[int, int]
"""A segment within its namespace: id and key."""


class Segment(NamedTuple):
    """A segment of /proc/sysvipc/shm (proc_sysvipc(5)): its size in bytes, and its mappings."""

    size: int
    attaches: int


def attach(tid: int, path: str, ino: int | None) -> Attach | None:
    """Return the mapping of a segment, None for one of anything else."""
    found = _KEY.fullmatch(path)
    return None if found is None or ino is None else Attach(tid, (ino, int(found[1], 16)))


def listed(shown: Shown) -> Mapping[Name, Segment]:
    """Return the segments of the IPC namespace of who looked."""
    found = {}
    for line in shown.text("sysvipc/shm").splitlines()[1:]:
        words = line.split()
        if len(words) >= _LEAST and all(map(_SIGNED.fullmatch, words[:_LEAST])):
            key, ident, _, size, _, _, mappings = map(int, words[:_LEAST])
            found[ident, key & _WORD] = Segment(size, mappings)
    return found


def of_reader(shown: Shown) -> set[Name]:
    """Return the segments of which all mappings are of the namespace of who looked."""
    count = Counter(one.segment for one in shown.attached)
    known = shown.once(listed)
    return {name for name, seen in count.items() if name in known and known[name].attaches == seen}


def elsewhere(shown: Shown) -> Mapping[tuple[str, Name], None]:
    """Return the other segments that are attached, with the IPC namespace of who has them.

    (It is theirs as far as nobody took it along: setns(2) and unshare(2) leave memory as it is.)
    """
    known = of_reader(shown)
    some = (one for one in shown.attached if one.segment not in known)
    return {
        (space, one.segment): None
        for one in some
        if (shown.host or shown.tasks[one.tid].inside)
        and (space := shown.tasks[one.tid].spaces.get("ipc")) is not None
        and not (space == shown.reader.get("ipc") and one.segment in shown.once(listed))
    }
