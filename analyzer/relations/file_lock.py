"""file-lock: a file that is locked, or waited for, and who else has it open.

All locks of an inode are in its `i_flctx` (include/linux/filelock.h): by flock(2), held by an open
file; by fcntl(2), held by a descriptor table (F_SETLK, the process) or an open file (F_OFD_SETLK);
and leases, held by an open file. Who waits for one is in the `blocked_requests` of the lock that is
in the way. A checkpoint has to know of locks that are the subtree's alone, too (CRIU: --file-locks)
and cannot restore one that the other side holds, or waits for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.core.pattern import pattern
from analyzer.core.values import dataclass
from analyzer.kinds._locks import READ, held
from analyzer.memory.distinct import find, member, unique
from analyzer.memory.walk import rings
from analyzer.relations._files import files, met
from analyzer.relations.base import Related, Relation, words
from analyzer.relations.shown import Tied

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import I64, U64, Mask
    from analyzer.memory.reader import Memory
    from analyzer.relations.base import World
    from analyzer.relations.shown import Key, Shown

# include/linux/filelock.h
_POSIX: Final = 1
_FLOCK: Final = 2
_LEASE: Final = 32
_OFD: Final = 1024
_ENDLESS: Final = (1 << 63) - 1  # OFFSET_MAX
_MINOR_BITS: Final = 20  # include/linux/kdev_t.h
_MEM_MAJOR: Final = 1  # Documentation/admin-guide/devices.txt: null, zero, full, random
_KINDS: Final = {"POSIX": _POSIX, "FLOCK": _FLOCK, "LEASE": _LEASE, "OFDLCK": _POSIX | _OFD}
# A line of /proc/locks, and of fdinfo: 1: -> FLOCK  ADVISORY  WRITE 7 fe:00:12 0 EOF
_LOCK: Final = pattern(
    r"[0-9]+: (?P<waits>-> )?(?P<kind>POSIX|FLOCK|LEASE|OFDLCK) +\w+ +(?P<mode>\w+) +"
    r"(?P<pid>-?[0-9]{1,10}) (?P<major>[0-9a-f]{1,3}):(?P<minor>[0-9a-f]{1,5}):"
    r"(?P<ino>[0-9]{1,20}) (?P<start>[0-9]{1,19}) (?P<end>[0-9]{1,19}|EOF)\s*$"
)
_MOST_STEPS: Final = 64  # of locks that wait for one that waits


@dataclass(frozen=True)
class _Locks:
    """Locks and those that wait for them: the inode, who owns it, and what it is in words."""

    inode: U64
    owner: U64
    file: U64
    flags: I64
    said: npt.NDArray[np.object_]
    waits: bool

    @property
    def by_table(self) -> Mask:
        """Return which are a process's, not an open file's: its descriptor table owns them."""
        mask: Mask = (self.flags & _POSIX != 0) & (self.flags & _OFD == 0)
        return mask


_BLOCKED: Final = ("c.flc_blocked_requests", "fl_blocked_requests")
_MEMBER: Final = ("c.flc_blocked_member", "fl_blocked_member")


def _find(world: World) -> Iterator[Related]:
    inodes, contexts = _lockable(world.memory, world.once(met))
    if not len(inodes):
        return
    found = world.once(files)
    locked: list[U64] = []
    told: list[U64] = []
    for locks in _all(world.memory, inodes, contexts):
        locked.append(locks.inode)
        told.append(locks.file[~locks.by_table])
        yield from _owners(world, locks)
    others = ~member(found.address, unique(*told))
    at = np.flatnonzero(found.good & others & member(found.inode, unique(*locked)))
    if len(at):
        count = len(at)
        yield Related(
            "FILE",
            found.address[at],
            "INODE",
            found.inode[at],
            impact=words(count, Impact.WATCHES.value),
        )


def _lockable(memory: Memory, inodes: U64) -> tuple[U64, U64]:
    """Return the inodes that have, or had, a lock that matters, and their `i_flctx`."""
    read = memory.gather(inodes, "inode", {}, {"context": "i_flctx"})  # of a kernel with locks
    if "context" not in read:
        return inodes[:0], inodes[:0]
    at = np.flatnonzero(read.ok & (read["context"] != 0))
    at = at[~_memory_devices(memory, inodes[at])]
    return inodes[at], read["context"][at]


def _memory_devices(memory: Memory, inodes: U64) -> Mask:
    # A lock on /dev/null (dockerd has one) keeps nobody from anything.
    device = memory.gather(inodes, "inode", {"device": "i_rdev"})["device"].astype(np.int64)
    mask: Mask = device >> _MINOR_BITS == _MEM_MAJOR
    return mask


def _all(memory: Memory, inodes: U64, contexts: U64) -> Iterator[_Locks]:
    owner, lock = held(memory, contexts)
    if len(lock):
        yield _read(memory, inodes[owner], lock, waits=False)
        yield from _waiting(memory, inodes[owner], lock)


def _waiting(memory: Memory, inode: U64, lock: U64) -> Iterator[_Locks]:
    for _ in range(_MOST_STEPS):
        heads = lock + np.uint64(memory.offset("file_lock", _BLOCKED))
        listed = rings(memory, heads)
        if not len(listed.value):
            return
        inode = inode[listed.owner]
        lock = listed.value - np.uint64(memory.offset("file_lock", _MEMBER))
        yield _read(memory, inode, lock, waits=True)


def _read(memory: Memory, inode: U64, lock: U64, *, waits: bool) -> _Locks:
    read = memory.gather(
        lock,
        "file_lock",
        {
            "flags": ("c.flc_flags", "fl_flags"),
            "type": ("c.flc_type", "fl_type"),
            "owner": ("c.flc_owner", "fl_owner"),
            "file": ("c.flc_file", "fl_file"),
            "start": "fl_start",
            "end": "fl_end",
        },
    )
    rows = zip(
        read["flags"].tolist(),
        read["type"].tolist(),
        read["start"].tolist(),
        read["end"].tolist(),
        strict=True,
    )
    said = np.array([_in_words(*row) for row in rows], object)
    good = read.ok
    return _Locks(
        inode[good],
        read["owner"][good],
        read["file"][good],
        read["flags"].astype(np.int64)[good],
        said[good],
        waits,
    )


def _in_words(flags: int, kind: int, start: int, end: int) -> str:
    how = "read" if kind == READ else "write"
    if flags & _LEASE:
        return f"{how} lease"
    if flags & _FLOCK:
        return f"flock, {'shared' if kind == READ else 'exclusive'}"
    name = "OFD" if flags & _OFD else "POSIX"
    where = "" if (start, end) == (0, _ENDLESS) else f", bytes {start} to {end}"
    if end == _ENDLESS and start:
        where = f", bytes from {start}"
    return f"{name} {how} lock{where}"


def _owners(world: World, locks: _Locks) -> Iterator[Related]:
    role = "waits for the lock" if locks.waits else "lock owner"
    at = np.flatnonzero(~locks.by_table)
    yield Related(
        "FILE",
        locks.file[at],
        "INODE",
        locks.inode[at],
        detail=locks.said[at],
        role=words(len(at), role),
    )
    task, table, _ = world.held("files")
    order = np.lexsort((_numbers(world.memory, task), table))
    tables, first = np.unique(table[order], return_index=True)
    place, known = find(tables, locks.owner)
    at = np.flatnonzero(locks.by_table & known)
    yield Related(
        TASK,
        task[order[first[place[at]]]],
        "INODE",
        locks.inode[at],
        detail=locks.said[at],
        role=words(len(at), role),
    )


def _numbers(memory: Memory, tasks: U64) -> I64:
    return memory.gather(tasks, "task_struct", {"tid": "pid"})["tid"].astype(np.int64)


def _from_proc(shown: Shown) -> Iterator[Tied]:
    owned = list(dict.fromkeys(_owned(shown)))
    waits = list(_waiters(shown, {inode for _, inode, _ in owned}))
    for role, rows in (("lock owner", owned), ("waits for the lock", waits)):
        yield from (Tied(end, inode, said, role) for end, inode, said in rows)
    told = {(end, inode) for end, inode, _ in (*owned, *waits)}
    for inode in dict.fromkeys(inode for _, inode, _ in owned):
        for file in shown.by_inode()[inode]:
            if (file.key, inode) not in told:
                yield Tied(file.key, inode, impact=Impact.WATCHES)


def _owned(shown: Shown) -> Iterator[tuple[Key, Key, str]]:
    """Yield who has each lock, as fdinfo has it: a process, or an open file."""
    locked = [file for file in shown.files if file.locks]
    for file, at in zip(locked, shown.look([file.path for file in locked]), strict=True):
        for table, text in () if at is not None and at.memory_device else file.locks:
            found = _LOCK.match(text)
            if found is not None and file.inode is not None:
                task: Key = (TASK, min(shown.tables[table]))
                yield (task if found["kind"] == "POSIX" else file.key), file.inode, _said(found)


def _waiters(shown: Shown, locked: set[Key]) -> Iterator[tuple[Key, Key, str]]:
    """Yield who waits for a lock (proc_locks(5)), where that says enough to know."""
    places = {
        (file.mount.dev, file.ino): inode
        for inode in locked
        for file in shown.by_inode()[inode]
        if file.mount is not None
    }
    for line in shown.text("locks").splitlines() if locked else ():
        found = _LOCK.match(line)
        if found is None or not found["waits"]:
            continue
        device = os.makedev(int(found["major"], 16), int(found["minor"], 16))
        inode = places.get((device, int(found["ino"])))
        task = shown.tasks.get(int(found["pid"]))
        if inode is None or task is None:
            continue
        own = [file for file in shown.by_inode()[inode] if task in dict(shown.users(file))]
        if found["kind"] == "POSIX":
            yield task.key, inode, _said(found)
        elif len(own) == 1:
            yield own[0].key, inode, _said(found)


def _said(found: re.Match[str]) -> str:
    end = _ENDLESS if found["end"] == "EOF" else int(found["end"])
    kind = READ if found["mode"] == "READ" else 1
    return _in_words(_KINDS[found["kind"]], kind, int(found["start"]), end)


RELATION: Final = Relation(
    name="file-lock",
    title="locked",
    plural="locked",
    left="has it open",
    right="is locked",
    impact=Impact.LOST,
    next=(
        "let the other side unlock it (lslocks shows whose it is); CRIU: --file-locks takes the "
        "subtree's own along"
    ),
    shared=True,
    alone=True,
    leads_to=("INODE",),
    kernel=_find,
    from_proc=_from_proc,
)
