"""Policies and baselines: what they cover, what they refuse, and how findings go on being told."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from analyzer import testing
from analyzer.check.leaks import check
from analyzer.cli.commands import explain as command
from analyzer.core.errors import BadInputError
from analyzer.core.model import Impact, Status
from analyzer.lookup import explain
from analyzer.lookup.explained import explained_thing, is_thing
from analyzer.report import baseline, policy
from analyzer.report.make import make
from analyzer.report.rules import Item, Outsider, Rule
from analyzer.report.value import ReportOptions
from analyzer.writers import github, junit, sarif, terminal
from analyzer.writers import json as writer
from tests.each import each
from tests.unit.test_cli import run
from tests.unit.test_profiles import ROOT, container, mount, pipe, reported, text

if TYPE_CHECKING:
    from pathlib import Path

    from analyzer.report.value import Report

RULE: Final = '[[allow]]\nreason = "known"\n'


def rules(body: str) -> tuple[Rule, ...]:
    return policy.parse(f"version = 1\n{body}".encode(), "p.toml")


def leaking(*, more: bool = False) -> Report:
    made, inside, outside = container("podman")
    pipe(made, inside, outside, 7)
    mount(made, "/srv", "/data")
    if more:
        pipe(made, inside, outside, 9)
    return reported(made)


def judged(report: Report, known: tuple[Rule, ...]) -> Report:
    options = ReportOptions("check", gate=True, policy=known)
    return make(report.snapshot, check(report.snapshot), options)


def test_what_is_written_today_covers_it_today_and_no_more() -> None:
    report = leaking()
    known = policy.parse(policy.written(report).encode(), "p.toml")
    again = judged(report, known)
    assert (again.status, again.exit_code, again.warnings) == (Status.CONTAINED, 0, ())
    said = text(again)
    assert said.startswith("contained, apart from what podman does by design and what the policy")
    assert "* policy: TODO: why this is so: " in said
    assert "/data and 1 pipe" in said
    assert judged(leaking(more=True), known).exit_code == 16
    for word in (str(ROOT), "pipe:[7]", "0x"):
        assert word not in policy.written(report)


def test_an_old_rule_and_one_of_nothing_are_warnings() -> None:
    today = datetime.now(UTC).date()
    covers = f"{RULE}kind = 'PIPE'\nexpires = "
    report = leaking()
    over = judged(report, rules(f"{covers}{today - timedelta(days=1)}"))
    assert over.exit_code == 16
    assert over.warnings[0].startswith("the rule 'known' expired on ")
    assert "* the rule 'known' expired on " in text(over)
    still = judged(report, rules(f"{covers}{today}\nfd = 7"))
    assert still.warnings == ()
    unused = judged(report, rules(f"{RULE}kind = 'SHM'"))
    assert unused.warnings == ("the rule 'known' covers nothing that was found",)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("[[alow]]", r"a policy has no key 'alow' \(did you mean allow\?\)"),
        (f"{RULE}kidn = 'PIPE'", r"rule 1: a rule has no key 'kidn' \(did you mean kind\?\)"),
        (f"{RULE}holder.exec = 'x'", "did you mean holder.exe"),
        (f"{RULE}kind = 'PIPES'", r"kind: no 'PIPES' \(did you mean PIPE\?\)"),
        (f"{RULE}relation = ['bind-mont']", "did you mean bind-mount"),
        (f"{RULE}impact = 'bad'", "there are: reaches-out"),
        (f"{RULE}access = 'rwx'", "there are: ro, rw"),
        (f"{RULE}fd = '2-0'", "fd must be descriptors"),
        (f"{RULE}fd = -1", "fd must be a text"),
        (f"{RULE}opath = 1", "opath must be true or false, is 1"),
        (f"{RULE}max = 0", "max must be a number from 1"),
        (f"{RULE}expires = 'soon'", "expires must be a date"),
        (f"{RULE}expires = 2026-01-01T00:00:00", "expires must be a date"),
        (f"{RULE}path = []", "path must be a text of 1 to"),
        (f"{RULE}path = '{'x' * 2000}'", "path must be a text of 1 to"),
        (RULE, "rule 1 covers everything: state a condition, or allow_all = true"),
        (f"{RULE}owner = 'me'\nmax = 3", "covers everything"),
        (f"{RULE}side = 'outside'\nsubject = 'web'", "covers everything"),
        (f"{RULE}path = ['/srv', '**']", "covers everything"),
        (f"{RULE}impact = {[impact.word for impact in Impact]}", "covers everything"),
        ("[[allow]]\nkind = 'PIPE'", "rule 1: it needs a reason"),
        ("allow = 3", r"rules are written \[\[allow\]\]"),
        ("a.b.c.d.e.f.g.h.i.j.k = 1", "keys of too many parts"),
        ("x = [" * 5000, "not TOML"),
        ("\udcff", None),
    ],
)
def test_what_is_no_policy_is_said_in_a_line(body: str, said: str | None) -> None:
    data = f"version = 1\n{body}".encode("utf-8", "surrogateescape")
    with pytest.raises(BadInputError, match=said or "not TOML") as caught:
        policy.parse(data, "p.toml")
    assert str(caught.value).isprintable()


def test_a_policy_has_a_version_and_an_end() -> None:
    for data in (b"", b"version = 2", b"version = true", b"version = '1'"):
        with pytest.raises(BadInputError, match="it must say version = 1"):
            policy.parse(data, "p.toml")
    with pytest.raises(BadInputError, match="larger than 256 KiB"):
        policy.parse(b"#" * (300 << 10), "p.toml")
    body = f"{RULE}fd = 7\n"
    with pytest.raises(BadInputError, match=r"the limit is 2,000"):
        rules(body * 2001)
    assert len(rules(body * 2000)) == 2000
    assert rules(f"{RULE}allow_all = true")[0].covers(Item())
    with pytest.raises(BadInputError, match="cannot read the policy"):
        policy.load("/nowhere/p.toml")


FULL: Final = Item(
    kind="FILE", relation="same-file", impact="shared-state", side="outside", slots=(1, 2),
    only_slots=True, direction="out", path="/srv/log", name="/srv/log", point="/data",
    fstype="ext4", access="rw", propagation="shared", opath=True, directory=False, state="pinned",
    outsiders=(Outsider("cat", "/bin/cat", "a.service", "ab12", frozenset({"parent"})),),
)  # fmt: skip


@pytest.mark.parametrize(
    ("holds", "does_not"),
    [
        ("kind = 'FILE'", "kind = 'PIPE'"),
        ("kind = ['PIPE', 'FILE']", "kind = ['PIPE', 'SHM']"),
        ("relation = 'same-file'", "relation = 'bind-mount'"),
        ("impact = 'shared-state'", "impact = 'pins'"),
        ("side = 'outside'\nimpact = 'shared-state'", "side = 'inside'\nimpact = 'shared-state'"),
        ("fd = '0-2'", "fd = 1"),
        ("direction = 'out'", "direction = 'in'"),
        ("path = '/srv/*'", "path = '/srv'"),
        ("name = '*log'", "name = '?log'"),
        ("point = '/data'", "point = '/dat'"),
        ("fstype = 'ext?'", "fstype = 'xfs'"),
        ("access = 'rw'", "access = 'ro'"),
        ("propagation = 'shared'", "propagation = 'slave'"),
        ("opath = true", "opath = false"),
        ("directory = false", "directory = true"),
        ("namespace = 'pinned'", "namespace = 'host'"),
        ("holder.exe = '/bin/*'", "holder.exe = '/usr/*'"),
        ("holder.command = ['dog', 'cat']", "holder.command = 'dog'"),
        ("holder.unit = 'a.*'", "holder.unit = 'b.*'"),
        ("holder.container = 'ab*'", "holder.container = 'cd*'"),
        ("holder.is = 'parent'", "holder.is = 'pod'"),
        ("holder = {exe = '/bin/cat'}", "pinned_at = '/run/*'"),
    ],
)
def test_each_condition_holds_or_does_not(holds: str, does_not: str) -> None:
    assert rules(RULE + holds)[0].covers(FULL)
    assert not rules(RULE + does_not)[0].covers(FULL)
    key = holds.split(" ", maxsplit=1)[0]
    if key != "holder":
        assert not rules(RULE + holds)[0].covers(Item()), "what is not known does not hold"


def test_every_key_is_a_field_of_a_rule_and_every_field_has_one() -> None:
    told = {key.field for key in policy.KEYS.values()}
    assert told == {one.name for one in fields(Rule)}


def test_a_rule_may_be_about_some_subjects_alone() -> None:
    report = leaking()
    for subject, code in (("app", 0), ("ap?", 0), ("web*", 16)):
        known = rules(
            f"{RULE}kind = ['PIPE', 'MOUNT']\nsubject = '{subject}'\n"
            f"{RULE}relation = 'bind-mount'\nsubject = '{subject}'"
        )
        assert judged(report, known).exit_code == code


def test_a_baseline_lets_only_news_decide(tmp_path: Path) -> None:
    before, after = leaking(), leaking(more=True)
    path = tmp_path / "before.json"
    path.write_text(writer.render(before))
    known = baseline.of_json(str(path))
    for report, code in ((before, 0), (after, 16)):
        options = ReportOptions("check", gate=True, baseline=known)
        again = make(report.snapshot, check(report.snapshot), options)
        assert again.exit_code == code
        assert any(one.waived and one.waived.by == "baseline" for one in again.objects)
    assert "what was there before" in text(
        make(before.snapshot, check(before.snapshot), ReportOptions("check", baseline=known))
    )
    for wrong in ("[]", "{}", '{"objects": 3, "findings": []}', "no", "[" * 100_000):
        path.write_text(wrong)
        with pytest.raises(BadInputError, match=r"before\.json"):
            baseline.of_json(str(path))


def test_a_baseline_may_be_a_snapshot(tmp_path: Path) -> None:
    leaking().snapshot.save(tmp_path / "before.crz")
    leaking(more=True).snapshot.save(tmp_path / "after.crz")
    gate = ("--check", "--baseline", "before.crz")
    assert run("report", "before.crz", *gate, cwd=tmp_path).returncode == 0
    assert run("report", "after.crz", *gate, cwd=tmp_path).returncode == 16
    (tmp_path / "p.toml").write_text(policy.written(leaking()))
    assert (
        run("report", "before.crz", "--check", "--policy", "p.toml", cwd=tmp_path).returncode == 0
    )
    wrong = run("report", "before.crz", "--check", "--baseline", "none.crz", cwd=tmp_path)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("cranalyze: the baseline none.crz: ")


# --- what CI shows


def test_sarif_has_a_result_for_each_finding_and_says_what_is_suppressed() -> None:
    report = judged(leaking(), rules(f"{RULE}fd = 7"))
    found = json.loads(sarif.render(report))["runs"][0]
    results = found["results"]
    assert {one["id"] for one in found["tool"]["driver"]["rules"]} == {
        one["ruleId"] for one in results
    }
    assert [one for one in results if one["level"] == "error"] != []
    reasons = {one["justification"] for r in results for one in r.get("suppressions", ())}
    assert {"policy: known", "podman: stdin, stdout and stderr to conmon"} <= reasons
    assert each("uri" in one["locations"][0]["physicalLocation"]["artifactLocation"]
                for one in results)  # fmt: skip


def test_annotations_are_a_line_each_and_no_name_is_a_command() -> None:
    made, inside, outside = container("podman")
    other = made.object("FILE_TABLE", 1, holders=[(made.task(60, comm="a\n::set-x::%"), "files")])
    name = "/srv/a\n::error::x,y%25"
    made.object("FILE", 2, name=name, holders=[(inside, "fd", 5), (other, "fd", 3)])
    assert outside.objref
    lines = github.render(reported(made)).splitlines()
    assert each(line.startswith(("::error title=", "::warning title=")) for line in lines)
    assert len(lines) == 2
    assert r"%3A" in lines[0]
    assert "%2525" in lines[0]
    fine = github.render(judged(leaking(), rules(f"{RULE}allow_all = true")))
    assert fine.startswith("::notice title=")


def test_what_is_known_is_skipped_in_junit() -> None:
    report = judged(leaking(), rules(f"{RULE}allow_all = true"))
    suite = ET.fromstring(junit.render(report))[0]  # noqa: S314 - our own
    assert suite.get("failures") == "0"
    assert int(suite.get("skipped", "0")) > 0


def test_the_helper_wants_a_subject() -> None:
    with pytest.raises(TypeError):
        testing.assert_contained()


# --- explain


def test_every_word_is_explained() -> None:
    for word in explain.names():
        if word != "none":
            assert len(explain.explained(word)) > len(word) + 20, word
    assert explain.explained("Bind-Mount") == explain.explained("bind-mount")
    assert "To close it: " in explain.explained("bind-mount")
    with pytest.raises(BadInputError, match=r"did you mean bind-mount\?"):
        explain.explained("bind-mont")


def test_a_thing_of_a_report_is_explained_by_its_number_and_by_its_id() -> None:
    report = leaking()
    (entry,) = (one for one in report.objects if one.kind == "PIPE" and one.gates)
    said = explained_thing(str(entry.objref), report)
    assert f"no. {entry.objref}: usage_leak" in said
    assert "outside: " in said
    assert f"As a finding it is {entry.identities[0]}" in said
    assert explain.explained("PIPE").strip() in said
    assert said in explained_thing(entry.identities[0], report)
    (one,) = (one for one in report.crossings if one.gates)
    said = explained_thing(one.identities[0], report)
    assert said.startswith(one.title)
    assert explain.explained("bind-mount").strip() in said
    with pytest.raises(BadInputError, match=r"no object no\. 99999 in this report"):
        explained_thing("99999", report)
    assert not is_thing("bind-mount")


def test_an_explanation_fits_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    command.run("NET_NS")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("NET_NS: ")
    assert each(len(line) <= 80 for line in lines)
    assert terminal.MIN_WIDTH == 40
