"""What happens while it is read, on a kernel that was made up: no race becomes a leak."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from analyzer.check import leaks
from analyzer.core.model import Basis, Verdict
from analyzer.kinds import _locks, registry
from analyzer.kinds._recognise import recognised
from analyzer.memory import walk
from analyzer.sources import kernel
from analyzer.sources.expand import Expansion, expand, owned
from analyzer.sources.request import Request
from analyzer.sources.verify import regrouped
from tests.fakekernel import FIRST, FakeKernel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Memory
    from analyzer.snapshot.value import Snapshot

ROOT: Final = FIRST + 10
CHILD: Final = FIRST + 11
OUTSIDER: Final = FIRST + 500


class Scene:
    """A process with a set of signal handlers, which others may share."""

    def __init__(self) -> None:
        self.fake = FakeKernel()
        self.root = self.fake.task(ROOT)
        self.handlers = self.fake.make("sighand_struct")
        self.fake.point(self.root, "sighand", self.handlers)
        self.count(1)
        counter = registry()["PID_NS"].counters[0].path
        self.fake.put(self.fake.namespace, "pid_namespace", counter, 3)

    def count(self, count: int) -> None:
        """Say how many hold the handlers."""
        self.fake.put(self.handlers, "sighand_struct", "count.refs.counter", count)

    def born(self, tid: int, parent: int) -> int:
        """Make a task that shares the handlers."""
        task = self.fake.task(tid, parent=parent)
        self.fake.point(task, "sighand", self.handlers)
        return task

    def births(self, number: int) -> None:
        """Say how far the process ids have come."""
        self.fake.put(self.fake.namespace, "pid_namespace", "idr.idr_next", number)

    def verdict(self) -> tuple[Verdict, Basis, int]:
        """Check it; return the verdict on the handlers, its basis, and what holds from outside."""
        snapshot = kernel.collect(self.fake.memory(), Request(ROOT))
        found = leaks.check(snapshot)
        objects = snapshot.tables["objects"]
        row = int(np.flatnonzero(objects["kind"] == objects.code("kind", "SIGHAND"))[0])
        codes = found.verdict[row], found.basis[row]
        return leaks.VERDICTS[codes[0]], leaks.BASES[codes[1]], int(found.outside[row])


def test_one_goes_another_comes_and_the_sum_is_the_same() -> None:
    """Who holds is compared, not how many: a task is not its successor at the same address."""
    scene = Scene()
    child = scene.born(CHILD, scene.root)
    scene.count(2)
    memory = scene.fake.memory()
    first = kernel._read(memory, Request(ROOT))
    assert kernel._read_again(memory, Request(ROOT), first).quiet
    scene.fake.put(child, "task_struct", "start_boottime", 999)
    again = kernel._read_again(memory, Request(ROOT), first)
    (objref,), _ = first.numbering.find("SIGHAND", np.array([scene.handlers], np.uint64))
    assert again.moved[objref - 1]


@pytest.mark.parametrize("forks", [False, True])
def test_a_count_that_nothing_explains_proves_a_leak_only_where_nobody_was_born(
    *, forks: bool
) -> None:
    scene = Scene()
    scene.count(2)
    if forks:
        scene.fake.between = scene.births
        assert scene.verdict()[:2] == (Verdict.UNSTABLE, Basis.PROVEN)
    else:
        assert scene.verdict()[:2] == (Verdict.USAGE_LEAK, Basis.PROVEN)


def test_a_named_outsider_is_a_leak_whatever_moves() -> None:
    scene = Scene()
    scene.born(OUTSIDER, scene.fake.init)
    scene.fake.between = lambda read: scene.count(2 + read % 5)
    assert scene.verdict() == (Verdict.USAGE_LEAK, Basis.WITNESSED, 1)


def test_an_outsider_that_has_let_go_is_none() -> None:
    """It is asked again after the counts."""
    scene = Scene()
    task = scene.born(OUTSIDER, scene.fake.init)
    memory = scene.fake.memory()
    first = kernel._read(memory, Request(ROOT))
    check = kernel._read_again(memory, Request(ROOT), first)
    assert check.quiet
    scene.fake.point(task, "sighand", 0)
    reading, _ = kernel._verified(memory, first, check)
    holders = [b.holder for b in reading.expansion.blocks if b.target_kind == "SIGHAND"]
    assert np.concatenate(holders).tolist() == [scene.root]


def test_more_holders_than_the_count_has_room_for_are_no_leak() -> None:
    scene = Scene()
    scene.born(OUTSIDER, scene.fake.init)
    scene.count(1)
    assert scene.verdict() == (Verdict.UNSTABLE, Basis.PROVEN, 1)


@pytest.mark.parametrize("count", [0, -1, -(1 << 30)])
def test_what_is_dead_is_unstable_whoever_is_said_to_hold_it(count: int) -> None:
    scene = Scene()
    scene.born(OUTSIDER, scene.fake.init)
    scene.count(count)
    assert scene.verdict()[0] is Verdict.UNSTABLE


def test_a_subtree_that_stands_still_needs_no_pid_namespace_of_its_own() -> None:
    """Others fork, its tasks do not run: what is counted and not named is proven."""
    scene = Scene()
    scene.count(2)
    scene.fake.put(scene.root, "task_struct", "__state", 1)
    scene.fake.between = scene.births
    assert scene.verdict()[:2] == (Verdict.USAGE_LEAK, Basis.PROVEN)


def test_a_second_reading_asks_what_the_subtree_owns_and_no_more() -> None:
    """A namespace pins the user namespace that owns it, which is not followed any further."""
    scene = Scene()
    fake, memory = scene.fake, scene.fake.memory()
    proxy = fake.point(scene.root, "nsproxy", fake.make("nsproxy"))
    names, owner = fake.make("uts_namespace"), fake.make("user_namespace")
    fake.put(proxy, "nsproxy", "uts_ns", names)
    fake.put(names, "uts_namespace", "user_ns", owner)
    fake.put(owner, "user_namespace", "parent", fake.make("user_namespace"))
    root = np.array([scene.root], np.uint64)
    mine = owned(memory, root)
    whole = expand(memory, root, mine)
    holders = [{b.holder_kind for b in one.blocks if len(b.target)} for one in (whole, mine)]
    assert holders == [{"TASK", "NSPROXY", "UTS_NS", "USER_NS"}, {"TASK", "NSPROXY", "UTS_NS"}]
    collected = whole.nodes.addresses(whole.collected)
    assert {kind: met.tolist() for kind, met in collected.items()} == {
        kind: met.tolist() for kind, met in mine.collected.items()
    }
    reading = kernel._read(memory, Request(ROOT))
    moved = regrouped(reading.own, reading.who, mine, reading.who, reading.numbering)
    assert len(moved)
    assert not moved.any()


def test_a_file_that_is_another_by_now_tells_nothing_of_its_type() -> None:
    """Recognised is the file that is met, not the one that has its memory afterwards."""
    fake = FakeKernel()
    files = [fake.make("file", {"f_op": 0x1000}) for _ in range(2)]

    def recognise(memory: Memory, shown: U64) -> Mask:
        assert memory.layout is fake.layout
        fake.put(files[0], "file", "f_op", 0x2000)  # closed, and opened as something else
        return np.isin(shown, files[:1])

    def met(name: str, test: Callable[[Memory, U64], Mask]) -> Mapping[str, set[int]]:
        file_type = next(t for t in registry()["PIPE"].file_types if t.recognise)
        changed = type(file_type)(name, None, file_type.walk, file_type.associations, test)
        rows = {0x1000: np.arange(2)}
        return recognised(fake.memory(), [changed], np.array(files, np.uint64), rows)

    assert met("pipe", recognise) == {"pipe": set()}
    assert met("pipe", lambda _, shown: np.isin(shown, files[1:])) == {"pipe": {0x1000}}


def ring(fake: FakeKernel, *heads: int) -> None:
    """Make a circular list (struct list_head)."""
    for one, following in zip(heads, (*heads[1:], heads[0]), strict=True):
        fake.write(one, following)
        fake.write(following + 8, one)


def test_what_is_in_a_freed_context_is_no_lock() -> None:
    """An inode is freed while it is read: its context is some other list by then."""
    fake = FakeKernel()
    at = fake.memory().offset
    contexts, locks = [], []
    for other in (0, 64):
        context, lock = fake.make("file_lock_context"), fake.make("file_lock")
        link = lock + at("file_lock", "c.flc_list")
        for name, nodes in (("flc_flock", []), ("flc_posix", [link]), ("flc_lease", [])):
            ring(fake, context + at("file_lock_context", name), *nodes)
        inode = fake.make("inode", {"i_flctx": context + other})
        fake.put(lock, "file_lock", "c.flc_file", fake.make("file", {"f_inode": inode}))
        contexts.append(context)
        locks.append(lock)
    owner, found = _locks.held(fake.memory(), np.array(contexts, np.uint64))
    assert (owner.tolist(), found.tolist()) == ([0], locks[:1])


@pytest.mark.parametrize("rings", [1, 3, 40])
def test_rings_of_any_length_are_followed_to_their_ends(rings: int) -> None:
    """Many are followed step by step, and the few that are longer one by one."""
    fake = FakeKernel()
    lengths = [70, 3, 17, 0, 1, 15, 16, 45][:rings] + [50] * (rings - 8)
    made = [[fake.room(16) for _ in range(length + 1)] for length in lengths]
    for heads in made:
        ring(fake, *heads)
    memory = fake.memory()
    found = walk.rings(memory, np.array([heads[0] for heads in made], np.uint64))
    assert not found.torn.any()
    for number, heads in enumerate(made):
        mine = found.owner == number
        order = np.argsort(found.index[mine])
        assert found.value[mine][order].tolist() == heads[1:]
        assert sorted(found.index[mine].tolist()) == [*range(len(heads) - 1)]
    fake.write(made[0][60] + 8, made[0][60])  # its way back leads elsewhere
    again = walk.rings(memory, np.array([heads[0] for heads in made], np.uint64))
    assert np.flatnonzero(again.torn).tolist() == [0]


def test_what_was_read_is_let_go_without_a_collection_of_garbage() -> None:
    """A command does not collect any, and the columns of a reading are large."""
    fake = FakeKernel()
    for tid in (ROOT, ROOT + 1):
        fake.point(fake.task(tid), "files", fake.make("files_struct", {"count.counter": 1}))
    left: list[object] = []

    def wanted(found: Snapshot) -> Mask:
        left.extend(one for one in gc.get_objects() if isinstance(one, Expansion) and one.blocks)
        return np.zeros(len(found.tables["objects"]), np.bool_)

    gc.collect()
    gc.disable()
    try:
        kernel.collect(fake.memory(), Request(ROOT, wanted=wanted))
    finally:
        gc.enable()
    assert not left
