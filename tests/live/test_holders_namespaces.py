"""What holds a namespace without being in it is found by name, and the numbers agree."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pytest

import fixtures
from analyzer.check import leaks
from analyzer.core.model import TASK, Side, Verdict
from analyzer.sources import collect
from tests import own

if TYPE_CHECKING:
    from analyzer.snapshot.value import Snapshot

pytestmark = [pytest.mark.live, pytest.mark.bpf]

NAMESPACES = (
    "UTS_NS", "IPC_NS", "MNT_NS", "NET_NS", "PID_NS", "USER_NS", "CGROUP_NS", "TIME_NS",
)  # fmt: skip

# The fixture, the name of the namespace, who holds it how (outermost first), how often.
PINNED: Final[tuple[tuple[str, str, list[str], int], ...]] = (
    *(
        (f"bind-{name}", name, ["MNT_NS mount", "MOUNT bind", "NSFS nsfs"], 1)
        for name in ("uts", "ipc", "net", "pid", "user", "cgroup", "time")
    ),
    ("mounts-fd", "mnt", ["FILE_TABLE fd", "FILE proc.mounts"], 3),
    ("proc-net-fd", "net", ["FILE_TABLE fd", "FILE proc.net"], 3),
    ("tun-net", "net", ["FILE_TABLE fd", "FILE tun"], 1),
    ("cgroup-fd", "cgroup", ["FILE_TABLE fd", "FILE cgroup.file"], 1),
    ("message-net", "net", ["FILE_TABLE fd", "FILE sock", "SOCKET sender", "SOCKET socket"], 1),
    ("pidfd-dead", "pid", ["FILE_TABLE fd", "FILE pidfd", "PID pid.ns"], 1),
    ("proc-dead", "pid", ["FILE_TABLE fd", "FILE proc.pid", "PID pid.ns"], 1),
    ("proc-dead", "net", ["FILE_TABLE fd", "FILE proc.net"], 1),
    ("owner-dead", "pid", ["FILE_TABLE fd", "FILE file.owner", "PID pid.ns"], 1),
)
CONTAINED = (
    "bind-own", "leader-dead", "creds-dead", "proc-dead-own", "message-own", "nested", "autofs",
)  # fmt: skip


class Edge(NamedTuple):
    holder_kind: str
    holder: int
    association: str
    weight: int
    side: str


class Held:
    """A checked snapshot, asked who holds what."""

    def __init__(self, snapshot: Snapshot, pid: int) -> None:
        self.objects = snapshot.tables["objects"]
        self.verdicts = leaks.check(snapshot, pid)
        table = snapshot.tables["references"]
        sides = tuple(Side)
        columns = zip(
            table["target"].tolist(),
            table.words("holder_kind"),
            table["holder"].tolist(),
            table.words("association"),
            table["weight"].tolist(),
            self.verdicts.border.reference_side.tolist(),
            strict=True,
        )
        self._held: dict[int, list[Edge]] = {}
        for target, kind, holder, association, weight, side in columns:
            edge = Edge(kind, holder, association, weight, sides[side])
            self._held.setdefault(target, []).append(edge)

    def of(self, objref: int) -> list[Edge]:
        return self._held.get(objref, [])

    def number(self, ino: int) -> int:
        return int(np.flatnonzero(self.objects["ino"] == ino)[0]) + 1

    def chains(self, objref: int, path: list[str]) -> set[int]:
        """The tasks that hold it by way of `path`, found from its end."""
        if not path:
            return self.tasks(objref)
        kind, association = path[-1].split()
        found: set[int] = set()
        for edge in self.of(objref):
            if (edge.holder_kind, edge.association) == (kind, association):
                assert edge.side == "outside"
                found |= self.chains(edge.holder, path[:-1])
        return found

    def tasks(self, objref: int, seen: frozenset[int] = frozenset()) -> set[int]:
        """The tasks that hold it, or what holds it."""
        if objref in seen:
            return set()
        found: set[int] = set()
        for edge in self.of(objref):
            beyond = seen | {objref}
            found |= {edge.holder} if edge.holder_kind == TASK else self.tasks(edge.holder, beyond)
        return found

    def verdict(self, objref: int) -> str:
        return str(tuple(Verdict)[self.verdicts.verdict[objref - 1]])


@pytest.mark.parametrize(("name", "space", "path", "times"), PINNED)
def test_what_pins_a_namespace_is_named(name: str, space: str, path: list[str], times: int) -> None:
    """Association, holder and task; each reference is named; the namespace leaks."""
    with fixtures.start(name) as running:
        info = running.info
        ino = os.stat(f"/proc/{info['root']}/ns/{space}").st_ino
        held = Held(collect(info["root"], source="kernel"), info["root"])
    objref = held.number(ino)
    last = path[-1].split()
    pins = [e for e in held.of(objref) if [e.holder_kind, e.association] == last]
    assert sum(e.weight for e in pins if e.side == "outside") == times
    assert held.verdicts.outside[objref - 1] == times
    assert held.verdicts.unnamed[objref - 1] == 0
    assert held.chains(objref, path) == set(info["outside"])
    assert held.verdict(objref) == "usage_leak"


def test_each_place_in_the_folder_of_the_dead_is_named() -> None:
    """Files of all depths, a path, the working directory: in /proc/PID, and in task/TID there."""
    with fixtures.start("proc-dead") as running:
        info = running.info
        held = Held(collect(info["root"], source="kernel"), info["root"])
        objref = held.number(os.stat(f"/proc/{info['root']}/ns/pid").st_ino)
    (dead,) = {e.holder for e in held.of(objref) if e.association == "pid.ns"}
    places = sorted(edge.association for edge in held.of(dead))
    assert places == ["fs.pwd.pid", "proc.pid", "proc.pid", "proc.pid"]


def _pipe_of(held: Held, verdict: str) -> list[Edge]:
    pipes = np.flatnonzero(held.objects["kind"] == held.objects.code("kind", "PIPE"))
    (row,) = [int(row) for row in pipes if held.verdicts.judged[row]]
    assert held.verdict(row + 1) == verdict
    assert held.verdicts.unnamed[row] == 0
    return held.of(row + 1)


def test_a_pipe_into_which_an_automount_writes_is_its_own() -> None:
    """The superblock alone has the writing end: named, and of the same side as its mounts."""
    with fixtures.start("autofs") as running:
        root = running.info["root"]
        held = Held(collect(root, source="kernel"), root)
    (writer,) = [e for e in _pipe_of(held, "contained") if e.association == "pipe.writer"]
    pipe = held.objects.words("kind") == "PIPE"
    assert held.objects.known("ino")[pipe].all()
    names = {f"pipe:[{ino}]" for ino in held.objects["ino"][pipe].tolist()}
    assert names == set(held.objects["name"][pipe].tolist())
    assert writer.side == "inside"
    assert [e.association for e in held.of(writer.holder)] == ["superblock.autofs"]


def test_a_pipe_into_which_an_automount_outside_writes_leaks() -> None:
    """The one that has it mounted is named."""
    with fixtures.start("autofs-outside") as running:
        info = running.info
        held = Held(collect(info["root"], source="kernel"), info["root"])
    (writer,) = [e for e in _pipe_of(held, "usage_leak") if e.association == "pipe.writer"]
    assert writer.side == "outside"
    path = ["MNT_NS mount", "MOUNT superblock", "SUPERBLOCK superblock.autofs"]
    assert held.chains(writer.holder, path) == set(info["outside"])


@pytest.mark.parametrize("name", CONTAINED)
def test_what_a_container_holds_by_itself_is_its_own(name: str) -> None:
    """Nothing that only the subtree leads to makes a leak, and every reference is named."""
    with fixtures.start(name) as running:
        root = running.info["root"]
        snapshot = collect(root, source="kernel")
    held = Held(snapshot, root)
    ours = [row for row in _rows(snapshot, NAMESPACES) if held.verdicts.judged[row]]
    assert len(ours) >= len(NAMESPACES)
    for row in ours:
        if not held.objects["initial"][row]:
            assert held.verdict(row + 1) == "contained", held.objects.row(row)
            assert held.verdicts.unnamed[row] == 0, held.objects.row(row)


def test_what_keeps_an_empty_namespace_has_a_name() -> None:
    """No task is in it: a bind mount keeps it, whose place and whose owner are known."""
    with fixtures.start("bind-empty") as running:
        info = running.info
        snapshot = collect(None, source="kernel")
    held = Held(snapshot, info["root"])
    found = re.search(r"net:\[(\d+)\]", info["notes"])
    assert found is not None
    objref = held.number(int(found[1]))
    assert held.objects["refcount"][objref - 1] == 1
    (nsfs,) = held.of(objref)
    (mount,) = held.of(nsfs.holder)
    assert [nsfs.association, mount.association] == ["nsfs", "bind"]
    assert held.objects["name"][mount.holder - 1].endswith("/kept")
    assert held.tasks(objref) == set(info["outside"])


def test_a_stranger_s_bind_mount_is_no_part_of_the_subtree() -> None:
    """A namespace that is merely mounted where the subtree can see it is not judged."""
    with fixtures.start("bind-empty") as running:
        info = running.info
        pid = info["outside"][0]
        snapshot = collect(pid, source="kernel")
    held = Held(snapshot, pid)
    found = re.search(r"net:\[(\d+)\]", info["notes"])
    assert found is not None
    assert int(found[1]) not in held.objects["ino"][held.verdicts.judged]


def test_every_reference_to_a_namespace_of_ours_is_named() -> None:
    """With all of these running at once, in a reading of the whole machine."""
    with ExitStack() as stack:
        names = (*dict.fromkeys(each[0] for each in PINNED), *CONTAINED, "bind-empty", "socket-net")
        running = [stack.enter_context(fixtures.start(name)) for name in names]
        assert own.uneven([one.info["root"] for one in running], (*NAMESPACES, "NSFS")) == []


def _rows(snapshot: Snapshot, kinds: tuple[str, ...]) -> list[int]:
    objects = snapshot.tables["objects"]
    codes = [objects.code("kind", kind) for kind in kinds]
    rows: list[int] = np.flatnonzero(np.isin(objects["kind"], codes)).tolist()
    return rows
