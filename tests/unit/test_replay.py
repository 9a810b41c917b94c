"""Recorded dumps of real processes, replayed: who is shared, what is refused, what is unknown."""

from __future__ import annotations

import errno
import html
import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import analyzer
from analyzer.check import leaks
from analyzer.core.errors import EXIT_UNDECIDED, BadInputError, TargetVanishedError
from analyzer.core.model import Conclusion, Rules
from analyzer.procfs import facts, identity, refusals, textdump
from analyzer.report.inventory import inventory_of, words
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.sources import collect, procdump, replay
from analyzer.sources.request import Request
from analyzer.writers import junit, markdown, page, sarif, terminal
from analyzer.writers.terminal import to_text
from tests.graph import Graph
from tests.unit.test_procfs_dumps import as_folder

if TYPE_CHECKING:
    from analyzer.snapshot.value import Snapshot

DUMPS = Path(__file__).parents[2] / "fixtures" / "dumps"
Entries = dict[str, bytes | str]


def entries(name: str) -> Entries:
    path = DUMPS / f"{name}.txt"
    return textdump.unpack(path.read_bytes(), str(path))


def pids(dump: Entries) -> list[int]:
    return sorted({int(p.split("/")[0]) for p in dump if p[0].isdigit()})


def root_of(name: str) -> int:
    """Return the process that is pid 1 of its namespace."""
    dump = entries(name)
    for pid in pids(dump):
        status = dump[f"{pid}/status"]
        assert isinstance(status, bytes)
        if f"NSpid:\t{pid}\t1\n".encode() in status:
            return pid
    raise AssertionError(name)


def replayed(dump: Entries, tmp_path: Path, pid: int | None, scope: str = "border") -> Snapshot:
    path = tmp_path / "dump.txt"
    path.write_bytes(textdump.pack(dump))
    return replay.collect(path, Request(pid, scope))


def judged(snapshot: Snapshot, pid: int) -> Graph:
    return Graph(snapshot, leaks.check(snapshot, pid, Rules.MODERN))


def rows(snapshot: Snapshot, table: str) -> list[dict[str, Any]]:
    return [snapshot.tables[table].row(i) for i in range(len(snapshot.tables[table]))]


def verdicts(graph: Graph, kind: str) -> set[str]:
    kinds = graph.objects.words("kind")
    judged = graph.verdicts.judged
    mine = (row for row in range(len(kinds)) if kinds[row] == kind and judged[row])
    return {graph.verdict(row + 1) for row in mine}


def test_a_file_shared_with_the_launcher_is_witnessed() -> None:
    pid = root_of("fork-file")
    snapshot = collect(pid, proc=DUMPS / "fork-file.txt")
    graph = judged(snapshot, pid)
    shared = graph.find({"tid": pid, "association": "fd", "slot": 3})
    assert shared is not None
    assert graph.verdict(shared) == "usage_leak"
    assert graph.objects.value("name", shared - 1).endswith("/fixtures/files.py")
    parent = next(p for p in pids(entries("fork-file")) if p not in {2, pid})
    assert graph.find({"tid": parent, "association": "fd", "slot": 3}) == shared
    for slot in (0, 1, 2):
        own = graph.find({"tid": pid, "association": "fd", "slot": slot})
        assert own is not None
        assert graph.verdict(own) == "unknown"


def test_a_namespace_that_an_outside_descriptor_pins_is_witnessed() -> None:
    pid = root_of("pin-net")
    graph = judged(collect(pid, proc=DUMPS / "pin-net.txt"), pid)
    assert verdicts(graph, "NET_NS") == {"usage_leak"}
    assert verdicts(graph, "UTS_NS") == {"unknown"}


