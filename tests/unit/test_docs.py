"""docs/ is what the code says: it is written by `make docs`, and nothing is left out of it."""

from __future__ import annotations

import re

import pytest

from analyzer.core.model import SCHEMAS, Impact
from analyzer.kinds import associations, facts, registry
from analyzer.relations import relations
from analyzer.report.columns import COLUMNS
from scripts import docs
from scripts.docs import columns, commands, crossings, kinds, man
from tests.each import each


@pytest.mark.parametrize("name", docs.PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    path = docs.ROOT / name
    assert path.exists(), "run make docs"
    assert path.read_text() == docs.PAGES[name](), "run make docs"


def test_every_command_and_option_is_told_with_examples() -> None:
    page = commands.commands_page()
    for command in commands.commands()[1:]:
        assert f"## {command.path}\n" in page
        assert command.about
        assert command.examples, command.path
    told = [
        one for command in commands.commands() for one in (*command.arguments, *command.options)
    ]
    assert each(parameter.meaning for parameter in told)
    assert "| `--rules modern\\|linux-cr\\|seed` |" in page


def test_every_association_has_a_holder_and_a_target() -> None:
    """One that a walk does not name in one place has to be in kinds._NOT_PLAIN."""
    held = kinds.targets()
    assert set(held) == set(associations())
    told = {association.name for found in kinds.places().values() for _, association in found}
    assert told == set(associations())


def test_what_holds_a_file_is_told() -> None:
    holders = {(kind, association.name) for kind, association in kinds.places()["FILE"]}
    assert {("FILE_TABLE", "fd"), ("MM", "exe"), ("MM", "vma"), ("SOCKET", "scm")} <= holders
    assert {("TASK", "syscall"), ("LOOP", "loop"), ("IO_URING", "io_uring.file")} <= holders
    page = kinds.kinds_page()
    assert each(f"## {kind}\n" in page for kind in registry())


def test_every_column_is_told() -> None:
    page = columns.columns_page()
    for schema in SCHEMAS.values():
        assert each(f"| `{column.name}` |" in page for column in schema.columns)


def test_every_column_of_a_report_is_told_on_the_page_and_in_the_manual() -> None:
    page, manual = columns.report_columns_page(), man.man_page()
    assert each(f"| `{column.name}` |" in page for column in COLUMNS)
    assert each(f"\\fB{man.roff(column.name)}\\fR" in manual for column in COLUMNS)
    assert "and (OUTSIDE > 0 or UNNAMED > 0)" in page


def test_every_relation_and_every_fact_is_told() -> None:
    page, told = crossings.relations_page(), crossings.facts_page()
    assert all(f"## {name}\n" in page for name in relations())
    assert all(impact.value in page for impact in Impact)
    assert all(f"| `{name}` |" in told for name in facts())


def test_the_man_page_has_no_line_that_roff_would_take_for_a_request() -> None:
    known = {".TH", ".SH", ".SS", ".TP", ".PP", ".br", ".nf", ".fi", '.\\"'}
    page = man.man_page()
    assert {line.split()[0] for line in page.splitlines() if line[:1] in {".", "'"}} <= known
    assert not re.search(r"\\(?![efR\"&(-])", page)


@pytest.mark.parametrize(
    ("text", "roff"),
    [
        (".crz files", r"\&.crz files"),
        ("'quoted'", r"\&'quoted'"),
        (r"a\nb", r"a\enb"),
        ("--json", r"\-\-json"),
        ("~/.config", r"\(ti/.config"),
    ],
)
def test_roff_escapes(text: str, roff: str) -> None:
    assert man.roff(text) == roff


def _tests_in(text: str) -> set[str]:
    return set(re.findall(r"^def (test_\w+)\(", text, re.MULTILINE))


def test_every_case_of_the_rules_has_its_test() -> None:
    page = (docs.ROOT / "docs" / "rules.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    tests = docs.ROOT / "tests"
    live = _tests_in((tests / "live" / "test_rules.py").read_text())
    written = live.union(*(_tests_in(path.read_text()) for path in tests.glob("unit/*.py")))
    assert named
    assert named <= written
    assert live <= named
