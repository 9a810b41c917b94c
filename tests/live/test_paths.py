"""Holders are said by the way that leads to them, never as the crowd that could reach it."""

from __future__ import annotations

import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

import analyzer
import fixtures
from analyzer.core.model import Side
from analyzer.report.wording import held

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.live,
    pytest.mark.bpf,
    pytest.mark.needs("root", "tool:mount", "tool:nsenter"),
]


def held_outside(root: int, kind: str) -> list[str]:
    """What is said of the holders outside of the only such namespace of its own."""
    report = analyzer.check(analyzer.collect(root, source="kernel"))
    found = [one for one in report.objects if one.kind == kind and not one.initial]
    return [line for entry in found for line in held(entry, Side.OUTSIDE)]


@contextmanager
def mounted(place: Path, *command: str) -> Iterator[None]:
    """Mount something there, in our own mount namespace, and unmount it again."""
    subprocess.run([*command, str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("name", ["uts", "ipc", "net", "pid"])
def test_a_bind_mount_in_somebodys_mounts_is_said_by_its_place(name: str) -> None:
    with fixtures.start(f"bind-{name}") as running:
        lines = held_outside(running.info["root"], f"{name.upper()}_NS")
        (keeper,) = running.info["outside"]
    (line,) = lines
    said = rf"bind mount /\S+/kept in the mount namespace of .+ \({keeper}\)"
    assert re.fullmatch(said, line)


def test_a_bind_mount_in_our_mounts_is_said_by_its_place(tmp_path: Path) -> None:
    place = tmp_path / "net"
    place.touch()
    with fixtures.start("contained") as running:
        root = running.info["root"]
        with mounted(place, "mount", "--bind", f"/proc/{root}/ns/net"):
            lines = held_outside(root, "NET_NS")
    assert any(line.startswith(f"bind mount {place} in the ") for line in lines), lines


def test_a_proc_in_our_mounts_is_said_by_its_place(tmp_path: Path) -> None:
    with fixtures.start("contained") as running:
        root = running.info["root"]
        enter = ("nsenter", f"--pid=/proc/{root}/ns/pid", "mount", "-t", "proc", "proc")
        with mounted(tmp_path, *enter):
            lines = held_outside(root, "PID_NS")
    assert any(line.startswith(f"proc mounted at {tmp_path} in the ") for line in lines)
    assert not any("fd " in line for line in lines)
