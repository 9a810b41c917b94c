"""The columns of a report: what a row is, what a cell is, and the command line around them.

Rewrite the golden tables with CRANALYZE_GOLDEN=write, then read the difference.
"""

from __future__ import annotations

import json
import os
import re
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.check.leaks import check
from analyzer.cli.arguments import split_output
from analyzer.core.errors import BadInputError
from analyzer.kinds import facts
from analyzer.report import lsfd
from analyzer.report.columns import COLUMNS, DEFAULT, by_name, names_of_columns, parse_columns
from analyzer.report.listing import LEVELS, Listing, finest, listing, with_finer
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.snapshot import crz
from analyzer.writers.columns import render
from tests.build import Machine, Obj
from tests.each import each
from tests.strategies import Graph, counted_graphs, half_as_often
from tests.unit.test_cli import run
from tests.unit.test_filters import varied
from tests.unit.test_report_terminal import GOLDEN, hostile, leaking, reported

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from analyzer.report.value import Report

TYPES = {"string": str, "number": int, "boolean": bool}
LSFD = "SIDE,COMMAND,PID,ASSOC,FD,MODE,STTYPE,FLAGS,DEV,MNTID,POS,DELETED,INODE,NAME"


def table(names: str, **more: Any) -> str:  # noqa: ANN401 - of render
    return render(listing(reported(varied(), all=True), parse_columns(names)), **more)


def leaks(names: str, **more: Any) -> str:  # noqa: ANN401 - of render
    return render(listing(reported(hostile()), parse_columns(names)), **more)


