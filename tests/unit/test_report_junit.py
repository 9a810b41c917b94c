"""The JUnit XML: readers agree with the answer, no name breaks it, and cases keep their names.

Rewrite the golden files with CRANALYZE_GOLDEN=write, then read the difference.
"""

from __future__ import annotations

import os
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.check.leaks import check
from analyzer.core.model import Rules, Status
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.writers import junit
from analyzer.writers.junit import render
from tests.build import Machine
from tests.each import each
from tests.strategies import Graph, counted_graphs, half_as_often
from tests.unit.test_report_terminal import contained, hostile, leaking, reported, unprivileged

if TYPE_CHECKING:
    from collections.abc import Callable

TESTS: Final = Path(__file__).parents[1]

FILES: Final[dict[str, Callable[[], str]]] = {
    "contained": lambda: render(reported(contained())),
    "contained-all": lambda: render(reported(contained(), all=True), everything=True),
    "leaks": lambda: render(reported(leaking())),
    "leaks-advisory": lambda: render(reported(leaking(), subtree=True)),
    "leaks-ignored": lambda: render(reported(leaking(), fail_on=frozenset({"SIGHAND"}))),
    "leaks-seed": lambda: render(reported(leaking(), Rules.SEED)),
    "undecided": lambda: render(reported(unprivileged(), procfs=True)),
    "hostile": lambda: render(reported(hostile())),
}


def suite(text: str) -> ET.Element:
    found = ET.fromstring(text).find("testsuite")  # noqa: S314 - it is ours
    assert found is not None
    return found


def outcomes(text: str) -> dict[str, str]:
    """Return how each case went ("" is passed), by its name."""
    cases = suite(text).findall("testcase")
    how = {"failure", "error", "skipped"}
    return {c.get("name", ""): next((e.tag for e in c if e.tag in how), "") for c in cases}


@pytest.mark.parametrize("name", FILES)
def test_the_file_is_the_golden_one(name: str) -> None:
    path = TESTS / "golden" / f"report-{name}.xml"
    found = FILES[name]()
    if os.environ.get("CRANALYZE_GOLDEN") == "write":
        path.write_text(found)
    assert found == path.read_text()


@pytest.mark.needs("tool:xmllint")
@pytest.mark.parametrize("name", FILES)
def test_the_file_is_what_readers_take(name: str, tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    file.write_text(FILES[name]())
    ran = subprocess.run(
        ["xmllint", "--noout", "--schema", str(TESTS / "junit.xsd"), str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_what_is_too_much_for_one_file_is_counted_and_fails_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Machine()
    made.task(77)
    made.task(100, nspid=1)
    tables = [made.object("FILE_TABLE", 1, holders=[(task, "files")]) for task in (77, 100)]
    for fd in range(1000):
        held = [(table, "fd", fd) for table in tables]
        made.object("FILE", 2, name=f"/&{fd}", holders=held)
    report = reported(made)
    monkeypatch.setattr(junit, "_MOST_BYTES", 100_000)
    text = render(report)
    assert len(text) < 150_000
    told = outcomes(text)
    assert set(told.values()) == {"failure", ""}
    (most,) = suite(text).findall("testcase[@name='open files, too many for one file']/failure")
    listed = sum(how == "failure" for how in told.values()) - 1
    assert 100 < listed < 1000
    assert most.attrib == {
        "type": "usage_leak",
        "message": f"{1000 - listed} more: usage_leak (--all lists them)",
    }
    assert suite(render(report, everything=True)).get("failures") == "1000"


def test_a_leak_is_a_failure_with_the_kernels_message_and_its_holders() -> None:
    failure = suite(FILES["hostile"]()).find("testcase[@classname='cranalyze.FILE']/failure")
    assert failure is not None
    assert failure.attrib == {"type": "usage_leak", "message": "file: 2 users count 3"}
    assert "outside: a\\xff" in (failure.text or "")
    assert "(77): fd 7" in (failure.text or "")


def test_what_is_not_decided_never_looks_passed() -> None:
    how = outcomes(FILES["undecided"]())
    assert Counter(how.values()) == {"error": 10, "": 1}
    assert how["the root is the init of a container"] == ""


def test_what_is_ignored_or_advisory_is_skipped_and_says_so() -> None:
    for name, word in (("leaks-ignored", "ignored: "), ("leaks-advisory", "advisory: ")):
        cases = suite(FILES[name]()).findall("testcase[@classname='cranalyze.FILE']/skipped")
        assert cases
        assert each(case.get("message", "").startswith(word) for case in cases)


def test_a_case_keeps_its_name_from_run_to_run() -> None:
    """GitLab and Jenkins know a case again by it: no objref and no inode in it."""
    how = outcomes(FILES["leaks"]())
    assert {"open file pipe", "uts namespace", "set of namespaces"} <= set(how)
    assert "all other address spaces" in how


def test_cases_of_one_name_are_told_apart() -> None:
    made = hostile()
    made.object("FILE", 5, name="pipe:[1]", holders=[(100, "nsproxy")])
    made.object("FILE", 5, name="pipe:[2]", holders=[(100, "nsproxy")])
    for row in made.rows["references"]:
        row["association"] = "fd" if row["holder_kind"] == "TASK" else row["association"]
    names = set(outcomes(render(reported(made))))
    assert {"open file pipe", "open file pipe (2)"} <= names


@half_as_often
@given(
    counted_graphs(),
    st.sampled_from(Rules),
    st.booleans(),
    st.booleans(),
    st.sampled_from([frozenset(), frozenset({"FILE"}), frozenset({"CONTAINER_INIT", "MM"})]),
)
def test_a_reader_and_the_exit_code_agree(
    graph: Graph,
    rules: Rules,
    everything: bool,  # noqa: FBT001 - drawn
    subtree: bool,  # noqa: FBT001 - drawn
    ignore: frozenset[str],
) -> None:
    snapshot = graph.snapshot()
    options: dict[str, Any] = {"all": everything, "subtree": subtree, "ignore": ignore}
    asked = ReportOptions("check", gate=True, **options)
    report = make(snapshot, check(snapshot, graph.root, rules), asked)
    text = render(report, everything=everything)
    found = suite(text)
    cases = found.findall("testcase")
    how = Counter(child.tag for case in cases for child in case)
    bad = how["failure"] + how["error"]
    assert (bad > 0) == (report.status is not Status.CONTAINED and not subtree)
    assert (how["failure"] > 0) == (report.status is Status.LEAKS and not subtree)
    assert [found.get(name) for name in ("tests", "failures", "errors", "skipped")] == [
        str(number) for number in (len(cases), how["failure"], how["error"], how["skipped"])
    ]
    names = [(case.get("classname"), case.get("name")) for case in cases]
    assert len(set(names)) == len(names)