def test_rows_are_in_the_order_of_what_was_read(tmp_path: Path) -> None:
    """Whatever the hashes of this run are: of a set there would be another order each time."""
    dump, pid = entries("two-inside"), root_of("two-inside")
    numbers = range(9_000_000, 9_000_040)
    dump |= {f"{pid}/fd/{n % 1000 + 100}": f"socket:[{n}]" for n in numbers}
    lines = (f"0: 00000003 00000000 00000000 0001 03 {n}\n" for n in numbers)
    dump[f"{pid}/net/unix"] = "".join(["Num\n", *lines]).encode()
    snapshot = replayed(dump, tmp_path, None)
    told = [row["right"] for row in rows(snapshot, "relations") if row["right_kind"] == "SOCKET"]
    assert len(told) == len(numbers)
    assert told == sorted(told)


def test_a_pair_that_shares_within_the_subtree_is_never_called_contained() -> None:
    pid = root_of("two-inside")
    graph = judged(collect(pid, proc=DUMPS / "two-inside.txt"), pid)
    child = next(p for p in pids(entries("two-inside")) if p not in {2, pid})
    at = {"association": "fd", "slot": 3}
    shared = graph.find({"tid": pid, **at})
    assert shared == graph.find({"tid": child, **at})
    assert shared is not None
    assert graph.verdict(shared) == "unknown"
    assert graph.verdicts.users[shared - 1] == 2
    assert verdicts(graph, "FILE") == {"unknown"}


def test_hostile_names_lose_nothing() -> None:
    pid = root_of("hostile")
    snapshot = replay.collect(DUMPS / "hostile.txt", pid)
    task = next(row for row in rows(snapshot, "tasks") if row["tid"] == pid)
    assert os.fsencode(task["comm"]) == b"a\n\x1b[31m\xff\xfe"
    named = [row["name"] for row in rows(snapshot, "objects") if row["kind"] == "FILE"]
    assert any(b"\n\x1b[31m\xff\xfe" in os.fsencode(name) for name in named)


def test_the_meta_is_that_of_the_dump() -> None:
    pid = root_of("fork-file")
    meta = replay.collect(DUMPS / "fork-file.txt", pid).meta
    assert meta["host"] == "host.example"
    assert meta["boot_id"] == "00000000-0000-4000-8000-000000000000"
    assert meta["source"]["name"] == "replay"
    assert meta["source"]["capabilities"]["identity"]
    assert not meta["source"]["capabilities"]["refcounts"]
    assert meta["subject"]["pid"] == pid
    assert meta["subject"]["start_time"] % 10_000_000 == 0
    assert not meta["incomplete"]


def test_the_subject_is_called_as_it_was_asked_for() -> None:
    """As the procfs source says it: both numbers are those of the /proc that was read."""
    root = root_of("hostile")
    subject = replay.collect(DUMPS / "hostile.txt", root).meta["subject"]
    assert (subject["pid"], subject["local_pid"]) == (root, root)


def test_the_script_is_where_it_is_looked_for() -> None:
    assert procdump.script().startswith("#!/bin/sh\n")


def test_initial_namespaces_are_those_of_kthreadd() -> None:
    pid = root_of("two-inside")
    snapshot = replay.collect(DUMPS / "two-inside.txt", pid)
    initial = {row["kind"] for row in rows(snapshot, "objects") if row["initial"]}
    assert initial == {"MNT_NS", "USER_NS"}


def test_without_identities_nothing_is_said_to_be_shared(tmp_path: Path) -> None:
    dump = entries("fork-file")
    del dump[identity.PATH]
    for path in [p for p in dump if p.endswith("/fdinfo/3")]:
        assert (
            dump[path] == b"pos:\t0\nflags:\t02100000\nmnt_id:\t27\nino:\t5366753\n" or dump[path]
        )
    pid = root_of("fork-file")
    snapshot = replayed(dump, tmp_path, pid)
    assert verdicts(judged(snapshot, pid), "FILE") == {"unknown"}
    assert "the dump has no identities" in " ".join(snapshot.meta["source"]["notes"])
    parent = next(p for p in pids(dump) if p not in {2, pid})
    assert candidates(snapshot) == {(parent, "fd 3 (cloexec)")}
    assert not snapshot.meta["source"]["capabilities"]["identity"]


