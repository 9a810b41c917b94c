"""All namespaces of the machine: who is in each, what owns it, and what keeps the empty ones.

lsns(8) lists the namespaces that it meets at processes, and what leads on from there. Here the
kernel's own references are asked: a namespace is found however it is held, and what keeps one that
no process is in has a name: a bind mount, a descriptor, a child, a socket, a message in flight.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK
from analyzer.core.values import dataclass
from analyzer.kinds import namespace_kinds, registry
from analyzer.lookup.columns import Field
from analyzer.lookup.pins import Pin, folded, pins
from analyzer.lookup.who import Graph, upward
from analyzer.lookup.words.base import of_now
from analyzer.procfs.people import person
from analyzer.sources.tasks import proc_levels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from analyzer.snapshot.value import Snapshot

    Mask = npt.NDArray[np.bool_]

# Where a task says that it is in a namespace, and not that its children will be.
_MEMBER: Final = {"pid": "pid", "user": "cred.user_ns"}
_MOST_LETTERS: Final = 4096  # of a command line


@dataclass(frozen=True)
class Namespace:
    """A namespace: `pids` are the processes in it, and `pid` with what follows the lowest of them.

    `ino` is its number as /proc/PID/ns shows it; those of its `owner` (the user namespace) and its
    `parent` are None where it has none. `pins` are what else holds it, and `unnamed` how many
    references the kernel counts beyond all that was found: both are not asked of the host's own.
    """

    type: str
    ino: int
    objref: int
    initial: bool
    owner: int | None
    parent: int | None
    pids: tuple[int, ...]
    pid: int | None
    command: str
    line: str
    uid: int | None
    user: str
    refcount: int | None
    unnamed: int
    stable: bool
    pins: tuple[Pin, ...]
    ppid: int | None = None
    netnsid: int | None = None

    @property
    def name(self) -> str:
        """Return it as /proc/PID/ns/TYPE shows it: "net:[4026531840]"."""
        return f"{self.type}:[{self.ino}]"

    @property
    def kept(self) -> str:
        """Return what holds it beside its members, in words."""
        said = list(folded(self.pins))
        if self.unnamed > 0:
            are = "reference" if self.unnamed == 1 else "references"
            said.append(f"{self.unnamed} {are} that no holder was found for")
        return "; ".join(said)


def wanted(snapshot: Snapshot) -> Mask:
    """Return the mask of what must be named: what leads to namespaces that are not the host's."""
    objects = snapshot.tables["objects"]
    return upward(snapshot, np.flatnonzero(_spaces(snapshot) & ~objects["initial"]).tolist())


def settled(snapshot: Snapshot) -> bool:
    """Tell whether something holds each namespace: what was just made, or ends, is asked again."""
    references = snapshot.tables["references"]
    held = np.zeros(len(snapshot.tables["objects"]), np.bool_)
    held[references["target"] - 1] = True
    return bool(held[_spaces(snapshot)].all())


def every(snapshot: Snapshot) -> tuple[Namespace, ...]:
    """Return the namespaces of a detailed snapshot of the whole machine, by their numbers."""
    objects = snapshot.tables["objects"]
    graph, inside = Graph(snapshot), _members(snapshot)
    above = {name: _above(snapshot, name) for name in ("owner", "parent")}
    here = of_now(snapshot) and proc_levels() == 0
    comm, parents, ids = _commands(snapshot), _parents(snapshot), _numbers(snapshot)
    made = []
    for row in np.flatnonzero(_spaces(snapshot)).tolist():
        kind = registry()[objects.value("kind", row)].namespace
        initial = bool(objects["initial"][row])
        pids = tuple(sorted(inside.get(row, ())))
        pid = pids[0] if pids else None
        held = None if initial else graph.held(row)
        who = person(pid) if here and pid is not None else None
        made.append(
            Namespace(
                type=kind,
                ino=int(objects["ino"][row]),
                objref=int(objects["objref"][row]),
                initial=initial,
                owner=above["owner"].get(row, above["parent"].get(row) if kind == "user" else None),
                parent=above["parent"].get(row),
                pids=pids,
                pid=pid,
                command="" if pid is None else comm.get(pid, ""),
                line=_line(pid) if here and pid is not None else "",
                uid=None if who is None else who.uid,
                user="" if who is None else who.user,
                refcount=objects.value("refcount", row),
                unnamed=0 if held is None else held.unnamed,
                stable=bool(objects["stable"][row]),
                ppid=None if pid is None else parents.get(pid),
                netnsid=ids.get(row),
                pins=()
                if held is None
                else pins(held.by, f"{kind}:[{int(objects['ino'][row])}]", pids, comm),
            )
        )
    return tuple(sorted(made, key=lambda one: one.ino))


