"""The tree: golden pages, trees that are too deep, too wide or hostile, and what is told of each.

Rewrite the golden pages with CRANALYZE_GOLDEN=write, then read the difference.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.check.leaks import check
from analyzer.core.model import Rules
from analyzer.core.text import width
from analyzer.report.make import make
from analyzer.report.tree import outline, shown
from analyzer.report.value import ReportOptions
from analyzer.writers import terminal, tree
from tests.build import Machine
from tests.each import each
from tests.strategies import Graph, counted_graphs, half_as_often
from tests.unit.test_cli import run
from tests.unit.test_report_terminal import (
    GOLDEN,
    contained,
    hostile,
    leaking,
    reported,
    unprivileged,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.report.value import Report


def grown(deep: int, wide: int, *, every: int = 10) -> Machine:
    """A chain of `deep` processes and `wide` children of the root; one of `every` shares a file."""
    made = Machine()
    made.task(1, 0, comm="init")
    made.task(99, 1, comm="logger")
    outside = made.object("FILE_TABLE", 1, holders=[(99, "files")])
    parent = 1
    for at in range(deep + wide):
        pid = made.task(100 + at, parent if at < deep else 100, comm=f"p{at}")
        parent = pid if at < deep else 0
        own = made.object("FILE_TABLE", 1, holders=[(pid, "files")])
        if at % every == 0:
            made.object("FILE", 2, name=f"/srv/{at}", holders=[(own, "fd", 3), (outside, "fd", at)])
    return made


def busy() -> Machine:
    """Two processes that share twelve files with one outside."""
    made = grown(2, 0, every=5)
    tables = [row for row in made.rows["references"] if row["association"] == "files"]
    for at in range(12):
        made.object("FILE", 3, name=f"/srv/data/日本語-{at}")
        target = len(made.rows["objects"])
        made.rows["references"] += [
            {**row, "holder_kind": "FILE_TABLE", "holder": row["target"], "target": target,
             "association": "fd", "slot": at}
            for row in tables
        ]  # fmt: skip
    return made


def page(
    report: Report, cells: int = 80, *, everything: bool = False, encoding: str = "utf-8"
) -> str:
    lines = tree.render(report, cells, everything=everything, encoding=encoding)
    return terminal.to_text(lines)


PAGES: dict[str, Callable[[], str]] = {
    "contained": lambda: page(reported(contained())),
    "leaks": lambda: page(reported(leaking())),
    "leaks-40": lambda: page(reported(leaking()), 40),
    "leaks-all": lambda: page(reported(leaking(), all=True), everything=True),
    "ascii": lambda: page(reported(busy()), 60, encoding="ascii"),
    "busy": lambda: page(reported(busy())),
    "deep": lambda: page(reported(grown(150, 0))),
    "wide": lambda: page(reported(grown(1, 1000, every=50))),
    "hostile": lambda: page(reported(hostile())),
    "undecided": lambda: page(reported(unprivileged(), procfs=True)),
}


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_the_golden_one(name: str) -> None:
    path = GOLDEN / f"report-tree-{name}.txt"
    found = PAGES[name]()
    if os.environ.get("CRANALYZE_GOLDEN") == "write":
        path.write_text(found)
    assert found == path.read_text()


@half_as_often
@given(counted_graphs(), st.sampled_from(Rules), st.integers(1, 130), st.booleans())
def test_no_line_is_too_wide_or_harmful_and_all_is_told(
    graph: Graph,
    rules: Rules,
    cells: int,
    everything: bool,  # noqa: FBT001 - drawn
) -> None:
    snapshot = graph.snapshot()
    report = make(snapshot, check(snapshot, graph.root, rules), ReportOptions(all=everything))
    encoding = "utf-8" if cells % 2 else "ascii"
    lines = tree.render(report, cells, everything=everything, encoding=encoding)
    for line in lines:
        assert width(line.text) <= max(cells, terminal.MIN_WIDTH)
        assert line.text.isprintable()
        line.text.encode(encoding)
    text = "\n".join(line.text for line in lines)
    told = outline(report)
    numbers = range(1, len(told.things) + 1)
    assert all(f"[{at}]" in text for at in numbers) or (not everything and len(numbers) > 10)
    assert all(f"({pid}" in text for pid in told.processes) or "more like it" in text
    assert not everything or "more like it" not in text


def forked(many: int) -> Machine:
    """A server, and workers that share what it has; one in two has a child of its own."""
    made = Machine()
    made.task(1, 0, comm="init")
    made.task(99, 1, comm="logger")
    outside = made.object("FILE_TABLE", 1, holders=[(99, "files")])
    made.task(100, 1, comm="server", nspid=1)
    tables = [made.object("FILE_TABLE", 1, holders=[(100, "files")])]
    for at in range(many):
        pid = made.task(200 + at, 100, comm="worker")
        tables.append(made.object("FILE_TABLE", 1, holders=[(pid, "files")]))
        if at % 2:
            made.task(1000 + at, pid, comm="helper")
    held = [(table, "fd", 3) for table in [*tables, outside]]
    made.object("FILE", len(held), name="/srv/log", holders=held)
    return made


def test_workers_that_are_alike_are_told_once() -> None:
    assert page(reported(forked(300))).split("\n\n")[1].splitlines() == [
        "server (100)",
        "│  [1] open file /srv/log: fd 3 (shared state)",
        "│      outside: logger (99): fd 3",
        "├─ worker (200)",
        "│     [1] fd 3",
        "├─ and 149 more like it",
        "├─ worker (201)",
        "│  │  [1] fd 3",
        "│  └─ helper (1001)",
        "└─ and 149 more like it",
    ]
    assert "more like it" not in page(reported(forked(6)))
    assert "more" not in page(reported(forked(300)), everything=True)


def test_every_process_is_told_once_or_counted() -> None:
    told = outline(reported(grown(300, 700)))
    assert len(told.processes) == 1000
    for most, depth, deepest in ((None, 3, 3), (None, 1000, 299), (50, 5, 5), (200, 1000, 290)):
        found = shown(told, most, depth)
        listed = [pid for pids in found.children.values() for pid in pids]
        assert len({told.root, *listed}) + found.hidden == 1000
        assert found.sharing == sum(pid not in {told.root, *listed} for pid in told.held)
        level = {told.root: 0}
        for pid in told.processes:
            if pid in found.parent:
                level[pid] = level[found.parent[pid]] + 1
        assert max(level.values()) <= deepest


def test_what_shares_comes_before_what_does_not() -> None:
    text = page(reported(grown(1, 2000, every=400)))
    assert each(f"/srv/{at}: fd 3" in text for at in range(0, 2001, 400))
    assert "and 1,981 more processes that share nothing (--all)" in text
    many = page(reported(grown(1, 2000, every=4)))
    assert "and 1,901 more processes, 401 of which share something (--all)" in many
    assert "more" not in page(reported(grown(1, 2000, every=400)), everything=True)


def test_what_the_observer_started_is_told_too() -> None:
    made = leaking()
    made.task(200, 100, comm="cranalyze", observer=True)
    made.task(201, 200, comm="helper")
    assert "helper (201, child of 200)" in page(reported(made))


def test_a_tree_of_any_depth_fits() -> None:
    report = reported(grown(3000, 0, every=7))
    for everything in (False, True):
        text = page(report, 40, everything=everything)
        assert max(map(width, text.splitlines())) <= 40
        assert ("p2999 (3099" in text) is everything


def test_a_thing_is_told_in_full_once() -> None:
    text = page(reported(leaking()))
    inside, outside = text.split("\noutside\n")
    assert inside.count("/dev/pts/0") == 1
    assert inside.count("[3]") == 2
    assert "logger (88)" in outside


def test_colours_are_only_around_the_text() -> None:
    lines = tree.render(reported(leaking()))
    coloured = terminal.to_text(lines, colour=True)
    assert "\x1b[1;31mnot contained" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == terminal.to_text(lines)


def test_the_command_line_draws_it(tmp_path: object) -> None:
    from analyzer.snapshot import crz

    path = f"{tmp_path}/a.crz"
    crz.save(leaking().snapshot(100), path)
    ran = run("report", path, "--tree")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == page(reported(leaking()))
    assert "├─ " not in page(reported(leaking()), encoding="latin-1")
