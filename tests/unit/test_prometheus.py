"""The numbers for Prometheus, as its own parser reads them."""

from __future__ import annotations

import configparser
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer import cli
from analyzer.cli.numbers import Numbers
from analyzer.core.errors import BadInputError
from analyzer.core.model import Verdict
from analyzer.writers.prometheus import FAMILIES, Reading, render
from scripts.docs import prometheus as page
from tests.strategies import Graph, counted_graphs, half_as_often
from tests.unit.test_diff import NASTY, addressed, later, machine, reported
from tests.unit.test_watch import taken  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from pathlib import Path

    from analyzer.report.value import Report
    from tests.build import Machine

parser = pytest.importorskip("prometheus_client.parser")


def reading(report: Report, **more: Any) -> Reading:  # noqa: ANN401 - fields differ in type
    return Reading(report, 1_700_000_000.5, 0.25, **more)


def read(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Read a file strictly: what is there twice, or has no type, is an error."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in parser.text_string_to_metric_families(text):
        assert family.type in {"gauge", "counter"}
        assert family.documentation
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found
            found[key] = sample.value
    return found


def value(text: str, name: str, **labels: str) -> float | None:
    return read(text).get((name, frozenset({"subject": "100", **labels}.items())))


def test_the_numbers_are_those_of_the_report() -> None:
    text = render([reading(reported(later().snapshot(100)))])
    assert value(text, "cranalyze_status", status="leaks") == 1
    assert value(text, "cranalyze_status", status="contained") == 0
    assert value(text, "cranalyze_objects", kind="FILE", verdict="usage_leak") == 2
    assert value(text, "cranalyze_objects", kind="FILE", verdict="contained") == 3
    leaks = {"kind": "FILE", "impact": "shared-state", "decides": "yes"}
    assert value(text, "cranalyze_leaks", **leaks) == 2
    assert value(text, "cranalyze_gaps") == 0
    assert value(text, "cranalyze_tasks") == 2
    assert value(text, "cranalyze_duration_seconds") == 0.25
    assert value(text, "cranalyze_last_read_timestamp_seconds") == 1_700_000_000.5
    assert "cranalyze_events_total" not in text
    assert "cranalyze_descriptors" not in text


def test_a_watch_tells_more() -> None:
    events = {"new": 3, "growth": 0}
    text = render([reading(reported(later().snapshot(100)), events=events, watching=True)])
    assert value(text, "cranalyze_events_total", event="new") == 3
    assert value(text, "cranalyze_descriptors", type="pipes") == 3
    assert value(text, "cranalyze_watching") == 1


def named(made: Machine, name: str) -> Report:
    snapshot = made.snapshot(100)
    subject = {**snapshot.meta["subject"], "selector": name}
    return reported(replace(snapshot, meta={**snapshot.meta, "subject": subject}))


@given(st.text(max_size=20))
def test_any_name_is_read_back_and_of_two_of_one_name_none_is_lost(name: str) -> None:
    several = [reading(named(made, name)) for made in (machine(), later())]
    text = render(several[:1])
    found = {dict(labels)["subject"] for _, labels in read(text)}
    assert len(found) == 1
    text.encode()
    assert all(label.isprintable() for label in found)


def test_subjects_are_apart() -> None:
    first, second = named(machine(), NASTY), named(later(), 'b"\\')
    text = render([reading(first), reading(second)])
    subjects = {dict(labels)["subject"] for _, labels in read(text)}
    assert len(subjects) == 2
    assert 'b"\\' in subjects
    lines = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(lines) == len(set(lines))


@given(counted_graphs())
@half_as_often
def test_of_any_machine_the_numbers_add_up(graph: Graph) -> None:
    report = reported(addressed(graph))
    found = read(render([reading(report, events={"new": 1}, watching=False)]))
    verdicts: dict[str, float] = dict.fromkeys((one.value for one in Verdict), 0)
    for (name, labels), count in found.items():
        if name == "cranalyze_objects":
            verdicts[dict(labels)["verdict"]] += count
    assert verdicts == {one.value: getattr(report.summary, one.value) for one in Verdict}
    assert {name for name, _ in found} <= {family.name for family in FAMILIES}


def test_every_family_is_told() -> None:
    told = page.prometheus_page()
    assert all(f"| `{family.name}` | {family.type} |" in told for family in FAMILIES)
    assert all(set(family.labels) <= set(told.replace("`", " ").replace(",", " ").split())
               for family in FAMILIES)  # fmt: skip
    for unit in (page.SERVICE, page.TIMER):
        configparser.ConfigParser(interpolation=None).read_string(unit)
    assert all(name in told for name in ("cranalyze_leaks{", "cranalyze_last_read"))


def test_the_file_is_replaced_whole_and_is_for_all_to_read(tmp_path: Path) -> None:
    path = tmp_path / "a.prom"
    for made in (machine(), later()):
        numbers = Numbers(str(path))
        numbers.keep([reported(made.snapshot(100))])
        with path.open() as before:
            numbers.keep([reported(made.snapshot(100))], {"new": 1})
            numbers.end()
            assert "cranalyze_watching" not in before.read(), "who reads it has it whole"
    assert value(path.read_text(), "cranalyze_watching") == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["a.prom"]


def test_a_file_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("mine")
    with pytest.raises(BadInputError, match="was not written by --prometheus"):
        Numbers(str(path))
    with pytest.raises(BadInputError, match="no folder"):
        Numbers(f"{tmp_path}/no/a.prom")
    assert path.read_text() == "mine"
    Numbers(None).keep([])


def test_a_watch_keeps_its_numbers(
    taken: list[Machine | BaseException],  # noqa: F811 - the fixture
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    taken[:] = [machine(), later(), KeyboardInterrupt()]
    path = tmp_path / "a.prom"
    words = ["watch", "1", "--every", "1ms", "--source", "procfs", "--prometheus", str(path)]
    assert cli.main(words) == 16
    capsys.readouterr()
    text = path.read_text()
    assert value(text, "cranalyze_events_total", event="new") == 1
    assert value(text, "cranalyze_watching") == 0
    assert value(text, "cranalyze_duration_seconds") is not None
