"""System V segments: those of each IPC namespace, and those that are attached.

/proc/sysvipc/shm lists those of the namespace of who looks, with how many mappings each has
(shm_nattch counts them: one that is attached is mapped again by fork(2), and cut in two by
mprotect(2)). To look in another namespace takes a thread that goes there; a dump keeps what that
saw in ``cranalyze/ipc/NUMBER/sysvipc/shm``. A mapping shows the id, as its inode number, and the
key that the segment was made with (newseg(), ipc/shm.c), but not the namespace: two may have
segments of one id. As many mappings as the lists have are all of them.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final

from analyzer.core.values import NamedTuple
from analyzer.procfs import nslink, visit
from analyzer.procfs.parse import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from analyzer.procfs.fs import ProcFs
    from analyzer.relations.shown import Shown, Task

PATH: Final = "/SYSV"
_LIST: Final = "sysvipc/shm"
_KEY: Final = re.compile(r"/SYSV([0-9a-f]{8})(?: \(deleted\))?")
_SIGNED: Final = re.compile(r"-?[0-9]{1,18}")
_LEAST: Final = 7  # columns: key, id, permissions, size, creator, last user, mappings
_WORD: Final = 0xFFFFFFFF

Name = tuple[int, int]
"""A segment within its namespace: id and key."""


class Segment(NamedTuple):
    """A segment of /proc/sysvipc/shm (proc_sysvipc(5)): its key, size in bytes, and mappings.

    One that goes when nobody has it attached any more has lost its key (do_shm_rmid()).
    """

    key: int
    size: int
    attaches: int


def kept(number: int | str) -> str:
    """Return where a dump keeps the segments of an IPC namespace that nobody read it in."""
    return f"cranalyze/ipc/{number}/{_LIST}"


def read(fs: ProcFs, tasks: Iterable[Task], own: str | None) -> dict[str, str]:
    """Return the lists of IPC namespaces, but of our `own`, as far as one may go there."""
    members: dict[str, list[int]] = {}
    for task in tasks:
        space = task.spaces.get("ipc")
        if space not in {None, own} and task.leads and not task.exiting and not task.kthread:
            members.setdefault(space or "", []).append(task.tid)
    found = {}
    for space, pids in members.items():
        link = nslink.parse(space)
        told = None if link is None else fs.told(kept(link.ino), partial(_seen, fs, pids))
        if told is not None:
            found[space] = decode(told)
    return found


def _seen(fs: ProcFs, pids: Sequence[int]) -> bytes | None:
    """Return what somebody in the namespace of processes sees listed."""
    for pid in pids:
        try:
            space = partial(fs.open_now, f"{pid}/ns/ipc")
            return visit.there(space, visit.IPC, partial(_whole, fs))
        except OSError:
            continue  # it ended, or may not be looked at: another may
    return None


def _whole(fs: ProcFs) -> bytes:
    with os.fdopen(fs.open_now(_LIST), "rb") as file:
        return file.read()


def name(path: str, ino: int | None) -> Name | None:
    """Return which segment a mapping is of, None for one of anything else."""
    found = _KEY.fullmatch(path)
    return None if found is None or ino is None else (ino, int(found[1], 16))


def listed(shown: Shown) -> Mapping[str, Mapping[int, Segment]]:
    """Return the segments by IPC namespace and id, as far as they are listed."""
    found = {space: _parsed(text) for space, text in shown.segments.items()}
    own = _parsed(shown.text(_LIST))
    return found | {shown.reader.get("ipc", ""): own} if own else found


def _parsed(text: str) -> dict[int, Segment]:
    found = {}
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) >= _LEAST and all(map(_SIGNED.fullmatch, words[:_LEAST])):
            key, ident, _, size, _, _, mappings = map(int, words[:_LEAST])
            found[ident] = Segment(key & _WORD, size, mappings)
    return found


def placed(shown: Shown) -> Mapping[Name, Sequence[str]]:
    """Return in which namespaces attached segments may be, by name; none is not known.

    Of an id of which all mappings are listed, those that are of none of these are not there.
    """
    lists = shown.once(listed)
    seen = Counter(one.segment[0] for one in shown.attached)
    told = Counter[int]()
    for some in lists.values():
        told.update({ident: one.attaches for ident, one in some.items()})
    return {
        (ident, key): [space for space, some in lists.items() if _may_be(some.get(ident), key)]
        for ident, key in dict.fromkeys(one.segment for one in shown.attached)
        if seen[ident] == told[ident]
    }


def _may_be(segment: Segment | None, key: int) -> bool:
    return segment is not None and bool(segment.attaches) and segment.key in {0, key}


def elsewhere(shown: Shown) -> Mapping[tuple[str, Name], None]:
    """Return the attached segments that are in no list, with the namespace of who has them.

    (It is theirs as far as nobody took it along: setns(2) and unshare(2) leave memory as it is.)
    """
    lists, known = shown.once(listed), shown.once(placed)
    some = (one for one in shown.attached if not known.get(one.segment))
    return {
        (space, one.segment): None
        for one in some
        if (shown.host or shown.tasks[one.tid].inside)
        and (space := shown.tasks[one.tid].spaces.get("ipc")) is not None
        and not _may_be(lists.get(space, {}).get(one.segment[0]), one.segment[1])
    }
