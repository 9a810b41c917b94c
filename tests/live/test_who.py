"""who and census on the real machine: every holder of what the fixtures make."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

import fixtures

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.live, pytest.mark.bpf]


def cranalyze(*arguments: str) -> tuple[int, str]:
    """Run the command line; return its exit code and what it prints."""
    command = [sys.executable, "-m", "analyzer", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout


def held(*asked: str) -> list[dict[str, Any]]:
    """The objects that were asked for, all of which there are."""
    code, said = cranalyze("who", *asked, "--json")
    assert code == 0
    return [one for answer in json.loads(said)["answers"] for one in answer["held"]]


def leaves(node: dict[str, Any]) -> set[int]:
    """The tasks at the end of all chains."""
    found = {node["tid"]} if node.get("tid") else set()
    return found.union(*(leaves(above) for above in node["by"]))


def test_a_shared_descriptor_names_both_sides() -> None:
    with fixtures.start("fork-file") as running:
        pid = running.info["root"]
        slot = running.info["expect"][0]["match"]["slot"]
        (file,) = held(f"{pid}:{slot}")
        assert (file["kind"], file["refcount"], file["named"]) == ("FILE", 2, 2)
        assert leaves(file) == {pid, *running.info["outside"]}
        code, said = cranalyze("who", f"{pid}:{slot}")
        assert code == 0
        assert f"({running.info['outside'][0]})" in said
        assert f": fd {slot}" in said


def test_a_namespace_without_a_task_names_the_bind_mount_that_keeps_it() -> None:
    with fixtures.start("bind-empty") as running:
        asked = running.info["notes"].split()[0]  # net:[N]
        (namespace,) = held(asked)
        assert namespace["kind"] == "NET_NS"
        assert namespace["refcount"] == namespace["named"]
        text = json.dumps(namespace)
        assert '"association": "bind"' in text
        assert '"kind": "MOUNT"' in text
        code, said = cranalyze("who", asked)
        assert code == 0
        assert "bind mount of it" in said


def test_parts_of_a_process_paths_and_pipes(tmp_path: Path) -> None:
    path = tmp_path / "held"
    path.write_text("x")
    read, write = os.pipe()
    with path.open() as file:
        pid = os.getpid()
        (mm,) = held(f"{pid}:mm")
        assert mm["kind"] == "MM"
        assert pid in leaves(mm)
        (opened,) = held(str(path))
        assert (opened["name"], opened["refcount"]) == (str(path), 1)
        assert opened["by"][0]["slot"] == file.fileno()
        ends = held(f"pipe:[{os.fstat(read).st_ino}]")
        assert {end["by"][0]["slot"] for end in ends} >= {read, write}
    os.close(read)
    os.close(write)


def test_directories_and_mount_points_are_held_without_being_open(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path) as process:
        code, said = cranalyze("who", str(tmp_path))
        process.kill()
    assert code == 0
    assert f"working directory: sleep ({process.pid})" in said
    code, said = cranalyze("who", "/proc")
    assert code == 0
    assert "mounted at /proc in mnt:[" in said


@pytest.mark.parametrize("asked", ["pipe:[1]", "net:[1]", "/no/such/path", "4194303:7"])
def test_what_is_not_there_is_said_and_exits_with_1(asked: str) -> None:
    code, said = cranalyze("who", asked)
    assert (code, said) == (1, f"{asked}: no such object\n")


@pytest.mark.parametrize("asked", ["frob:[1]", "1:frob"])
def test_what_names_no_object_is_a_usage_error(asked: str) -> None:
    assert cranalyze("who", asked)[0] == 2


def test_the_census_names_every_reference_of_a_quiet_machine() -> None:
    """FILE, tables, memories, sets of namespaces, and all namespaces but the initial ones."""
    kinds = {"FILE", "FILE_TABLE", "FS", "SIGHAND", "MM", "NSPROXY", "UTS_NS", "IPC_NS", "MNT_NS",
             "NET_NS", "PID_NS", "USER_NS", "CGROUP_NS", "TIME_NS", "PIPE", "SOCKET"}  # fmt: skip
    with fixtures.start("contained"), fixtures.start("scm"):
        # Other programs run meanwhile: this asks for one quiet moment.
        census, wrong = counted(kinds)
        for _ in range(9):
            if not wrong:
                break
            time.sleep(0.3)
            census, wrong = counted(kinds)
    assert wrong == []
    keys = {"kind", "objects", "refcount", "named", "unnamed", "unstable"}
    assert all(keys <= set(kind) for kind in census["kinds"])
    assert kinds <= {kind["kind"] for kind in census["kinds"]}


def counted(kinds: set[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Take a census; return it, and what is not even of these kinds."""
    code, said = cranalyze("census", "--json")
    assert code == 0
    census = json.loads(said)
    wrong = [
        one for one in census["residual"]
        if one["stable"] and not one["initial"] and one["kind"] in kinds
    ]  # fmt: skip
    return census, wrong
