"""What is told of others: no task without a part in it, and with --redact no name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from analyzer.check.leaks import check
from analyzer.core.errors import BadInputError
from analyzer.procfs import maps
from analyzer.snapshot import crz
from analyzer.snapshot.addresses import hashed
from analyzer.sources import privacy
from analyzer.sources.privacy import Redaction
from tests.build import Machine
from tests.unit.test_cli import leaking, run

if TYPE_CHECKING:
    from pathlib import Path

KEY = b"k" * 16


def test_a_border_has_no_task_without_a_part_in_it() -> None:
    machine = Machine()
    for tid, ppid in ((1, 0), (50, 1), (77, 50), (100, 77), (200, 1), (201, 200)):
        machine.task(tid, ppid)
    for task in (100, 77):
        machine.object("FILE_TABLE", 1, holders=[(task, "files")])
    for tid in (77, 100, 200):
        machine.fact(tid, "task.session", 7)
    whole = machine.snapshot(100)
    kept = privacy.only_relevant(whole)
    assert kept.tables["tasks"]["tid"].tolist() == [1, 50, 77, 100]
    assert kept.tables["facts"]["ref"].tolist() == [77, 100]  # nor what is known of it
    assert np.array_equal(check(kept).verdict, check(whole).verdict)


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("pipe:[12]", "pipe:[12]"),
        ("anon_inode:[eventfd]", "anon_inode:[eventfd]"),
        ("[heap]", "[heap]"),
        ("/", "/"),
        ("/srv/secret", "/*/*"),
        ("/srv/secret (deleted)", "/*/* (deleted)"),
        ("secret", "*"),
        ("web:80", "*"),
        ("/SYSV0000002a (deleted)", "/SYSV0000002a (deleted)"),
        ("/[aio] (deleted)", "/[aio] (deleted)"),
        ("/dev/pts/3", "/dev/pts/3"),
        ("/dev/tty", "/dev/tty"),
        ("/dev/secret", "/*/*"),
        ("/proc", "/proc"),
        ("/proc/7/net/tcp", "/proc/7/net/tcp"),
        ("/proc/7/task/8/mounts", "/proc/7/task/8/mounts"),
        ("/proc/7/net/xt_recent/secret", "/proc/7/net/xt_recent/*"),
        ("/proc7/secret", "/*/*"),
        ("/sys/fs/cgroup/secret", "/sys/fs/cgroup/*"),
        ("secret:[1]", "*"),
    ],
)
def test_names_are_hashed_part_by_part(name: str, like: str) -> None:
    redaction = Redaction(KEY)
    told = redaction.name(name)
    for word in ("srv", "secret", "web:80", "secret:[1]", "dev", "proc7"):
        told = told.replace(redaction.word(word), "*")
    assert told == like
    assert Redaction(b"x" * 16).name("/srv") != redaction.name("/srv")


def test_a_redacted_snapshot_is_the_same_without_names() -> None:
    whole = leaking().snapshot(100)
    told = Redaction(KEY).snapshot(whole)
    assert np.array_equal(check(told).verdict, check(whole).verdict)
    data = crz.pack(told)
    names = (*whole.tables["tasks"]["comm"].tolist(), *whole.tables["objects"]["name"].tolist())
    said = told.tables["tasks"]["comm"].tolist() + told.tables["objects"]["name"].tolist()
    assert not {n for n in names if n} & set(said)
    assert crz.unpack(data).meta["options"]["redacted"]


def test_details_and_facts_have_no_names_either() -> None:
    machine = Machine()
    machine.task(100)
    file = machine.object("FILE", 1)
    machine.relation("deleted-file", file, file, detail="7 bytes")
    machine.relation("foreign-mount", file, file, detail="/srv/secret")
    machine.fact(file, "readers", 7)
    machine.fact(file, "readers", "secret")
    told = Redaction(KEY).snapshot(machine.snapshot(100)).tables
    assert told["relations"]["detail"][0] == "7 bytes"
    assert told["relations"]["detail"][1] == Redaction(KEY).name("/srv/secret")
    assert told["facts"].row(0)["number"] == 7
    assert told["facts"].row(1)["text"] == Redaction(KEY).word("secret")


def test_a_border_names_the_tasks_at_the_ends_of_relations() -> None:
    machine = Machine()
    for tid, ppid in ((1, 0), (77, 1), (88, 1), (99, 1), (100, 1)):
        machine.task(tid, ppid)
    mine, theirs = (machine.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (100, 88))
    inode = machine.object("INODE", None)
    for table in (mine, theirs):
        file = machine.object("FILE", 1, holders=[(table, "fd", 3)])
        machine.relation("deleted-file", file, inode)
    machine.relation("session", 100, 77)
    tasks = privacy.only_relevant(machine.snapshot(100)).tables["tasks"]
    assert tasks["tid"].tolist() == [1, 77, 88, 100]
    assert privacy.UNNAMED not in tasks["comm"].tolist()


def test_a_redacted_report_names_nobody(tmp_path: Path) -> None:
    machine = Machine()
    machine.task(77, comm="mallory")
    machine.task(100, 77, comm="alice", nspid=1, cgroup="/user.slice/alice")
    fds = [machine.object("FILE_TABLE", 1, holders=[(task, "files")]) for task in (100, 77)]
    machine.object("FILE", 2, name="/home/alice/diary", holders=[(f, "fd", 3) for f in fds])
    machine.snapshot(100).save(tmp_path / "a.crz")
    for form in ([], ["--json"], ["--tree"], ["--markdown"], ["--html", "-"]):
        plain = run("report", "a.crz", "--all", *form, cwd=tmp_path).stdout
        told = run("report", "a.crz", "--all", "--redact", *form, cwd=tmp_path).stdout
        assert "mallory" in plain or "diary" in plain
        assert not {"mallory", "alice", "diary"} & set(told.replace("/", " ").split())
        assert "mallory" not in told
        assert "diary" not in told


def test_the_entries_of_a_dump_have_no_names() -> None:
    redaction = Redaction(KEY)
    entries: dict[str, bytes | str] = {
        "7/stat": b"7 (a secret) x) S 1 7",
        "7/status": b"Name:\tsecret\nState:\tS\n",
        "7/cgroup": b"0::/secret.slice/secret\n",
        "7/maps": b"00400000-00401000 r-xp 00000000 08:01 7          /srv/secret\n"
        b"7ff0-7ff1 rw-p 00000000 00:00 0                          [heap]\n",
        "7/net/unix": b"Num RefCount Protocol Flags Type St Inode Path\n"
        b"00000000df262ecb: 00000002 00000000 00010000 0001 01 125 /run/secret/socket\n",
        "7/mountinfo": b"22 1 0:21 /secret /mnt/secret rw,noatime shared:7 - overlay secret-x "
        b"rw,lowerdir=/srv/secret:/secret\n",
        "7/fd/3": "/srv/secret",
        "7/fdinfo/4": b"pos:\t0\nUserFiles:\t1\n    0: /srv/secret\n",
        "cranalyze/sys/block/loop7/loop/backing_file": b"/srv/secret\n",
        "7/ns/net": "net:[4026531840]",
    }
    told = {path: redaction.entry(path, content) for path, content in entries.items()}
    assert told["7/ns/net"] == entries["7/ns/net"]
    named = redaction.name("/srv/secret").encode() + b"\n"  # they are told to be one
    assert told["cranalyze/sys/block/loop7/loop/backing_file"] == named
    assert told["7/fdinfo/4"] == b"pos:\t0\nUserFiles:\t1\n    0: " + named
    assert isinstance(told["7/stat"], bytes)
    assert told["7/stat"].endswith(b") S 1 7")
    assert isinstance(told["7/maps"], bytes)
    assert b"[heap]" in told["7/maps"]
    assert b"00400000" not in told["7/maps"]
    assert b"7ff0" not in told["7/maps"].replace(redaction.word("7ff0").encode(), b"")
    (mapping,) = maps.parse(told["7/maps"], "maps")
    (plain,) = maps.parse(entries["7/maps"], "maps")  # type: ignore[arg-type]
    assert mapping[1:4] == plain[1:4]
    assert isinstance(told["7/mountinfo"], bytes)
    assert len(told["7/mountinfo"].split()) == 11
    for path, content in told.items():
        assert b"secret" not in (content.encode() if isinstance(content, str) else content), path


def test_where_mappings_start_is_hashed_with_the_addresses() -> None:
    machine = Machine()
    machine.task(100, 1, nspid=1)
    space = machine.object("MM", 1, holders=[(100, "mm")])
    table = machine.object("FILE_TABLE", 1, holders=[(100, "files")])
    machine.object("FILE", 2, holders=[(space, "vma", 0x7F0012345000), (table, "fd", 5)])
    told = hashed(machine.snapshot(100), KEY).tables["references"]
    slots = told["slot"][told.known("slot")].tolist()
    assert 5 in slots
    assert 0x7F0012345000 not in slots
    assert min(slots) >= 0


def test_how_a_subject_was_named_is_hashed_too() -> None:
    named = {"name": "podman container shop (ab12)", "container": "ab" * 32, "runtime": "podman",
             "selector": "podman:shop", "roots": [7]}  # fmt: skip
    made = leaking()
    whole = made.snapshot(100, subject={"pid": 100, "start_time": None, **named})
    told = Redaction(b"k" * 16).snapshot(whole)
    subject = told.meta["subject"]
    assert "shop" not in str(subject)
    assert "abab" not in str(subject)
    assert (subject["pid"], subject["roots"], subject["runtime"]) == (100, [7], "podman")
    for plain in ("100", "100 7", "host", "self"):
        again = made.snapshot(100, subject={"pid": 100, "start_time": None, "selector": plain})
        assert Redaction(b"k" * 16).snapshot(again).meta["subject"]["selector"] == plain


def key_file(tmp_path: Path, content: str = "k" * 32, mode: int = 0o600) -> str:
    path = tmp_path / "key"
    path.write_text(content)
    path.chmod(mode)
    return str(path)


def test_hosts_that_have_one_key_join_and_no_others_do(tmp_path: Path) -> None:
    path = key_file(tmp_path)
    first, second = (
        Redaction.under(path).snapshot(leaking().snapshot(100, boot_id=boot, host="web"))
        for boot in ("one", "two")
    )
    for table, column in (("tasks", "comm"), ("objects", "name")):
        assert first.tables[table][column].tolist() == second.tables[table][column].tolist()
    assert first.meta["host"] == second.meta["host"] != "web"
    other = Redaction.under(key_file(tmp_path, "l" * 32)).snapshot(leaking().snapshot(100))
    marks = [one.meta["options"]["redact_key"] for one in (first, second, other)]
    assert marks[0] == marks[1] != marks[2]
    assert not set(first.tables["tasks"]["comm"]) & set(other.tables["tasks"]["comm"])


def test_the_end_of_a_line_is_no_part_of_a_key(tmp_path: Path) -> None:
    plain = Redaction.under(key_file(tmp_path)).word("a")
    assert Redaction.under(key_file(tmp_path, "k" * 32 + "\n")).word("a") == plain


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        ("k" * 15 + "\n", 0o600, "has not 16 to 4096 bytes: make one with openssl rand -hex 32"),
        ("k" * 9000, 0o600, "has not 16 to 4096 bytes"),
        ("k" * 32, 0o640, "is not yours alone: chmod 600 it"),
        ("k" * 32, 0o604, "is not yours alone"),
    ],
)
def test_a_key_that_is_none_or_not_secret_is_refused(
    tmp_path: Path, content: str, mode: int, why: str
) -> None:
    with pytest.raises(BadInputError, match=why) as told:
        Redaction.under(key_file(tmp_path, content, mode))
    assert "kkk" not in str(told.value)


def test_a_key_that_is_not_there_or_no_file_is_one_line(tmp_path: Path) -> None:
    leaking().snapshot(100).save(tmp_path / "a.crz")
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in ("none", "fifo", "."):
        ran = run("report", "a.crz", "--redact-key", name, cwd=tmp_path)
        assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (2, "", 1)


def test_a_report_is_hashed_under_a_key_that_is_in_nothing_of_it(tmp_path: Path) -> None:
    made = leaking().snapshot(100, images={"100": "registry.example/nginx:1"})
    made.save(tmp_path / "a.crz")
    secret = "0123456789abcdef" * 4
    path = key_file(tmp_path, secret)
    redaction = Redaction.under(path)
    for form in ("--json", "--tree", "--all"):
        told = run("report", "a.crz", form, "--redact-key", path, cwd=tmp_path)
        assert redaction.word("bash") in told.stdout
        assert secret[:16] not in told.stdout + told.stderr
    meta = redaction.snapshot(made).meta
    assert meta["images"] == {"100": redaction.name("registry.example/nginx:1")}
    assert secret[:16] not in str(meta)
