"""Who still holds this? Every holder of one object of the whole machine, with its chain.

An object is named as people see it: `pid:FD`, `pid:mm`, a path, `net:[4026532178]`,
`/run/netns/NAME`, `pipe:[N]`, `socket:[N]`; a mount point stands for its whole filesystem. The
answer is a tree: what holds the object, what holds
that, up to the tasks, or to the thing that pins it without one (a bind mount in some mount
namespace, a message in a queue, a loop device).
"""

from __future__ import annotations

import errno
import glob
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.check.links import Links, links, reach
from analyzer.core.errors import EXIT_OK, EXIT_UNDECIDED, BadInputError
from analyzer.core.model import TASK, Rules
from analyzer.kinds import namespace_kinds, registry
from analyzer.procfs.glance import look
from analyzer.procfs.places import Place, directories, mounted_at, mounts, swaps
from analyzer.report.holders import in_words
from analyzer.sources.tasks import exists, proc_levels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from analyzer.procfs.glance import Inode
    from analyzer.snapshot.value import Snapshot

    Rows = npt.NDArray[np.intp]
    Mask = npt.NDArray[np.bool_]

_OF_PROCESS: Final = re.compile(r"(\d+):(\w+)")
_NUMBERED: Final = re.compile(r"(\w+):\[(\d+)\]")
_PARTS: Final = {
    "mm": "MM", "files": "FILE_TABLE", "fs": "FS", "sighand": "SIGHAND", "nsproxy": "NSPROXY",
}  # fmt: skip
_IFMT, _IFIFO, _IFSOCK = 0o170000, 0o010000, 0o140000
_MOST_DEEP: Final = 12


@dataclass(frozen=True)
class Node:
    """A holder and its place, and what holds it in turn (nothing for a task).

    `kind` is TASK for a task, with its `tid`, and the `tgid` and `process` (name) of the process
    that it is a thread of; else `objref` is the holding object.
    """

    kind: str
    tid: int | None
    objref: int | None
    name: str | None
    association: str
    slot: int | None
    weight: int
    words: str
    by: tuple[Node, ...] = ()
    tgid: int | None = None
    process: str | None = None


@dataclass(frozen=True)
class Held:
    """One object with all that holds it; `refcount` is None when it is not known."""

    objref: int
    kind: str
    name: str | None
    initial: bool
    refcount: int | None
    named: int
    by: tuple[Node, ...]

    @property
    def unnamed(self) -> int:
        """Return how many references the kernel counts that no holder was found for."""
        return 0 if self.refcount is None or self.initial else self.refcount - self.named


@dataclass(frozen=True)
class Answer:
    """What was asked, and the objects that it is; none when there is no such object.

    `silent` are the processes whose directories are on a filesystem that does not answer.
    `pid` is the process that was asked for, in the initial pid namespace: another number than was
    said where cranalyze is in one of its own. It is `unsure` that there is no such object where
    something could not be read that may hold it, or /proc shows it.
    """

    asked: str
    held: tuple[Held, ...]
    places: tuple[Place, ...] = ()
    silent: tuple[int, ...] = ()
    pid: int | None = None
    unsure: bool = False

    @property
    def found(self) -> bool:
        """Tell whether there is such an object, or something else that holds what was asked for."""
        return bool(self.held or self.places)


@dataclass(frozen=True)
class Query:
    """A parsed name of an object: it chooses rows of the objects table of a detailed snapshot."""

    asked: str
    kinds: tuple[str, ...] = ()
    ino: int | None = None
    dev: int | None = None
    format: int | None = None
    pid: int | None = None
    fd: int | None = None
    whole_device: bool = False

    def places(self) -> tuple[tuple[Place, ...], tuple[int, ...]]:
        """Return what holds a path without having it open, asked of /proc, and who was silent."""
        if self.dev is None:
            return (), ()
        found, silent = directories(self.dev, self.ino)
        found += swaps(self.dev, self.ino)
        return (*found, *(mounts(self.dev) if self.whole_device else ())), tuple(silent)

    def rows(self, snapshot: Snapshot) -> Rows:
        """Return the rows of the objects that are meant."""
        if self.pid is not None:
            return self._of_process(snapshot, known_as(snapshot, self.pid))
        objects = snapshot.tables["objects"]
        found = np.isin(objects["kind"], [objects.code("kind", kind) for kind in self.kinds])
        for name, value in (("ino", self.ino), ("dev", self.dev)):
            if value is not None:
                found &= objects.known(name) & (objects[name] == value)
        if self.format is not None:
            found &= objects.known("mode") & (objects["mode"] & _IFMT == self.format)
        return np.flatnonzero(found)

    def missed(self, snapshot: Snapshot) -> bool:
        """Tell whether an object that was not found may be there all the same.

        What processes have, /proc knows; the rest nobody knows where there are gaps.
        """
        if self.pid is not None:
            return _has(self.pid, self.fd, self.kinds)
        return bool(len(snapshot.tables["gaps"])) or _linked(self.asked)

    def _of_process(self, snapshot: Snapshot, pid: int) -> Rows:
        references, objects = snapshot.tables["references"], snapshot.tables["objects"]
        kind = "FILE_TABLE" if self.fd is not None else self.kinds[0]
        by_task = references["holder_kind"] == references.code("holder_kind", TASK)
        held = references["target"][by_task & (references["holder"] == pid)] - 1
        rows = held[objects["kind"][held] == objects.code("kind", kind)]
        if self.fd is None:
            return np.unique(rows)
        slot = (
            (references["association"] == references.code("association", "fd"))
            & (references["slot"] == self.fd)
            & np.isin(references["holder"], rows + 1)
        )
        return np.unique(references["target"][slot] - 1)


