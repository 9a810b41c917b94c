"""Two snapshots compared: what is new, gone and changed, what grows, and what is said of the two.

Rewrite the golden page with CRANALYZE_GOLDEN=write, then read the difference.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import analyzer
from analyzer import cli
from analyzer.changes.between import Answer, Change, Changes, Way, between, tally
from analyzer.changes.growth import holdings
from analyzer.changes.identity import By, matched
from analyzer.check.leaks import check
from analyzer.core.model import Verdict
from analyzer.report.make import make
from analyzer.report.value import Report, ReportObject, ReportOptions
from analyzer.snapshot.tables import with_columns
from analyzer.snapshot.value import Snapshot
from analyzer.writers import diff, diff_page, terminal
from tests.build import Machine, Obj
from tests.schema import faults
from tests.strategies import Graph, counted_graphs, half_as_often
from tests.unit.test_replay import DUMPS, root_of

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parents[1] / "golden" / "diff.txt"
OPTIONS = ReportOptions("diff", all=True, brief=True)
NASTY = "a\udcff\n\x1b[2J\u202e<b>"


def machine() -> Machine:
    """A container and its launcher, which has nothing of it; one file is shared."""
    made = Machine()
    made.task(77, comm="launcher")
    made.task(100, 77, comm="app", nspid=1)
    made.task(101, 100, comm="worker", nspid=2)
    tables = [made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (77, 100, 101)]
    made.object("FILE", 2, name="/srv/log", ino=5, dev=1, mode=0o100644,
                holders=[(tables[0], "fd", 3), (tables[1], "fd", 3)])  # fmt: skip
    made.object("FILE", 1, name="/srv/own", ino=6, dev=1, mode=0o100644,
                holders=[(tables[1], "fd", 4)])  # fmt: skip
    return made


LAUNCHER, APP, WORKER = (Obj(n, "FILE_TABLE") for n in (1, 2, 3))
LOG, OWN = Obj(4, "FILE"), Obj(5, "FILE")


def later() -> Machine:
    """The same, some time after."""
    made = machine()
    made.reference(OWN, LAUNCHER, "fd", 9)  # was contained
    made.rows["objects"][4]["refcount"] = 2
    for fd in range(3):
        made.object("FILE", 1, name=f"pipe:[{70 + fd}]", ino=70 + fd, mode=0o010600,
                    holders=[(WORKER, "fd", 10 + fd)])  # fmt: skip
    return made


def reported(snapshot: Snapshot, options: ReportOptions = OPTIONS) -> Report:
    return make(snapshot, check(snapshot), options)


def compared(before: Machine, after: Machine, **meta: Any) -> Changes:  # noqa: ANN401 - as JSON
    then = {"monotonic_ns": int(61e9) + 1, "collected_at": "2009-04-24T12:01:01Z", **meta}
    return between(reported(before.snapshot(100)), reported(after.snapshot(100, **then)))


def words(changes: Changes, *, everything: bool = False) -> str:
    return terminal.to_text(diff.render(changes, 80, everything=everything))


def names(changes: list[Change]) -> list[str]:
    return [diff.called(change) for change in changes]


# --- for any two machines


@st.composite
def two(draw: st.DrawFn) -> tuple[Snapshot, Snapshot]:
    """Two readings of one machine, between which something went, and counts and looks changed."""
    first: Graph = draw(counted_graphs())
    second = first.copy()
    gone = draw(st.sets(st.integers(0, max(len(first.references) - 1, 0)), max_size=4))
    second.references = [one for at, one in enumerate(first.references) if at not in gone]
    if draw(st.integers(0, 4)) == 0:
        second = draw(counted_graphs())
    return addressed(first), addressed(second)


def addressed(graph: Graph) -> Snapshot:
    snapshot = graph.snapshot()
    objects = snapshot.tables["objects"]
    changed = with_columns(objects, {"address": objects["objref"].astype("u8") * 64}, {})
    subject = {**snapshot.meta["subject"], "pid": graph.root}
    meta = {**snapshot.meta, "subject": subject}
    return Snapshot(meta, {**snapshot.tables, "objects": changed})


@given(two())
@half_as_often
def test_of_any_two_what_is_new_gone_and_kept_adds_up_and_is_mirrored(
    given_: tuple[Snapshot, Snapshot],
) -> None:
    first, second = map(reported, given_)
    there, back = between(first, second), between(second, first)
    leaks = [
        sum(entry.verdict in {Verdict.USAGE_LEAK, Verdict.OVERCOUNT} for entry in report.objects)
        for report in (first, second)
    ]
    sums = tally(there.objects)
    doubts = sum(
        isinstance(end, ReportObject) and end.verdict in {Verdict.UNSTABLE, Verdict.UNKNOWN}
        for change in there.objects
        for end in (change.was, change.now)
    )
    assert sums.before + sums.after == sum(leaks) + doubts
    if there.every is not None:
        assert there.every.before == len(first.objects)
        assert there.every.after == len(second.objects)
    for one, other in ((there, back), (back, there)):
        assert tally(one.all)[:2] == tally(other.all)[1::-1]
        assert tally(one.all)[2:] == tally(other.all)[2:]
        assert {id(c.now) for c in one.of(Way.NEW)} == {id(c.was) for c in other.of(Way.GONE)}
    grown = {(g.pid, g.comm, g.what): g.more for g in there.growth}
    assert grown == {(g.pid, g.comm, g.what): -g.more for g in back.growth}
    assert sum(grown.values()) == sum(one.number for one in holdings(second)) - sum(
        one.number for one in holdings(first)
    )


@given(counted_graphs())
@half_as_often
def test_of_any_machine_and_itself_nothing_is_new(graph: Graph) -> None:
    report = reported(addressed(graph))
    same = between(report, report)
    assert {change.way for change in same.all} <= {Way.KEPT}
    assert not any(one.more for one in same.growth)
    assert same.answer is Answer.NOTHING_NEW


@given(*[st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in range(2)])
def test_what_is_matched_is_matched_both_ways(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    left, right = ([(k, f, (at, k, f)) for at, (k, f) in enumerate(one)] for one in (first, second))
    found = list(matched(left, right))
    assert sorted(a for a, _ in found if a) == sorted(thing for *_, thing in left)
    assert sorted(b for _, b in found if b) == sorted(thing for *_, thing in right)
    assert {(a, b) for b, a in matched(right, left)} == set(found)
    assert all(a[1] == b[1] for a, b in found if a and b)


# --- what is new, gone, changed


def test_what_was_contained_and_is_held_outside_is_new() -> None:
    changes = compared(machine(), later())
    assert names(changes.of(Way.NEW)) == ["open file /srv/own"]
    assert changes.of(Way.NEW)[0].how == ("was there, and contained",)
    assert (changes.answer, changes.exit_code, changes.by) == (Answer.NEW, 16, By.ADDRESS)
    back = between(changes.after, changes.before)
    assert names(back.of(Way.GONE)) == ["open file /srv/own"]
    assert (back.answer, back.exit_code) == (Answer.NOTHING_NEW, 0)


def test_who_holds_a_leak_besides_is_a_change_and_decides_nothing() -> None:
    made = machine()
    made.task(78, comm="other")
    made.object("FILE_TABLE", 1, holders=[(78, "files")])
    made.reference(LOG, Obj(6, "FILE_TABLE"), "fd", 5)
    made.rows["objects"][3]["refcount"] = 3
    (change,) = compared(machine(), made).of(Way.CHANGED)
    assert change.how == ("2 held from outside, was 1", "now held by other (78)")
    assert compared(machine(), made).exit_code == 0


def test_what_cannot_be_told_is_undecided() -> None:
    made = machine()
    made.rows["objects"][4] |= {"stable": False}
    changes = compared(machine(), made)
    assert (changes.answer, changes.exit_code) == (Answer.UNDECIDED, 3)
    made.rows["objects"][3] |= {"stable": False}
    made.rows["references"] = [r for r in made.rows["references"] if r["holder"] != LAUNCHER.objref]
    (change,) = compared(made, machine()).of(Way.CHANGED)
    assert change.how[0] == "referenced from outside, was unstable"
    assert compared(made, machine()).answer is Answer.UNDECIDED
    assert compared(made, made).answer is Answer.NOTHING_NEW


def test_what_is_ignored_is_told_and_does_not_decide() -> None:
    options = ReportOptions("diff", all=True, brief=True, ignore=frozenset({"FILE"}))
    first, second = (reported(one.snapshot(100), options) for one in (machine(), later()))
    changes = between(first, second)
    assert (changes.exit_code, len(changes.of(Way.NEW))) == (0, 1)
    assert diff.headline(changes).startswith("nothing new that decides: 1 leak new")


def test_a_crossing_is_known_again_by_what_its_ends_have_in_common() -> None:
    def crossing(*readers: int) -> Machine:
        made = machine()
        inode = made.object("INODE", None, holders=[(77, "poll")], ino=9)
        mine = made.object("FILE", 1, name="/x (deleted)", holders=[(APP, "fd", 8)])
        made.relation("deleted-file", mine, inode)
        for tid in readers:
            made.task(tid, comm=f"reader{tid}")
            table = made.object("FILE_TABLE", 1, holders=[(tid, "files")])
            made.relation("deleted-file", made.object("FILE", 1, holders=[(table, "fd", 4)]), inode)
        return made

    changes = compared(crossing(90), crossing(90, 91))
    (change,) = [one for one in changes.crossings if one.way is Way.CHANGED]
    assert change.how == ("now with reader91 (91)",)
    changes = compared(crossing(), crossing(91))
    assert any("crosses the border now" in change.how for change in changes.crossings) or [
        one for one in changes.crossings if one.way is Way.NEW
    ]


# --- what grows


def test_descriptors_are_counted_by_process_and_type() -> None:
    grown = {(one.comm, one.what): (one.before, one.after) for one in
             compared(machine(), later()).growth}  # fmt: skip
    assert grown == {("worker", "pipes"): (0, 3), ("app", "files"): (2, 2)}
    made = later()
    made.object("FILE", 1, name="anon_inode:[eventfd]", mode=0o600, holders=[(WORKER, "fd", 20)])
    grown = {(one.comm, one.what): (one.before, one.after) for one in
             compared(later(), made).growth}  # fmt: skip
    assert grown["worker", "eventfd"] == (0, 1)


# --- where, when, by whom


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"host": "web2", "boot_id": "b"}, "two hosts: test and web2"),
        ({"boot_id": "b"}, "two boots of a host called test, or two hosts of that name"),
        ({"kernel": "6.19"}, "two kernels: 6.18.0 and 6.19"),
        ({"tool_version": "9"}, "read by two versions of cranalyze: 0.0.0 and 9"),
        ({"monotonic_ns": 0}, ""),
        ({"collected_at": "2009-04-24T11:00:00Z"}, "the clock was set back by 1.02 hours"),
        ({"collected_at": "2009-04-24T13:01:01Z"}, "set forward by 1 hour in between, or the"),
        ({"boot_id": "b", "collected_at": "2009-04-24T11:00:00Z"}, "1 hour before the first: they"),
        ({"boot_id": "b", "collected_at": ""}, "when one of them was read is not known"),
        ({"format": 1}, "what crosses without being counted is left out"),
        ({"incomplete": True}, "a part of the subtree could not be read in the second"),
        ({"source": {"name": "procfs", "notes": []}}, "what one cannot see is no change"),
    ],
)
def test_what_differs_about_the_readings_is_said(meta: dict[str, Any], said: str) -> None:
    found = compared(machine(), machine(), **meta).remarks
    assert any(said in remark for remark in found) or (not said and not found)


def test_readings_of_one_boot_are_as_far_apart_as_its_clock_says() -> None:
    swapped = between(*(reported(machine().snapshot(100, monotonic_ns=n)) for n in (9 * 10**9, 1)))
    assert any("9 seconds before the first: they are swapped" in one for one in swapped.remarks)
    assert compared(machine(), machine()).seconds == 61
    assert compared(machine(), machine()).remarks == ()


@pytest.mark.parametrize(
    ("meta", "by"),
    [
        ({}, By.ADDRESS),
        ({"addresses": "hashed", "address_key": "0a"}, By.HOLDER),
        ({"boot_id": "b"}, By.NAME),
    ],
)
def test_things_are_known_again_by_what_can_be(meta: dict[str, Any], by: By) -> None:
    changes = compared(machine(), later(), **meta)
    assert changes.by is by
    assert names(changes.of(Way.NEW)) == ["open file /srv/own"]
    assert names(changes.of(Way.KEPT)) == ["open file /srv/log"]
    assert changes.by.words in diff.about(changes)
    assert (changes.every is None) == (by is By.NAME)


def test_another_process_is_compared_by_name() -> None:
    made = machine()
    made.rows["tasks"][1]["start_time"] += 10**9
    changes = compared(machine(), made)
    assert changes.by is By.NAME
    assert "pid 100 is another process in the second: the first one ended" in changes.remarks


def test_of_a_subject_with_several_first_processes_one_may_end() -> None:
    def several(first: int, *others: int) -> Report:
        subject = {"pid": first, "start_time": None, "selector": "unit:x", "roots": list(others)}
        made = machine()
        made.rows["tasks"][2]["ppid"] = 1
        if not others:
            del made.rows["tasks"][1]
            made.rows["references"] = [r for r in made.rows["references"] if r["holder"] != 100]
        return reported(made.snapshot(None, subject=subject))

    changes = between(several(100, 101), several(101))
    assert changes.by is By.ADDRESS
    assert changes.remarks == ()
    assert between(several(100, 101), several(100, 101)).by is By.ADDRESS


def test_another_inode_at_a_path_is_told_across_boots() -> None:
    made = machine()
    made.rows["objects"][3]["ino"] = 50
    (change,) = compared(machine(), made, boot_id="b").of(Way.CHANGED)
    assert change.how == ("inode 50, was 5",)


# --- for people, for programs


def nasty() -> Changes:
    made = later()
    made.rows["tasks"][0]["comm"] = NASTY
    made.rows["objects"][4]["name"] = f"/srv/{NASTY}"
    return compared(machine(), made, host=NASTY)


def test_what_is_said_is_golden() -> None:
    grew = words(compared(machine(), later()))
    assert "* worker (101): pipes +3 (0 to 3)\n" in grew
    found = f"{grew}\n---\n{words(nasty(), everything=True)}"
    if os.environ.get("CRANALYZE_GOLDEN") == "write":
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()
    assert max(map(len, found.splitlines())) <= 80


@pytest.mark.parametrize("made", [nasty, lambda: compared(machine(), machine())])
def test_the_page_is_whole_and_names_harm_nobody(made: Callable[[], Changes]) -> None:
    page = diff_page.render(made())
    assert "<b>" not in page
    assert "<script" not in page
    assert "\x1b" not in page
    page.encode()
    assert re.search(r"default-src 'none'; style-src 'sha256-[^;]*'; base-uri 'none'", page)
    assert diff.headline(made()) in page
    assert not re.search(r'(src|href)="(?!#)', page)


def test_in_python_it_is_said_as_the_command_says_it() -> None:
    first, second = machine().snapshot(100), later().snapshot(100)
    found = analyzer.diff(first, second)
    assert isinstance(found, analyzer.Changes)
    assert repr(found) == "<Changes, new: 1 new, 0 gone, 0 changed, 1 kept>"
    assert str(found) == words(found)
    assert found._repr_html_().startswith("<pre>something is new: 1 leak new; 1 leak")
    assert names(analyzer.diff(reported(first), second).of(Way.NEW)) == ["open file /srv/own"]
    assert "<b>" not in nasty()._repr_html_()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    machine().snapshot(100).save(tmp_path / "a.crz")
    later().snapshot(100, monotonic_ns=10**9).save(tmp_path / "b.crz")
    later().snapshot(None, scope="host").save(tmp_path / "host.crz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("a.crz b.crz", 16),
        ("b.crz a.crz", 0),
        ("a.crz a.crz", 0),
        ("a.crz b.crz --ignore file", 0),
        ("a.crz b.crz --fail-on UTS_NS", 0),
        ("a.crz host.crz --pid 100", 16),
        ("a.crz host.crz", 2),
        ("a.crz absent.crz", 2),
        ("a.crz b.crz --json --html x.html", 2),
        ("a.crz .", 2),
        ("- -", 2),
        ("a.crz", 2),
    ],
)
def test_the_command_and_what_it_exits_with(
    line: str, code: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del folder
    assert cli.main(["diff", *line.split()]) == code
    out, err = capsys.readouterr()
    assert err.count("\n") == (1 if code == 2 else 0)
    assert bool(out) == (code != 2 or "--json" in line)


def test_the_command_writes_json_and_a_page(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["diff", "a.crz", "b.crz", "--json"]) == 16
    found = json.loads(capsys.readouterr().out)
    assert faults("diff", found) == []
    assert [one["change"] for one in found["changes"]] == ["new"]
    assert cli.main(["diff", "a.crz", "b.crz", "--html", "x.html", "--quiet"]) == 16
    assert (folder / "x.html").read_text().startswith("<!doctype html>")
    assert cli.main(["diff", "a.crz", "no.crz", "--json"]) == 2
    assert faults("diff", json.loads(capsys.readouterr().out)) == []


def test_two_dumps_can_be_compared(capsys: pytest.CaptureFixture[str]) -> None:
    dump, pid = str(DUMPS / "pin-net.txt"), str(root_of("pin-net"))
    code = cli.main(["diff", dump, dump, "--pid", pid, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (code, found["changes"]) == (found["exit_code"], [])
