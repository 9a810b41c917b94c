"""The kernel source on a kernel that was made up: what it does when things come and go."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.check import leaks
from analyzer.core import errors
from analyzer.core.errors import TargetVanishedError, UnseenError
from analyzer.core.model import Verdict
from analyzer.kinds import associations, registry
from analyzer.kinds.base import Known
from analyzer.lookup import who as asking
from analyzer.lookup.who import Answer
from analyzer.memory.distinct import find, member, unique
from analyzer.memory.trees import lasting
from analyzer.relations.covered import _over
from analyzer.report.make import make
from analyzer.report.value import Gap, ReportOptions
from analyzer.sources import kernel, tasks
from analyzer.sources.assemble import Numbering, number
from analyzer.sources.expand import Block, numbered, relevant
from analyzer.sources.nodes import Nodes
from analyzer.sources.request import Request
from analyzer.writers import terminal
from analyzer.writers import who as writer
from tests.build import Machine
from tests.fakekernel import FIRST, FakeKernel

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from analyzer.snapshot.value import Snapshot

ROOT: Final = FIRST + 10

# The fields of a task by which it holds objects, and what each leads to.
PARTS: Final = {
    pointer.association.name: (next(iter(pointer.paths)), pointer.target)
    for pointer in registry()["TASK"].pointers
}
EVERY: Final = (*PARTS, "mm", "aio")


class Scene:
    """A process that can hold an object of each kind that tasks hold; `hold` says which it does."""

    def __init__(self) -> None:
        self.fake = FakeKernel()
        self.root = self.fake.task(ROOT)
        self.made = {name: self._make(name) for name in EVERY}
        self.held: frozenset[str] = frozenset()

    def _make(self, name: str) -> int:
        if name in PARTS:
            return self.counted(PARTS[name][1], 1)
        if name == "mm":
            return self.counted("MM", 1)
        context = self.fake.make("kioctx")
        requests = self.fake.layout.field("kioctx", "active_reqs")
        table = self.fake.make("kioctx_table", {"nr": 64})
        first = self.fake.layout.field("kioctx_table", "table")
        assert requests is not None
        assert first is not None
        self.fake.room(64 * 8)
        self.fake.write(context + requests.offset, context + requests.offset)
        self.fake.write(context + requests.offset + 8, context + requests.offset)
        self.fake.write(table + first.offset, context)
        return table

    def counted(self, name: str, count: int) -> int:
        """Make an object of a kind, with its count."""
        kind = registry()[name]
        address = self.fake.make(kind.struct)
        found = self.fake.layout.first(kind.struct, [one.path for one in kind.counters])
        if found is not None:
            bias = {one.path: one.bias for one in kind.counters}[found[0]]
            self.fake.put(address, kind.struct, found[0], count - bias)
        return address

    def hold(self, names: Iterable[str]) -> None:
        """Hold these and nothing else; the contexts need an address space to be in."""
        self.held = frozenset(names)
        for name, (field, _) in PARTS.items():
            if self.fake.layout.field("task_struct", field) is not None:
                self.fake.point(self.root, field, self.made[name] if name in self.held else 0)
        self.fake.point(self.root, "mm", self.made["mm"] if "mm" in self.held else 0)
        contexts = self.made["aio"] if "aio" in self.held else 0
        self.fake.put(self.made["mm"], "mm_struct", "ioctx_table", contexts)

    def snapshot(self, pid: int | None = ROOT) -> Snapshot:
        """Read it."""
        return kernel.collect(self.fake.memory(), Request(pid, scope="host"))


def kinds(snapshot: Snapshot) -> set[str]:
    """Return the kinds of the objects of a snapshot."""
    return set(snapshot.tables["objects"].words("kind").tolist())


class TestNumber:
    """Who has a number: what is led to, and every holder."""

    def test_what_only_a_rule_of_old_leads_to_holds_what_it_holds(self) -> None:
        """A file was opened, and is watched by an epoll, after all tables of files were read."""
        epoll, late, socket = (np.array([FIRST + i], np.uint64) for i in range(3))
        known = associations()
        blocks = (
            Block(known["epoll.item"], "FILE", "FILE", epoll, np.zeros(1, np.int32), late),
            Block(known["sock"], "FILE", "SOCKET", late, np.zeros(1, np.int32), socket),
        )
        met = {"FILE": np.concatenate((epoll, late)), "SOCKET": socket}
        whole = numbered(blocks, met, collected={}, torn={})
        ends = {"SOCKET": socket}
        kept = relevant(whole, ends)
        assert [block.association.name for block in kept.blocks] == ["sock"]
        numbering = number(kept, ends)
        assert numbering.find("FILE", late)[0].tolist() == [1]
        assert numbering.find("SOCKET", socket)[0].tolist() == [2]


class TestPipe:
    """What is unread in a pipe, and in what was one."""

    @pytest.mark.parametrize(
        ("head", "tail", "ring", "unread"),
        [(7, 5, 16, 2 * 100), (1, 2**32 - 1, 16, 2 * 100), (5, 5, 16, 0),
         (5, 6, 2**32 - 1, None), (5, 6, 16, None), (2**31, 0, 2**31, None), (9, 0, 12, None)],
    )  # fmt: skip
    def test_no_more_than_a_ring_has(
        self, head: int, tail: int, ring: int, unread: int | None
    ) -> None:
        """Of 2**32 buffers that memory would not hold a list either."""
        fake = FakeKernel()
        size = fake.layout.sizeof("pipe_buffer") or 0
        buffers = fake.room(size * 16)
        for slot in range(16):
            fake.put(buffers + slot * size, "pipe_buffer", "len", 100)
        pipe = fake.make(
            "pipe_inode_info", {"head": head, "tail": tail, "ring_size": ring, "bufs": buffers}
        )
        state = registry()["PIPE"].state
        assert state is not None
        said = state.read(fake.memory(), np.array([pipe], np.uint64))["unread"]
        assert isinstance(said, Known)
        assert said.values[said.where].tolist() == ([] if unread is None else [unread])


class TestCovered:
    """What is mounted over something, and what was freed and is in a list of others."""

    def _mount(self, fake: FakeKernel, parent: int, point: int) -> tuple[int, int]:
        root = fake.make("dentry")
        fake.put(root, "dentry", "d_parent", root)
        mount = fake.make(
            "mount", {"mnt.mnt_root": root, "mnt_parent": parent, "mnt_mountpoint": point}
        )
        fake.put(mount, "mount", "mnt_parent", parent or mount)
        return mount, root

    def _link(self, fake: FakeKernel, *places: int) -> None:
        for place, following in zip(places, (*places[1:], places[0]), strict=True):
            fake.write(place, following)
            fake.write(following + 8, place)

    def _at(self, fake: FakeKernel, field: str) -> int:
        found = fake.layout.field("mount", field)
        assert found is not None
        return found.offset

    def test_what_is_mounted_here_is_found(self) -> None:
        fake = FakeKernel()
        below, root = self._mount(fake, 0, 0)
        folder = fake.make("dentry", {"d_parent": root})
        over, _ = self._mount(fake, below, folder)
        mounts, child = (self._at(fake, name) for name in ("mnt_mounts", "mnt_child"))
        self._link(fake, below + mounts, over + child)
        self._link(fake, over + mounts)
        rows, found = _over(fake.memory(), *(np.array([n], np.uint64) for n in (below, folder)))
        assert (rows.tolist(), found.tolist()) == ([0], [over])

    def test_a_list_that_is_not_of_a_mounts_children_is_not_walked(self) -> None:
        """Of what was reused it can be any, with millions in it."""
        fake = FakeKernel()
        below, root = self._mount(fake, 0, 0)
        strangers = [fake.make("mount") + self._at(fake, "mnt_child") for _ in range(300)]
        self._link(fake, *strangers)
        fake.write(below + self._at(fake, "mnt_mounts"), strangers[0])
        fake.reads = 0
        rows, _ = _over(fake.memory(), *(np.array([n], np.uint64) for n in (below, root)))
        assert not len(rows)
        assert fake.reads < len(strangers) // 10


class TestFileTable:
    """How many descriptors a table has is what its bitmaps have room for."""

    @pytest.mark.parametrize(
        ("most", "apart", "read"),
        [(64, -8, 1), (64, 8, 1), (128, 16, 1), (1 << 10, 128, 1), (1 << 30, 8, 0), (128, 8, 0),
         (1 << 30, 1 << 40, 0), ((1 << 32) - 1, 1 << 28, 0), (192, -24, 0)],
    )  # fmt: skip
    def test_no_more_is_read_than_its_bitmaps_say(self, most: int, apart: int, read: int) -> None:
        """Of a freed table that says 2**30, 8 GB would be read."""
        fake = FakeKernel()
        files, slots = fake.make("file"), fake.room(8 << 10)
        fake.write(slots + 24, files)
        bitmaps = fake.room(1 << 10)
        table = fake.make(
            "fdtable",
            {"max_fds": most, "fd": slots, "open_fds": bitmaps, "close_on_exec": bitmaps + apart},
        )
        tables = fake.make("files_struct", {"fdt": table})
        walk = registry()["FILE_TABLE"].walk
        assert walk is not None
        before = fake.reads
        (edges,) = walk(fake.memory(), np.array([tables], np.uint64))
        assert edges.target.tolist() == [files] * read
        assert edges.torn is not None
        assert edges.torn.tolist() == [not read]
        assert fake.reads - before < 50


class TestFind:
    """The one way to look something up in a sorted array."""

    @given(st.lists(st.integers(0, 30), unique=True), st.lists(st.integers(0, 30)))
    def test_it_finds_what_is_there_and_nothing_else(
        self, among: list[int], values: list[int]
    ) -> None:
        keys, wanted = np.array(among, np.uint64), np.array(values, np.uint64)
        for known, sorter in ((np.sort(keys), None), (keys, np.argsort(keys))):
            at, there = find(known, wanted, sorter=sorter)
            assert there.tolist() == [value in among for value in values]
            assert known[at[there]].tolist() == wanted[there].tolist()
        assert member(wanted, unique(keys)).tolist() == [value in among for value in values]

    @pytest.mark.parametrize("kind", ["AIO", "FILE"])
    def test_nothing_is_found_among_no_objects(self, kind: str) -> None:
        none = {"AIO": np.empty(0, np.uint64)}
        numbering = Numbering(none, Nodes(none), np.empty(0, np.int64), none)
        numbers, found = numbering.find(kind, np.array([8, 16], np.uint64))
        assert numbers.tolist() == [0, 0]
        assert not found.any()


class TestReadings:
    """Two readings between which objects of any kind come and go."""

    @given(st.sets(st.sampled_from(EVERY)), st.sets(st.sampled_from(EVERY)))
    def test_what_comes_or_goes_between_two_readings_is_told(
        self, before: set[str], after: set[str]
    ) -> None:
        scene = Scene()
        memory = scene.fake.memory()
        scene.hold(before)
        for pid in (ROOT, None):
            scene.hold(before)
            first = kernel._read(memory, Request(pid, "host"))
            scene.hold(after)
            check = kernel._read_again(memory, Request(pid, "host"), first)
            moved = first.numbering.address
            kept = [scene.made[name] for name in before & after if name != "aio"]
            lost = {scene.made[name] for name in before - after if name != "aio"}
            at = np.concatenate([np.empty(0, np.uint64), *moved.values()])
            assert set(at[check.moved].tolist()) >= lost
            assert not np.isin(kept, at[check.moved]).any()
            assert (check.appeared > 0) == bool(_reached(after) - _reached(before))

    @given(st.lists(st.sets(st.sampled_from(EVERY)), max_size=6), st.integers(1, 60))
    def test_a_machine_that_never_rests_is_read_to_the_end(
        self, states: list[set[str]], pace: int
    ) -> None:
        scene = Scene()

        def move(read: int) -> None:
            if states and not read % pace:
                scene.hold(states[read // pace % len(states)])

        scene.fake.between = move
        for pid in (ROOT, None):
            snapshot = scene.snapshot(pid)
            assert snapshot.meta["passes"] <= kernel.READINGS


def _reached(names: set[str]) -> set[str]:
    return names if "mm" in names else names - {"aio"}


class TestWholeMachine:
    """What is read of it."""

    def test_every_part_of_a_process_is_found(self) -> None:
        scene = Scene()
        scene.hold(EVERY)
        found = kinds(scene.snapshot())
        assert found >= {target for _, target in PARTS.values()} | {"MM", "AIO"}

    def test_what_was_freed_meanwhile_is_no_leak(self) -> None:
        """A count of none, or a saturated one, of what is held: it died while it was read."""
        scene = Scene()
        scene.hold(["files", "fs", "sighand"])
        path = {"files": "count.counter", "fs": "users", "sighand": "count.refs.counter"}
        for name, count in (("files", 0), ("fs", -1), ("sighand", -(1 << 30))):
            kind = registry()[PARTS[name][1]]
            scene.fake.put(scene.made[name], kind.struct, path[name], count)
        snapshot = scene.snapshot()
        objects = snapshot.tables["objects"]
        assert not objects.known("refcount").any()
        found = leaks.check(snapshot)
        dead = np.isin(objects.words("kind"), [PARTS[name][1] for name in path])
        assert [leaks.VERDICTS[code] for code in found.verdict[dead]] == [Verdict.UNSTABLE] * 3


class TestTasks:
    """Tasks are found by their numbers."""

    def test_all_are_found_and_the_idle_one(self) -> None:
        fake = FakeKernel()
        wanted = [FIRST + 10, FIRST + 11, FIRST + 5000, FIRST + 70_000]
        for tid in wanted:
            fake.task(tid)
        found = tasks.read(fake.memory())
        assert sorted(found.table["tid"].tolist()) == [0, 1, FIRST, *wanted]
        assert not found.torn
        assert found.table["observer"].tolist() == [t == FIRST for t in found.table["tid"].tolist()]

    def test_neighbours_that_come_and_go_hide_nobody(self) -> None:
        """At any moment of the reading: the one that stays is found, the list is no gap."""
        for pace in range(1, 12):
            fake = FakeKernel()
            fake.task(FIRST + 10)
            fake.task(FIRST + 11)

            def reap(read: int, fake: FakeKernel = fake, pace: int = pace) -> None:
                if read == pace:  # in place, as xas_store() does
                    _empty_slot(fake, FIRST + 11)

            fake.between = reap
            found = tasks.read(fake.memory())
            assert FIRST + 10 in found.table["tid"].tolist()
            assert not found.torn

    def test_a_number_that_leads_to_another_is_nobody(self) -> None:
        """A struct pid, or a task, that was freed and is another's now."""
        fake = FakeKernel()
        mine, other = fake.task(FIRST + 10), fake.task(FIRST + 11)
        del other
        pid = fake._numbers[FIRST + 11]
        numbers = fake._offset("pid", "numbers")
        fake.put(pid + numbers, "upid", "nr", FIRST + 12)
        fake.point(mine, "thread_pid", pid)
        found = tasks.read(fake.memory()).table["tid"].tolist()
        assert FIRST + 10 not in found
        assert FIRST + 11 not in found

    def test_a_tree_that_is_rebuilt_all_the_time_is_a_gap_and_keeps_what_was_seen(self) -> None:
        fake = FakeKernel()
        fake.task(FIRST + 10)
        fake.rebuild()
        found = tasks.read(fake.memory())
        assert found.torn
        assert FIRST + 10 in found.table["tid"].tolist()
        scene = Scene()
        scene.fake.rebuild()
        snapshot = scene.snapshot()
        assert snapshot.meta["incomplete"]
        said = snapshot.tables["gaps"]["where"].tolist()
        assert any("tree of process ids" in where for where in said)

    def test_garbage_in_a_tree_ends(self) -> None:
        fake = FakeKernel()
        head = fake.layout.field("pid_namespace", "idr.idr_rt.xa_head")
        assert head is not None
        at = fake.namespace + head.offset
        node = fake.make("xa_node", {"shift": 18})
        slots = fake._offset("xa_node", "slots")
        for slot in range(64):
            fake.write(node + slots + 8 * slot, node | 2)  # a loop
        fake.write(at, node | 2)
        found = lasting(fake.memory(), np.array([at], np.uint64))
        assert len(found.value) == 0
        fake.write(at, 0)
        assert not lasting(fake.memory(), np.array([at, 0], np.uint64)).torn[0]

    def test_nobody_is_absent_for_a_number_that_is_not_in_use(self) -> None:
        scene = Scene()
        with pytest.raises(TargetVanishedError, match=f"no process {FIRST + 99}"):
            scene.snapshot(FIRST + 99)


