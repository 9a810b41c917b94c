"""What the benchmark shows of what it measured, and what its bare reads are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from analyzer.sources.request import Request
from benchmarks import bare
from benchmarks.page import OURS, SMALL, Bare, Held, Row, Timing, page
from tests.fakekernel import FIRST, FakeKernel

if TYPE_CHECKING:
    from pathlib import Path

ROOT: Final = FIRST + 10


def row(files: int) -> Row:
    timing = Timing(files / 1000, files / 2000, 10 * files)
    slow = Timing(files / 100, files / 200, files)
    names = dict.fromkeys(OURS, timing)
    return Row(files, 10, {**names, "lsof": slow}, Bare(0.5, 0.25, files))


def test_the_page_shows_ratios_growth_and_what_reading_alone_takes() -> None:
    start = {SMALL: Timing(0.2, 0.0, 0), "who": Timing(0.3, 0.2, 1)}
    text = page([row(1000), row(3000)], start, {}, floor=1, rounds=3, held=Held(0.052, 0.012))
    assert "| 1,000 | 10 | 0.10 | 0.10 | 1.00 | 1.00 |" in text
    assert "| 1,000 to 3,000 | 500.0 | 10 |" in text
    assert "| 3,000 | 3,000 | 0.250 | 0.500 | 2.0 |" in text
    assert "still for 52 ms" in text
    assert "is 12 ms of that" in text


def test_the_picture_of_the_same_numbers_is_the_same(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.growth import draw

    files = [tmp_path / name for name in ("one.svg", "other.svg")]
    for file in files:
        draw([row(1000), row(3000)], file)
    one, other = (file.read_text() for file in files)
    assert "<svg" in one
    assert one == other


def test_bare_reads_are_all_that_a_reading_asks_for_and_each_once() -> None:
    fake = FakeKernel()
    task = fake.task(ROOT)
    memory = fake.memory()
    asked = bare.recorded(memory, Request(ROOT))
    assert memory.engine is fake
    addresses = np.concatenate([*asked.values()])
    assert ((addresses >= task) & (addresses < task + 4096)).any()
    assert all(len(np.unique(one)) == len(one) for one in asked.values())
    before = fake.reads
    bare.read_bare(fake, asked)
    assert fake.reads > before
