"""The BTF reader on hand-made BTF: every way to nest a field, a module on top of vmlinux."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import struct
from typing import TYPE_CHECKING

import pytest

from analyzer.core.digest import blake2b
from analyzer.memory.btf import Btf, BtfError, Field
from analyzer.memory.fields import Layout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INT, PTR, ARRAY, STRUCT, UNION, ENUM, TYPEDEF, CONST = 1, 2, 3, 4, 5, 6, 8, 10


class Maker:
    """Assembles BTF; ids and string offsets go on where `base` ends."""

    def __init__(self, first_id: int = 1, first_string: int = 0) -> None:
        self.next_id, self.first_string = first_id, first_string
        self.strings = b"" if first_string else b"\0"
        self.types = b""

    def name(self, text: str) -> int:
        if not text:
            return 0
        at = self.first_string + len(self.strings)
        self.strings += text.encode() + b"\0"
        return at

    def add(
        self, kind: int, name: str, size: int, body: bytes = b"", count: int = 0, flag: int = 0
    ) -> int:
        info = kind << 24 | count | flag << 31
        self.types += struct.pack("<III", self.name(name), info, size) + body
        self.next_id += 1
        return self.next_id - 1

    def integer(self, name: str, size: int, *, signed: bool = False) -> int:
        return self.add(INT, name, size, struct.pack("<I", signed << 24 | size * 8))

    def array(self, element: int, count: int) -> int:
        return self.add(ARRAY, "", 0, struct.pack("<III", element, 1, count))

    def record(self, kind: int, name: str, size: int, *members: tuple[str, int, int, int]) -> int:
        flag = any(bits for *_, bits in members)
        body = b"".join(
            struct.pack("<III", self.name(n), t, bits << 24 | offset if flag else offset)
            for n, t, offset, bits in members
        )
        return self.add(kind, name, size, body, len(members), int(flag))

    def blob(self) -> bytes:
        header = struct.pack(
            "<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self.types), len(self.types), len(self.strings)
        )
        return header + self.types + self.strings


@pytest.fixture
def maker() -> Maker:
    make = Maker()
    u8 = make.integer("unsigned char", 1)
    s32 = make.integer("int", 4, signed=True)
    pointer = make.add(PTR, "", u8)
    counter = make.record(STRUCT, "counter", 4, ("value", s32, 0, 0))
    alias = make.add(TYPEDEF, "counter_t", counter)
    constant = make.add(CONST, "", alias)
    comm, three = make.array(u8, 16), make.array(counter, 3)
    inner = make.record(UNION, "", 8, ("either", pointer, 0, 0), ("or", s32, 0, 0))
    make.record(
        STRUCT, "thing", 64, ("count", constant, 0, 0), ("", inner, 64, 0),
        ("comm", comm, 128, 0), ("ids", three, 256, 0), ("low", s32, 352, 3), ("high", s32, 355, 5),
    )  # fmt: skip
    make.add(ENUM, "colour", 4, struct.pack("<IIII", make.name("RED"), 0, make.name("BLUE"), 7), 2)
    return make


def test_fields_are_found_through_everything_that_can_nest_them(maker: Maker) -> None:
    btf = Btf(maker.blob())
    assert btf.field("thing", "count.value") == Field(0, 4, signed=True)
    assert btf.field("thing", "either") == Field(8, 8, pointer=True)
    assert btf.field("thing", "or") == Field(8, 4, signed=True)
    assert btf.field("thing", "comm") == Field(16, 16, elements=16)
    assert btf.field("thing", "ids[2].value") == Field(40, 4, signed=True)
    assert btf.field("thing", "low") == Field(44, 4, shift=0, bits=3)
    assert btf.field("thing", "high") == Field(44, 4, shift=3, bits=5)
    assert btf.field("counter_t", "value") == Field(0, 4, signed=True)
    assert (btf.sizeof("thing"), btf.enumerator("colour", "BLUE")) == (64, 7)


@pytest.mark.parametrize("path", ["nope", "count.nope", "comm.value", "either.x", "count[0]"])
def test_a_field_that_is_not_there_is_none(maker: Maker, path: str) -> None:
    btf = Btf(maker.blob())
    assert btf.field("thing", path) is None
    assert btf.field("nothing", "count") is None
    assert btf.sizeof("colour") is None
    assert btf.enumerator("colour", "GREEN") is None


@pytest.mark.parametrize("path", ["a..b", "a[b]", "a-b", "a b"])
def test_what_is_no_path_is_refused(maker: Maker, path: str) -> None:
    with pytest.raises(ValueError, match="not a field path"):
        Btf(maker.blob()).field("thing", path)


def test_a_module_continues_the_ids_and_strings_of_vmlinux(maker: Maker) -> None:
    base = Btf(maker.blob())
    module = Maker(base.end_id, base.string_end)
    module.record(STRUCT, "device", 24, ("refs", 4, 64, 0), ("state", 10, 128, 0))
    btf = Btf(module.blob(), base)
    assert btf.field("device", "refs.value") == Field(8, 4, signed=True)
    assert btf.field("thing", "either") == base.field("thing", "either")
    assert base.field("device", "refs") is None


@pytest.mark.parametrize("cut", [0, 10, 23, 40, -1])
def test_damaged_btf_is_told(maker: Maker, cut: int) -> None:
    with pytest.raises(BtfError):
        Btf(maker.blob()[:cut])


def test_a_type_section_that_does_not_end_with_a_type_is_told(maker: Maker) -> None:
    maker.types += struct.pack("<III", 0, STRUCT << 24 | 2, 8)
    with pytest.raises(BtfError, match="does not end with a type"):
        Btf(maker.blob())


def packed(content: object) -> bytes:
    text = json.dumps(content).encode()
    return blake2b(text, digest_size=32).hexdigest().encode() + b"\n" + text


def nested_aliases(maker: Maker) -> str:
    """Make a typedef of a const of that typedef."""
    there = maker.next_id
    maker.add(TYPEDEF, "endless", there + 1)
    maker.add(CONST, "", there)
    return "endless"


def nested_structs(maker: Maker) -> str:
    """Make a structure that has itself as a member without a name, in many places."""
    there = maker.next_id
    maker.record(STRUCT, "endless", 8, *[("", there, 0, 0)] * 50)
    return "endless"


def nested_arrays(maker: Maker) -> str:
    there = maker.next_id
    maker.array(there, 2)
    maker.record(STRUCT, "endless", 8, ("x", there, 0, 0))
    return "endless"


def no_such_type(maker: Maker) -> str:
    maker.record(STRUCT, "endless", 8, ("x", 1 << 30, 0, 0))
    return "endless"


def no_such_name(maker: Maker) -> str:
    there = maker.next_id
    maker.types += struct.pack("<IIIIII", maker.name("endless"), STRUCT << 24 | 1, 8, 1 << 30, 1, 0)
    maker.next_id = there + 1
    return "endless"


@pytest.mark.parametrize(
    "make", [nested_aliases, nested_structs, nested_arrays, no_such_type, no_such_name]
)
def test_types_that_lead_nowhere_end(maker: Maker, make: Callable[[Maker], str]) -> None:
    name = make(maker)
    btf = Btf(maker.blob())
    with contextlib.suppress(BtfError):
        assert btf.field(name, "x") is None
    with contextlib.suppress(BtfError):
        btf.sizeof(name)


class TestLayout:
    """The cache of look-ups."""

    def layout(self, maker: Maker, cache: Path) -> tuple[Layout, list[int]]:
        loads: list[int] = []

        def load() -> Btf:
            loads.append(1)
            return Btf(maker.blob())

        return Layout(load, str(cache)), loads

    def test_a_second_run_does_not_parse(self, maker: Maker, tmp_path: Path) -> None:
        cache = tmp_path / "deep" / "layout.json"
        for expected in (1, 0):
            layout, loads = self.layout(maker, cache)
            assert layout.field("thing", "high") == Field(44, 4, shift=3, bits=5)
            assert layout.field("thing", "nope") is None
            assert layout.sizeof("thing") == 64
            layout.save()
            assert len(loads) == expected
        assert [p.name for p in cache.parent.iterdir()] == ["layout.json"]

    def test_a_cache_that_others_can_write_is_not_believed(
        self, maker: Maker, tmp_path: Path
    ) -> None:
        cache = tmp_path / "layout.json"
        cache.write_bytes(packed({"format": 2, "answers": {"sizeof:thing": 1}}))
        cache.chmod(0o666)
        assert self.layout(maker, cache)[0].sizeof("thing") == 64
        cache.chmod(0o600)
        assert self.layout(maker, cache)[0].sizeof("thing") == 1

    def test_a_cache_that_was_changed_is_not_believed(self, maker: Maker, tmp_path: Path) -> None:
        cache = tmp_path / "layout.json"
        good = packed({"format": 2, "answers": {"sizeof:thing": 1}})
        cache.write_bytes(good.replace(b": 1}}", b": 2}}"))
        assert self.layout(maker, cache)[0].sizeof("thing") == 64

    def test_a_folder_that_others_can_write_keeps_no_cache(
        self, maker: Maker, tmp_path: Path
    ) -> None:
        theirs = tmp_path / "theirs"
        theirs.mkdir()
        theirs.chmod(0o777)
        layout, _ = self.layout(maker, theirs / "cranalyze" / "layout.json")
        layout.sizeof("thing")
        layout.save()
        assert not (theirs / "cranalyze" / "layout.json").exists()

    def test_a_full_disk_keeps_no_cache_and_leaves_nothing(
        self, maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: object) -> bytes:
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr("analyzer.memory.fields._packed", full)
        layout, _ = self.layout(maker, tmp_path / "layout.json")
        layout.sizeof("thing")
        layout.save()
        assert not list(tmp_path.iterdir())

    def test_a_link_in_the_place_of_the_cache_is_not_followed(
        self, maker: Maker, tmp_path: Path
    ) -> None:
        target, cache = tmp_path / "elsewhere", tmp_path / "layout.json"
        target.write_bytes(packed({"format": 2, "answers": {"sizeof:thing": 1}}))
        target.chmod(0o600)
        cache.symlink_to(target)
        assert self.layout(maker, cache)[0].sizeof("thing") == 64

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[" * 99999,
            "[]",
            '{"format": 9}',
            '{"format": 2, "answers": {"sizeof:thing": "x"}}',
            '{"format": 2, "answers": {"sizeof:thing": -1}}',
            '{"format": 2, "answers": {"sizeof:thing": true}}',
            '{"format": 2, "answers": {"a:b": [-8, 8, 0, 0, 0, 0, 0], "sizeof:thing": 1}}',
        ],
    )
    def test_a_damaged_cache_is_an_empty_one(self, maker: Maker, tmp_path: Path, text: str) -> None:
        cache = tmp_path / "layout.json"
        digest = hashlib.sha256(text.encode()).hexdigest()
        cache.write_text(f"{digest}\n{text}")
        cache.chmod(0o600)
        assert self.layout(maker, cache)[0].sizeof("thing") == 64

    def test_an_unwritable_cache_is_no_failure(self, maker: Maker, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        layout, _ = self.layout(maker, tmp_path / "file" / "layout.json")
        assert layout.sizeof("thing") == 64
        layout.save()