def _empty_slot(fake: FakeKernel, tid: int) -> None:
    pid = fake._numbers[tid].to_bytes(8, "little")
    for at in range(0, fake._end, 8):
        if fake.bytes[at : at + 8].tobytes() == pid:
            fake.bytes[at : at + 8] = 0


class TestAbsence:
    """Who was not found is absent only if the kernel says so too."""

    def test_who_exists_and_is_not_found_is_looked_for_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scene = Scene()
        monkeypatch.setattr(tasks, "exists", lambda _: True)
        scene.fake.gone(ROOT)
        with pytest.raises(UnseenError, match="is there, but could not be found") as raised:
            scene.snapshot()
        assert raised.value.exit_code == errors.EXIT_UNDECIDED
        scene = Scene()
        number = scene.fake._numbers.pop(ROOT)
        scene.fake.relist()
        first = scene.fake.reads

        def back(read: int) -> None:
            if read == first + 60:
                scene.fake._numbers[ROOT] = number
                scene.fake.relist()

        scene.fake.between = back
        assert ROOT in scene.snapshot().tables["tasks"]["tid"].tolist()

    @pytest.mark.parametrize(
        ("said", "levels"),
        [
            (b"Name:\tx\nNSpid:\t7\n", 0),
            (b"NSpid:\t4711\t7\n", 1),
            (b"NSpid:\t9\t8\t7\n", 2),
            (b"x\n", 0),
        ],
    )
    def test_whose_numbers_proc_has(self, said: bytes, levels: int, tmp_path: Path) -> None:
        (tmp_path / "status").write_bytes(said)
        assert tasks.proc_levels(str(tmp_path / "status")) == levels
        assert tasks.proc_levels(str(tmp_path / "nobody")) is None

    def test_who_says_not_found_and_the_gaps(self) -> None:
        gap = Gap("2 tables", "bpf_probe_read_kernel", None, "changed")
        unsure, absent = Answer("net:[1]", (), unsure=True), Answer("net:[2]", ())
        assert [asking.exit_code(answers) for answers in ([unsure, absent], [absent])] == [3, 1]
        text = writer.to_text([unsure, absent], [gap])
        assert text.splitlines() == [
            "net:[1]: not found, but it may be there: not all could be read",
            "net:[2]: no such object",
            "gap: 2 tables (bpf_probe_read_kernel): changed",
        ]
        said = json.loads(writer.to_json([unsure], [gap], 3, Machine().snapshot()))
        assert said["incomplete"]
        assert said["gaps"] == [asdict(gap)]
        assert said["answers"][0]["unsure"]


class TestNumberSpaces:
    """What we call a process is not what the tables call it, in a pid namespace of our own."""

    def test_a_pid_is_translated_at_the_door(self) -> None:
        scene = Scene()
        nested = scene.fake.make("pid_namespace")
        scene.fake.nest(FIRST, nested, 8)
        scene.fake.nest(ROOT, nested, 7)
        scene.hold(["files"])
        request = Request(7, scope="host", named=(8, 9))
        snapshot = kernel.collect(scene.fake.memory(), request)
        subject = snapshot.meta["subject"]
        assert (subject["pid"], subject["local_pid"]) == (ROOT, 7)
        assert snapshot.meta["named"] == {8: FIRST, 9: -1}
        report = make(snapshot, leaks.check(snapshot), ReportOptions())
        assert (report.subject.pid, report.subject.local_pid) == (ROOT, 7)
        assert "which is 7 in the pid namespace of cranalyze" in " ".join(
            terminal.to_text(terminal.render(report, 200), colour=False).split()
        )
        with pytest.raises(TargetVanishedError):
            scene.snapshot(ROOT)
        assert tasks.read(scene.fake.memory()).row_of(1) == -1
