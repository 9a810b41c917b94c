"""The procfs source, and dumps of /proc, on real processes; most of them without privilege."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import fixtures
from analyzer.check import leaks
from analyzer.core.errors import BadInputError, TargetVanishedError
from analyzer.core.model import Rules
from analyzer.procfs.archive import open_dump
from analyzer.procfs.fs import ProcFs
from analyzer.sources import collect, procdump, procfs, replay
from tests.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.snapshot.value import Snapshot

pytestmark = pytest.mark.live

REPOSITORY: Final = Path(__file__).parents[2]


def judged(snapshot: Snapshot, pid: int) -> Graph:
    return Graph(snapshot, leaks.check(snapshot, pid, Rules.MODERN))


def rows(snapshot: Snapshot, table: str) -> list[dict[str, Any]]:
    return [snapshot.tables[table].row(i) for i in range(len(snapshot.tables[table]))]


@contextmanager
def running(code: str) -> Iterator[int]:
    """Run some Python in a process of its own; it prints a line when it is ready."""
    command = [sys.executable, "-I", "-S", "-c", code]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


WAIT = "print('ready', flush=True); import sys; sys.stdin.read()"


@pytest.mark.needs("kcmp")
def test_a_dump_replays_to_the_same_snapshot(tmp_path: Path) -> None:
    out = tmp_path / "d.tar"
    with fixtures.start("fork-file") as scene:
        pid = scene.info["root"]
        procdump.dump(pid, out)
        live = procfs.collect(pid)
    again = replay.collect(out, pid)
    for table in ("objects", "references"):
        here = [row for row in rows(live, table) if row.get("holder") != os.getpid()]
        assert _of_subtree(rows(again, table)) == _of_subtree(here)
    for key in ("kernel", "boot_id", "host", "machine"):
        assert again.meta[key] == live.meta[key]
    assert again.meta["subject"] == live.meta["subject"]
    assert os.listdir(tmp_path) == ["d.tar"]
    with tarfile.open(out) as tar:
        names = tar.getnames()
    assert not [n for n in names if n.endswith(("cmdline", "environ", "mem"))]


def _of_subtree(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # Who else is in the host's namespaces, and what is mounted there, changes at any moment.
    others = {"cred.user_ns", "pid", "nsproxy.mnt", "mount"}
    return [
        row for row in table if row.get("association") not in others and row.get("kind") != "MOUNT"
    ]


def test_a_dump_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="there is no folder"):
        procdump.dump(os.getppid(), tmp_path / "no" / "d.tar")
    with pytest.raises(TargetVanishedError):
        procdump.dump(2**22 + 5, tmp_path / "d.tar")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("shell", ["dash", "bash", "mksh", "busybox"])
@pytest.mark.parametrize("out", ["dump", "-rf dump"])
def test_the_script_makes_a_dump(
    shell: str, out: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("require")(f"tool:{shell}", "tool:tar")
    with fixtures.start("hostile") as scene:
        pid = scene.info["root"]
        proc = _only(tmp_path, [pid, os.getpid(), *scene.info["outside"]])
        ran = _script(shell, tmp_path, proc, "-o", out)
        live = rows(procfs.collect(pid), "objects")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == b""
    left = [name for name in os.listdir(tmp_path) if name != "tools"]
    assert sorted(left) == sorted([out, "proc", "procdump.sh"])
    told = replay.collect(tmp_path / out, pid)
    # Whoever started what it saw is not in a /proc of a few processes.
    unplaced = "whom it descends from, which was not read"
    assert not [row for row in rows(told, "gaps") if unplaced not in row["where"]]
    shown = ("kind", "name", "ino", "pos", "flags", "mnt_id", "dev")
    # A shell cannot tell of what type a file is, nor which mount a directory is on.
    ends = {"INODE", "MNT_NS", "MOUNT"}
    mine = [{k: row[k] for k in shown} for row in rows(told, "objects") if row["kind"] not in ends]
    assert mine == [{k: row[k] for k in shown} for row in live if row["kind"] not in ends]
    assert told.meta["host"] == os.uname().nodename
    assert _script(shell, tmp_path, proc, "-o", out).returncode == 2  # it exists


def test_the_script_writes_a_stream_that_check_reads(tmp_path: Path) -> None:
    with running(WAIT) as pid:
        proc = _only(tmp_path, [pid, os.getpid()])
        ran = _script("sh", tmp_path, proc, "-p", str(pid))
    assert ran.returncode == 0, ran.stderr
    command = [sys.executable, "-m", "analyzer", "check", "--json", "--proc", "-", str(pid)]
    told = subprocess.run(command, input=ran.stdout, capture_output=True, check=False,
                          cwd=REPOSITORY)  # fmt: skip
    assert told.returncode in {3, 16}, told.stderr
    assert json.loads(told.stdout)["subject"]["pid"] == pid
    code = rb"(?m)^%d/maps:\S+ r-xp "
    assert re.search(code % pid, ran.stdout)
    assert not re.search(code % os.getpid(), ran.stdout)
    cut = subprocess.run(command, input=ran.stdout[:-40], capture_output=True, check=False,
                         cwd=REPOSITORY)  # fmt: skip
    assert cut.returncode in {3, 16}, cut.stderr
    assert "cut short" in cut.stdout.decode()
    assert _script("sh", tmp_path, proc, "-p", "999999999").returncode == 1


@pytest.mark.needs("kcmp")
@pytest.mark.parametrize("tool", ["perl", "python3"])
@pytest.mark.parametrize("scene", ["fork-file", "clone-files", "threads-tables"])
def test_the_script_asks_what_is_shared(
    tool: str, scene: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("require")(f"tool:{tool}")
    if tool == "python3":
        _plain_python(tmp_path)
    with fixtures.start(scene) as started:
        pid = started.info["root"]
        proc = _only(tmp_path, [pid, *started.info["outside"]])
        ran = _script("sh", tmp_path, proc, KCMP=tool)
        live = procfs.collect(pid)
    assert f"\n### identities {tool}\n".encode() in ran.stdout
    (tmp_path / "dump").write_bytes(ran.stdout)
    assert not open_dump(tmp_path / "dump").skipped
    told = replay.collect(tmp_path / "dump", pid)
    assert told.meta["source"]["capabilities"]["identity"]
    assert _shared(told, pid) == _shared(live, pid)


@pytest.mark.needs("root", "tool:ss", "tool:nsenter")
def test_the_script_tells_who_is_connected(tmp_path: Path) -> None:
    with fixtures.start("unix-peer") as started:
        pid = started.info["root"]
        proc = _only(tmp_path, [pid, *started.info["outside"]])
        ran = _script("sh", tmp_path, proc)
    (tmp_path / "dump").write_bytes(ran.stdout)
    _is_connected(replay.collect(tmp_path / "dump", pid), pid)


@pytest.mark.needs("tool:ss")
def test_the_script_tells_anybody_who_is_connected_where_he_is(tmp_path: Path) -> None:
    near, far = socket.socketpair()
    with near, far, subprocess.Popen(["sleep", "60"], stdin=far.fileno()) as process:
        try:
            far.close()
            proc = _only(tmp_path, [process.pid, os.getpid()])
            ran = _script("sh", tmp_path, proc)
        finally:
            process.kill()
    (tmp_path / "dump").write_bytes(ran.stdout)
    _is_connected(replay.collect(tmp_path / "dump", process.pid), process.pid)


def _is_connected(told: Snapshot, pid: int) -> None:
    """Assert that a socket of a process is held by one that it is connected to."""
    assert told.meta["source"]["inventory"]["sock_diag"] == "ss"
    held = [row for row in rows(told, "references") if row["association"] == "peer"]
    assert {row["holder_kind"] for row in held} == {"SOCKET"}
    assert [row for row in rows(told, "relations") if row["relation"] == "unix-peer"]
    assert "usage_leak" in {judged(told, pid).verdict(row["target"]) for row in held}


def test_where_nobody_asks_kcmp_the_script_reads_twice(tmp_path: Path) -> None:
    """So that an offset that did not move tells two files apart."""
    with fixtures.start("fork-file") as started:
        pid, (outside,) = started.info["root"], started.info["outside"]
        proc = _only(tmp_path, [pid, outside])
        ran = _script("sh", tmp_path, proc, KCMP="none")
    (tmp_path / "dump").write_bytes(ran.stdout)
    dump = open_dump(tmp_path / "dump")
    (fd,) = {e["match"]["slot"] for e in started.info["expect"] if e["kind"] == "FILE"}
    path = f"{pid}/fdinfo/{fd}"
    assert dump.read(dump.again(path)) == dump.read(path)
    told = rows(replay.collect(tmp_path / "dump", pid), "relations")
    files = [row for row in told if (row["relation"], row["left_kind"]) == ("alike", "FILE")]
    assert {row["left_role"] for row in files} <= {"like", "still"}
    assert files


def _plain_python(folder: Path) -> None:
    """Let `python3` be ours: it may be a script that starts another."""
    (folder / "tools").mkdir(exist_ok=True)
    (folder / "tools/python3").symlink_to(sys.executable)


def _shared(snapshot: Snapshot, pid: int) -> set[tuple[Any, ...]]:
    """Return what the subtree holds by tasks and descriptors, with the verdict on it."""
    graph = judged(snapshot, pid)
    inside = {
        row["tid"]
        for row, side in zip(rows(snapshot, "tasks"), graph.verdicts.border.task_side, strict=True)
        if side == 0
    }
    kinds = {"FILE_TABLE", "MM", "FS", "SIGHAND"}
    held = {
        (row["association"], row["holder"], row["target"])
        for row in rows(snapshot, "references")
        if row["holder_kind"] == "TASK" and row["holder"] in inside
    }
    tables = {target for _, _, target in held}
    names = rows(snapshot, "objects")
    found = {
        (name, tid, graph.verdict(target))
        for name, tid, target in held
        if names[target - 1]["kind"] in kinds
    }
    return found | {
        ("fd", row["slot"], graph.verdict(row["target"]))
        for row in rows(snapshot, "references")
        if row["association"] == "fd" and row["holder"] in tables
    }


def test_what_is_not_a_dump_on_stdin_is_said() -> None:
    command = [sys.executable, "-m", "analyzer", "check", "--proc", "-", "1"]
    ran = subprocess.run(command, input=b"hello\n", capture_output=True, check=False,
                         cwd=REPOSITORY)  # fmt: skip
    assert ran.returncode == 2
    assert b"stdin: not a dump of /proc" in ran.stderr


def _only(folder: Path, pids: list[int]) -> Path:
    """Make a /proc of a few processes, so that the script has done soon."""
    (folder / "proc").mkdir()
    for name in (*map(str, pids), "sys", "self"):
        (folder / "proc" / name).symlink_to(f"/proc/{name}")
    return folder / "proc"


TOOLS: Final = ("sh", "grep", "ls", "tar", "cat", "uname", "date", "id")


def _script(
    shell: str, folder: Path, proc: Path, *words: str, **more: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the script; busybox has tools of its own for all that it needs."""
    (folder / "procdump.sh").write_text(procdump.script())
    env = {**os.environ, "PROC": str(proc), **more}
    env["PATH"] = f"{folder / 'tools'}:{env['PATH']}"
    if shell == "busybox":
        env["PATH"] = str(folder / "tools")
        (folder / "tools").mkdir(exist_ok=True)
        for name in TOOLS:
            link = folder / "tools" / name
            link.unlink(missing_ok=True)
            link.symlink_to(shutil.which("busybox") or "")
    command = ["sh" if shell == "busybox" else shell, "procdump.sh", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False)


