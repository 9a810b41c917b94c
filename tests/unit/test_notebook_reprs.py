"""What Jupyter shows: the finding first, short, plain, and harmless whatever the names are."""

from __future__ import annotations

import html
import subprocess
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

import analyzer
from analyzer.writers import notebook, terminal
from tests.build import Machine
from tests.each import each
from tests.strategies import Graph, counted_graphs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.report.value import Report

NASTY = "</script><img src=x onerror=alert(1)>\"'&\x1b[2J\n\u202e\udcff"
TAGS = {"div", "p", "b", "br", "table", "thead", "tbody", "tr", "th", "td"}


class Page(HTMLParser):
    """A page as a browser reads it: its tags and attributes, its text, and its tables."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[tuple[str, str | None]] = set()
        self.open: list[str] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attrs: Iterable[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= set(attrs)
        self.open += [tag] * (tag != "br")
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.open[-1:] in (["td"], ["th"]):
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return "".join(self.words)


def shown(value: Any) -> Page:  # noqa: ANN401 - whatever Jupyter may show
    return Page(value._repr_html_())


def leaking(files: int = 1, comm: str = "app", name: str = "/var/log/app.log") -> Machine:
    made = Machine()
    made.task(1, 0, comm="init")
    made.task(77, 1, comm="bash")
    made.task(100, 77, comm=comm, nspid=1)
    tables = [made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (100, 77)]
    for number in range(files):
        held = [(table, "fd", number + 3) for table in tables]
        made.object("FILE", 3, name=f"{name}{number or ''}", holders=held)
    return made


def reported(made: Machine, *, everything: bool = False) -> Report:
    return analyzer.check(made.snapshot(100), everything=everything)


def test_a_report_says_the_finding_first() -> None:
    report = reported(leaking())
    page = shown(report)
    assert page.text.lstrip().startswith(terminal.headline(report))
    header, row = page.rows
    assert header == ["object", "name", "verdict", "users", "refcount", "held from outside by"]
    assert row == [
        "open file", "/var/log/app.log", "referenced from outside", "1", "3",
        "bash (77): fd 3; 1 not named",
    ]  # fmt: skip


def test_a_contained_report_has_no_table() -> None:
    made = Machine()
    made.task(100, comm="app", nspid=1)
    made.object("FILE_TABLE", 1, holders=[(100, "files")])
    page = shown(reported(made))
    assert page.text.lstrip().startswith("contained: ")
    assert "table" not in page.tags
    assert len(shown(reported(made, everything=True)).rows) == 2


def test_long_lists_are_cut_and_say_so() -> None:
    report = reported(leaking(files=123))
    page = shown(report)
    assert len(page.rows) == 1 + notebook.MOST
    assert "and 103 open files more" in page.text
    assert len(page.text) < 4000


def test_shared_libraries_are_one_line() -> None:
    made = leaking()
    spaces = [made.object("MM", 1, holders=[(tid, "mm")]) for tid in (100, 77)]
    for number in range(5):
        held = [(space, "vma", number * 4096, 1, "r-xp") for space in spaces]
        made.object("FILE", 2, name=f"/usr/lib/lib{number}.so.1", holders=held)
    page = shown(reported(made))
    assert len(page.rows) == 2
    assert "5 executables and libraries mapped by both sides since fork" in page.text


def test_an_object_names_its_holders() -> None:
    (leak,) = reported(leaking()).objects
    page = shown(leak)
    assert page.text.lstrip().startswith("open file /var/log/app.log: referenced from outside")
    assert page.rows[1:] == [["outside", "bash (77): fd 3"], ["inside", "app (100): fd 3"]]
    assert "proven by the kernel's own count" in page.text
    assert "file: 2 users count 4" in page.text


def test_a_snapshot_counts_its_kinds() -> None:
    page = shown(leaking(files=7).snapshot(100))
    assert page.text.lstrip().startswith("Snapshot of pid 100: 3 tasks, 9 objects, 16 references")
    assert page.rows[1:] == [["open files", "7", "14"], ["file descriptor tables", "2", "2"]]


def test_what_could_not_be_read_is_said() -> None:
    made = leaking()
    made.gap("pid 5", "readlink", 13, "its descriptors are not known")
    assert "1 thing could not be read" in shown(reported(made)).text


def test_nothing_of_a_nasty_name_is_markup() -> None:
    made = leaking(comm=NASTY, name=NASTY)
    made.gap(NASTY, NASTY, None, NASTY)
    report = analyzer.check(
        made.snapshot(100, host=NASTY, source={"name": NASTY, "notes": [NASTY]})
    )
    for value in (report, report.objects[0], report.snapshot):
        page = shown(value)
        assert set(page.tags) <= TAGS
        assert page.attributes <= {
            ("style", "text-align:left"),
            ("style", "text-align:right"),
        }
        assert page.open == []
        assert each(line.isprintable() for line in page.text.splitlines())
        value._repr_html_().encode("utf-8")
    assert r"&\e[2J\n\u202e\xff" in shown(report.objects[0]).text


def test_a_name_of_four_kilobytes_is_cut() -> None:
    assert max(map(len, shown(reported(leaking(name="x" * 4096))).rows[1])) <= 200


@given(counted_graphs())
def test_every_report_can_be_shown(graph: Graph) -> None:
    report = analyzer.check(graph.snapshot(), graph.root, everything=True)
    page = shown(report)
    assert len(page.rows) <= 1 + notebook.MOST
    for one in report.objects[:3]:
        assert shown(one).open == []


@pytest.mark.parametrize("value", ["snapshot", "report", "objects"])
def test_a_repr_is_one_short_printable_line(value: str) -> None:
    report = reported(leaking(files=50, comm=NASTY, name=NASTY * 100))
    said = repr(
        {"snapshot": report.snapshot, "report": report, "objects": report.objects[0]}[value]
    )
    assert said.isprintable()
    assert len(said) < 200


def test_the_page_is_in_a_frame_that_reaches_nothing() -> None:
    report = reported(leaking(name=NASTY))
    made = report.show(height=321)
    (frame,) = (Page(made._repr_html_()),)
    assert frame.tags == ["iframe"]
    found = dict(frame.attributes)
    assert found["sandbox"] == "allow-scripts"
    assert found["height"] == "321"
    assert found["srcdoc"] == made.content
    assert html.unescape(terminal.headline(report)) in made.content
    assert len(repr(made)) < 100


def test_nothing_of_this_needs_jupyter() -> None:
    """Nor does a repr of three leaks import pandas."""
    code = (
        "import sys; sys.modules['IPython'] = None; sys.path.insert(0, '.')\n"
        "from tests.unit.test_notebook_reprs import leaking, reported\n"
        "report = reported(leaking()); report._repr_html_(); report.show()._repr_html_()\n"
        "report.snapshot._repr_html_(); assert 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
