"""What tools print, read as dumps of /proc: recordings of two processes with hostile names.

The recordings in tests/data/captures were made of one scene, whose /proc is in truth.json.
"""

from __future__ import annotations

import errno
import gzip
import io
import json
import lzma
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.check import leaks
from analyzer.core.errors import BadInputError
from analyzer.core.model import UNKNOWN_PARENT, Rules
from analyzer.procfs import captures, refusals, status
from analyzer.procfs.archive import open_dump
from analyzer.procfs.contents import Contents
from analyzer.report.inventory import inventory_of, words
from analyzer.snapshot import crz
from analyzer.sources import replay
from tests.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.procfs.fs import ProcFs
    from analyzer.snapshot.value import Snapshot

DATA = Path(__file__).parents[1] / "data" / "captures"
TRUTH = json.loads((DATA / "truth.json").read_text())
PARENT, CHILD = TRUTH["parent"], TRUTH["child"]
OPEN = {
    "lsof.txt": "lsof", "lsof-R.txt": "lsof", "lsof-l-c.txt": "lsof", "lsof-F.txt": "lsof -F",
    "lsof-F0.txt": "lsof -F", "lsfd.json": "lsfd -J", "ls.txt": "ls -l",
}  # fmt: skip
TREES = ("ps-ef.txt", "ps-axo.txt", "ps-alxwww.txt")


def copied(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(DATA / name, folder)
    return folder


def opened(fs: ProcFs, pid: int) -> dict[str, str]:
    links = fs.links(f"{pid}/fd")
    return dict(zip(links.names, links.targets, strict=True))


def gaps(snapshot: Snapshot) -> list[str]:
    table = snapshot.tables["gaps"]
    return [table.row(row)["where"] for row in range(len(table))]


def judged(snapshot: Snapshot, pid: int) -> dict[str, str]:
    graph = Graph(snapshot, leaks.check(snapshot, pid, Rules.MODERN))
    kinds = graph.objects.words("kind")
    found = {}
    for row, kind in enumerate(kinds):
        if kind == "PIPE" and graph.objects.known("name")[row]:
            found[graph.objects.value("name", row)] = graph.verdict(row + 1)
    return found


@pytest.mark.parametrize("name", OPEN)
def test_a_capture_shows_what_proc_showed(name: str) -> None:
    fs = open_dump(DATA / name)
    assert list(fs.captures) == [OPEN[name]]
    # lsof says ^[ of an escape, which may be two letters of a name: it is as lsof says it.
    caret = name.startswith("lsof")
    for pid in (PARENT, CHILD):
        real = {
            fd: link.replace("\x1b", "^[") if caret else link
            for fd, link in TRUTH[str(pid)]["fd"].items()
        }
        assert opened(fs, pid) == real
    # A newline in a name cannot be told from a line that is not ls's.
    assert len(fs.damaged) == (2 if name == "ls.txt" else 0)


@pytest.mark.parametrize("name", ["lsfd.json", "ls.txt"])
def test_namespaces_are_those_of_proc(name: str) -> None:
    fs = open_dump(DATA / name)
    for pid in (PARENT, CHILD):
        links = fs.links(f"{pid}/ns")
        assert dict(zip(links.names, links.targets, strict=True)) == TRUTH[str(pid)]["ns"]


@pytest.mark.parametrize("name", ["lsns.json", "lsns.txt"])
def test_lsns_tells_of_one_process_in_each_namespace(name: str) -> None:
    fs = open_dump(DATA / name)
    assert fs.link("2/ns/net") == TRUTH[str(PARENT)]["ns"]["net"]
    cut = name.endswith(".json")
    assert cut or fs.link("25/ns/mnt") == "mnt:[4026531860]"
    assert bool(fs.damaged) == cut


@pytest.mark.parametrize("name", TREES)
def test_ps_tells_the_tree(name: str) -> None:
    fs = open_dump(DATA / name)
    told = status.parse(fs.read(f"{CHILD}/status"), "x")
    assert (told.tgid, told.ppid) == (CHILD, PARENT)
    assert not fs.damaged
    assert not told.kthread


def test_what_lsof_does_not_know_is_not_known() -> None:
    """Of a process whose name has odd brackets lsof says that it has no parent."""
    told = status.parse(open_dump(DATA / "lsof-R.txt").read(f"{CHILD}/status"), "x")
    assert told.ppid == UNKNOWN_PARENT
    assert told.uid is None
    told = status.parse(open_dump(DATA / "lsof-l-c.txt").read(f"{PARENT}/status"), "x")
    assert (told.ppid, told.uid, told.comm) == (UNKNOWN_PARENT, 0, "odd [x")


@pytest.mark.parametrize("name", OPEN)
def test_without_a_tree_nobody_is_a_witness(name: str) -> None:
    snapshot = replay.collect(DATA / name, CHILD)
    assert "usage_leak" not in judged(snapshot, CHILD).values()
    assert snapshot.meta["incomplete"]
    told = inventory_of(snapshot.meta)
    assert told is not None
    assert any(line.startswith("no parents: ") for line in words(told, CHILD)) != (name in {
        "lsof-R.txt", "lsof-F.txt", "lsof-F0.txt"})  # fmt: skip


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("name", OPEN)
def test_with_a_tree_beside_it_a_shared_pipe_is_witnessed(
    name: str, tree: str, tmp_path: Path
) -> None:
    snapshot = replay.collect(copied(tmp_path / "d", name, tree, "lsns.json"), CHILD)
    both, own = TRUTH[str(CHILD)]["fd"]["5"], TRUTH[str(CHILD)]["fd"]["6"]
    found = judged(snapshot, CHILD)
    assert (found[both], found[own]) == ("usage_leak", "unknown")
    assert "contained" not in found.values()
    assert set(snapshot.meta["source"]["inventory"]["captures"]) >= {"ps", "lsns"}


@pytest.mark.parametrize("name", OPEN)
def test_what_is_made_of_a_capture_can_be_kept(name: str) -> None:
    snapshot = replay.collect(DATA / name, CHILD)
    again = crz.unpack(crz.pack(snapshot))
    assert again.meta["source"]["inventory"] == snapshot.meta["source"]["inventory"]
    assert judged(again, CHILD) == judged(snapshot, CHILD)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bytes])