def candidates(snapshot: Snapshot) -> set[tuple[int, str]]:
    options = ReportOptions("check", gate=True, references_only=True)
    report = make(snapshot, leaks.check(snapshot), options)
    assert report.exit_code == EXIT_UNDECIDED
    found = [one.holder for entry in report.objects for one in entry.doubt.candidates]
    said = to_text(terminal.render(report))
    assert ("perhaps referenced from outside" in said) == bool(found)
    for text in (junit.render(report), sarif.render(report)):
        assert ("perhaps held by" in text) == bool(found)
    assert ("perhaps referenced from outside, by" in markdown.render(report)) == bool(found)
    return {(task.tgid, holder.detail) for holder in found for task in holder.tasks}


def test_without_identities_other_offsets_do_not_look_shared(tmp_path: Path) -> None:
    dump = entries("fork-file")
    del dump[identity.PATH]
    pid = root_of("fork-file")
    own = dump[f"{pid}/fdinfo/3"]
    assert isinstance(own, bytes)
    dump[f"{pid}/fdinfo/3"] = own.replace(b"pos:\t0", b"pos:\t9")
    snapshot = replayed(dump, tmp_path, pid)
    assert candidates(snapshot) == set()
    report = make(snapshot, leaks.check(snapshot), ReportOptions("check", all=True))
    assert [entry.doubt.untold for entry in report.objects if entry.doubt.untold] == [1]


def test_what_was_refused_is_refused_again(tmp_path: Path) -> None:
    dump = entries("fork-file")
    pid = root_of("fork-file")
    parent = next(p for p in pids(dump) if p not in {2, pid})
    dump[refusals.PATH] = f"13 open {parent}/fd\n".encode()
    snapshot = replayed(dump, tmp_path, pid)
    gap = rows(snapshot, "gaps")[0]
    assert gap["where"] == f"pid {parent}: open files"
    assert gap["errno"] == errno.EACCES
    assert not snapshot.meta["incomplete"]
    dump[refusals.PATH] = f"13 open {pid}/fd\n1 open {pid}/maps\n".encode()
    snapshot = replayed(dump, tmp_path, pid)
    assert snapshot.meta["incomplete"]
    assert [gap["syscall"] for gap in rows(snapshot, "gaps")] == ["read", "opendir"]


def test_a_dump_that_was_cut_short_says_so(tmp_path: Path) -> None:
    dump = entries("fork-file")
    del dump[facts.COMPLETE]
    snapshot = replayed(dump, tmp_path, root_of("fork-file"))
    assert [gap["where"] for gap in rows(snapshot, "gaps")] == ["the dump"]
    assert snapshot.meta["incomplete"]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (facts.PATH, b"clk_tck none\n"),
        (facts.PATH, b"clk_tck 7\n"),
        (identity.PATH, b"FILE 1\n"),
        (refusals.PATH, b"x open 1/fd\n"),
    ],
)
def test_a_malformed_line_of_our_own_is_passed_over_and_told(
    path: str, line: bytes, tmp_path: Path
) -> None:
    dump, pid = entries("fork-file"), root_of("fork-file")
    before = replayed(dump, tmp_path, pid)
    old = dump.get(path, b"")
    assert isinstance(old, bytes)
    dump[path] = old + line
    after = replayed(dump, tmp_path, pid)
    (gap,) = rows(after, "gaps")
    number = (old + line).count(b"\n")
    assert gap["where"].startswith(f"the dump: {path}: line {number}: expected ")
    assert after.meta["incomplete"]
    assert rows(after, "references") == rows(before, "references")
    assert (after.meta["host"], after.meta["kernel"]) == ("host.example", before.meta["kernel"])


