"""What memory answered, asked again: an answer is taken twice only where nothing of it changed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np
import pytest

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