def test_a_capture_may_be_compressed(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(pack((DATA / "lsof.txt").read_bytes()))
    assert opened(open_dump(path), CHILD) == opened(open_dump(DATA / "lsof.txt"), CHILD)


def test_captures_in_an_archive_are_put_together(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        tar.add(copied(tmp_path / "case", "lsof.txt", "ps-ef.txt"), "case")
    fs = open_dump(tmp_path / "x.tar.gz")
    assert set(fs.captures) == {"lsof", "ps"}
    assert status.parse(fs.read(f"{CHILD}/status"), "x").ppid == PARENT


def damaged(text: bytes, tmp_path: Path) -> list[str]:
    path = tmp_path / "x"
    path.write_bytes(text)
    return [str(error) for error in open_dump(path).damaged]


def test_what_is_not_as_it_should_be_is_a_gap_with_its_line(tmp_path: Path) -> None:
    table = (DATA / "lsof.txt").read_bytes()
    last = len(table.splitlines()) + 1
    assert damaged(table + b"what\n", tmp_path)[0].startswith(f"line {last}: ")
    assert "cut short" in damaged(table[:-3], tmp_path)[0]
    fields = (DATA / "lsof-F.txt").read_bytes()
    assert damaged(fields + b"pnone\ncx\n", tmp_path)[0].endswith("expected a process id")
    whole = (DATA / "lsfd.json").read_bytes()
    line, *_ = damaged(whole[: whole.rindex(b'"name"')], tmp_path)
    assert "expected an object in JSON" in line
    assert int(line.split()[1].rstrip(":")) > whole.count(b"\n") - 20
    assert damaged((DATA / "ps-ef.txt").read_bytes() + b"root x\n", tmp_path)
    path = tmp_path / "x"
    path.write_bytes(table + b"what\n" * 9)
    assert any("line" in gap and "(and 8 more)" in gap for gap in gaps(replay.collect(path, CHILD)))


@pytest.mark.parametrize("head", [b"TYPE", b"USER", b"FD", b"NAME"])
def test_a_head_that_is_damaged_is_no_head(head: bytes, tmp_path: Path) -> None:
    text = (DATA / "lsof.txt").read_bytes()
    (tmp_path / "a.txt").write_bytes(text.replace(head, head + b"\xca", 1))
    (tmp_path / "ps.txt").write_bytes((DATA / "ps-ef.txt").read_bytes())
    fs = open_dump(tmp_path)
    assert CHILD in {int(name) for name in fs.listdir("") if name.isdigit()}
    assert not fs.damaged or "expected the heads of lsof's table" in str(fs.damaged[0])


@pytest.mark.parametrize(
    ("name", "line"),
    [("lsof-F.txt", b"p%d\n"), ("lsof-F0.txt", b"p%d\0"), ("ls.txt", b"/proc/%d/fd:\n"),
     ("ls.txt", b"/proc/%d/ns:\n")],
)  # fmt: skip
def test_files_of_a_process_whose_line_is_lost_are_nobodys(
    name: str, line: bytes, tmp_path: Path
) -> None:
    text, told = (DATA / name).read_bytes(), line % CHILD
    assert told in text
    before, _, after = text.partition(told)
    if name.startswith("lsof"):
        after = after.partition(b"\n")[2] if name == "lsof-F0.txt" else after[after.index(b"\nf") :]
    (tmp_path / name).write_bytes(before.rstrip(b"\n") + b"\n" + after.lstrip(b"\n"))
    fs, whole = open_dump(tmp_path), open_dump(DATA / name)
    assert opened(fs, PARENT) == opened(whole, PARENT)
    assert fs.damaged


def test_a_descriptor_that_is_told_twice_is_not_known(tmp_path: Path) -> None:
    folder = copied(tmp_path, "lsof.txt")
    (folder / "ls.txt").write_bytes(
        b"/proc/%d/fd:\ntotal 0\nlrwx------ 1 root root 64 Nov 26 21:36 0 -> /dev/zero\n" % CHILD
    )
    fs = open_dump(folder)
    assert "0" not in opened(fs, CHILD)
    assert [str(error) for error in fs.damaged] == [f"{CHILD}/fd/0 is told twice, and not alike"]


def test_what_android_prints_is_read(tmp_path: Path) -> None:
    (tmp_path / "ps.txt").write_bytes(
        b"USER            PID   PPID     VSZ    RSS WCHAN            ADDR S NAME\n"
        b"root              1      0   10632   3472 SyS_epoll_wait      0 S init\n"
        b"u0_a12         1234      1 1234567  45678 SyS_epoll_wait      0 S com.example.app\n"
    )
    (tmp_path / "ls.txt").write_bytes(
        b"/proc/1/fd:\n"
        b"lrwx------ root     root              2015-01-01 00:00 0 -> /dev/null\n"
        b"\n/proc/1234/fd:\ntotal 0\n"
        b"lr-x------ 1 u0_a12 u0_a12 64 2023-01-01 00:00 5 -> pipe:[77]\n"
    )
    fs = open_dump(tmp_path)
    assert not fs.damaged
    assert (opened(fs, 1), opened(fs, 1234)) == ({"0": "/dev/null"}, {"5": "pipe:[77]"})
    told = status.parse(fs.read("1234/status"), "x")
    assert (told.comm, told.ppid) == ("com.example.app", 1)


def test_captures_of_two_machines_are_not_put_together(tmp_path: Path) -> None:
    for host in ("web1", "web2"):
        copied(tmp_path / host, "lsof.txt", "ps-ef.txt")
    with pytest.raises(BadInputError, match=r"2 dumps in one \(web1, web2\): name one of them"):
        open_dump(tmp_path)
    assert open_dump(tmp_path / "web1").captures == ["lsof", "ps"]


def test_captures_of_one_machine_may_be_in_folders(tmp_path: Path) -> None:
    copied(tmp_path / "files", "lsof.txt")
    copied(tmp_path / "tree", "ps-ef.txt")
    assert open_dump(tmp_path).captures == ["lsof", "ps"]


@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_an_archive_that_begins_with_a_capture_is_an_archive(
    pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in ("ps-ef.txt", "lsof.txt"):
            tar.add(DATA / name, name)
    (tmp_path / "x").write_bytes(pack(made.getvalue()))
    fs = open_dump(tmp_path / "x")
    assert (fs.captures, fs.damaged) == (["lsof", "ps"], [])


def test_two_kernels_are_two_machines(tmp_path: Path) -> None:
    folder = copied(tmp_path, "lsof.txt")
    for host in ("web1", "web2"):
        (folder / f"{host}.txt").write_bytes(b"Linux %s 6.1.0 #1 SMP\n" % host.encode())
    with pytest.raises(BadInputError, match=r"2 dumps in one \(web1.txt, web2.txt\)"):
        open_dump(folder)


def test_what_lsof_might_not_read_is_a_gap(tmp_path: Path) -> None:
    head, _, rows = (DATA / "lsof.txt").read_bytes().partition(b"\n")
    line = (b"x".ljust(14) + b"7 root NOFD").ljust(head.index(b"NAME"))
    path = tmp_path / "x"
    path.write_bytes(
        b"lsof: WARNING: can't stat() fuse file system /run/x\n"
        b"      Output information may be incomplete.\n" + head + b"\n" + rows
        + line + b"/proc/7/fd (opendir: Permission denied)\n"
    )  # fmt: skip
    fs = refusals.restored(open_dump(path))
    assert fs.links("7/fd").refused == errno.EACCES
    assert not fs.damaged


def test_no_process_is_no_dump(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes((DATA / "lsof.txt").read_bytes().partition(b"\n")[0] + b"\n")
    for path in (tmp_path / "x", tmp_path):
        with pytest.raises(BadInputError, match="it has no process"):
            open_dump(path)


@given(st.sampled_from([*OPEN, *TREES, "lsns.txt", "lsns.json"]), st.data())
def test_no_capture_however_damaged_is_an_error(name: str, data: st.DataObject) -> None:
    text = bytearray((DATA / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=6))
    contents = Contents()
    captures.fill(contents, [("", bytes(text))])
    for path, entry in contents.entries.items():
        if path.endswith("/status") and isinstance(entry, bytes):
            status.parse(entry, path)


@pytest.mark.parametrize("start", [
    b"lrwxrwxrwx 1 a b 1 ", b"ls: /proc/1/fd/", b"p1\0", b"COMMAND     PID USER   FD TYPE ",
    b"  PID ",
])  # fmt: skip
def test_a_line_of_any_length_takes_no_square_of_it(start: bytes) -> None:
    for name in ("ls.txt", "lsof.txt", "lsof-F.txt", "ps-ef.txt", "lsns.txt"):
        for filler in (b"x", b"/proc/1/fd/", b"a "):
            text = (DATA / name).read_bytes() + start + filler * 200_000 + b"\n"
            captures.fill(Contents(), [("", text)])


def sos(folder: Path) -> Path:
    """Lay out a report as sos does, of the recordings."""
    report = folder / "sosreport-host-2026-11-26-abcdefg"
    commands = report / "sos_commands"
    for plugin, name, source in (
        ("process", "lsof_M_-n_-l_-c", "lsof-l-c.txt"),
        ("process", "ps_alxwww", "ps-alxwww.txt"),
        ("process", "ps_axo_pid_ppid_user_group_lwp_nlwp_start_time_comm_cgroup", "ps-axo.txt"),
        ("namespaces", "lsns", "lsns.txt"),
    ):
        (commands / plugin).mkdir(parents=True, exist_ok=True)
        shutil.copy(DATA / source, commands / plugin / name)
    (commands / "process/pstree_-lp").write_text("systemd(1)\n")
    (report / "lsof").symlink_to("sos_commands/process/lsof_M_-n_-l_-c")
    for pid, parent, name in ((2, 0, "kthreadd"), (PARENT, 1, "odd"), (CHILD, PARENT, "web")):
        (report / f"proc/{pid}").mkdir(parents=True)
        memory = "" if pid == 2 else "VmSize:\t1 kB\n"
        (report / f"proc/{pid}/status").write_text(
            f"Name:\t{name}\nState:\tS (sleeping)\nTgid:\t{pid}\nPid:\t{pid}\nPPid:\t{parent}\n"
            f"Uid:\t0\t0\t0\t0\n{memory}Threads:\t1\n"
        )
        (report / f"proc/{pid}/limits").write_text("Limit\n")
    (report / "proc/sys/kernel").mkdir(parents=True)
    (report / "proc/sys/kernel/osrelease").write_text("5.14.0-503.el9.x86_64\n")
    (report / "proc/sys/kernel/hostname").write_text("host.example\n")
    (report / "var/log").mkdir(parents=True)
    (report / "var/log/messages").write_bytes(os.urandom(1 << 16))
    (report / "version.txt").write_text("sosreport: 4.8.0\n")
    return report


def as_folder(report: Path) -> Path:
    return report


def as_its_parent(report: Path) -> Path:
    return report.parent


def as_archive(report: Path) -> Path:
    path = report.parent.with_suffix(".tar.xz")
    with tarfile.open(path, "w:xz") as tar:
        tar.add(report, report.name)
    return path


@pytest.mark.parametrize("form", [as_folder, as_its_parent, as_archive])
def test_a_sos_report_is_read_as_it_comes(form: Callable[[Path], Path], tmp_path: Path) -> None:
    path = form(sos(tmp_path / "case"))
    fs = open_dump(path)
    assert not fs.damaged
    assert set(fs.captures) == {"lsof", "ps", "lsns"}
    assert status.parse(fs.read(f"{CHILD}/status"), "x").comm == "web"
    snapshot = replay.collect(path, CHILD)
    assert (snapshot.meta["host"], snapshot.meta["kernel"]) == (
        "host.example", "5.14.0-503.el9.x86_64"
    )  # fmt: skip
    found = judged(snapshot, CHILD)
    assert found[TRUTH[str(CHILD)]["fd"]["5"]] == "usage_leak"
    assert found[TRUTH[str(CHILD)]["fd"]["6"]] == "unknown"
    inventory = snapshot.meta["source"]["inventory"]
    assert inventory["kthreadd"]
    assert inventory["files"]["status"] == inventory["processes"]


def test_a_sos_report_of_an_older_version_has_its_tree_by_ps(tmp_path: Path) -> None:
    report = sos(tmp_path / "case")
    for pid in (2, PARENT, CHILD):
        shutil.rmtree(report / f"proc/{pid}")
    for path in (report, as_archive(report)):
        found = judged(replay.collect(path, CHILD), CHILD)
        assert found[TRUTH[str(CHILD)]["fd"]["5"]] == "usage_leak"


def test_uname_says_of_which_machine_a_report_is(tmp_path: Path) -> None:
    report = sos(tmp_path / "case")
    shutil.rmtree(report / "proc/sys")
    (report / "sos_commands/kernel").mkdir()
    told = "Linux node-1 5.14.0-503.el9.x86_64 #1 SMP Thu Nov 26 x86_64 GNU/Linux\n"
    (report / "sos_commands/kernel/uname_-a").write_text(told)
    for path in (report, as_archive(report)):
        meta = replay.collect(path, CHILD).meta
        assert (meta["host"], meta["kernel"]) == ("node-1", "5.14.0-503.el9.x86_64")


def test_logs_of_a_report_are_passed_over(tmp_path: Path) -> None:
    report = sos(tmp_path / "case")
    fs: Any = open_dump(as_archive(report))
    assert not [name for name in fs._entries if "messages" in name or "sos_commands" in name]
    two = io.BytesIO()
    with tarfile.open(fileobj=two, mode="w") as tar:
        tar.add(report, "sosreport-a")
        tar.add(report, "sosreport-b")
    (tmp_path / "two.tar").write_bytes(two.getvalue())
    with pytest.raises(BadInputError, match=r"2 dumps in one \(sosreport-a, sosreport-b\)"):
        open_dump(tmp_path / "two.tar")


@pytest.mark.parametrize(
    ("tool", "command"),
    [
        ("lsof", "lsof -n -p {0}"), ("lsof", "lsof -nPF -p {0}"), ("lsfd", "lsfd -J -p {0}"),
        ("ls", "ls -l /proc/{0}/fd /proc/{0}/ns"),
    ],
)  # fmt: skip
def test_what_is_printed_here_is_read(
    tool: str, command: str, tmp_path: Path, require: Callable[..., None]
) -> None:
    require(f"tool:{tool}")
    (tmp_path / "a [b] c").write_bytes(b"")
    reader, writer = os.pipe()
    file = os.open(tmp_path / "a [b] c", os.O_RDONLY)
    try:
        mine = {str(fd): os.readlink(f"/proc/self/fd/{fd}") for fd in (reader, writer, file)}
        ran = subprocess.run(
            command.format(os.getpid()).split(), capture_output=True, check=False, timeout=60
        )
    finally:
        for fd in (reader, writer, file):
            os.close(fd)
    (tmp_path / "x").write_bytes(ran.stdout)
    found = opened(open_dump(tmp_path / "x"), os.getpid())
    assert {fd: found.get(fd) for fd in mine} == mine