def test_a_plain_copy_of_proc_has_its_facts_in_sysctl(tmp_path: Path) -> None:
    dump = {p: e for p, e in entries("fork-file").items() if not p.startswith("cranalyze/")}
    dump["sys/kernel/osrelease"] = b"5.10.0\n"
    dump["sys/kernel/hostname"] = b"other.example\n"
    snapshot = replayed(dump, tmp_path, root_of("fork-file"))
    assert (snapshot.meta["kernel"], snapshot.meta["host"]) == ("5.10.0", "other.example")
    assert snapshot.meta["boot_id"] == ""
    assert not snapshot.meta["incomplete"]


def test_an_inventory_heads_the_report_of_a_dump(tmp_path: Path) -> None:
    pid = root_of("fork-file")
    dump = {p: e for p, e in entries("fork-file").items() if "/fdinfo/" not in p}
    dump[facts.PATH] = (
        b"format 1\nuid 0\nkcmp perl\ncollected_at 2026-01-02T03:04:05Z\n"
        b"ended_at 2026-01-02T03:05:05Z\n"
    )
    dump[refusals.PATH] = b"13 open 2/fd\n"
    del dump["2/stat"], dump["2/status"]
    snapshot = replayed(dump, tmp_path, pid)
    told = inventory_of(snapshot.meta)
    assert told is not None
    assert told["files"] == {
        "stat": 2, "status": 2, "task": 0, "fd": 2, "fdinfo": 0, "ns": 3, "maps": 1, "exe": 1,
        "cgroup": 2, "mountinfo": 2,
    }  # fmt: skip
    first, *rest = words(told, pid)
    assert first.startswith("3 processes; stat 2, status 2, task 0, fd 2, fdinfo 0, ns 3, maps 1")
    assert first.endswith("made by root; took 60 s; kcmp(2) asked by perl")
    assert "no kthreadd" in first
    assert [line.split(":")[0] for line in rest] == ["no fdinfo", "to have all"]
    report = make(snapshot, leaks.check(snapshot), ReportOptions("check"))
    for text in (
        to_text(terminal.render(report, 400)), markdown.render(report), page.render(report)
    ):  # fmt: skip
        assert first in html.unescape(text)


def test_a_dump_for_one_process_says_so_when_it_is_asked_of_another(tmp_path: Path) -> None:
    pid = root_of("fork-file")
    dump = entries("fork-file")
    recorded = dump[facts.PATH]
    assert isinstance(recorded, bytes)
    dump[facts.PATH] = recorded + b"subject %d\n" % pid
    assert not gaps(replayed(dump, tmp_path, pid))
    other = next(p for p in pids(dump) if p not in {2, pid})
    assert f"a dump for process {pid}" in gaps(replayed(dump, tmp_path, other))


def test_the_whole_dump_can_be_read_without_a_subject(tmp_path: Path) -> None:
    snapshot = replayed(entries("fork-file"), tmp_path, None)
    assert snapshot.meta["scope"] == "host"
    assert snapshot.meta["subject"]["pid"] is None
    pid = root_of("fork-file")
    judged(replayed(entries("fork-file"), tmp_path, pid, "host"), pid)


def test_a_process_that_is_not_in_the_dump(tmp_path: Path) -> None:
    with pytest.raises(TargetVanishedError, match="there is no process 999999 in the dump"):
        replayed(entries("fork-file"), tmp_path, 999_999)
    with pytest.raises(BadInputError, match="kernel thread"):
        replayed(entries("fork-file"), tmp_path, 2)


@pytest.mark.parametrize(
    ("path", "content"),
    [("stat", b"1 (x"), ("status", b""), ("maps", b"zz\n"), ("fdinfo/3", b"pos\n"), ("stat", b"")],
)
def test_damage_is_a_gap_that_names_the_file_and_the_line(
    path: str, content: bytes, tmp_path: Path
) -> None:
    dump = entries("fork-file")
    pid = root_of("fork-file")
    dump[f"{pid}/{path}"] = content
    graph = judged(replayed(dump, tmp_path, pid), pid)
    (gap,) = gaps(graph.snapshot)
    name = path.rpartition("/")[2]
    assert gap.startswith(f"pid {pid}: ")
    assert f": {name} is not as it should be: line 1: expected" in gap.replace(
        "the file ends without Tgid", "expected"
    )
    shared = graph.find({"tid": pid, "association": "fd", "slot": 3})
    assert shared is not None
    assert graph.verdict(shared) == "usage_leak"


