"""Mounts as objects: those of every mount namespace, held against what /proc says of them."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from analyzer import collect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from analyzer.snapshot.value import Snapshot

pytestmark = [pytest.mark.live, pytest.mark.bpf, pytest.mark.needs("root", "tool:mount")]

# It makes a mount namespace of its own, with a tmpfs at a place of a hostile name.
_MAKER: Final = """
import ctypes, os, sys
libc, place = ctypes.CDLL(None, use_errno=True), os.fsencode(sys.argv[1])
def do(got):
    if got: sys.exit(os.strerror(ctypes.get_errno()))
do(libc.unshare(0x20000))
do(libc.mount(b"none", b"/", None, 0x4000 | 0x40000, None))
do(libc.mount(b"none", place, b"tmpfs", 0, None))
os.mkdir(place + b"/inner")
do(libc.mount(place + b"/inner", place + b"/inner", None, 0x1000, None))
do(libc.mount(None, place + b"/inner", None, 0x1000 | 0x20 | 1, None))
do(libc.mount(None, place + b"/inner", None, 0x100000, None))
exec(sys.argv[2])
print(os.getpid(), flush=True)
sys.stdin.read()
"""


@contextmanager
def maker(place: Path, then: str = "") -> Iterator[int]:
    """Run a process in a mount namespace of its own; yield its pid."""
    command = [sys.executable, "-c", _MAKER, str(place), then]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line, "no mount namespace"
        try:
            yield int(line)
        finally:
            child.kill()


def facts(snapshot: Snapshot) -> dict[int, dict[str, object]]:
    """Return the facts of objects by objref."""
    found: dict[int, dict[str, object]] = {}
    table = snapshot.tables["facts"]
    for row in range(len(table)):
        value = table.value("number", row)
        known = found.setdefault(int(table["ref"][row]), {})
        known[table.value("fact", row)] = table.value("text", row) if value is None else value
    return found


def named(snapshot: Snapshot, kind: str) -> dict[int, str]:
    objects = snapshot.tables["objects"]
    return {
        objects.value("objref", row): objects.value("name", row) or ""
        for row in range(len(objects))
        if objects.value("kind", row) == kind
    }


def edges(snapshot: Snapshot, association: str) -> list[tuple[int, int]]:
    table = snapshot.tables["references"]
    return [
        (int(table["holder"][row]), int(table["target"][row]))
        for row in range(len(table))
        if table.value("association", row) == association
    ]


def test_every_mount_of_a_namespace_is_what_proc_says_of_it(tmp_path: Path) -> None:
    place = tmp_path / "a\tb\\c\n\x1b[31m"
    place.mkdir()
    with maker(place) as pid:
        snapshot = collect(None, source="kernel")
        with open(f"/proc/{pid}/mountinfo", "rb") as file:
            lines = file.read().decode("utf-8", "surrogateescape").splitlines()
        space = os.stat(f"/proc/{pid}/ns/mnt").st_ino
    (namespace,) = (n for n, name in named(snapshot, "MNT_NS").items() if name == f"mnt:[{space}]")
    names, told = named(snapshot, "MOUNT"), facts(snapshot)
    filesystem = dict(edges(snapshot, "superblock"))
    mounts = {told[m]["mount_id"]: m for at, m in edges(snapshot, "mount") if at == namespace}
    assert len(mounts) >= len(lines) > 2  # the one below the root directory is not shown
    for line in lines:
        fields, _, rest = line.partition(" - ")
        number, _, device, root, point, options, *optional = fields.split(" ")
        one = mounts[int(number)]
        assert _escaped(names[one]) == point
        about = told[one]
        assert (_escaped(str(about["mounts"])), about["detached"]) == (root, 0)
        assert about["read_only"] == ("ro" in options.split(","))
        groups = dict(word.split(":") for word in optional if ":" in word)
        assert about.get("peer_group") == (int(groups["shared"]) if "shared" in groups else None)
        assert about.get("master_group") == (int(groups["master"]) if "master" in groups else None)
        assert told[filesystem[one]]["device"] == device
        assert told[filesystem[one]]["filesystem"] == rest.split(" ")[0].partition(".")[0]


def _escaped(name: str) -> str:
    for char in "\\\n\t ":
        name = name.replace(char, f"\\{ord(char):03o}")
    return name


def test_what_is_on_a_mount_is_known_of_a_whole_machine(tmp_path: Path) -> None:
    with maker(tmp_path, "os.open(place, 0); os.chdir(place)"):
        snapshot = collect(None, source="kernel")
    names = named(snapshot, "MOUNT")
    table = snapshot.tables["relations"]
    rows = [row for row in range(len(table)) if table.value("relation", row) == "on-mount"]
    on = {
        (table.value("left_kind", row), table.value("left_role", row))
        for row in rows
        if names[int(table["right"][row])] == str(tmp_path)
    }
    assert on == {("FILE", None), ("FS", "cwd")}


def test_a_detached_mount_is_kept_by_what_is_on_it(tmp_path: Path) -> None:
    then = "os.open(place, 0); os.chdir(place + b'/inner'); do(libc.umount2(place, 2))"
    with maker(tmp_path, then) as pid:
        snapshot = collect(None, source="kernel")
        border = collect(pid, source="kernel")
    told, names = facts(snapshot), named(snapshot, "MOUNT")
    (by_file,) = (m for _, m in edges(snapshot, "f_path.mnt") if names[m] == "(detached tmpfs)")
    (by_cwd,) = (m for _, m in edges(snapshot, "pwd.mnt") if names[m] == "(detached tmpfs)")
    assert by_file != by_cwd
    assert told[by_file]["detached"] == told[by_cwd]["detached"] == 1
    assert (told[by_file]["mounts"], told[by_cwd]["mounts"]) == ("/", "/inner")
    assert (
        dict(edges(snapshot, "superblock"))[by_file] == dict(edges(snapshot, "superblock"))[by_cwd]
    )
    assert "on-mount" not in {
        border.tables["relations"].value("relation", row)
        for row in range(len(border.tables["relations"]))
    }
