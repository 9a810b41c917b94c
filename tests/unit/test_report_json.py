"""The JSON: its keys are a contract, and it is safe to read and to print."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from analyzer.check.leaks import check
from analyzer.core.model import Rules
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.writers import json as writer
from tests.build import Machine
from tests.strategies import Graph, counted_graphs

TOP = {
    "cranalyze", "command", "status", "exit_code", "advisory", "incomplete", "subject", "summary",
    "objects", "tasks", "task_sets", "findings", "gaps", "notes", "inventory", "errors", "profile",
    "warnings", "consistency",
}  # fmt: skip
SUBJECT = {
    "pid", "local_pid", "comm", "tasks", "container_init", "host", "boot_id", "kernel",
    "collected_at", "source", "rules", "frozen", "frozen_seconds", "name", "runtime", "container",
    "roots",
}  # fmt: skip
SUMMARY = {
    "objects", "checked", "contained", "usage_leak", "overcount", "unstable", "unknown",
    "references", "unnamed", "crossings",
}  # fmt: skip
OBJECT = {
    "objref", "kind", "address", "name", "ino", "dev", "initial", "verdict", "basis", "users",
    "refcount", "observer", "outside", "unnamed", "shared", "passes", "uncounted", "gates",
    "message", "holders", "holders_listed", "facts", "impact", "waived", "identities",
    "conclusion", "candidates", "candidates_more", "not_told_apart", "may_be_held",
    "refcount_source",
}  # fmt: skip
HOLDER = {
    "side", "shared", "things", "association", "slot", "weight", "holder", "tasks", "task_set",
    "detail", "via",
}  # fmt: skip


def leaking() -> Machine:
    made = Machine()
    made.task(77, comm="bash")
    made.task(100, 77, comm="a\udcff\x1b[2J")
    fds = [made.object("FILE_TABLE", 1, holders=[(task, "files")]) for task in (100, 77)]
    made.object(
        "FILE", 3, name="/srv/\udcfe\u2028\u202e</script>", ino=2**64 - 1, dev=0x801,
        holders=[(fds[0], "fd", 3, 1, "cloexec"), (fds[1], "fd", 7)],
    )  # fmt: skip
    made.gap("pid 7\udcff", "openat", 13, "its descriptors are not read")
    return made


def written(made: Machine) -> tuple[str, Any]:
    snapshot = made.snapshot(100)
    text = writer.render(make(snapshot, check(snapshot), ReportOptions("check", gate=True)))
    return text, json.loads(text)


def test_the_keys_are_the_contract() -> None:
    _, found = written(leaking())
    assert set(found) == TOP
    assert set(found["subject"]) == SUBJECT
    assert set(found["summary"]) == SUMMARY
    assert [set(entry) for entry in found["objects"]] == [OBJECT]
    holders = found["objects"][0]["holders"]
    assert [set(holder) for holder in holders] == [HOLDER, HOLDER]
    assert set(holders[0]["holder"]) == {"kind", "objref", "tid"}
    assert set(holders[0]["tasks"][0]) == {"tid", "tgid", "comm", "side"}
    assert [set(gap) for gap in found["gaps"]] == [{"where", "syscall", "errno", "effect"}]
    assert [set(finding) for finding in found["findings"]] == [
        {"finding", "message", "detail", "gates", "waived", "identities"}
    ]


def test_the_values_are_what_the_design_says() -> None:
    _, found = written(leaking())
    assert (found["cranalyze"], found["command"]) == (1, "check")
    assert (found["status"], found["exit_code"]) == ("leaks", 16)
    entry = found["objects"][0]
    assert entry["address"] == "0xffff8880000000c0"
    assert (entry["dev"], entry["ino"]) == ("8:1", 2**64 - 1)
    assert (entry["users"], entry["refcount"], entry["outside"], entry["unnamed"]) == (1, 3, 1, 1)
    assert (entry["verdict"], entry["basis"]) == ("usage_leak", "proven")
    assert entry["holders"][0]["holder"] == {"kind": "FILE_TABLE", "objref": 1, "tid": None}
    assert [holder["side"] for holder in entry["holders"]] == ["inside", "outside"]
    assert found["subject"]["container_init"] is False


def test_an_error_has_the_same_envelope() -> None:
    found = json.loads(writer.render_error("check", "no such pid \udcff\x1b", 5))
    assert set(found) <= TOP
    assert (found["status"], found["exit_code"], found["command"]) == ("error", 5, "check")
    assert found["errors"] == [{"message": "no such pid \\xff\x1b", "exit_code": 5}]


def test_it_is_ascii_on_lines_and_keeps_what_is_not_utf8_apart() -> None:
    text, found = written(leaking())
    assert text.isascii()
    assert text.endswith("}\n")
    assert "\x1b" not in text
    assert found["subject"]["comm"] == "a\\xff\x1b[2J"
    assert found["objects"][0]["name"] == "/srv/\\xfe\u2028\u202e</script>"
    json.dumps(found).encode("utf-8")


@given(counted_graphs(), st.sampled_from(Rules))
def test_any_machine_gives_json_whose_numbers_add_up(graph: Graph, rules: Rules) -> None:
    snapshot = graph.snapshot()
    verdicts = check(snapshot, graph.root, rules)
    options = ReportOptions(all=True)
    found = json.loads(writer.render(make(snapshot, verdicts, options)))
    summary = found["summary"]
    kinds = ("contained", "usage_leak", "overcount", "unstable", "unknown")
    assert sum(summary[kind] for kind in kinds) == summary["checked"] == len(found["objects"])
    for entry in found["objects"]:
        for side, held in (("inside", "users"), ("outside", "outside"), ("observer", "observer")):
            weights = [h["weight"] for h in entry["holders"] if h["side"] == side]
            assert sum(weights) == entry[held]


def test_each_task_is_told_once_and_the_hosts_holders_only_when_all_is_asked_for() -> None:
    made = Machine()
    made.task(1, 0, comm="init")
    made.task(100, 1, comm="app", nspid=1)
    for tid in range(101, 400):
        made.task(tid, 100, tgid=100)
    fds = made.object("FILE_TABLE", 300, holders=[(tid, "files") for tid in range(100, 400)])
    for slot in range(200):
        made.object("FILE", 2, name=f"/srv/{slot}", holders=[(fds, "fd", slot)])
    sets = made.object("NSPROXY", 301, holders=[(tid, "nsproxy") for tid in (1, *range(100, 400))])
    made.object("UTS_NS", 2, initial=True, holders=[(sets, "nsproxy.uts")])
    snapshot = made.snapshot(100)
    verdicts = check(snapshot)
    text = writer.render(make(snapshot, verdicts, ReportOptions("check", all=True)))
    found = json.loads(text)
    assert [task["tid"] for task in found["tasks"]].count(399) == 1
    (file,) = [o for o in found["objects"] if o["name"] == "/srv/7"]
    (holder,) = file["holders"]
    assert len(holder["tasks"]) == 8
    led = [found["tasks"][at]["tid"] for at in found["task_sets"][holder["task_set"]]]
    assert sorted(led) == list(range(100, 400))
    assert len(text) < 600_000  # 5 MB, were the tasks of each holder told
    brief = json.loads(writer.render(make(snapshot, verdicts, ReportOptions(brief=True))))
    (uts,) = [o for o in brief["objects"] if o["kind"] == "UTS_NS"]
    assert (uts["holders"], uts["holders_listed"]) == ([], False)
    assert uts["users"] + uts["outside"] == 1