def _spaces(snapshot: Snapshot) -> Mask:
    objects = snapshot.tables["objects"]
    kinds = [objects.code("kind", kind.name) for kind in namespace_kinds().values()]
    # Without a number are those of detached mounts, and what is just coming or going.
    mask: Mask = np.isin(objects["kind"], kinds) & objects.known("ino") & (objects["ino"] != 0)
    return mask


def _members(snapshot: Snapshot) -> Mapping[int, set[int]]:
    """Return the processes that are in each namespace (by row), by any of their threads.

    The idle tasks, which /proc does not show, are not told.
    """
    tasks, references = snapshot.tables["tasks"], snapshot.tables["references"]
    tgid = dict(zip(tasks["tid"].tolist(), tasks["tgid"].tolist(), strict=True))
    by_task = references["holder_kind"] == references.code("holder_kind", TASK)
    holder, target = references["holder"], references["target"] - 1
    users: dict[int, set[int]] = {}
    ways = [references.code("association", name) for name in ("nsproxy", "real_cred")]
    rows = np.flatnonzero(by_task & np.isin(references["association"], ways))
    for tid, at in zip(holder[rows].tolist(), target[rows].tolist(), strict=True):
        users.setdefault(at, set()).add(tgid[tid])
    found: dict[int, set[int]] = {}
    for name in namespace_kinds():
        code = references.code("association", _MEMBER.get(name, f"nsproxy.{name}"))
        rows = np.flatnonzero(references["association"] == code)
        ends = zip(
            holder[rows].tolist(), by_task[rows].tolist(), target[rows].tolist(), strict=True
        )
        for one, is_task, at in ends:
            pids = {tgid[one]} if is_task else users.get(one - 1, set())
            found.setdefault(at, set()).update(pid for pid in pids if pid > 0)
    return found


def _above(snapshot: Snapshot, association: str) -> Mapping[int, int]:
    """Return the number of what each namespace (by row) has by an association."""
    objects, references = snapshot.tables["objects"], snapshot.tables["references"]
    rows = np.flatnonzero(references["association"] == references.code("association", association))
    held, owner = references["target"][rows] - 1, references["holder"][rows] - 1
    return dict(zip(owner.tolist(), objects["ino"][held].tolist(), strict=True))


def _commands(snapshot: Snapshot) -> Mapping[int, str]:
    tasks = snapshot.tables["tasks"]
    leads = tasks["tid"] == tasks["tgid"]
    names = (comm.removesuffix("\n") for comm in tasks["comm"][leads])
    return dict(zip(tasks["tid"][leads].tolist(), names, strict=True))


def _parents(snapshot: Snapshot) -> Mapping[int, int]:
    tasks = snapshot.tables["tasks"]
    leads = tasks["tid"] == tasks["tgid"]
    return dict(zip(tasks["tid"][leads].tolist(), tasks["ppid"][leads].tolist(), strict=True))


def _numbers(snapshot: Snapshot) -> Mapping[int, int]:
    """Return the ids of network namespaces, by row, where one was given."""
    told = snapshot.tables["facts"]
    at = np.flatnonzero(told["fact"] == told.code("fact", "netns.id"))
    return dict(zip((told["ref"][at] - 1).tolist(), told["number"][at].tolist(), strict=True))