@pytest.mark.parametrize(
    ("name", "said"),
    [("maps", "maps is not as it should be: it is empty"), ("mountinfo", "mountinfo is empty"),
     ("ns", "ns is empty"), ("fd", "fd is empty")],
)  # fmt: skip
def test_what_is_empty_of_a_process_that_lives_is_a_gap(
    name: str, said: str, tmp_path: Path
) -> None:
    pid = root_of("fork-file")
    gone = (f"{pid}/{name}", "cranalyze")  # fdinfo goes with fd
    dump = {p: entry for p, entry in entries("fork-file").items() if not p.startswith(gone)}
    if name in {"ns", "fd"}:
        as_folder(dump, tmp_path)
        (tmp_path / f"{pid}/{name}").mkdir()
    else:
        as_folder({**dump, f"{pid}/{name}": b""}, tmp_path)
    assert any(f"pid {pid}: " in gap and said in gap for gap in gaps(replay.collect(tmp_path, pid)))


def test_a_process_that_is_listed_stays_with_what_there_is_of_it(tmp_path: Path) -> None:
    dump, pid = entries("fork-file"), root_of("fork-file")
    whole = judged(replayed(dump, tmp_path, pid), pid)
    others = [one for one in pids(dump) if one != pid]
    for other in others:
        del dump[f"{other}/stat"], dump[f"{other}/status"]
    dump[f"{others[-1]}/comm"] = b"of comm\n"
    found = judged(replayed(dump, tmp_path, pid), pid)
    tasks = {row["tid"]: row for row in rows(found.snapshot, "tasks")}
    assert tasks.keys() == {row["tid"] for row in rows(whole.snapshot, "tasks")}
    assert tasks[others[-1]]["comm"] == "of comm"
    assert leaking(whole)
    assert not leaking(found)
    said = "neither stat nor status"
    assert [gap for gap in gaps(found.snapshot) if said in gap] == [
        f"{len(others)} processes (pid {', '.join(map(str, others))}): a process: {said}"
    ]


@pytest.mark.parametrize("name", ["stat", "status"])
def test_a_file_of_another_process_is_a_gap(name: str, tmp_path: Path) -> None:
    dump, pid = entries("fork-file"), root_of("fork-file")
    dump[f"{pid}/{name}"] = dump[f"2/{name}"]
    (gap,) = gaps(replayed(dump, tmp_path, pid))
    assert gap == f"pid {pid}: a process: {name} is not as it should be: it is of process 2"


def gaps(snapshot: Snapshot) -> list[str]:
    return [row["where"] for row in rows(snapshot, "gaps")]


MEANT = {
    "stat": "a process: no stat", "status": "a process: no status", "task": "its threads: no task",
    "fd": "open files: no fd", "fdinfo": "the state of open files: no fdinfo",
    "ns": "namespaces: no ns", "maps": "mappings: no maps", "exe": "executable: no exe",
    "mountinfo": "the mounts of a mount namespace: no mountinfo",
}  # fmt: skip