def known_as(snapshot: Snapshot, pid: int) -> int:
    """Return what the tables call process `pid` of our own pid namespace, -1 if there is none."""
    named: dict[int, int] = snapshot.meta.get("named", {})
    return named.get(pid, pid)


def _has(pid: int, fd: int | None, kinds: tuple[str, ...]) -> bool:
    """Ask /proc whether a process has a descriptor, or a part; the kernel, if /proc is not ours."""
    if proc_levels() != 0:
        return exists(pid)
    if fd is not None:
        return os.path.lexists(f"/proc/{pid}/fd/{fd}")
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            status = file.read()
    except OSError:
        return False
    dead = re.search(rb"^State:\s+[XZ]", status, re.MULTILINE) is not None
    return not dead and ("MM" not in kinds or b"\nVmSize:" in status)


def _linked(target: str) -> bool:
    """Ask /proc whether a descriptor, or a namespace of a task, is called so."""
    links = (*glob.iglob("/proc/[0-9]*/ns/*"), *glob.iglob("/proc/[0-9]*/fd/*"))
    return any(_target(link) == target for link in links)


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def parse(asked: str) -> Query:
    """Understand the name of an object. Raise BadInputError for what names none."""
    of_process = _OF_PROCESS.fullmatch(asked)
    if of_process:
        return _process_part(asked, int(of_process[1]), of_process[2])
    numbered = _NUMBERED.fullmatch(asked)
    if numbered:
        return _numbered(asked, numbered[1], int(numbered[2]))
    return _path(asked)


def _process_part(asked: str, pid: int, part: str) -> Query:
    if part.isdecimal():
        return Query(asked, pid=pid, fd=int(part))
    if part not in _PARTS:
        raise BadInputError(f"{asked}: after the pid comes a descriptor, or {', '.join(_PARTS)}")
    return Query(asked, (_PARTS[part],), pid=pid)


def _numbered(asked: str, word: str, ino: int) -> Query:
    namespaces = namespace_kinds()
    if word in namespaces:
        return Query(asked, (namespaces[word].name,), ino=ino)
    formats = {"pipe": _IFIFO, "socket": _IFSOCK}
    if word in formats:
        return Query(asked, ("FILE",), ino=ino, format=formats[word])
    known = ", ".join(f"{name}:[N]" for name in (*namespaces, *formats))
    raise BadInputError(f"{asked}: known are {known}")


def _path(path: str) -> Query:
    if not path or "\0" in path:
        raise _unusable(path, "no path")
    of_nsfs, at = look(["/proc/self/ns/uts", path])
    if at == errno.ENOENT:
        return Query(path)
    if at == errno.ETIMEDOUT:
        return _silent(path)
    if isinstance(at, int):
        raise _unusable(path, os.strerror(at))
    if not isinstance(of_nsfs, int) and at.dev == of_nsfs.dev:
        kinds = tuple(kind.name for kind in namespace_kinds().values())
        return Query(path, kinds, ino=at.ino)
    if at.ino is None or _is_mount(path, at):
        return Query(path, ("FILE",), dev=at.dev, whole_device=True)
    return Query(path, ("FILE",), ino=at.ino, dev=at.dev)


def _is_mount(path: str, at: Inode) -> bool:
    """Tell whether a path is where another filesystem begins: as os.path.ismount() does."""
    if not at.mounted:
        return False
    (above,) = look([os.path.dirname(os.path.abspath(path))])
    return isinstance(above, int) or above.dev != at.dev or above.ino == at.ino


