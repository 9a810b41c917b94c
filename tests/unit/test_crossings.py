"""What crosses the border without being counted: found, named, and never a part of the check."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.check.crossings import crossings
from analyzer.check.leaks import check
from analyzer.core.errors import BadInputError
from analyzer.core.model import TASK, Impact, Rules, Side, Status
from analyzer.kinds import facts, registry
from analyzer.relations import relations
from analyzer.relations.base import Related
from analyzer.report.make import make
from analyzer.report.value import Report, ReportOptions
from analyzer.sources import relate
from analyzer.writers import json as writer
from analyzer.writers import junit, markdown, notebook, page, tree
from analyzer.writers.terminal import render, to_text
from tests.build import Machine, Obj
from tests.strategies import Graph, counted_graphs

ROOT, OUTSIDER = 100, 50


def machine() -> tuple[Machine, Obj, Obj, Obj]:
    """Return a contained subtree and an outsider, each with an open file; an inode."""
    made = Machine()
    made.task(1, 0)
    made.task(ROOT, 1, nspid=1, comm="app")
    made.task(OUTSIDER, 1, comm="reader")
    inside = made.object("FILE_TABLE", 1, holders=[(ROOT, "files")])
    outside = made.object("FILE_TABLE", 1, holders=[(OUTSIDER, "files")])
    mine = made.object("FILE", 1, name="/srv/x", holders=[(inside, "fd", 3)])
    theirs = made.object("FILE", 1, name="/srv/x", holders=[(outside, "fd", 4)])
    inode = made.object("INODE", None, name="/srv/x")
    return made, mine, theirs, inode


def report(made: Machine, *, rules: Rules = Rules.MODERN, **more: object) -> Report:
    snapshot = made.snapshot(ROOT)
    options = ReportOptions("check", gate=True, **more)  # type: ignore[arg-type]
    return make(snapshot, check(snapshot, rules=rules), options)


def text(found: Report) -> str:
    return " ".join(to_text(render(found, 80)).split())


def test_both_ends_of_a_shared_thing_are_named() -> None:
    made, mine, theirs, inode = machine()
    made.relation("deleted-file", mine, inode, detail="7 bytes")
    made.relation("deleted-file", theirs, inode, detail="7 bytes")
    (one,) = report(made).crossings
    assert (one.relation, one.impact, one.alone, one.gates) == (
        "deleted-file",
        Impact.LOST,
        False,
        False,
    )
    assert {(tie.side, tie.via, tie.tasks[0].comm) for tie in one.ties} == {
        (Side.INSIDE, ("fd 3",), "app"),
        (Side.OUTSIDE, ("fd 4",), "reader"),
    }
    said = text(report(made))
    assert "open file /srv/x: deleted, and in use (lost on checkpoint)" in said
    assert "outside fd 4 of reader (50): has it open (7 bytes)" in said
    assert "1 thing crosses the border that no count shows" in said
    assert "on its own" not in said


def test_what_a_leak_names_both_ends_of_is_told_once() -> None:
    """The count of a socket shows its other end; no count shows who has the same inode."""
    made, mine, theirs, inode = machine()
    near = made.object("SOCKET", 2, name="socket:[7]", holders=[(mine, "sock")])
    far = made.object("SOCKET", 2, name="socket:[8]", holders=[(theirs, "sock"), (near, "peer")])
    made.reference(near, far, "peer")
    made.relation("unix-peer", near, far, detail="stream")
    found = report(made)
    assert "unix socket socket:[7]: referenced from outside" in text(found)
    assert "connected to a unix socket" not in text(found)
    assert "no count shows" not in text(found)
    assert [one.relation for one in found.crossings] == ["unix-peer"]
    assert "connected to a unix socket" in " ".join(
        to_text(render(found, 80, everything=True)).split()
    )
    made.relation("deleted-file", mine, inode)
    made.relation("deleted-file", theirs, inode)
    assert "1 thing crosses the border that no count shows" in text(report(made))


@pytest.mark.parametrize("name", sorted(n for n, one in relations().items() if one.back))
def test_what_is_said_of_it_is_true_of_the_end_that_is_inside(name: str) -> None:
    made, mine, theirs, _ = machine()
    made.relation(name, mine, OUTSIDER)
    made.relation(name, theirs, ROOT)
    one = relations()[name]
    titles = {crossing.title for crossing in report(made).crossings}
    assert titles == {f"open file /srv/x: {one.title}", f"app ({ROOT}): {one.back}"}


def test_what_is_open_is_told_before_what_is_only_mapped() -> None:
    made = Machine()
    made.task(1, 0)
    made.task(ROOT, 1, nspid=1, comm="app")
    table = made.object("FILE_TABLE", 1, holders=[(ROOT, "files")])
    memory = made.object("MM", 1, holders=[(ROOT, "mm")])
    space = made.object("MNT_NS", 2, name="mnt:[1]", initial=True)
    for at in range(9):
        library = made.object("FILE", 1, name=f"/lib/{at}.so", holders=[(memory, "vma")])
        made.relation("foreign-mount", library, space, impact="pins")
    opened = made.object("FILE", 1, name="/etc/shadow", holders=[(table, "fd", 3)])
    made.relation("foreign-mount", opened, space, impact="pins")
    said = text(report(made))
    assert "open file /etc/shadow: on a mount of another mount namespace (pins)" in said
    assert "inside fd 3 of app (100): is there" in said


@pytest.mark.parametrize(
    ("mine", "theirs", "nspid", "told"),
    [(5, 9, 100, True), (9, 5, 100, False), (5, 5, 100, False), (9, 5, 1, True), (0, 5, 100, True)],
)
def test_the_mounts_of_a_namespace_are_of_who_was_there_first(
    mine: int, theirs: int, nspid: int, *, told: bool
) -> None:
    """Or of a container, whoever made it; of whom that is not known they are too."""
    made = Machine()
    made.task(1, 0)
    made.task(ROOT, 1, nspid=nspid, start_time=mine)
    made.task(OUTSIDER, 1, start_time=theirs)
    proxies = [made.object("NSPROXY", 1, holders=[(pid, "nsproxy")]) for pid in (ROOT, OUTSIDER)]
    own = made.object("MNT_NS", 2, holders=[(proxy, "nsproxy.mnt") for proxy in proxies])
    host = made.object("MNT_NS", 2, name="mnt:[1]", initial=True)
    mount = made.object("MOUNT", None, name="/data", holders=[(own, "mount")])
    made.relation("bind-mount", mount, host)
    assert bool(report(made).crossings) is told


@pytest.mark.parametrize("lives", [True, False])
def test_a_namespace_of_the_hosts_is_shared_by_who_is_in_it_only(*, lives: bool) -> None:
    """A descriptor of it is told as that, with its number."""
    made, *_ = machine()
    table = made.object("FILE_TABLE", 1, holders=[(ROOT, "files")])
    opened = made.object("FILE", 1, name="net:[1]", holders=[(table, "fd", 7)])
    nsfs = made.object("NSFS", 1, holders=[(opened, "nsfs.file")])
    sets = [made.object("NSPROXY", 1, holders=[(pid, "nsproxy")]) for pid in (ROOT, OUTSIDER)]
    members = sets if lives else sets[1:]
    made.object(
        "NET_NS", 2 + lives, name="net:[1]", initial=True,
        holders=[*((one, "nsproxy.net") for one in members), (nsfs, "nsfs")],
    )  # fmt: skip
    said = text(report(made, brief=True))
    assert ("shares the host's net namespace" in said) is lives
    assert ("the host's net namespace net:[1]: referenced from outside" in said) is not lives
    assert ("inside fd 7 of app (100)" in said) is not lives


@pytest.mark.parametrize(("role", "helps"), [("", True), ("socket", False), ("FIFO", False)])
def test_nobody_is_told_to_mount_read_only_what_is_written_to_all_the_same(
    role: str, *, helps: bool
) -> None:
    made, *_ = machine()
    own = made.object("MNT_NS", 1, holders=[(ROOT, "nsproxy.mnt")])
    host = made.object("MNT_NS", 2, name="mnt:[1]", initial=True)
    mount = made.object("MOUNT", None, name="/run/x", holders=[(own, "mount")])
    made.relation("bind-mount", mount, host, impact="reaches out", left_role=role or None)
    said = text(report(made)).partition("next: mount /run/x: ")[2]
    assert ("-o remount,bind,ro /run/x" in said) is helps
    assert (f"nsenter -t {ROOT} -m umount /run/x" in said) is not helps


def test_what_is_wholly_inside_is_told_only_of_what_a_checkpoint_has_to_know() -> None:
    made, mine, _, inode = machine()
    made.relation("deleted-file", mine, inode)
    made.task(101, ROOT)
    made.relation("session", 101, ROOT, left_role="session")
    (one,) = report(made).crossings
    assert one.alone
    assert not one.gates
    assert report(made).status is Status.CONTAINED


def test_what_only_outsiders_do_with_each_other_is_nothing() -> None:
    made, _, theirs, inode = machine()
    made.relation("deleted-file", theirs, inode)
    made.relation("session", OUTSIDER, 1, left_role="session")
    assert not report(made).crossings


def outward(**more: object) -> Machine:
    made, *_ = machine()
    place = made.object("FS", 1, holders=[(ROOT, "fs")])
    spaces = made.object("NSPROXY", 1, holders=[(OUTSIDER, "nsproxy")])
    host = made.object("MNT_NS", 1, name="mnt:[1]", initial=True, holders=[(spaces, "nsproxy.mnt")])
    made.relation("foreign-mount", place, host, left_role="cwd", detail="/srv", **more)
    return made


def test_what_reaches_out_gates_and_is_said_first() -> None:
    found = report(outward())
    assert (found.status, found.exit_code) == (Status.LEAKS, 16)
    assert found.summary.usage_leak == 0
    said = text(found)
    assert said.startswith("not contained: none of")
    assert "working directory /srv: on a mount of another mount namespace (reaches out)" in said
    assert "outside the host's mnt namespace mnt:[1]: has it mounted" in said


@pytest.mark.parametrize(
    "options",
    [
        {"ignore": frozenset({"foreign-mount"})},
        {"ignore": frozenset({"reaches-out"})},
        {"fail_on": frozenset({"FILE"})},
        {"references_only": True},
    ],
)
def test_what_is_not_to_gate_does_not(options: dict[str, Any]) -> None:
    assert report(outward(), **options).status is Status.CONTAINED


def test_by_design_never_gates_unless_it_is_asked_for() -> None:
    made = outward(impact="by design")
    assert report(made).status is Status.CONTAINED
    assert report(made, fail_on=frozenset({"by-design"})).status is Status.LEAKS


@pytest.mark.parametrize("rules", [Rules.LINUX_CR, Rules.SEED])
def test_the_historic_rules_show_it_and_judge_it_not(rules: Rules) -> None:
    found = report(outward(), rules=rules)
    assert found.crossings
    assert not any(one.gates for one in found.crossings)


def test_what_moved_is_no_leak() -> None:
    found = report(outward(stable=False))
    assert found.status is Status.UNDECIDED
    assert "kept changing while it was read" in text(found)


@pytest.mark.parametrize("name", relations())
def test_of_no_relation_what_moved_is_a_firm_crossing(name: str) -> None:
    def found(left: int, right: int) -> relate.Found:
        ends = (np.array([n], np.uint64) for n in (left, right))
        rows = Related("FILE", next(ends), "INODE", next(ends))
        return relate.Found(((name, rows),), (np.ones(1, np.bool_),))

    first = found(7, 8)
    for second in (relate.NOTHING, found(7, 9), found(6, 8), found(8, 7)):
        assert [mask.tolist() for mask in relate.again(first, second).stable] == [[False]]
    assert relate.again(first, found(7, 8)).stable[0].all()
    made, mine, theirs, inode = machine()
    for left, right in ((mine, inode), (theirs, inode), (mine, theirs), (ROOT, OUTSIDER)):
        made.relation(name, left, right, stable=False)
    judged = report(made, fail_on=frozenset({name}))
    assert judged.status in {Status.UNDECIDED, Status.CONTAINED}
    assert not [one for one in judged.crossings if one.stable]


def test_a_crossing_is_a_finding_in_json() -> None:
    (finding,) = json.loads(writer.render(report(outward())))["findings"]
    assert (finding["relation"], finding["impact"]) == ("foreign-mount", "reaches out")
    assert finding["gates"] is True
    inside, outside = finding["ends"]
    assert (inside["side"], inside["role"], inside["detail"]) == ("inside", "cwd", "/srv")
    assert (outside["side"], outside["kind"], outside["name"]) == ("outside", "MNT_NS", "mnt:[1]")


def piped() -> Report:
    """Return the report of a subtree that has a pipe in common with an outsider."""
    made, mine, theirs, _ = machine()
    pipe = made.object(
        "PIPE", 2, name="pipe:[7]", holders=[(mine, "pipe.reader"), (theirs, "pipe.writer")]
    )
    made.fact(pipe, "unread", 12)
    made.fact(pipe, "readers", 1)
    made.relation("foreign-mount", mine, theirs)
    return report(made, all=True)


def test_facts_are_told_of_objects_and_of_what_their_files_are_open_on() -> None:
    found = piped()
    pipe = next(entry for entry in found.objects if entry.kind == "PIPE")
    file = next(entry for entry in found.objects if entry.name == "/srv/x")
    assert dict(pipe.facts) == dict(file.facts) == {"unread": 12, "readers": 1}
    assert "readers 1, 12 bytes unread" in text(found)
    told = json.loads(writer.render(found))
    assert {"unread": 12, "readers": 1} in [entry["facts"] for entry in told["objects"]]
    ends = [end for finding in told["findings"] for end in finding.get("ends", ())]
    assert [end["facts"] for end in ends] == [{"unread": 12, "readers": 1}] * 2


def test_the_summary_counts_what_crosses_by_impact() -> None:
    told = json.loads(writer.render(report(outward())))["summary"]["crossings"]
    assert told == {impact.value: int(impact is Impact.REACHES_OUT) for impact in Impact}
    assert not any(report(outward(), references_only=True).summary.crossings.values())


def test_next_says_what_mends_the_worst_and_never_that_it_is_on_its_own() -> None:
    said = text(report(outward()))
    how = relations()["foreign-mount"].mend()
    assert f"next: working directory /srv: {how}, or --ignore foreign-mount;" in said
    assert "nothing: what crosses is by design." in text(report(outward(impact="by design")))
    for found in (
        report(outward(), ignore=frozenset({"reaches-out"})),
        report(outward(), references_only=True),
    ):
        assert "on its own" not in text(found)


def test_every_output_tells_what_crosses() -> None:
    made = outward()
    made.task(101, ROOT, comm="worker")
    made.relation("session", 101, OUTSIDER, left_role="session")
    found = report(made)
    title, other = (one.title for one in found.crossings)
    (case, second) = (
        case
        for case in ET.fromstring(junit.render(found)).iter("testcase")  # noqa: S314 - our own
        if case.get("classname") == "cranalyze.crossings"
    )
    assert (case.get("name"), case.find("failure") is not None) == (title, True)
    assert (second.get("name"), second.find("failure")) == (other.replace(" (101)", ""), None)
    assert "(reaches out)" in to_text(tree.render(found, 200))
    assert f"- {title}" in to_text(tree.render(found, 200))
    assert "| reaches out (decides) |" in markdown.render(found)
    shown = page.render(found)
    assert f"<td>{title}</td><td>reaches out (decides)</td>" in shown
    assert 'class="edge outside uncounted"' in shown


def test_next_says_which_process_and_which_path() -> None:
    made, *_ = machine()
    spaces = [made.object("NSPROXY", 1, holders=[(tid, "nsproxy")]) for tid in (ROOT, OUTSIDER)]
    own, host = (made.object("MNT_NS", 1, holders=[(one, "nsproxy.mnt")]) for one in spaces)
    mount = made.object("MOUNT", 1, name="/srv/a b", holders=[(own, "mount")])
    made.relation("bind-mount", mount, host)
    assert "nsenter -t 100 -m mount -o remount,bind,ro '/srv/a b', or" in text(report(made))
    assert "nsenter -t PID -m mount -o remount,bind,ro PATH" in relations()["bind-mount"].mend()
    made.rows["relations"][0]["impact"] = Impact.PINS.value  # as what is read-only already
    assert "nsenter -t 100 -m umount '/srv/a b'; --json" in text(report(made))


def alike(count: int) -> Report:
    """Return the report of a subtree and an outsider with some deleted files of both."""
    made, *_ = machine()
    tables = [made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (ROOT, OUTSIDER)]
    for at in range(count):
        inode = made.object("INODE", None, name=f"/srv/{at}")
        for table in tables:
            held = [(table, "fd", 20 - at)]
            file = made.object("FILE", 1, name=f"/srv/\x1b{at}", holders=held)
            made.fact(file, "open.mode", "read")
            made.fact(file, "size", at)
            made.relation("deleted-file", file, inode, detail=f"{at} bytes")
    return report(made)


def test_what_is_alike_is_told_once() -> None:
    found = alike(12)
    title = "12 open files: deleted, and in use"
    for said in (text(found), " ".join(to_text(tree.render(found, 80)).split())):
        assert said.count("deleted, and in use") == 1
        assert f"{title} (lost on checkpoint)" in said
        assert r"/srv/\e0, /srv/\e1, /srv/\e10 and 9 more" in said
        assert "fd 9, fd 10, fd 11 and 9 more of reader (50): has it open (read)" in said
    assert "at 12 files: each is deleted" in text(found)
    assert "12 things cross the border" in text(found)
    assert markdown.render(found).count(title) == 1
    assert f"<summary>{title}</summary>" in page.render(found)
    assert notebook.report(found).count("deleted, and in use") == 1
    told = json.loads(writer.render(found))["findings"]
    assert [one["message"].count("/srv/") for one in told] == [1] * 12
    assert len(list(ET.fromstring(junit.render(found)).iter("testcase"))) > 12  # noqa: S314


def test_what_is_alike_is_listed_where_all_is_asked_for_or_little_is_there() -> None:
    everything = to_text(render(alike(12), 80, everything=True))
    assert everything.count("deleted, and in use") == 12
    assert text(alike(4)).count("deleted, and in use") == 4


def test_sentences_of_alike_tasks_are_one() -> None:
    made, *_ = machine()
    for tid in range(200, 206):
        made.task(tid, 1, comm="psql")
        made.relation("joined", ROOT, tid, detail="joined pid")
    made.relation("joined", ROOT, OUTSIDER, detail="joined net")
    said = text(report(made))
    assert "psql (200), psql (201), psql (202) and 3 more: joined pid; not a desc" in said
    assert "reader (50): joined net; not a descendant of app (100)" in said


def test_a_page_lists_by_what_it_means() -> None:
    shown = page.render(report(meant()))
    assert '<option value="">anything (3)</option>' in shown
    assert '<option value="reaches-out">reaches out (1)</option>' in shown
    assert '<option value="shared-state">shared state (1)</option>' in shown
    assert shown.count('data-impact="by-design"') == 1
    assert '<tr data-impact="reaches-out"><td>' in shown


def test_a_name_that_is_cut_can_be_read_in_the_table() -> None:
    made = meant()
    name = "/srv/" + "x" * 200
    table = made.object("FILE_TABLE", 1, holders=[(OUTSIDER, "files")])
    made.object("FILE", 2, name=name, holders=[(table, "fd", 1), (ROOT, "exe")])
    assert f'" title="{name}">' in page.render(report(made))


def test_a_notebook_says_what_crosses() -> None:
    shown = notebook.report(report(outward()))
    assert "crosses uncounted" in shown
    assert "reaches out" in shown
    assert "has it mounted" in shown


def test_tests_are_ordered_by_what_they_mean() -> None:
    cases = list(ET.fromstring(junit.render(report(meant()))).iter("testcase"))  # noqa: S314
    names = [case.get("name") or "" for case in cases]
    order = [n for n in names if "working directory" in n or n.startswith("open file /")]
    assert [name.split()[0] for name in order] == ["working", "open", "open"]
    assert order[1:] == ["open file /srv/log", "open file /dev/null"]


def test_markdown_tells_facts() -> None:
    made = meant()
    pipe = made.object("PIPE", 2, name="pipe:[7]")
    table = made.object("FILE_TABLE", 1, holders=[(ROOT, "files"), (OUTSIDER, "files")])
    made.object("FILE", 2, holders=[(table, "fd", 1)])
    made.fact(table, "readers", 3)
    assert "<br>`readers 3` |" in markdown.render(report(made))
    assert pipe.kind == "PIPE"


def test_what_is_said_of_an_end_is_said_once() -> None:
    made, mine, theirs, inode = machine()
    for end in (mine, theirs):
        made.relation("deleted-file", end, inode, detail="4096 bytes")
        made.fact(end, "size", 4096)
    made.relation("session", ROOT, OUTSIDER, detail="session 50")
    made.fact(ROOT, "task.group", 50)
    said = text(report(made, all=True))
    assert "has it open (4096 bytes)" in said
    assert "task group" not in said


def test_a_session_and_a_group_of_one_leader_are_one_end() -> None:
    made, mine, theirs, inode = machine()
    for detail in ("session 50", "process group 50"):
        made.relation("session", ROOT, OUTSIDER, detail=detail)
        made.relation("deleted-file", mine, inode, detail=detail)
    made.relation("deleted-file", theirs, inode)
    deleted, session = report(made).crossings
    assert [tie.detail for tie in session.ties] == ["session 50 and process group 50", ""]
    assert [tie.detail for tie in deleted.ties] == ["session 50", "process group 50", ""]


def meant() -> Machine:
    """Return a machine of which three things mean three things."""
    made = outward()
    tables = [made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (ROOT, OUTSIDER)]
    held = [(table, "fd", 9) for table in tables]
    made.object("FILE", 2, name="/dev/null", mode=0o20666, holders=held)
    made.object("FILE", 2, name="/srv/log", mode=0o100644, holders=held)
    return made


def test_what_means_more_comes_first_whatever_its_kind() -> None:
    made = meant()
    found = report(made)
    assert [(e.name, e.impact) for e in found.objects] == [
        ("/srv/log", Impact.SHARED_STATE),
        ("/dev/null", Impact.BY_DESIGN),
    ]
    said = text(found)
    places = [
        said.index(f"* {what}")
        for what in ("working directory", "open file /srv/log", "open file /dev/null")
    ]
    assert places == sorted(places)
    assert report(made, ignore=frozenset({"by-design"})).objects[1].gates is False
    assert {e.verdict.value for e in found.objects} == {"usage_leak"}


@pytest.mark.parametrize(
    ("mode", "impact"),
    [(0o20666, Impact.BY_DESIGN), (None, Impact.BY_DESIGN), (0o100644, Impact.SHARED_STATE)],
    ids=["device", "not told", "regular file"],
)
def test_what_is_called_dev_null_is_it_unless_its_type_says_no(
    mode: int | None, impact: Impact
) -> None:
    """The procfs source does not know the type of an open file."""
    made = outward()
    tables = [made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (ROOT, OUTSIDER)]
    held = [(table, "fd", 9) for table in tables]
    made.object("FILE", 2, name="/dev/null", mode=mode, holders=held)
    assert [entry.impact for entry in report(made).objects if entry.kind == "FILE"] == [impact]


@pytest.mark.parametrize(
    ("mine", "theirs", "impact"),
    [
        ("r--s", "r--s", Impact.BY_DESIGN),
        ("rw-s", "r--s", Impact.SHARED_STATE),
        ("rw-p", "rw-p", Impact.BY_DESIGN),
    ],
)
def test_a_file_that_both_map_is_shared_state_if_it_can_be_written(
    mine: str, theirs: str, impact: Impact
) -> None:
    made, *_ = machine()
    memories = [made.object("MM", 1, holders=[(tid, "mm")]) for tid in (ROOT, OUTSIDER)]
    made.object(
        "FILE",
        2,
        name="/usr/lib/cache",
        mode=0o100644,
        holders=[
            (at, "vma", 4096, 1, way) for at, way in zip(memories, (mine, theirs), strict=True)
        ],
    )
    assert [entry.impact for entry in report(made).objects if entry.kind == "FILE"] == [impact]


def test_a_relation_of_a_newer_version_is_refused_with_one_line() -> None:
    made, *_ = machine()
    made.relation("telepathy", ROOT, OUTSIDER)
    snapshot = made.snapshot(ROOT)
    with pytest.raises(BadInputError, match="telepathy"):
        crossings(snapshot, check(snapshot).border)


@given(counted_graphs(), st.data())
def test_relations_change_no_verdict(graph: Graph, data: st.DataObject) -> None:
    snapshot = graph.snapshot()
    before = check(snapshot, graph.root)
    made = Machine()
    tids = snapshot.tables["tasks"]["tid"].tolist()
    for name in data.draw(st.lists(st.sampled_from(list(relations())), max_size=8)):
        made.relation(name, *data.draw(st.tuples(st.sampled_from(tids), st.sampled_from(tids))))
    more = made.snapshot().tables["relations"]
    object.__setattr__(snapshot, "tables", {**snapshot.tables, "relations": more})
    after = check(snapshot, graph.root)
    for name in ("users", "outside", "observer", "unnamed", "verdict", "basis"):
        assert np.array_equal(getattr(before, name), getattr(after, name))
    crossings(snapshot, after.border)


@pytest.mark.parametrize("name", relations())
def test_a_relation_is_whole(name: str) -> None:
    one = relations()[name]
    assert one.name == name == name.lower()
    assert f"analyzer.relations.{name.replace('-', '_')}" in sys.modules  # as completion has it
    assert one.title
    assert one.plural
    assert one.left
    assert one.right
    assert one.next
    assert one.kernel or one.from_proc


def test_a_fact_means_one_thing() -> None:
    for kind in registry().values():
        for state in [kind.state, *(t.state for t in kind.file_types)]:
            for fact in () if state is None else state.facts:
                assert facts()[fact.name] == fact, f"{kind.name}: {fact.name}"
    assert TASK in registry()