@pytest.mark.parametrize("name", MEANT)
def test_what_was_not_copied_is_a_gap_and_the_rest_is_read(name: str, tmp_path: Path) -> None:
    pid = root_of("fork-file")
    dump = {
        path: entry
        for path, entry in entries("fork-file").items()
        if not path.startswith((f"{pid}/{name}/", f"{pid}/{name}\0"), 0) and path != f"{pid}/{name}"
    }
    told = dump[f"{pid}/stat"] if name == "task" else b""
    if isinstance(told, bytes) and told:
        words = told.split()
        dump[f"{pid}/stat"] = b" ".join([*words[:19], b"3", *words[20:]])
    snapshot = replayed(dump, tmp_path, pid)
    assert gaps(snapshot) == [f"pid {pid}: {MEANT[name]} in the dump"]
    whole = replayed(entries("fork-file"), tmp_path, pid)
    assert [row["tid"] for row in rows(snapshot, "tasks")] == [
        row["tid"] for row in rows(whole, "tasks")
    ]
    before, after = leaking(judged(whole, pid)), leaking(judged(snapshot, pid))
    lost: dict[str, tuple[str, object]] = {"fd": ("FILE", 3), "ns": ("USER_NS", "cred.user_ns")}
    assert after == before - {lost.get(name)}


def leaking(graph: Graph) -> set[tuple[str, object]]:
    """Return what leaks, by kind and by the descriptor (or place) that the subtree has it in."""
    references = rows(graph.snapshot, "references")
    kinds = graph.objects.words("kind")
    return {
        (kinds[row["target"] - 1], row["slot"] if row["slot"] is not None else row["association"])
        for row in references
        if graph.verdict(row["target"]) == "usage_leak"
    }


def in_the_hosts(dump: Entries, pid: int) -> Entries:
    """Put a process into the host's net and mnt namespaces, of an older kernel's numbers."""
    ours = {f"{p}/ns/{kind}": f"{kind}:[40265320{at}]" for at, kind in ((11, "net"), (12, "mnt"))
            for p in pids(dump)}  # fmt: skip
    assert f"{pid}/ns/net" in ours
    return {path: ours.get(path, entry) for path, entry in dump.items()}


@cache
def all_of(name: str, spaces: str) -> tuple[Entries, int, Graph]:
    """Return a dump, its root, and what is told of it as long as nothing is missing."""
    dump, pid = entries(name), root_of(name)
    dump = in_the_hosts(dump, pid) if spaces == "hosts" else dump
    return dump, pid, told(dump, pid)


@pytest.mark.parametrize("spaces", ["own", "hosts"])
@pytest.mark.parametrize("name", ["fork-file", "pin-net", "two-inside", "hostile"])
@given(data=st.data())
def test_what_is_missing_makes_no_leak_and_hides_no_gap(
    name: str, spaces: str, data: st.DataObject
) -> None:
    dump, pid, whole = all_of(name, spaces)
    of_processes = [path for path in dump if path[0].isdigit()]
    folders = sorted({"/".join(path.split("/")[:2]) for path in of_processes})
    lost = data.draw(st.sets(st.sampled_from([*of_processes, *folders]), max_size=6))
    kept = {
        path: entry
        for path, entry in dump.items()
        if path not in lost and "/".join(path.split("/")[:2]) not in lost
    }
    if pid not in pids(kept):
        with pytest.raises(TargetVanishedError):
            told(kept, pid)
        return
    found = told(kept, pid)
    assert leaking(found) <= leaking(whole)
    assert set(gaps(whole.snapshot)) <= set(gaps(found.snapshot))
    # Who is not there at all is not missed, nor a descriptor with its state.
    if pids(kept) == pids(dump) and not any("/fd/" in path for path in lost):
        assert gaps(found.snapshot) or leaking(found) == leaking(whole)


def told(dump: Entries, pid: int) -> Graph:
    with TemporaryDirectory() as folder:
        return judged(replayed(dump, Path(folder), pid), pid)


