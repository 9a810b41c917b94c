"""Random machines: the one home of the hypothesis strategies."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from hypothesis import settings
from hypothesis import strategies as st

from analyzer.core.model import SCHEMAS, TASK, Rules
from analyzer.kinds import associations, registry
from analyzer.snapshot.value import Snapshot
from tests.build import META, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

half_as_often: Final = settings(max_examples=settings().max_examples // 2)
"""For what takes long, and fails soon where it is wrong."""

NAMESPACES: Final = tuple(kind.name for kind in registry().values() if kind.namespace)

# What can be held where: holder kind, association -> target kinds.
PLACES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    (kind.name, pointer.association.name): (pointer.target,)
    for kind in registry().values()
    for pointer in kind.pointers
} | {
    # What can see no nsproxy says that the task holds the namespaces.
    **{
        (TASK, pointer.association.name): (pointer.target,)
        for pointer in registry()["NSPROXY"].pointers
    },
    (TASK, "mm"): ("MM",),
    (TASK, "pid"): ("PID_NS",),
    ("FILE_TABLE", "fd"): ("FILE",),
    ("MM", "vma"): ("FILE",),
    ("FILE", "nsfs.file"): ("NSFS",),
    ("FILE", "socket"): ("NET_NS",),
    (TASK, "io_uring.ring"): ("FILE",),
    (TASK, "io_uring.request"): ("FILE",),
    (TASK, "ctty"): ("TTY",),
    (TASK, "exec_state"): ("EXEC_STATE",),
    ("FILE", "sock"): ("SOCKET", "NET_SOCKET"),
    ("FILE", "sock.again"): ("NET_SOCKET",),
    ("FILE", "epoll.item"): ("FILE",),
    ("SOCKET", "socket"): ("NET_NS",),
    ("SOCKET", "peer"): ("SOCKET",),
    ("SOCKET", "peer.closed"): ("SOCKET",),
    ("SOCKET", "peer_cred"): ("CRED",),
    ("SOCKET", "peer_pid"): ("PID",),
    ("SOCKET", "scm"): ("FILE",),
    ("SOCKET", "scm.pid"): ("PID",),
    ("SOCKET", "sender"): ("SOCKET",),
    ("FS", "fs.root.pid"): ("PID",),
    ("FS", "fs.pwd.pid"): ("PID",),
    ("FILE", "file.owner"): ("PID",),
    ("SOCKET", "backlog"): ("SOCKET",),
    ("NET_SOCKET", "socket"): ("NET_NS",),
    ("NET_NS", "orphan"): ("NET_SOCKET",),
    ("NET_NS", "netdev"): ("NETDEV",),
    ("FILE", "tty.file"): ("TTY",),
    ("TTY", "tty.master"): ("TTY",),
    **{("FILE", f"pipe.{end}"): ("PIPE",) for end in ("reader", "writer", "both")},
    ("FILE", "io_uring"): ("IO_URING",),
    ("IO_URING", "io_uring.file"): ("FILE",),
    ("IO_URING", "io_uring.request"): ("FILE",),
    ("NSFS", "nsfs"): NAMESPACES,
    **{(name, "ns.ucounts"): ("UCOUNTS",) for name in NAMESPACES},
    ("CRED", "cred.ucounts"): ("UCOUNTS",),
    ("MM", "mm.user_ns"): ("USER_NS",),
    ("FILE", "f_cred"): ("CRED",),
    ("FILE", "pidfd"): ("PID",),
    ("PID_NS", "pid.listed"): ("PID",),
    ("PID", "pid.ns"): ("PID_NS",),
    ("FILE", "proc.mounts"): ("MNT_NS",),
    ("FILE", "proc.net"): ("NET_NS",),
    ("FILE", "tun"): ("NET_NS",),
    ("FILE", "cgroup.file"): ("CGROUP_NS",),
    ("MNT_NS", "mount"): ("MOUNT",),
    ("IPC_NS", "mqueue"): ("SUPERBLOCK",),
    (TASK, "syscall"): ("FILE",),
    (TASK, "poll"): ("FILE",),
    ("IPC_NS", "shm"): ("SHM",),
    ("SHM", "shm.file"): ("FILE",),
    ("FILE", "shm.attach"): ("FILE",),
    ("FILE", "shm.ns"): ("IPC_NS",),
    ("FILE", "overlay.real"): ("FILE",),
    ("FILE", "overlay.upper"): ("FILE",),
    ("MM", "aio"): ("AIO",),
    ("AIO", "aio.ring"): ("FILE",),
    ("AIO", "aio.request"): ("FILE",),
    ("PID_NS", "acct"): ("ACCT",),
    ("ACCT", "acct.file"): ("FILE",),
    ("USER_NS", "binfmt"): ("BINFMT",),
    ("BINFMT", "binfmt.file"): ("FILE",),
    ("LOOP", "loop"): ("FILE",),
    ("MOUNT", "superblock"): ("SUPERBLOCK",),
    ("MOUNT", "bind"): ("NSFS",),
    ("FILE", "f_path.mnt"): ("MOUNT",),
    ("FS", "root.mnt"): ("MOUNT",),
    ("FS", "pwd.mnt"): ("MOUNT",),
    ("SUPERBLOCK", "superblock.bdev"): ("FILE",),
    ("SUPERBLOCK", "superblock.user_ns"): ("USER_NS",),
    ("SUPERBLOCK", "superblock.pid_ns"): ("PID_NS",),
    ("SUPERBLOCK", "superblock.autofs"): ("FILE",),
    ("SUPERBLOCK", "superblock.autofs.pgrp"): ("PID",),
}
PLACES_OF: Final = {
    kind: [(place, targets) for (by, place), targets in PLACES.items() if by == kind]
    for kind, _ in PLACES
}
PLAIN: Final[Mapping[str, object]] = {"start_time": 0, "comm": "", "state": "S"}
MANY: Final = {"fd": 3, "vma": 2}  # places that a holder has several of
WEIGHTS: Final = st.sampled_from([1, 1, 1, 1, 2, 3])
PLENTY: Final = {"FILE": 4, "FILE_TABLE": 3, "MM": 3, "NSPROXY": 3}
POOL: Final = {name: st.integers(0, PLENTY.get(name, 2)) for name in registry() if name != TASK}
ROLES: Final = st.sampled_from(["", "", "", "observer", "kthread"])


@dataclass(frozen=True)
class ATask:
    tid: int
    tgid: int
    ppid: int = 0
    kthread: bool = False
    observer: bool = False


@dataclass(frozen=True)
class AnObject:
    objref: int
    kind: str
    refcount: int | None = None
    count_linux_cr: int | None = None
    stable: bool = True
    initial: bool = False


@dataclass(frozen=True)
class AReference:
    holder_kind: str
    holder: int
    target: int
    association: str
    weight: int = 1


Holder = tuple[str, int]  # kind, tid or objref


@dataclass
class Graph:
    """A machine as rows that are easy to change, and the root of the subtree to check."""

    tasks: list[ATask] = field(default_factory=list)
    objects: list[AnObject] = field(default_factory=list)
    references: list[AReference] = field(default_factory=list)
    root: int = 0

    def hold(self, holder: Holder, target: int, association: str, weight: int = 1) -> None:
        self.references.append(AReference(*holder, target, association, weight))

    def copy(self) -> Graph:
        return Graph([*self.tasks], [*self.objects], [*self.references], self.root)

    def snapshot(self) -> Snapshot:
        rows: dict[str, Sequence[object]] = {
            "tasks": self.tasks,
            "objects": self.objects,
            "references": self.references,
        }
        made = {
            name: table(name, [{**PLAIN, **vars(row)} for row in rows.get(name, ())])
            for name in SCHEMAS
        }
        return Snapshot(META, made)


def settle(graph: Graph, rules: Rules) -> None:
    """Give each object the count that the references counted by `rules` add up to."""
    held: dict[int, int] = defaultdict(int)
    for reference in graph.references:
        if rules in associations()[reference.association].rules:
            held[reference.target] += reference.weight
    graph.objects = [
        replace(thing, refcount=held[thing.objref], count_linux_cr=held[thing.objref])
        for thing in graph.objects
    ]


@st.composite
def trees(draw: st.DrawFn, *, outsiders: bool = True) -> list[ATask]:
    """Draw the tasks of a machine; without `outsiders` all are descendants of the first."""
    tasks: list[ATask] = []
    processes: list[int] = []
    for tgid in range(70, 70 - 10 * draw(st.integers(1, 7)), -10):  # children before parents
        ppid = draw(st.sampled_from([*processes, *([0] if outsiders or not processes else [])]))
        role = draw(ROLES) if outsiders and processes else ""
        flags = {"kthread": role == "kthread", "observer": role == "observer"}
        threads = range(tgid, tgid + draw(st.integers(1, 3)))
        tasks += [ATask(tid, tgid, ppid, **flags) for tid in threads]
        processes.append(tgid)
    return tasks


@st.composite
def graphs(draw: st.DrawFn, *, outsiders: bool = True) -> Graph:
    """Draw a machine: a random graph in which everything is held where it can be."""
    graph = Graph(draw(trees(outsiders=outsiders)))
    able = [task.tgid for task in graph.tasks if not task.observer and not task.kthread]
    graph.root = draw(st.sampled_from(able)) if outsiders else able[0]
    drawn = [name for name, many in POOL.items() for _ in range(draw(many))]
    hosts = draw(st.sampled_from([0, 0, 1])) if outsiders else 0
    graph.objects = [
        AnObject(n, kind, initial=bool(hosts and registry()[kind].namespace and n % 2))
        for n, kind in enumerate(drawn, 1)
    ]
    direct = draw(st.booleans())
    for holder, association, fitting in _places(graph):
        if (holder[0] == TASK and association.startswith("nsproxy.")) > direct:
            continue
        for _ in range(MANY.get(association, 1)):
            if target := draw(st.sampled_from([0, *fitting])):
                graph.hold(holder, target, association, draw(WEIGHTS))
    return graph


def _places(graph: Graph) -> Iterator[tuple[Holder, str, list[int]]]:
    """Yield every place and what could be held there. A namespace's parent is an older one."""
    holders = [(TASK, task.tid) for task in graph.tasks]
    holders += [(thing.kind, thing.objref) for thing in graph.objects]
    fit = {
        targets: [thing.objref for thing in graph.objects if thing.kind in targets]
        for targets in set(PLACES.values())
    }
    for holder in holders:
        for association, targets in PLACES_OF.get(holder[0], ()):
            fitting = fit[targets]
            if association == "parent":
                fitting = [objref for objref in fitting if objref < holder[1]]
            if fitting:
                yield holder, association, fitting


@st.composite
def counted_graphs(draw: st.DrawFn) -> Graph:
    """Draw a machine with counts: mostly right, some wrong, some unknown, some moving."""
    graph = draw(graphs())
    settle(graph, Rules.MODERN)
    off = st.sampled_from([0, 0, 0, 0, 1, 2, -1, None])
    for row, thing in enumerate(graph.objects):
        by = draw(off)
        count = None if by is None or thing.refcount is None else max(0, thing.refcount + by)
        stable = draw(st.integers(0, 7)) > 0
        graph.objects[row] = replace(thing, refcount=count, count_linux_cr=count, stable=stable)
    return graph