def _line(pid: int) -> str:
    """Return the command line of a process (proc_pid_cmdline(5)), "" where it has none."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return os.fsdecode(file.read(_MOST_LETTERS).rstrip(b"\0").replace(b"\0", b" "))
    except OSError:
        return ""


@dataclass(frozen=True)
class Branch:
    """A namespace in a tree, and how deep."""

    namespace: Namespace
    depth: int
    last: tuple[bool, ...] = ()
    """Whether it, and each above it but the root, is the last of its branch; outermost first."""


def flat(spaces: Sequence[Namespace]) -> tuple[Branch, ...]:
    """Return namespaces as branches of no tree."""
    return tuple(Branch(one, 0) for one in spaces)


def tree(spaces: Sequence[Namespace], *, by_parent: bool) -> tuple[Branch, ...]:
    """Return namespaces below what owns them, or below their parents; what has none is a root."""
    known = {one.ino: one for one in spaces}
    below: dict[int | None, list[Namespace]] = {}
    for one in spaces:
        above = one.parent if by_parent else one.owner
        below.setdefault(above if above in known and above != one.ino else None, []).append(one)
    found: list[Branch] = []

    def add(some: Iterable[Namespace], last: tuple[bool, ...], depth: int) -> None:
        listed = list(some)
        for one in listed:
            mine = (*last, one is listed[-1]) if depth else ()
            found.append(Branch(one, depth, mine))
            add(below.pop(one.ino, ()), mine, depth + 1)

    add(below.pop(None, ()), (), 0)
    return tuple(found)


def _mounted(one: Namespace) -> str | None:
    return ",".join(dict.fromkeys(pin.path for pin in one.pins if pin.path)) or None


FIELDS: Final[Mapping[str, Field[Namespace]]] = {
    field.name: field
    for field in (
        Field[Namespace]("NS", "number", "its number; as lsns", lambda one: one.ino),
        Field[Namespace]("TYPE", "string", "net, mnt, pid, ...; as lsns", lambda one: one.type),
        Field[Namespace]("NAME", "string", "net:[N], as cranalyze who takes it",
                         lambda one: one.name),
        Field[Namespace]("NPROCS", "number", "processes in it, by any thread; as lsns",
                         lambda one: len(one.pids)),
        Field[Namespace]("PID", "number", "the lowest of them; as lsns", lambda one: one.pid),
        Field[Namespace]("PPID", "number", "its parent; as lsns", lambda one: one.ppid),
        Field[Namespace]("COMM", "string", "the name of that process",
                         lambda one: one.command or None),
        Field[Namespace]("COMMAND", "string", "its command line; as lsns",
                         lambda one: one.line or one.command or None),
        Field[Namespace]("UID", "number", "its user; as lsns", lambda one: one.uid),
        Field[Namespace]("USER", "string", "the name of that user; as lsns",
                         lambda one: one.user or None),
        Field[Namespace]("PIDS", "string", "all of them",
                         lambda one: ",".join(map(str, one.pids)) or None),
        Field[Namespace]("ONS", "number", "the user namespace that owns it; as lsns",
                         lambda one: one.owner),
        Field[Namespace]("PNS", "number", "the one that it is a child of; as lsns",
                         lambda one: one.parent),
        Field[Namespace]("NETNSID", "number", "the id that the host's network namespace gave it; "
                         "as lsns there", lambda one: one.netnsid),
        Field[Namespace]("NSFS", "string", "where it is bind-mounted; as lsns, in all mount "
                         "namespaces", _mounted),
        Field[Namespace]("PATH", "string", "/proc/PID/ns/TYPE of that process; as lsns",
                         lambda one: f"/proc/{one.pid}/ns/{one.type}" if one.pid else None),
        Field[Namespace]("INITIAL", "boolean", "one of the host's own", lambda one: one.initial),
        Field[Namespace]("REFCOUNT", "number", "references that the kernel counts",
                         lambda one: one.refcount),
        Field[Namespace]("UNNAMED", "number", "those of them that no holder was found for",
                         lambda one: None if one.initial else one.unnamed),
        Field[Namespace]("PINS", "number", "how many things hold it beside its processes",
                         lambda one: None if one.initial else len(one.pins)),
        Field[Namespace]("KEPT", "string", "what holds it beside its processes",
                         lambda one: one.kept or None),
    )
}  # fmt: skip
"""The columns of a list of namespaces, in the order of the documentation."""

USUAL: Final = ("NS", "TYPE", "NPROCS", "PID", "USER", "COMM")
"""Those of `-o +...`, before those that are named."""
