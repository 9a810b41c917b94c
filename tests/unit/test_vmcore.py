"""Cores: what one says is what its machine said, and what is no core is said to be none."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from analyzer.core import extras
from analyzer.core.errors import BadInputError, TargetVanishedError, UnseenError
from analyzer.kinds import file_types
from analyzer.memory import symbols
from analyzer.memory.pages import PAGE, LostPageError, Pages
from analyzer.memory.programs import CHASE_END, CHASE_FAULT, CHASE_MORE, CHASE_TORN, CHASE_WILD
from analyzer.memory.reader import Memory
from analyzer.memory.vmcore import open_core
from analyzer.sources import collect
from tests import cores
from tests.unit.test_cli import run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.memory.pages import Fetch

BASE: Final = 0xFFFF_8880_0000_0000
NAMED: Final = os.environ.get("CRANALYZE_VMCORE", "")
_drgn = pytest.mark.skipif(not cores.can_open(), reason="drgn is not installed")


def of(words: Mapping[int, int], symbol: int = 0) -> Pages:
    """Return an engine over two pages with these words at these offsets."""
    data = np.zeros(2 * PAGE // 8, np.uint64)
    for at, word in words.items():
        data[at // 8] = word
    kept = {BASE: data[: PAGE // 8].tobytes(), BASE + PAGE: data[PAGE // 8 :].tobytes()}
    return Pages(kept.get, lambda name: symbol if name == "init_task" else 0)


def at(*offsets: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Return addresses in the two pages."""
    return np.array([BASE + offset for offset in offsets], np.uint64)


class TestPages:
    """The engine over pages does what the BPF programs do."""

    def test_an_object_may_lie_on_two_pages(self) -> None:
        data, ok = of({PAGE - 8: 1, PAGE: 2}).read(at(PAGE - 8, 0, 2 * PAGE - 8), 16)
        assert ok.tolist() == [True, True, False]
        assert data.view(np.uint64).tolist() == [[1, 2], [0, 0], [0, 0]]

    @pytest.mark.parametrize("address", [0, 8, BASE + 4, (1 << 64) - 8])
    def test_what_can_be_no_object_is_not_read(self, address: int) -> None:
        engine = of({})
        assert not engine.read(np.array([address], np.uint64), 8)[1].any()
        assert engine.chase(address, BASE)[1] == CHASE_WILD

    def test_of_many_all_are_read(self) -> None:
        engine = of({16: 7})
        addresses = np.tile(at(0, 16), 70_000)
        data, ok = engine.read(addresses, 8)
        assert ok.all()
        assert data.view(np.uint64)[:, 0].tolist() == [0, 7] * 70_000
        assert len(list(engine.batches(addresses, 8))) > 1

    def test_a_list_ends_for_a_reason(self) -> None:
        ring = {0: BASE + 64, 8: BASE + 32, 64: BASE + 32, 72: BASE, 32: BASE, 40: BASE + 64}
        engine = of(ring)
        nodes, why = engine.chase(BASE + 64, BASE, previous=BASE)
        assert (nodes.tolist(), why) == (at(64, 32).tolist(), CHASE_END)
        assert engine.chase(BASE + 64, BASE, previous=BASE + 8)[1] == CHASE_TORN
        assert engine.chase(BASE + 64, BASE, limit=1)[1] == CHASE_MORE
        assert engine.chase(BASE + 64, BASE + 8)[1] == CHASE_TORN
        assert of({64: BASE + 4 * PAGE}).chase(BASE + 64, BASE)[1] == CHASE_FAULT

    def test_what_is_lost_is_counted_once(self) -> None:
        def fetch(address: int) -> bytes | None:
            if address == BASE:
                raise LostPageError
            return None

        engine = Pages(fetch, lambda _: 0)
        assert not engine.read(at(0, 8, PAGE), 8)[1].any()
        assert engine.lost == 1


def test_a_type_of_file_that_we_know_by_a_sample_has_a_symbol_too() -> None:
    """A core has the symbol, and no file of ours."""
    assert {one.name for one in file_types() if one.sample} == {
        one.name for one in file_types() if one.symbols
    }


