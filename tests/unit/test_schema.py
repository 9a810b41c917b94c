"""The JSON of each command is what its schema and docs/json.md say, and those say all of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from analyzer.changes.between import Change, Way, between
from analyzer.changes.trend import Rise
from analyzer.changes.watching import Event, Grown, Sort
from analyzer.check.leaks import check
from analyzer.cli import options
from analyzer.core.model import Rules
from analyzer.criu.verified import Verified
from analyzer.fleet import document
from analyzer.fleet.summary import Fleet, Trouble, Unlike
from analyzer.lookup import census, who
from analyzer.lookup import namespaces as spaces
from analyzer.lookup.limits import Limit
from analyzer.lookup.sorts import sort_of
from analyzer.lookup.things import Question, Total
from analyzer.lookup.words import Query
from analyzer.lookup.words.base import Meaning, alike
from analyzer.procfs.facts import Facts
from analyzer.procfs.fs import MemoryFs
from analyzer.procfs.inventory import take
from analyzer.procfs.people import Person
from analyzer.procfs.places import Place
from analyzer.report.columns import COLUMNS
from analyzer.report.consistency import Consistency, Precondition
from analyzer.report.listing import listing
from analyzer.report.make import gaps_of, make
from analyzer.report.rules import Rule
from analyzer.report.value import ReportOptions
from analyzer.writers import census as census_writer
from analyzer.writers import columns, diff_json, schema, watch_json
from analyzer.writers import json as writer
from analyzer.writers import namespaces as namespaces_writer
from analyzer.writers import things as things_writer
from analyzer.writers import who as who_writer
from scripts.docs import json_keys
from tests.build import Machine, Obj
from tests.each import each
from tests.schema import faults
from tests.strategies import Graph, counted_graphs
from tests.unit import test_namespaces as namespaces
from tests.unit import test_things as things


def machine() -> Machine:
    made = Machine()
    made.task(77, comm="bash")
    made.task(100, 77, comm="a\udcff\x1b[2J")
    tables = [made.object("FILE_TABLE", 1, holders=[(task, "files")]) for task in (100, 77)]
    held = [(table, "fd", 3) for table in tables]
    leak = made.object("FILE", 3, name="/srv/\udcfe\u2028", holders=held)
    inode = made.object("INODE", None, holders=[(77, "poll")])
    files = [made.object("FILE", 1, holders=[(table, "fd", 4)]) for table in tables]
    for file in files:
        made.relation("deleted-file", file, inode)
    for file in (leak, files[1]):
        made.relation("alike", file, leak, left_role="like", detail="inode 7")
    made.gap("pid 7\udcff", "openat", 13, "not read")
    return made


def of_check(command: str = "check", tool: str = "") -> Any:  # noqa: ANN401 - any JSON
    snapshot = machine().snapshot(100)
    inventory = take(MemoryFs({"7/stat": b""}, Path()), Facts(), whole=None)
    source = {**snapshot.meta["source"], "inventory": inventory}
    snapshot = replace(snapshot, meta={**snapshot.meta, "source": source})
    known = (
        Rule("asked for", "me", kinds=frozenset({"FILE"})),
        Rule("no container", relations=frozenset({"container_init"})),
    )
    options = ReportOptions(command, gate=True, policy=known, tool=tool)
    worth = Consistency((Precondition("whole", "pid 7\udcff ended"),))
    report = replace(make(snapshot, check(snapshot), options), consistency=worth)
    if report.preflight is not None:
        ran = Verified("4.2", "", worked=False, said=("Error (x) \udcff",), agrees=False)
        report = replace(report, preflight=report.preflight._replace(verified=ran))
    return json.loads(writer.render(report))


def of_who() -> Any:  # noqa: ANN401 - any JSON
    snapshot = machine().snapshot()
    query = Query("FILE", (Meaning("file", alike(("FILE",))),))
    answer = replace(
        who.answer(snapshot, query),
        places=(Place("working directory", 77, "bash\udcff"),),
        people=(Person(77, "bash", "root", "a.service"),),
    )
    return json.loads(who_writer.to_json([answer], gaps_of(snapshot), 0, snapshot))


def of_things() -> Any:  # noqa: ANN401 - any JSON
    made = things.machine()
    made.gap("pid 7", "openat", 13, "not read")
    question = Question(sort_of("inotify"))
    found = replace(question.answer(made.snapshot()), users=TOTAL, units=TOTAL, filesystems=TOTAL)
    limits = (Limit("fs.x", "a\udcff", 1, 2),)
    return json.loads(things_writer.to_json(found, limits, gaps_of(made.snapshot())))


def of_census() -> Any:  # noqa: ANN401 - any JSON
    return json.loads(census_writer.to_json(census.take(machine().snapshot())))


def of_namespaces() -> Any:  # noqa: ANN401 - any JSON
    made = namespaces.machine()
    made.gap("pid 7", "openat", 13, "not read")
    snapshot = made.snapshot()
    return json.loads(namespaces_writer.to_json(spaces.every(snapshot), gaps_of(snapshot)))


def of_diff() -> Any:  # noqa: ANN401 - any JSON
    made = machine()
    made.object("FILE", 1, name="/new", holders=[(Obj(1, "FILE_TABLE"), "fd", 9)])
    made.reference(Obj(3, "FILE"), 77, "exe")
    snapshots = machine().snapshot(100), made.snapshot(100, boot_id="another", host="x\udcff")
    options = ReportOptions("diff", all=True)
    reports = [make(snapshot, check(snapshot), options) for snapshot in snapshots]
    same = json.loads(diff_json.render(between(reports[0], reports[0]), everything=True))
    other = json.loads(diff_json.render(between(*reports), everything=True))
    assert faults("diff", other) == []
    assert same["summary"]["objects"]
    assert other["summary"]["objects"] is None
    return same


def of_watch() -> Any:  # noqa: ANN401 - any JSON
    grown = Grown(100, "a\udcff", "pipes", Rise(1, 9, 5))
    event = Event(Sort.NEW, 2, "2009-04-24T12:00:00Z", "", Change(Way.NEW, None, None), grown)
    alone = Event(Sort.END, 9, "2009-04-24T12:00:00Z", "\udcff")
    assert faults("watch", json.loads(watch_json.line(alone, 5))) == []
    found = watch_json.document(event)
    found["change"] = of_diff()["changes"][0]
    return found


def of_fleet() -> Any:  # noqa: ANN401 - any JSON
    at = datetime(2009, 4, 24, 12, tzinfo=UTC)
    trouble = Trouble(
        "0a", "leak", "FILE", "/a\udcff", "sh", "app", "fd", "", gates=True, hosts=("x\udcff",),
        times=2, first=at, last=at, words="sh (7): fd 3",
        days={},
    )  # fmt: skip
    unlike = (Unlike("x\udcff", (trouble,), (trouble,)),)
    unread = (("/a\udcff.crz", "damaged"),)
    return document.document(
        Fleet(("x\udcff",), 2, {"leaks": 2}, at, None, (trouble,), unlike, unread, {}, at)
    )


TOTAL = (Total("root", (1,), 1, 2),)
DOCUMENTS = {
    "check": of_check, "report": lambda: of_check("report"), "who": of_who, "census": of_census,
    "namespaces": of_namespaces, "diff": of_diff, "watch": of_watch, "fleet": of_fleet,
}  # fmt: skip


def test_each_command_that_is_described_has_a_document_here() -> None:
    assert {*options.Described} == {*DOCUMENTS} == {*json_keys.DOCUMENTS}


@pytest.mark.parametrize("command", DOCUMENTS)
def test_a_schema_is_one_and_has_what_is_written(command: str) -> None:
    Draft202012Validator.check_schema(json.loads(schema.render(command)))
    assert faults(command, DOCUMENTS[command]()) == []
    assert faults(command, json.loads(writer.render_error(command, "no \udcff", 2))) == []
    assert faults("check", of_check(tool="criu")) == []


@pytest.mark.parametrize("command", DOCUMENTS)
def test_every_key_is_told_and_is_written(command: str) -> None:
    told = {path for path, _, _ in json_keys.told(json_keys.DOCUMENTS[command].keys)}
    found = set(json_keys.paths(DOCUMENTS[command]()))
    found |= set(json_keys.paths(of_things())) if command == "who" else set()
    if command in {"check", "report"}:
        found |= set(json_keys.paths(of_check(tool="criu")))
    told -= {"rows", "errors[].message", "errors[].exit_code"}  # not of every document
    assert each(any(one.startswith(path) for one in found) for path in sorted(told))
    assert f"## {command}" in json_keys.json_page() or command == "report"


def test_what_is_no_such_document_is_told() -> None:
    found = of_check()
    found["objects"][0]["users"] = "two"
    found["subject"]["age"] = 7
    del found["summary"]["unknown"]
    assert len(faults("check", found)) == 3


@given(counted_graphs(), st.sampled_from(Rules))
def test_the_report_of_any_machine_is_as_its_schema(graph: Graph, rules: Rules) -> None:
    snapshot = graph.snapshot()
    report = make(snapshot, check(snapshot, graph.root, rules), ReportOptions("check", all=True))
    assert faults("check", json.loads(writer.render(report))) == []
    listed = listing(report, COLUMNS)
    assert faults("check", json.loads(columns.render_json(report, listed))) == []


@given(counted_graphs())
def test_the_census_and_the_holders_of_any_machine_are_as_their_schemas(graph: Graph) -> None:
    snapshot = graph.snapshot()
    found = census_writer.to_json(census.take(snapshot))
    assert faults("census", json.loads(found)) == []
    query = Query("FILE", (Meaning("file", alike(("FILE", "MM"))),))
    answers = [who.answer(snapshot, query)]
    said = who_writer.to_json(answers, gaps_of(snapshot), who.exit_code(answers), snapshot)
    assert faults("who", json.loads(said)) == []
