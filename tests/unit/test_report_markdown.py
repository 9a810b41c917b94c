"""The Markdown of a report: golden pages, and that no name can break out of its place.

Pages are read back with a CommonMark parser (markdown-it, which comes with rich, which comes with
typer). Rewrite the golden pages with CRANALYZE_GOLDEN=write, then read the difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from analyzer.check.leaks import check
from analyzer.core.model import Rules
from analyzer.core.text import printable
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.writers.markdown import code, prose, render
from tests.build import Machine
from tests.each import each
from tests.strategies import Graph, counted_graphs, half_as_often
from tests.unit.test_report_terminal import contained, hostile, leaking, reported, unprivileged

if TYPE_CHECKING:
    from collections.abc import Callable

    from markdown_it.token import Token

GOLDEN: Final = Path(__file__).parents[1] / "golden"

PAGES: Final[dict[str, Callable[[], str]]] = {
    "contained": lambda: render(reported(contained())),
    "contained-all": lambda: render(reported(contained(), all=True), everything=True),
    "leaks": lambda: render(reported(leaking())),
    "leaks-all": lambda: render(reported(leaking(), all=True), everything=True),
    "leaks-ignored": lambda: render(reported(leaking(), fail_on=frozenset({"SIGHAND"}))),
    "undecided": lambda: render(reported(unprivileged(), procfs=True)),
    "hostile": lambda: render(reported(hostile())),
}

NASTY: Final = (
    "a|b", "a\\|b", "\\", "`", "``", "a`b``c", "`" * 200, " ", "  x  ", "",
    "<script>alert(1)</script>", "</details>", "<!--", "@torvalds", "#123", "org/repo#1",
    "![x](http://evil.test/x.png)", "[x](javascript:alert(1))", "https://evil.test", "| --- |",
    "*bold* _it_ ~~no~~", "&lt;", ":smile:", "GH-1", "www.evil.test", "\u202egnp.exe",
    "a\nb\r\n# c", "\x1b[2J", "\udcff", "- [ ] x", "```\n", "$x^2$",
)  # fmt: skip


def parsed(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


def cells(tokens: list[Token]) -> list[list[list[Token]]]:
    """Return the rows of the first table: the inline tokens of each cell."""
    rows: list[list[list[Token]]] = []
    for at, token in enumerate(tokens):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in {"td_open", "th_open"}:
            rows[-1].append(tokens[at + 1].children or [])
        elif token.type == "table_close":
            break
    return rows


def loose(tokens: list[Token]) -> str:
    """Return the text that is in no code span and no block of code, without our own HTML."""
    inline = [child for token in tokens for child in token.children or []]
    return "\n".join(t.content for t in inline if t.type != "code_inline")


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_the_golden_one(name: str) -> None:
    path = GOLDEN / f"report-{name}.md"
    found = PAGES[name]()
    if os.environ.get("CRANALYZE_GOLDEN") == "write":
        path.write_text(found)
    assert found == path.read_text()


def test_the_table_bundles_what_the_report_bundles() -> None:
    rows = cells(parsed(PAGES["leaks"]()))
    titles = ["".join(token.content for token in row[0]) for row in rows]
    assert titles[0] == "object"
    assert "the host's net, uts and ipc namespaces" in titles
    assert "3 executables and libraries" in titles
    assert len(rows) == 7


@pytest.mark.parametrize("name", NASTY)
def test_a_code_span_shows_a_name_as_it_is(name: str) -> None:
    text = f"| a | b | c |\n| --- | --- | --- |\n| x | {code(name)} | y |"
    head, row = cells(parsed(text))
    assert [len(head), len(row)] == [3, 3]
    (span,) = row[1]
    assert span.type == "code_inline"
    shown = printable(name) or " "
    assert span.content == (shown if "`" * 9 not in shown else shown.replace("`", r"\x60"))
    assert row[2][0].content == "y"


ANY_NAME: Final = st.sampled_from(NASTY) | st.text(max_size=30) | st.text("`|\\ a<@#", max_size=12)


@given(ANY_NAME)
def test_a_code_span_holds_any_name(name: str) -> None:
    (span,) = parsed(f"x {code(name)} y")[1].children[1:2]  # type: ignore[index]
    assert span.type == "code_inline"
    _, row = cells(parsed(f"| a | b |\n| --- | --- |\n| {code(name)} | y |"))
    assert [token.type for token in row[0]] == ["code_inline"]
    assert row[1][0].content == "y"


@given(ANY_NAME)
def test_prose_is_left_alone_only_while_it_is_harmless(text: str) -> None:
    found = prose(text)
    if found == text:
        assert not re.search(r"[@#<>&`|\[\]*_~\\!$\n]|://|www\.|gh-\d", text, re.IGNORECASE)


def test_no_name_breaks_out_of_the_page() -> None:
    made = Machine()
    made.task(77, 1, comm="@root")
    made.task(100, 77, comm="<b>#1|`")
    tables = [made.object("FILE_TABLE", 1, holders=[(task, "files")]) for task in (100, 77)]
    for name in NASTY:
        made.object("FILE", 3, name=name, holders=[(table, "fd", 7) for table in tables])
        made.gap(name, name, 13, name)
    for rules in Rules:
        for everything in (False, True):
            report = reported(made, rules, all=everything)
            text = render(report, everything=everything)
            tokens = parsed(text)
            assert each(len(row) == 6 for row in cells(tokens))
            words = loose(tokens)
            assert not re.search(r"[@#]\w|://|evil|alert|\|", words)
            tags = set(re.findall(r"<[^>]*>", words))
            html = {t.content.strip() for t in tokens if t.type == "html_block"}
            assert tags <= {"<br>"}
            assert each(re.fullmatch(r"</?details>(<summary>[\w ,:]*</summary>)?", t) for t in html)
            assert each(line.isprintable() for line in text.splitlines())


def test_a_long_list_fits_into_an_issue() -> None:
    """GitHub takes 65,536 characters."""
    made = hostile()
    for number in range(3000):
        name = f"/srv/{number}/{'x' * 4000}"
        made.object("FILE", 5, holders=[(100, "nsproxy")], name=name)
    for row in made.rows["references"]:
        row["association"] = "fd" if row["holder_kind"] == "TASK" else row["association"]
    for number in range(500):
        made.gap(f"pid {number}", "openat", 13, "not read")
    text = render(reported(made))
    assert "3,000 open files: " in text
    assert "and 491 more (--all lists them)" in text
    assert len(text) < 65_536


@half_as_often
@given(counted_graphs(), st.sampled_from(Rules), st.booleans())
def test_every_page_is_whole(graph: Graph, rules: Rules, everything: bool) -> None:  # noqa: FBT001
    snapshot = graph.snapshot()
    options = ReportOptions(all=everything, brief=not everything)
    text = render(
        make(snapshot, check(snapshot, graph.root, rules), options), everything=everything
    )
    assert text.count("<details>") == text.count("</details>")
    assert each(len(row) in {2, 6} for row in cells(parsed(text)))
    assert text.startswith("### ")