def test_strange_names_in_the_tree_are_passed_over(tmp_path: Path) -> None:
    dump = entries("fork-file")
    pid = root_of("fork-file")
    plain = replayed(dump, tmp_path, pid)
    odd: Entries = {f"{pid}/fd/x": "a", f"{pid}/fd/007": "b", f"{pid}/fd/{'9' * 30}": "c",
           f"{pid}/ns/odd": "net:[1]x", f"{pid}/ns/net_for_children": "net:[4026531840]",
           "٣/stat": b"", "007/stat": b"", f"{'9' * 40}/stat": b"",
           f"{pid}/fd": b"a file and a folder"}  # fmt: skip
    again = replayed({**dump, **odd}, tmp_path, pid)
    for table in ("tasks", "objects", "references", "gaps"):
        assert rows(again, table) == rows(plain, table)


def test_a_dump_knows_who_stands_in_a_directory(tmp_path: Path) -> None:
    dump = entries("fork-file")
    pid = root_of("fork-file")
    dump[f"{pid}/cwd"], dump[f"{pid}/root"] = "/srv/data", "/srv"
    snapshot = replayed(dump, tmp_path, None, "host")
    for directory in ("/srv/data", "/srv"):
        (held,) = analyzer.who(directory, snapshot).held
        assert held.kind == "FS"
        assert {node.tgid for node in held.by} == {pid}
    assert not analyzer.who("/srv/data/below", snapshot).held


def test_a_dump_knows_what_is_on_a_mount(tmp_path: Path) -> None:
    pid = root_of("fork-file")
    dump = {n: e for n, e in entries("fork-file").items() if not n.endswith("/mountinfo")}
    dump[f"{pid}/mountinfo"] = (
        b"27 1 254:0 / / rw - ext4 /dev/vda rw\n"
        b"90 27 0:44 / /mnt/x rw shared:3 - tmpfs none rw\n"
        b"91 27 0:44 / /mnt/y rw shared:3 - tmpfs none rw\n"
    )
    dump[f"{pid}/cwd"] = "/mnt/x/in"
    dump[f"{pid}/fd/3"] = "/mnt/x/log"
    dump[f"{pid}/fdinfo/3"] = b"pos:\t0\nflags:\t02\nmnt_id:\t90\nino:\t5\n"
    answer = analyzer.who("/mnt/x", replayed(dump, tmp_path, None, "host"))
    assert {(held.kind, held.name) for held in answer.held} >= {
        ("FILE", "/mnt/x/log"), ("FS", None), ("SUPERBLOCK", "tmpfs"),
    }  # fmt: skip
    (filesystem,) = (held for held in answer.held if held.kind == "SUPERBLOCK")
    assert {node.name for node in filesystem.by} == {"/mnt/x", "/mnt/y"}


def test_a_dump_knows_what_backs_a_loop_device(tmp_path: Path) -> None:
    dump = entries("fork-file")
    dump["cranalyze/sys/block/loop7/loop/backing_file"] = b"/srv/image\n"
    snapshot = replayed(dump, tmp_path, None, "host")
    (held,) = analyzer.who("/srv/image", snapshot).held
    assert [(node.kind, node.name, node.association) for node in held.by] == [
        ("LOOP", "/dev/loop7", "loop")
    ]


def test_a_loop_device_may_hold_an_open_file_of_its_path(tmp_path: Path) -> None:
    dump, pid = entries("two-inside"), root_of("two-inside")
    path = next(str(link) for name, link in dump.items()
                if name.startswith(f"{pid}/fd/") and str(link).endswith("/files.py"))  # fmt: skip
    dump["cranalyze/sys/block/loop7/loop/backing_file"] = f"{path}\n".encode()
    dump["cranalyze/sys/block/loop8/loop/backing_file"] = b"/srv/image\n"
    snapshot = replayed(dump, tmp_path, pid)
    report = make(snapshot, leaks.check(snapshot, pid), ReportOptions("check", all=True))
    (entry,) = [one for one in report.objects if one.doubt.candidates and one.ino]
    assert (entry.name, entry.conclusion) == (path, Conclusion.POSSIBLE)
    (candidate,) = entry.doubt.candidates
    assert candidate.holder.routes[0].thing == "loop device /dev/loop7"
    assert "perhaps held by loop device /dev/loop7" in junit.render(report)
