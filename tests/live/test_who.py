"""who and census on the real machine: every holder of what the fixtures make."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import fixtures
from tests import own
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Iterator
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


def test_the_census_names_every_reference_of_what_we_made() -> None:
    """FILE, tables, memories, sets of namespaces, and all namespaces but the initial ones."""
    kinds = {"FILE", "FILE_TABLE", "FS", "SIGHAND", "MM", "NSPROXY", "UTS_NS", "IPC_NS", "MNT_NS",
             "NET_NS", "PID_NS", "USER_NS", "CGROUP_NS", "TIME_NS", "PIPE", "SOCKET"}  # fmt: skip
    with fixtures.start("contained") as one, fixtures.start("scm") as other:
        code, said = cranalyze("census", "--json")
        assert own.uneven([one.info["root"], other.info["root"]], kinds) == []
    assert code == 0
    census = json.loads(said)
    keys = {"kind", "objects", "refcount", "named", "unnamed", "unstable"}
    assert each(keys <= set(kind) for kind in census["kinds"])
    assert kinds <= {kind["kind"] for kind in census["kinds"]}


FUSE = """
import ctypes, os, struct, sys
fd = os.open("/dev/fuse", os.O_RDWR)
data = f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode()
if ctypes.CDLL(None).mount(b"dead", sys.argv[1].encode(), b"fuse", 0, data):
    sys.exit("mount")
print("mounted", flush=True)
while True:
    ask = os.read(fd, 1 << 20)
    size, op, unique, node = struct.unpack_from("=IIQQ", ask)
    out = b""
    if op == 26:  # FUSE_INIT
        out = struct.pack("=IIIIHHIIHHIIIIIIII", 7, 31, 0, 0, 16, 12, 4096, 1, 1, *[0] * 9)
    elif op == 3:  # FUSE_GETATTR: a folder, whose attributes are to be asked for every time
        out = struct.pack("=2Q6Q10I", 0, 0, 1, *[0] * 8, 0o40755, 2, *[0] * 5)
    os.write(fd, struct.pack("=IiQ", 16 + len(out), 0 if out else -38, unique) + out)
"""


@pytest.fixture
def dead_mount(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """Mount a filesystem whose server is stopped; return the mount point, and who is in it."""
    if not os.path.exists("/dev/fuse"):
        pytest.skip("there is no FUSE")
    point = tmp_path / "dead"
    point.mkdir()
    server = subprocess.Popen([sys.executable, "-c", FUSE, str(point)], stdout=subprocess.PIPE)
    inside = None
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"mounted\n"
        inside = subprocess.Popen(["sleep", "100"], cwd=point)
        os.kill(server.pid, signal.SIGSTOP)
        yield point, inside.pid
    finally:
        server.kill()  # ends the connection, and every wait for it
        server.communicate()
        if inside is not None:
            inside.kill()
            inside.wait()
        subprocess.run(["umount", "-l", str(point)], check=False, timeout=10)


def test_a_mount_point_whose_server_is_dead_is_answered(dead_mount: tuple[Path, int]) -> None:
    point, inside = dead_mount
    code, said = cranalyze("who", str(point), "--json")
    assert code == 0
    (answer,) = json.loads(said)["answers"]
    places = {(place["what"].split(" at ")[0], place["pid"]) for place in answer["places"]}
    assert ("working directory", inside) in places or inside in answer["silent"]
    assert "mounted" in {what for what, _ in places}


def test_a_file_below_a_dead_mount_is_refused_in_time(dead_mount: tuple[Path, int]) -> None:
    command = [sys.executable, "-m", "analyzer", "who", str(dead_mount[0] / "file")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "does not answer" in done.stderr