def test_the_script_tells_threads_of_their_own_tables(tmp_path: Path) -> None:
    with fixtures.start("threads-tables") as scene:
        pid = scene.info["root"]
        ran = _script("sh", tmp_path, _only(tmp_path, [pid]), "-o", "dump")
        live = procfs.collect(pid)
    assert ran.returncode == 0, ran.stderr
    told = replay.collect(tmp_path / "dump", pid)
    held = [
        [row["holder"] for row in rows(snapshot, "references") if row["association"] == "files"]
        for snapshot in (told, live)
    ]
    assert held[0] == held[1]
    assert _tables(told) == _tables(live) > 1


def _tables(snapshot: Snapshot) -> int:
    return sum(row["kind"] == "FILE_TABLE" for row in rows(snapshot, "objects"))


def test_the_script_touches_nothing_that_a_link_leads_to(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("kept")
    target.chmod(0o640)
    before = target.stat()
    with target.open("rb"):
        ran = _script("sh", tmp_path, _only(tmp_path, [os.getpid()]))
    assert ran.returncode == 0, ran.stderr
    after = target.stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_nlink) == (
        before.st_mode,
        before.st_mtime_ns,
        before.st_nlink,
    )
    (tmp_path / "dump").write_bytes(ran.stdout)
    links = open_dump(tmp_path / "dump").links(f"{os.getpid()}/fd")
    assert list(links.targets).count(str(target)) == 1