TABLES: dict[str, Callable[[], str]] = {
    "default": lambda: table("+"),
    "lsfd": lambda: table(LSFD),
    "threads": lambda: table("TID,PID,COMMAND,KIND,DETAIL", headings=False),
    "hostile": lambda: leaks("PID,COMMAND,NAME,MESSAGE"),
    "ascii": lambda: table("KIND,NAME", encoding="ascii"),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_table_is_the_golden_one(name: str) -> None:
    path = GOLDEN / f"report-columns-{name}.txt"
    found = TABLES[name]()
    if os.environ.get("CRANALYZE_GOLDEN") == "write":
        path.write_text(found)
    assert found == path.read_text()


# --- columns and rows


def test_columns_are_named_as_a_filter_can_name_them() -> None:
    names = names_of_columns()
    assert len(set(names)) == len(names)
    assert each(re.fullmatch(r"[A-Z][A-Z0-9_.:%-]*", name) for name in names)
    assert set(DEFAULT) <= set(names)
    assert each(column.of in LEVELS and column.meaning for column in COLUMNS)


def test_a_value_is_of_the_type_that_its_column_has() -> None:
    full = listing(reported(varied(), all=True), COLUMNS)
    for column in COLUMNS:
        known = [value for value in full.values(column) if value is not None]
        assert {type(value) for value in known} <= {TYPES[column.type]}, column.name
        people = {"CGROUP", "CONTAINER", "POD", "UNIT", "UID", "USER"}
        told = column.name in {
            *people,
            "RELATION",
            "ENDPOINTS",
            "RDEV",
            "ONS",
            "PNS",
            *map(str.upper, facts()),
            *(one.name for one in lsfd.COLUMNS if not one.name.startswith("NS.")),
        }
        assert bool(known) != told, column.name  # the machine of the test has none


def test_the_other_ends_and_what_a_file_is_in_letters_as_lsfd_has_them() -> None:
    made = Machine()
    made.task(50, comm="cat")
    made.task(100, comm="x\n")
    mine, theirs = (made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (100, 50))
    both = made.object("FILE", 2, flags=1, holders=[(mine, "fd", 1), (theirs, "fd", 7)])
    reads = made.object("FILE", 1, flags=0, deleted=True, holders=[(theirs, "fd", 0)])
    one = made.object("FILE", 1, flags=2, holders=[(mine, "fd", 3)])
    other = made.object("FILE", 1, holders=[(theirs, "fd", 4)])
    made.object("PIPE", 2, holders=[(both, "pipe.writer"), (reads, "pipe.reader")])
    left = made.object("SOCKET", 2, holders=[(one, "sock")])
    right = made.object("SOCKET", 2, holders=[(other, "sock")])
    for end, peer in ((left, right), (right, left)):
        made.reference(end, peer, "peer")
    for file, fact, value in ((both, "lock", "shared"), (one, "lock", "exclusive")):
        made.fact(file, fact, value)
    made.fact(one, "polled", 1)
    found = listing(reported(made, all=True), parse_columns("OBJREF,FD,XMODE,ENDPOINTS"))
    rows = set(zip(*map(found.values, found.columns), strict=True))
    assert {
        (both.objref, 1, "-w--l-", "50,cat,0r-"),
        (both.objref, 7, "-w--l-", "50,cat,0r-"),
        (one.objref, 3, "rw--Lm", "50,cat,4"),
    } <= rows


def test_whose_a_process_is_has_columns() -> None:
    made = Machine()
    unit = f"/kubepods/pod12345678-1234-1234-1234-123456789abc/crio-{'ab' * 32}/x.service"
    made.task(50, uid=4711)
    made.task(100, cgroup=unit, uid=7)
    made.object("PIPE", 2, holders=[(100, "files"), (50, "files")])
    names = ("CONTAINER", "POD", "UNIT", "UID", "USER")
    found = listing(reported(made), [by_name()[name] for name in names])
    rows = list(zip(*map(found.values, found.columns), strict=True))
    assert ("abababababab", "12345678-1234-1234-1234-123456789abc", "x.service", 7, "7") in rows
    assert (None, None, None, 4711, "4711") in rows


def test_facts_relations_and_what_is_above_a_namespace_are_columns() -> None:
    made = Machine()
    made.task(50)
    made.task(100)
    tables = [made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (100, 50)]
    files = [made.object("FILE", 1, holders=[(table, "fd", 3)], name="/x") for table in tables]
    made.object("PIPE", 2, holders=[(files[0], "pipe.reader"), (files[1], "pipe.writer")])
    made.fact(Obj(5, "PIPE"), "unread", 12)
    made.relation("deleted-file", files[0], made.object("INODE", None))
    made.relation("deleted-file", files[1], Obj(6, "INODE"))
    spaces = made.object("NSPROXY", 1, holders=[(100, "nsproxy")])
    uts = made.object("UTS_NS", 1, ino=8, holders=[(spaces, "nsproxy.uts")])
    made.object("USER_NS", 1, ino=7, holders=[(uts, "owner")])
    names = ("KIND", "UNREAD", "RELATION", "ONS", "NPROCS")
    found = listing(reported(made, all=True), [by_name()[name] for name in names])
    rows = {row[0]: row[1:] for row in zip(*map(found.values, found.columns), strict=True)}
    assert rows["FILE"] == (12, "deleted-file", None, 1)
    assert rows["PIPE"] == (12, None, None, 2)
    assert rows["UTS_NS"] == (None, None, 7, 1)


def test_columns_are_listed_without_a_snapshot(tmp_path: Path) -> None:
    for command in ("check", "report"):
        ran = run(command, "-H", cwd=tmp_path)
        assert (ran.returncode, ran.stderr) == (0, "")
        lines = [line for line in ran.stdout.splitlines() if not line.startswith(" ")]
        assert [line.split()[0] for line in lines] == names_of_columns()


@half_as_often
@given(counted_graphs())
def test_rows_lose_nothing_and_count_nothing_twice(graph: Graph) -> None:
    snapshot = graph.snapshot()
    report = make(snapshot, check(snapshot, graph.root), ReportOptions(all=True))
    rows = {level: listing(report, (), level).rows for level in LEVELS}
    assert [row.entry for row in rows["object"]] == list(report.objects)
    weights = dict.fromkeys(range(len(report.objects)), 0)
    for row in rows["reference"]:
        weights[row.at] += row.holder.weight if row.holder else 0
    named = [entry.users + entry.outside + entry.observer for entry in report.objects]
    assert list(weights.values()) == named
    for at, entry in enumerate(report.objects):
        told = {r.process.tgid for r in rows["process"] if r.at == at and r.process is not None}
        assert told <= {task.tgid for holder in entry.holders for task in holder.tasks}
        assert told >= {t.tgid for h in entry.holders for t in h.tasks if t.side is h.side}
    for fine, coarse in combinations_with_replacement(reversed(LEVELS), 2):
        once = with_finer(rows[fine], [True] * len(rows[fine]), coarse)
        columns = [column for column in COLUMNS if finest([column], coarse) == coarse]
        told_once = [Listing((), once).values(column) for column in columns]
        assert told_once == [Listing((), rows[coarse]).values(column) for column in columns]


VARIED, HOSTILE = reported(varied(), all=True), reported(hostile())


FIVE = st.lists(st.sampled_from(names_of_columns()), min_size=5, max_size=5, unique=True)


@given(FIVE, st.sampled_from([VARIED, HOSTILE]))
def test_a_line_has_a_word_for_every_column(names: list[str], report: Report) -> None:
    chosen = tuple(by_name()[name] for name in names)
    listed = listing(report, chosen)
    lines = render(listed).splitlines()
    assert len(lines) == len(listed.rows) + 1
    last_is_prose = chosen[-1].name in {"MESSAGE", "DETAIL", "TITLE"}
    for line in lines:
        words = line.split()
        assert len(words) == 5 or (last_is_prose and len(words) > 5)
        assert line.isprintable()
        assert line == line.rstrip()


def test_no_cell_is_cut() -> None:
    assert "/another-long-folder-name/and-one-more/application.log" in table("+PID,COMMAND")


def test_flags_are_those_of_the_machine_that_was_read() -> None:
    for machine, word in (("x86_64", "direct"), ("aarch64", "directory")):
        build = leaking()
        fds = build.object("FILE_TABLE", 1, holders=[(101, "files")])
        build.object("FILE", 1, name="/x", flags=0o40001, holders=[(fds, "fd", 3)])
        snapshot = build.snapshot(100, machine=machine)
        report = make(snapshot, check(snapshot), ReportOptions(all=True))
        rows = listing(report, parse_columns("FLAGS,NAME")).rows
        (flags,) = [by_name()["FLAGS"].get(row) for row in rows if row.entry.name == "/x"]
        assert flags == f"wronly,{word}"


def test_levels() -> None:
    assert finest(parse_columns("KIND,NAME")) == "object"
    assert finest(parse_columns("KIND,FD,NAME")) == "reference"
    assert finest(parse_columns("FD,PID")) == "process"
    assert finest(parse_columns("PID,TID")) == "thread"
    assert finest((), "process") == "process"


# --- the command line


@pytest.mark.parametrize(
    ("short", "columns", "file"),
    [
        (["PID,NAME"], "PID,NAME", None),
        (["+PID"], "+PID", None),
        (["+"], "+", None),
        (["pid,command"], "pid,command", None),
        (["OUT.CSV"], None, "OUT.CSV"),
        (["./OUT.CSV"], None, "./OUT.CSV"),
        (["out.json"], None, "out.json"),
        (["Report"], "Report", None),
        (["-"], None, "-"),
        (["PID, NAME"], "PID, NAME", None),
        (["pid,out.txt"], "pid,out.txt", None),
        (["PID", "out.txt"], "PID", "out.txt"),
        ([], None, None),
    ],
)
def test_o_takes_columns_or_a_file(short: list[str], columns: str | None, file: str | None) -> None:
    assert split_output(short, None, None) == (columns, file)


@given(st.text())
def test_what_names_a_column_is_no_file(text: str) -> None:
    assert split_output([f"{text},pid"], None, None) == (f"{text},pid", None)
    assert split_output([f"{text.replace(',', '')}/A"], None, None)[0] is None


@pytest.mark.parametrize(
    "said",
    [
        (["A", "B"], None, None),
        (["./a", "./b"], None, None),
        (["A"], "B", None),
        (["./a"], None, "b"),
    ],
)
def test_a_thing_is_said_once(said: tuple[Any, Any, Any]) -> None:
    with pytest.raises(BadInputError, match="say one"):
        split_output(*said)
    assert split_output([], "pid", "OUT") == ("pid", "OUT")


@pytest.fixture
def snapshot(tmp_path: Path) -> str:
    crz.save(leaking().snapshot(100), tmp_path / "a.crz")
    return str(tmp_path / "a.crz")


def test_columns_of_a_file(snapshot: str, tmp_path: Path) -> None:
    ran = run("report", snapshot, "-o", "PID,ASSOC,NAME", "-Q", "PID == 88", "-n")
    assert (ran.returncode, len(ran.stdout.splitlines())) == (0, 2)
    assert ran.stdout.splitlines()[1].startswith("88 7       /var/log/")
    assert ran.stderr == ("cranalyze: 2 of 11 objects are listed (-Q); the answer is of all\n")
    there = tmp_path / "there"
    ran = run("report", snapshot, "-o", "kind", "-o", str(there))
    said = f"wrote {there}: the columns (-o is for columns: a file is --output)"
    assert (ran.stdout, ran.stderr) == ("", f"cranalyze: {said}\n")
    assert there.read_text().splitlines()[:2] == ["KIND", "NSPROXY"]
    assert "no *.crz" not in run("report", snapshot, "--columns", "KIND").stderr


def test_a_filter_narrows_every_form_and_never_the_answer(snapshot: str) -> None:
    asked = ("report", snapshot, "--check", "-Q", "FD == 5")
    ran = run(*asked)
    assert ran.returncode == 16
    assert ran.stdout.startswith("not contained: 10 of 13 objects")
    assert "application.log" in ran.stdout.replace("\n    ", "")
    assert "/dev/pts/0" not in ran.stdout
    found = json.loads(run(*asked, "--json").stdout)
    assert (len(found["objects"]), found["summary"]["usage_leak"]) == (1, 9)
    assert found["exit_code"] == 16
    assert "/dev/pts/0" not in run(*asked, "--tree").stdout
    assert run("report", snapshot, "-Q", "true").stderr == ""


def test_columns_as_json(snapshot: str) -> None:
    ran = run("report", snapshot, "-o", "KIND,REFCOUNT,FD,INITIAL,NAME", "--json", "-Q", "PID==88")
    found = json.loads(ran.stdout)
    assert found["status"] == "leaks"
    assert "objects" not in found
    first = found["rows"][1]
    assert {k: first[k] for k in ("KIND", "REFCOUNT", "FD", "INITIAL")} == {
        "KIND": "FILE",
        "REFCOUNT": 4,
        "FD": 7,
        "INITIAL": False,
    }
    assert (
        json.loads(run("report", snapshot, "-o", "KIND", "--json", "-Q", "false").stdout)["rows"]
        == []
    )


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["-o", "KIND,FDD"], "no column FDD (did you mean FD?); a file to write is --output FILE"),
        (["-o", "README"], "a file to write is --output FILE"),
        (["--columns", "comand"], "no column COMAND (did you mean COMMAND?);"),
        (["-Q", "sid == 'inside'"], "no such column (did you mean SIDE?)"),
        (["-o", "KIND,"], "no column without a name"),
        (["--columns", ""], "no column is named"),
        (["-n"], "-n goes with columns"),
        (["-o", "KIND", "--tree"], "no other form"),
        (["--json", "--tree"], "say one of them"),
        (["-Q", "FD = 1"], "-Q: at character 4, near = 1"),
        (["-o", "KIND", "-o", "NAME"], "say one"),
        (["-o", ""], "no column is named"),
        (["--output", ""], "--output is empty"),
    ],
)
def test_a_wrong_option_is_one_line(snapshot: str, words: list[str], why: str) -> None:
    ran = run("report", snapshot, *words)
    assert (ran.returncode, len(ran.stderr.splitlines())) == (2, 1)
    assert why in ran.stderr
