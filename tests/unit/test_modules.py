"""Types of modules, on hand-made BTF: where each is looked for, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from analyzer.memory.btf import Btf, Field
from analyzer.memory.fields import Layout
from analyzer.memory.modules import MODULES, Types, from_folder, loaded
from tests.unit.test_btf import STRUCT, Maker

if TYPE_CHECKING:
    from pathlib import Path


def vmlinux() -> Maker:
    make = Maker()
    number = make.integer("int", 4, signed=True)
    make.record(STRUCT, "file", 8, ("refs", number, 32, 0))
    return make


def loop() -> bytes:
    base = Btf(vmlinux().blob())
    make = Maker(base.end_id, base.string_end)
    # Its number is of vmlinux's type 1.
    make.record(STRUCT, "loop_device", 24, ("lo_number", 1, 64, 0))
    make.record(STRUCT, "file", 24, ("stray", 1, 64, 0))
    return make.blob()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "vmlinux").write_bytes(vmlinux().blob())
    return tmp_path


def test_a_module_is_asked_for_its_own(folder: Path) -> None:
    (folder / "loop").write_bytes(loop())
    types = from_folder(str(folder))
    assert types.field("loop_device", "lo_number") == Field(8, 4, signed=True)
    assert types.sizeof("loop_device") == 24
    assert types.field("file", "refs") == Field(4, 4, signed=True)
    assert types.field("file", "stray") is None, "vmlinux's own types are not the module's to tell"


def test_what_no_loaded_module_has_is_none(folder: Path) -> None:
    types = from_folder(str(folder))
    assert types.field("loop_device", "lo_number") is None
    assert types.sizeof("loop_device") is None
    assert types.field("nothing", "x") is None


def test_a_module_is_read_once_and_only_when_it_matters() -> None:
    read: list[str] = []

    def load(name: str) -> bytes:
        read.append(name)
        return loop()

    layout = Layout(lambda: Types(vmlinux().blob(), load))
    assert layout.field("file", "refs") is not None
    assert not read
    for path in ("lo_number", "nope"):
        layout.field("loop_device", path)
    assert read == ["loop"]


def test_which_modules_are_there(folder: Path) -> None:
    assert loaded(str(folder)) == ()
    for name in ("loop", "xfs"):
        (folder / name).write_bytes(loop())
    assert loaded(str(folder)) == ("loop",)
    assert "loop" in MODULES.values()