UNPRIVILEGED = """
import ctypes, json, os, signal, sys
sys.path.insert(0, sys.argv[1])
from analyzer.sources import procfs
procfs.collect(os.getppid())  # imports all: another user may not be able to
os.setgroups([]); os.setgid(65534); os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: setuid cleared it
shared = os.open("/dev/null", os.O_RDONLY)
child = os.fork()
if not child:
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG
    signal.pause()
if os.fork() == 0:
    snapshot = procfs.collect(child)
    gaps = snapshot.tables["gaps"]
    print(json.dumps({
        "child": child, "shared": shared, "parent": os.getppid(),
        "fds": [[int(h), int(t), int(s)] for h, t, s, a in zip(*(
            snapshot.tables["references"][c] for c in ("holder", "target", "slot")),
            snapshot.tables["references"].words("association")) if a == "fd"],
        "gaps": [gaps.row(i) for i in range(len(gaps))],
        "incomplete": snapshot.meta["incomplete"],
        "all": snapshot.meta["source"]["capabilities"]["all_processes"],
    }), flush=True)
    os._exit(0)
os.wait()
os.kill(child, 9)
os.wait()
"""


@pytest.mark.needs("root", "kcmp")
def test_without_privilege_ones_own_processes_are_read() -> None:
    command = [sys.executable, "-c", UNPRIVILEGED, str(REPOSITORY)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    tables = [table for table, _, slot in told["fds"] if slot == told["shared"]]
    files = {file for _, file, slot in told["fds"] if slot == told["shared"]}
    assert len(tables) > 1, "the parent's descriptor is seen"
    assert len(files) == 1, "and known to be the same file"
    assert not told["incomplete"]
    assert not told["all"]
    fds = [gap for gap in told["gaps"] if gap["where"].endswith("open files")]
    assert len(fds) == 1
    assert fds[0]["where"].partition(" ")[0].replace(",", "").isdigit() or fds[0][
        "where"
    ].startswith("pid ")
    assert fds[0]["errno"] == 13


@pytest.mark.needs("root")
def test_a_subject_that_may_not_be_read_is_incomplete() -> None:
    code = (
        "import os, sys, json; sys.path.insert(0, sys.argv[1]);"
        "from analyzer.sources import procfs;"
        "procfs.collect(os.getppid()); os.setgroups([]);"
        "os.setgid(65534); os.setuid(65534);"
        "s = procfs.collect(int(sys.argv[2]));"
        "print(json.dumps([s.meta['incomplete'], len(s.tables['gaps'])]))"
    )
    with running(WAIT) as pid:
        command = [sys.executable, "-c", code, str(REPOSITORY), str(pid)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
    incomplete, gaps = json.loads(ran.stdout)
    assert incomplete
    assert gaps >= 3


@pytest.mark.needs("kcmp")
def test_threads_are_one_holder_each_of_one_table() -> None:
    code = (
        "import threading; [threading.Thread(target=threading.Event().wait, daemon=True).start()"
        f" for _ in range(5)]; {WAIT}"
    )
    with running(code) as pid:
        graph = judged(procfs.collect(pid), pid)
        tids = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    for association in ("files", "fs", "mm", "sighand"):
        held = {graph.find({"tid": tid, "association": association}) for tid in tids}
        assert len(held) == 1
        (objref,) = held
        assert objref is not None
        assert graph.verdicts.users[objref - 1] == 6


def test_a_thread_and_a_stranger_are_no_subject() -> None:
    code = (
        "import threading; t = threading.Thread(target=threading.Event().wait, daemon=True);"
        f"t.start(); {WAIT}"
    )
    with running(code) as pid:
        tid = next(int(t) for t in os.listdir(f"/proc/{pid}/task") if int(t) != pid)
        with pytest.raises(BadInputError, match=f"thread of process {pid}"):
            procfs.collect(tid)
    with pytest.raises(TargetVanishedError):
        procfs.collect(pid)


def test_the_observer_is_marked_wherever_it_is() -> None:
    snapshot = procfs.collect(os.getppid())
    marked = {row["tgid"] for row in rows(snapshot, "tasks") if row["observer"]}
    assert marked == {os.getpid()}


def test_a_subject_that_ends_meanwhile_has_vanished() -> None:
    with running(WAIT) as pid:

        def kill_at(phase: str) -> None:
            if phase == "mappings":
                os.kill(pid, signal.SIGKILL)
                os.waitid(os.P_PID, pid, os.WEXITED)

        with pytest.raises(TargetVanishedError, match="ended while it was read"):
            procfs.collect(pid, progress=kill_at)


def test_a_child_that_is_born_meanwhile_is_a_gap() -> None:
    code = (
        "import os, sys; print('ready', flush=True); sys.stdin.read(1); pid = os.fork();"
        "pid and print(pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, bufsize=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout
        assert stdout.readline()
        children: list[int] = []

        def fork_at(phase: str) -> None:
            if phase == "mappings":
                stdin.write(b"x")
                children.append(int(stdout.readline()))

        snapshot = procfs.collect(process.pid, progress=fork_at)
        process.kill()
        os.kill(children[0], signal.SIGKILL)
    assert snapshot.meta["incomplete"]
    late = f"pid {process.pid}: a child that started while it was read"
    assert late in [row["where"] for row in rows(snapshot, "gaps")]


def test_a_dump_is_made_again_where_somebody_came_meanwhile() -> None:
    born: list[int] = []

    def bear(step: str) -> None:
        if step != "tasks" and not born:  # who was there before the first step is in any case
            # Nobody's child: what the one who looks has started is no stranger.
            said = subprocess.check_output(["sh", "-c", "sleep 60 >/dev/null & echo $!"])
            born.append(int(said))

    with running("import time; print(flush=True); time.sleep(60)") as pid:
        try:
            entries = procdump.record(pid, progress=bear)
        finally:
            for child in born:
                os.kill(child, signal.SIGKILL)
    assert f"{born[0]}/status" in entries


def test_a_proc_of_elsewhere_is_not_asked_by_kcmp(tmp_path: Path) -> None:
    (tmp_path / str(os.getppid())).symlink_to(f"/proc/{os.getppid()}")
    snapshot = procfs.collect(os.getppid(), proc=ProcFs(tmp_path))
    assert not snapshot.meta["source"]["capabilities"]["identity"]
    assert any("kcmp(2)" in note for note in snapshot.meta["source"]["notes"])


@pytest.mark.needs("kcmp")
@pytest.mark.parametrize("proc", ["/proc", "/"])
def test_a_proc_that_runs_is_read_as_it_is(proc: str) -> None:
    with running(WAIT) as pid:
        snapshot = collect(pid, proc=Path(proc))
        graph = judged(snapshot, pid)
        stdin = graph.find({"tid": pid, "association": "fd", "slot": 0})
    assert snapshot.meta["source"]["name"] == "procfs"
    assert snapshot.meta["source"]["capabilities"]["identity"]
    assert stdin is not None


ELSEWHERE = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from analyzer.sources import collect
snapshot = collect(int(sys.argv[3]), proc=Path(sys.argv[2]))
print(snapshot.meta["source"]["name"], snapshot.meta["source"]["capabilities"]["identity"])
"""


@pytest.mark.needs("root")
def test_the_proc_of_another_pid_namespace_is_read_without_kcmp(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    inner = ["unshare", "-p", "-f", sys.executable, "-c", ELSEWHERE, str(REPOSITORY), str(tmp_path)]
    mount = f"mount --bind /proc {shlex.quote(str(tmp_path / 'proc'))} && exec {{}}"
    with running(WAIT) as pid:
        command = mount.format(shlex.join([*inner, str(pid)]))
        ran = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True,
                             text=True, check=False)  # fmt: skip
    assert ran.stdout.split() == ["procfs", "False"], ran.stderr


def test_the_host_is_read_in_full() -> None:
    with running(WAIT) as pid:
        snapshot = procfs.collect(None)
        graph = judged(procfs.collect(pid, scope="host"), pid)
    tables = [row for row in rows(snapshot, "references") if row["association"] == "files"]
    assert {pid, os.getpid()} <= {row["holder"] for row in tables}
    assert snapshot.meta["scope"] == "host"
    assert graph.find({"tid": os.getpid(), "association": "mm"}) is not None