class TestRecorded:
    """Of a core is kept what one check asks for, and what the guest's own check had said."""

    def test_it_says_what_the_guest_said(self) -> None:
        memory, about = cores.recorded("kinds")
        told = cores.report(memory, about["root"])
        counts, there = cores.counts(told), cores.counts(about["report"])
        assert {at: counts[at] for at in there} == there
        subject, its = told["subject"], about["report"]["subject"]
        same = ("pid", "comm", "tasks", "host", "boot_id", "kernel", "container_init")
        assert {name: subject[name] for name in same} == {name: its[name] for name in same}
        assert subject["source"] == "vmcore"
        assert subject["collected_at"] >= its["collected_at"]

    def test_a_process_that_is_not_in_it(self) -> None:
        memory, _ = cores.recorded("kinds")
        with pytest.raises(TargetVanishedError, match="no process 4000 in the core"):
            collect(4000, source="kernel", memory=memory)

    def test_what_is_cut_off_is_told(self) -> None:
        memory, about = cores.recorded("kinds")
        whole = memory.engine
        assert isinstance(whole, Pages)
        pages: list[int] = []
        every = _first(10**9, whole.fetch, pages)
        cores.report(Memory(Pages(every, whole.locate), memory.layout), about["root"])
        said = set()
        for most in (1, len(pages) // 4, len(pages) // 2):
            part = Memory(Pages(_first(most, whole.fetch, []), whole.locate), memory.layout)
            try:
                told = cores.report(part, about["root"])
            except UnseenError as error:
                said.add(str(error))
            else:
                assert told["incomplete"]
                said.update(gap["where"] for gap in told["gaps"])
        assert any("cut off" in text for text in said)
        assert any("pages of the core" in text for text in said)


def _first(most: int, fetch: Fetch, asked: list[int]) -> Fetch:
    """Return what fetches so many pages, and says of the rest that they are lost."""

    def cut(address: int) -> bytes | None:
        if len(asked) >= most:
            raise LostPageError
        asked.append(address)
        return fetch(address)

    return cut


def elf(*named: tuple[str, int]) -> bytes:
    """Return an ELF file with nothing but a symbol table."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name, _ in named)
    table, at_name = b"", 1
    for name, address in named:
        table += struct.pack("<IIQQ", at_name, 0, address, 0)
        at_name += len(name) + 1
    sections = [(2, 64, len(table), 1), (3, 64 + len(table), len(names), 0)]
    head = b"\x7fELF\x02\x01".ljust(0x28, b"\0") + struct.pack("<Q", 64 + len(table) + len(names))
    head = head.ljust(0x3A, b"\0") + struct.pack("<HH", 64, len(sections))
    body = [struct.pack("<4xI16xQQI", *section).ljust(64, b"\0") for section in sections]
    return head.ljust(64, b"\0") + table + names + b"".join(body)


class TestSymbols:
    """A vmlinux and a System.map say where things are."""

    @pytest.mark.parametrize(
        "data",
        [elf(("init_task", BASE), ("a.0", 5)), f"{BASE:x} D init_task\n{5:016x} t a.0\n".encode()],
        ids=["vmlinux", "map"],
    )
    def test_they_are_read(self, data: bytes, tmp_path: Path) -> None:
        (tmp_path / "it").write_bytes(data)
        with (tmp_path / "it").open("rb") as file:
            assert symbols.of_file("it", file.fileno()) == [("init_task", BASE), ("a.0", 5)]

    @pytest.mark.parametrize(
        "data",
        [
            b"", b"\x7fELF\x02\x01", b"\x7fELF\x02\x01" + b"\xff" * 100, b"hello\n", b"\0" * 999,
            elf(("init_task", BASE), ("a", 5))[:-100], elf(),
            b"ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n",
        ],
    )  # fmt: skip
    def test_what_has_none_is_refused(self, data: bytes, tmp_path: Path) -> None:
        (tmp_path / "it").write_bytes(data)
        with (tmp_path / "it").open("rb") as file, pytest.raises(BadInputError, match="it "):
            symbols.of_file("it", file.fileno())


def test_without_drgn_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(extras, "_there", lambda name: name != "drgn")
    for command in ("check", "collect"):
        ran = run(command, "--vmcore", "core", "1", cwd=tmp_path)
        assert ran.returncode == 2
        (line,) = ran.stderr.splitlines()
        assert "--vmcore needs drgn, which is not installed here: " in line
        assert line.endswith("install drgn")


@_drgn
class TestRefused:
    """What cannot be done with a core, in one line."""

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ("--vmcore no 1", "cannot read no"),
            ("--vmcore . 1", ""),
            ("--vmcore text 1", "text is no core of a kernel"),
            ("--vmcore text 1 --proc .", "say one of them"),
            ("--vmcore text 1 --freeze", "of a core nothing does"),
            ("--vmcore text docker:web", "by its pid"),
            ("--vmlinux text 1", "name that with --vmcore"),
        ],
    )
    def test_it_is_said(self, words: str, said: str, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("hello")
        for command in ("check", "collect"):
            ran = run(command, *words.split(), cwd=tmp_path)
            assert ran.returncode == 2
            (line,) = ran.stderr.splitlines()
            assert said in line

    def test_the_core_of_a_process_is_none(self, tmp_path: Path) -> None:
        """An ELF core without VMCOREINFO."""
        head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 4, 62, 1, 0, 0, 0, 0, 64,
                           56, 0, 64, 0, 0)  # fmt: skip
        (tmp_path / "core").write_bytes(head)
        with pytest.raises(BadInputError, match="no core of a kernel"):
            open_core(str(tmp_path / "core"))


@_drgn
@pytest.mark.slow
@pytest.mark.skipif(not NAMED, reason="CRANALYZE_VMCORE names no core: make vmcore makes one")
def test_a_core_says_what_its_guest_said() -> None:
    core = Path(NAMED)
    answers = cores.said(core)
    assert answers
    with open_core(str(core)) as memory:
        for name, answer in answers.items():
            told = cores.report(memory, answer["root"])
            assert sorted(cores.facts(told)) == sorted(cores.facts(answer["report"])), name