def _silent(path: str) -> Query:
    """Understand a path whose filesystem does not answer: a mount point needs not be asked."""
    dev = mounted_at(path)
    if dev is None:
        raise _unusable(path, "its filesystem does not answer")
    return Query(path, ("FILE",), dev=dev, whole_device=True)


def _unusable(path: str, reason: str) -> BadInputError:
    known = "name a path, PID:FD, PID:mm, net:[N], pipe:[N] or socket:[N]"
    return BadInputError(f"{path}: {reason}; {known}")


def answer(snapshot: Snapshot, query: Query) -> Answer:
    """Find the objects that `query` means in a host-wide, detailed snapshot, and their holders."""
    graph = _Graph(snapshot)
    held = tuple(graph.held(int(row)) for row in query.rows(snapshot))
    places, silent = query.places()
    return Answer(
        query.asked,
        held,
        places,
        silent,
        pid=None if query.pid is None else known_as(snapshot, query.pid),
        unsure=not held and not places and (bool(silent) or query.missed(snapshot)),
    )


def exit_code(answers: Sequence[Answer]) -> int:
    """Return what the program exits with: 1 where there is no such object, 3 if that is unsure."""
    lost = [answer for answer in answers if not answer.found]
    if any(answer.unsure for answer in lost):
        return EXIT_UNDECIDED
    return 1 if lost else EXIT_OK


def upward(snapshot: Snapshot, rows: Sequence[int]) -> Mask:
    """Return the mask of the objects of `rows` and of all that lead to them."""
    ends = links(snapshot, Rules.MODERN)
    wanted = np.zeros(ends.objects, np.bool_)
    wanted[np.array(rows, np.intp)] = True
    by_object = np.flatnonzero(ends.counted & ~ends.by_task)
    return reach(wanted, ends.target[by_object], ends.node[by_object] - ends.tasks)


class _Graph:
    """The references of a snapshot by target."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._tasks, self._objects, self._references = (
            snapshot.tables[name] for name in ("tasks", "objects", "references")
        )
        self._links: Links = links(snapshot, Rules.MODERN)
        leads = self._tasks["tid"] == self._tasks["tgid"]
        names = zip(self._tasks["tid"][leads].tolist(), self._tasks["comm"][leads], strict=True)
        self._process = dict(names)
        counted = np.flatnonzero(self._links.counted)
        self._order = counted[np.argsort(self._links.target[counted], kind="stable")]
        self._sorted = self._links.target[self._order]

    def held(self, row: int) -> Held:
        at = self._held_by(row)
        return Held(
            objref=int(self._objects["objref"][row]),
            kind=self._objects.value("kind", row),
            name=self._objects.value("name", row),
            initial=bool(self._objects["initial"][row]),
            refcount=self._objects.value("refcount", row),
            named=int(self._references["weight"][at].sum()),
            by=tuple(self._nodes(row, frozenset({row}))),
        )

    def _held_by(self, row: int) -> Rows:
        first, last = np.searchsorted(self._sorted, [row, row + 1])
        return self._order[first:last]

    def _nodes(self, row: int, seen: frozenset[int]) -> Iterator[Node]:
        for at in self._held_by(row).tolist():
            holder = int(self._links.node[at])
            if self._links.by_task[at]:
                yield self._node(at, tid=int(self._tasks["tid"][holder]), row=holder)
                continue
            above = holder - self._links.tasks
            if above not in seen:
                yield self._node(at, row=above, by=self._above(above, seen))

    def _above(self, row: int, seen: frozenset[int]) -> tuple[Node, ...]:
        # Who holds a namespace or credentials is another question, and a long answer.
        kind = registry()[self._objects.value("kind", row)]
        if kind.namespace or len(seen) > _MOST_DEEP:
            return ()
        return tuple(self._nodes(row, seen | {row}))

    def _node(
        self, at: int, *, row: int, tid: int | None = None, by: tuple[Node, ...] = ()
    ) -> Node:
        association = self._references.value("association", at)
        slot = self._references.value("slot", at)
        tgid = None if tid is None else int(self._tasks["tgid"][row])
        return Node(
            kind=TASK if tid is not None else self._objects.value("kind", row),
            tid=tid,
            objref=None if tid is not None else int(self._objects["objref"][row]),
            name=self._tasks["comm"][row] if tid is not None else self._objects.value("name", row),
            association=association,
            slot=slot,
            weight=int(self._references["weight"][at]),
            words=in_words(association, slot, self._references.value("detail", at)),
            by=by,
            tgid=tgid,
            process=None if tgid is None else self._process.get(tgid, self._tasks["comm"][row]),
        )
