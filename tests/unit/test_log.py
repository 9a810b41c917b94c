"""What memory answered, asked again: an answer is taken twice only where nothing of it changed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from analyzer.memory.log import Log, digest
from analyzer.sources.expand import owned
from tests.fakekernel import FIRST, FakeKernel

ROOM: Final = Path(__file__).parents[2] / "analyzer"


@pytest.mark.parametrize("field", ["first", "second"])
def test_a_log_holds_until_a_field_that_was_asked_for_changes(field: str) -> None:
    fake = FakeKernel()
    names = {"first": "count.refs.counter", "second": "uts_ns", "other": "ipc_ns"}
    made = fake.make("nsproxy", dict.fromkeys(names.values(), 1))
    memory, at = fake.memory(), np.array([made], np.uint64)
    with memory.logged() as log:
        memory.gather(at, "nsproxy", {name: names[name] for name in ("first", "second")})
    memory.gather(at, "nsproxy", {"other": names["other"]})
    fake.put(made, "nsproxy", names["other"], 2)
    assert log.holds()
    fake.put(made, "nsproxy", names[field], 2)
    assert not log.holds()
    fake.put(made, "nsproxy", names[field], 1)
    assert log.holds()


def test_whether_a_pointer_is_there_is_not_where_it_leads() -> None:
    fake = FakeKernel()
    made = fake.make("nsproxy", {"uts_ns": 8})
    memory, at = fake.memory(), np.array([made], np.uint64)
    with memory.logged() as log:
        assert memory.gather(at, "nsproxy", {}, whether={"has": "uts_ns"})["has"].tolist() == [True]
    fake.put(made, "nsproxy", "uts_ns", 16)
    assert log.holds()
    fake.put(made, "nsproxy", "uts_ns", 0)
    assert not log.holds()


def test_words_and_lists_are_logged_too() -> None:
    fake = FakeKernel()
    block, node = fake.room(512), fake.room(64)
    fake.write(block + 16, 7)
    fake.write(node, node + 32)
    fake.write(node + 40, node)
    memory, at = fake.memory(), np.array([block], np.uint64)
    with memory.logged() as log:
        blocks, place, value, ok = memory.words(at, 512)
        assert memory.chase(node, 0)[0].tolist() == [node, node + 32]
    assert (blocks.tolist(), place.tolist(), value.tolist(), ok.tolist()) == ([0], [2], [7], [True])
    assert log.holds()
    for place_of, word in ((block + 24, 0), (node, node + 32)):
        fake.write(place_of, 1 << 62)
        assert not log.holds()
        fake.write(place_of, word)
        assert log.holds()


def test_an_answer_in_a_log_cannot_be_written_to() -> None:
    """What is compared later is what was answered."""
    fake = FakeKernel()
    memory, at = fake.memory(), np.array([fake.init], np.uint64)
    with memory.logged():
        read = memory.gather(at, "task_struct", {"pid": "pid"})
    for column in (read["pid"], read.ok):
        with pytest.raises(ValueError, match="read-only"):
            column[:] = 0


def test_only_what_changed_is_worked_out_anew() -> None:
    fake = FakeKernel()
    root = fake.task(FIRST + 10)
    table, proxy = fake.make("files_struct"), fake.make("nsproxy")
    fake.point(root, "files", table)
    fake.point(root, "nsproxy", proxy)
    fake.put(proxy, "nsproxy", "uts_ns", fake.make("uts_namespace"))
    memory, inside = fake.memory(), np.array([root], np.uint64)
    first = owned(memory, inside, logged=True)
    again = owned(memory, inside, first)
    assert [*map(id, again.answers)] == [*map(id, first.answers)]
    fake.put(proxy, "nsproxy", "uts_ns", fake.make("uts_namespace"))
    changed = owned(memory, inside, first)
    kinds = [a.kind.name for a in changed.answers if all(a is not b for b in first.answers)]
    assert kinds == ["NSPROXY", "UTS_NS"]


def test_nothing_is_read_past_the_log() -> None:
    """Whatever works out an answer asks memory, and not the engine below it."""
    past = re.compile(r"\bengine\.(read|batches|chase)\b")
    told = {path.name for path in ROOM.rglob("*.py") if past.search(path.read_text())}
    assert told == {"reader.py", "vmcore.py"}  # memory itself, and an engine


_LONG: Final = (
    np.arange(20_000, dtype=np.uint64),
    np.arange(40_001, dtype=np.uint16),  # no whole number of words
    np.arange(70_000) % 3 == 0,
    np.array([b"task", b"name"] * 10_000, "S5"),
    np.arange(30_000, dtype=np.uint64).reshape(-1, 3),
)


@pytest.mark.parametrize("column", _LONG, ids=lambda column: str(column.dtype))
def test_of_a_long_column_every_bit_counts(column: np.ndarray) -> None:
    """Only a digest is kept of those."""
    told = digest(column)
    assert digest(column.copy()) == told
    random = np.random.default_rng(7)
    places = {0, column.nbytes - 1, *random.integers(0, column.nbytes, 300).tolist()}
    for place in places:
        other = column.copy()
        other.reshape(-1).view(np.uint8)[place] ^= 1 << (place % 8)
        assert digest(other) != told
    assert len({digest(column[:length]) for length in range(0, len(column), 97)}) > 100


def test_two_words_that_change_places_are_another_answer() -> None:
    column = np.arange(50_000, dtype=np.uint64)
    for one, other in ((0, 1), (5, 4_096 + 5), (100, 49_999)):
        swapped = column.copy()
        swapped[[one, other]] = swapped[[other, one]]
        assert digest(swapped) != digest(column)


@pytest.mark.parametrize("count", [1, 5_000])
def test_a_log_holds_by_the_column_or_its_digest(count: int) -> None:
    memory = np.arange(count, dtype=np.uint64)
    log = Log()
    log.keep(lambda: (memory.copy(),))
    assert log.holds()
    memory[count // 2] += np.uint64(1)
    assert not log.holds()
    memory[count // 2] -= np.uint64(1)
    assert log.holds()
