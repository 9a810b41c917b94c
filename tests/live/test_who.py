"""who and census on the real machine: every holder of what the fixtures make."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import fixtures
from analyzer.core.errors import EXIT_UNDECIDED
from tests import own
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    assert f"sleep ({process.pid})" in said
    assert ": working directory" in said
    code, said = cranalyze("who", "/proc")
    assert code == 0
    assert "mounted at /proc in " in said


def answered(word: str) -> tuple[int, str]:
    """Ask until nothing was missed: where neighbours come and go meanwhile, that is said (3)."""
    code, said = cranalyze("who", word)
    for _ in range(5):
        if code != EXIT_UNDECIDED:
            break
        code, said = cranalyze("who", word)
    return code, said


@pytest.mark.parametrize("asked", ["pipe:[1]", "net:[1]", "/no/such/path", "4194303:7"])
def test_what_is_not_there_is_said_and_exits_with_1(asked: str) -> None:
    code, said = answered(asked)
    assert (code, said.splitlines()[0]) == (1, f"{asked}: no such object")


@pytest.mark.parametrize("asked", ["frob:[1]", "1:frob"])
def test_what_names_no_object_is_a_usage_error(asked: str) -> None:
    assert cranalyze("who", asked)[0] == 2


def test_a_file_that_nobody_has_is_there_and_free(tmp_path: Path) -> None:
    (tmp_path / "free").touch()
    code, said = answered(str(tmp_path / "free"))
    assert code == 0
    assert said.split() == f"{tmp_path}/free: it is there, and nobody holds it".split()


def test_both_ends_of_a_pipe_and_which_is_which() -> None:
    read, write = os.pipe()
    with subprocess.Popen(["sleep", "60"], stdout=write) as process:
        os.close(write)
        (mine, other) = held(f"{os.getpid()}:{read}")
        process.kill()
    os.close(read)
    assert (mine["part"], mine["role"]) == ("", "the reading end")
    assert (other["part"], other["role"]) == ("other end", "the writing end")
    assert leaves(other) == {process.pid}


def test_a_terminal_leads_to_its_master_though_nobody_has_it_open() -> None:
    master, slave = os.openpty()
    name = os.ttyname(slave)
    os.close(slave)
    code, said = cranalyze("who", name)
    other_code, of_master = cranalyze("who", f"{os.getpid()}:{master}")
    os.close(master)
    assert code == other_code == 0
    assert f"({os.getpid()})" in said.splitlines()[0]
    assert f"the master of {name}" in of_master


def test_a_deleted_file_is_found_by_the_name_that_it_had(tmp_path: Path) -> None:
    path = tmp_path / "a file\x1b[31m"
    with path.open("w"):
        path.unlink()
        code, said = cranalyze("who", str(path))
    assert code == 0
    assert f"({os.getpid()})" in said
    assert "\x1b" not in said
    assert cranalyze("who", str(path))[0] == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_a_mount_namespace_without_a_process_is_followed_to_who_keeps_it(tmp_path: Path) -> None:
    point, ready = tmp_path / "m", tmp_path / "ready"
    point.mkdir()
    script = f"mount -t tmpfs none {point} && touch {ready} && exec sleep 60"
    with subprocess.Popen(["unshare", "-m", "sh", "-c", script]) as process:
        while not ready.exists() and process.poll() is None:
            os.sched_yield()
        keeper = os.open(f"/proc/{process.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        number = os.fstat(keeper).st_ino
        (tmp_path / "in").symlink_to(f"/proc/{process.pid}/root{point}")
        _, lived = cranalyze("who", str(point))
        process.kill()
    code, said = cranalyze("who", str(point))
    os.close(keeper)
    assert f"({process.pid})" in lived
    assert code == 0
    assert f"({os.getpid()})" in said
    assert f"mnt:[{number}], in which there is no process" in " ".join(said.split())


def test_a_zombie_is_told_with_who_has_not_waited_for_it() -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        code, said = cranalyze("who", str(process.pid))
    assert code == 0
    assert f"({os.getpid()}) has not waited for it" in " ".join(said.split())


def test_a_lock_is_told_with_its_owner(tmp_path: Path) -> None:
    with (tmp_path / "locked").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        descriptor = file.fileno()
        _, said = cranalyze("who", str(tmp_path / "locked"))
    assert f"its fd {descriptor} has the lock (FLOCK)" in said
    assert f"flock (write) held by {Path('/proc/self/comm').read_text().strip()}" in said


def test_the_members_of_a_cgroup_and_below() -> None:
    mounted = Path("/proc/self/mountinfo").read_text()
    root = next((line.split()[4] for line in mounted.splitlines() if " cgroup2 " in line), None)
    if root is None or not os.access(root, os.W_OK):
        pytest.skip("no cgroups of ours")
    group = Path(root) / f"cranalyze-{os.getpid()}" / "below"
    group.mkdir(parents=True)
    try:
        with subprocess.Popen(["sleep", "60"]) as process:
            (group / "cgroup.procs").write_text(str(process.pid))
            code, said = cranalyze("who", str(group.parent))
            process.kill()
        assert code == 0
        assert f"sleep ({process.pid})" in said
        assert cranalyze("who", str(group))[0] == 0, (
            "free, and whose BPF programs are attached can be told"
        )
        code, said = cranalyze("who", str(group.parent))
        assert code == 0
        assert "cgroup below it" in " ".join(said.split())
    finally:
        group.rmdir()
        group.parent.rmdir()


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
    assert str(point) in {node["name"] for one in answer["held"] for node in one["by"]}


def test_a_file_below_a_dead_mount_is_answered_in_time(dead_mount: tuple[Path, int]) -> None:
    code, said = cranalyze("who", str(dead_mount[0] / "file"))
    assert code == 3
    assert "does not answer" in " ".join(said.split())


def test_words_of_stdin_with_blanks_newlines_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    names = [os.fsencode(tmp_path) + name for name in (b"/a b\nc", b"/\xff", b"/free")]
    fds = [os.open(name, os.O_RDWR | os.O_CREAT) for name in names]
    os.close(fds.pop())
    ran = subprocess.run(
        [sys.executable, "-m", "analyzer", "who", "--json", "-"],
        input=b"\0".join([*names, b"frob:[1]"]), capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    for fd in fds:
        os.close(fd)
    said = json.loads(ran.stdout)
    assert (ran.returncode, len(said["errors"])) == (2, 1)
    assert [answer["outcome"] for answer in said["answers"]] == ["held", "held", "nobody holds it"]
    assert said["answers"][1]["asked"].endswith("/\\xff")


def test_a_snapshot_of_the_machine_answers_as_the_machine_did(tmp_path: Path) -> None:
    file = str(tmp_path / "host.crz")
    with fixtures.start("fork-file") as running:
        pid, slot = running.info["root"], running.info["expect"][0]["match"]["slot"]
        assert cranalyze("collect", "--scope", "host", "-o", file)[0] == 0
        dump = str(tmp_path / "dump.tar")
        assert cranalyze("procdump", str(pid), "-o", dump)[0] == 0
    code, said = cranalyze("who", "--from", file, f"{pid}:{slot}")
    assert code == 0
    assert f"({running.info['outside'][0]})" in said
    assert cranalyze("who", "--from", file, "net:[1]", "/no/such")[0] == 3
    assert cranalyze("census", "--from", file)[0] == 0
    assert cranalyze("who", "--proc", dump, f"{pid}:{slot}")[0] == 0
    assert cranalyze("census", "--proc", dump)[0] == 3
