"""One word of memory changes between two readings, at every place that the second one reads.

The readings agree if, and only if, it is a word that does not matter: if what the subtree holds,
worked out anew from all that is there, is the same, and so are the counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from analyzer.core.errors import CranalyzeError
from analyzer.core.model import TASK
from analyzer.kinds import registry
from analyzer.sources import kernel, tasks
from analyzer.sources.expand import counts, expand, owned
from analyzer.sources.request import Request
from analyzer.sources.subject import subtree
from tests.fakekernel import FIRST, FakeKernel

if TYPE_CHECKING:
    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.bpf import U8
    from analyzer.memory.reader import Memory
    from analyzer.sources.reading import Reading

    Held = tuple[set[tuple[object, ...]], dict[tuple[str, int], tuple[int, bool]]]

ROOT: Final = FIRST + 10
CHILD: Final = FIRST + 11
REQUEST: Final = Request(ROOT)
_COUNTS: Final = ("NSPROXY", "UTS_NS", "FILE_TABLE", "FILE", "CRED", "SIGHAND", "FS")


class Watched(FakeKernel):
    """A kernel that keeps which of its words are read."""

    def __init__(self) -> None:
        self.words: set[int] = set()
        super().__init__()

    def read(self, addresses: U64, size: int) -> tuple[U8, Mask]:
        """Read, and keep the words."""
        data, ok = super().read(addresses, size)
        for address in addresses[ok].tolist():
            self.words.update(range(address & ~7, address + size, 8))
        return data, ok

    def word(self, address: int) -> int:
        """Return the word at an address."""
        data, _ = super().read(np.array([address], np.uint64), 8)
        return int(data.view(np.uint64)[0, 0])

    def counted(self, kind: str, count: int) -> int:
        """Make an object of a kind, with its count."""
        struct = registry()[kind].struct
        counters = {one.path: one.bias for one in registry()[kind].counters}
        found = self.layout.first(struct, [*counters])
        assert found is not None
        return self.make(struct, {found[0]: count - counters[found[0]]})


def scene() -> Watched:
    """Make a process and its child, which share descriptors, handlers and namespaces."""
    fake = Watched()
    counter = registry()["PID_NS"].counters[0].path
    fake.put(fake.namespace, "pid_namespace", counter, 3)
    made = {kind: fake.counted(kind, 2) for kind in _COUNTS}
    fake.put(made["NSPROXY"], "nsproxy", "uts_ns", made["UTS_NS"])
    fake.put(made["FILE"], "file", "f_cred", made["CRED"])
    slots, bitmaps = fake.room(64 * 8), fake.room(64)
    fake.write(slots + 24, made["FILE"])
    fake.write(slots + 32, fake.counted("FILE", 1))
    table = {"max_fds": 64, "fd": slots, "open_fds": bitmaps, "close_on_exec": bitmaps + 8}
    fake.put(made["FILE_TABLE"], "files_struct", "fdt", fake.make("fdtable", table))
    root = fake.task(ROOT)
    for task in (root, fake.task(CHILD, parent=root)):
        for field, kind in (
            ("nsproxy", "NSPROXY"), ("files", "FILE_TABLE"), ("sighand", "SIGHAND"), ("fs", "FS"),
        ):  # fmt: skip
            fake.point(task, field, made[kind])
    return fake


def held(memory: Memory) -> Held:
    """Work out what the subtree holds, and the counts of that, from all that is there."""
    every = tasks.settled(memory, ROOT)
    inside = subtree(memory.engine, every, ROOT, ())
    found = expand(memory, every.address, owned(memory, inside))
    who = dict(
        zip(
            every.address.tolist(),
            zip(every.table["tid"].tolist(), every.table["start_time"].tolist(), strict=True),
            strict=True,
        )
    )
    references: set[tuple[object, ...]] = set()
    for block, way in found.rows:
        mine = found.collected[way.start]
        name = block.association.name
        for at in np.flatnonzero(mine).tolist():
            holder = int(block.holder[at])
            slot = None if block.slot is None else int(block.slot[at])
            weight = None if block.weight is None else int(block.weight[at])
            end = int(block.target[at])
            references.add((name, holder, who.get(holder), end, slot, weight))
    numbers: dict[tuple[str, int], tuple[int, bool]] = {}
    for kind, addresses in found.nodes.addresses(found.collected).items():
        if kind != TASK:
            columns = (column.tolist() for column in counts(memory, registry()[kind], addresses))
            pairs = zip(*columns, strict=True)
            numbers.update(zip(((kind, a) for a in addresses.tolist()), pairs, strict=True))
    return references, numbers


def agree(memory: Memory, first: Reading) -> bool:
    """Tell whether a second reading says what the first one did."""
    try:
        return kernel._read_again(memory, REQUEST, first).quiet
    except CranalyzeError:  # the process is another, or none
        return False


def holds(memory: Memory) -> Held | None:
    """Return what the subtree holds, None where there is none."""
    try:
        return held(memory)
    except CranalyzeError:
        return None


@pytest.mark.slow
@pytest.mark.parametrize("change", ["cleared", "led elsewhere", "counted on"])
def test_readings_agree_unless_the_word_matters(change: str) -> None:
    fake = scene()
    spare = fake.room(4096)
    memory = fake.memory()
    first = kernel._read(memory, REQUEST)
    before = holds(memory)
    assert before is not None
    assert agree(memory, first)
    fake.words.clear()
    assert agree(memory, first)
    noticed = 0
    places = [place for place in sorted(fake.words) if fake.word(place)]
    for place in places:
        word = fake.word(place)
        fake.write(place, {"cleared": 0, "led elsewhere": spare, "counted on": word + 1}[change])
        same = holds(memory) == before
        assert agree(memory, first) is same, (change, hex(place), hex(word))
        noticed += not same
        fake.write(place, word)
    assert noticed > len(places) // 4
