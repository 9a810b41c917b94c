"""Every tie of the fixtures is told, asked for either end, and not of who is above both."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest

import fixtures
from analyzer.check.leaks import check
from analyzer.core.model import Impact, Rules, Side
from analyzer.memory.probe import open_memory
from analyzer.report.crossed import GATING
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.sources import kernel
from analyzer.sources.request import Request
from analyzer.writers.terminal import render, to_text
from fixtures._registry import ties

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from analyzer.report.crossed import Crossed, Tie
    from analyzer.report.value import Report
    from fixtures.ties._cast import Tie as Expected

pytestmark = [pytest.mark.live, pytest.mark.bpf, pytest.mark.needs("root")]

Cast = dict[str, int]


def report(pid: int) -> Report:
    with open_memory() as memory:
        snapshot = kernel.collect(memory, Request(pid))
    verdicts = check(snapshot, pid, Rules.MODERN)
    return make(snapshot, verdicts, ReportOptions("check", gate=True, all=True))


@pytest.fixture(scope="module")
def cast() -> Iterator[Cast]:
    with fixtures.start("ties") as running:
        yield running.info["cast"]


@pytest.fixture(scope="module")
def said() -> Callable[[int], Report]:
    return cache(report)


def names(ties: tuple[Tie, ...], pid: int) -> bool:
    """Tell whether a process is named by one of some ends: as who leads to it, or what keeps it."""
    return any(
        pid in {task.tgid for task in tie.tasks} or any(f"({pid})" in word for word in tie.things)
        for tie in ties
    )


def between(found: Report, tie: Expected, *pids: int) -> list[Crossed]:
    """Return the crossings of a tie's relation that name all of these, and have its mark."""
    return [
        crossing
        for crossing in found.crossings
        if crossing.relation == tie.relation
        and all(names(crossing.ties, pid) for pid in pids)
        and any(
            tie.mark in f"{end.words} {end.detail} {end.role}"
            for end in (*crossing.ties, crossing.meeting)
            if end is not None
        )
    ]


def expected(cast: Cast, name: str) -> tuple[Expected, int, int]:
    tie = ties()[name]
    if cast.get(name, 0) < 0:
        pytest.skip("this kernel or machine has none of it")
    return tie, cast[tie.ends[0]], cast[tie.ends[1]]


@pytest.mark.parametrize("asked", [0, 1])
@pytest.mark.parametrize("name", ties())
def test_both_ends_are_named_from_either_side(
    cast: Cast, said: Callable[[int], Report], name: str, asked: int
) -> None:
    tie, *ends = expected(cast, name)
    mine, theirs = ends[asked], ends[not asked]
    impact = tie.sees[asked]
    found = between(said(mine), tie, theirs)
    if impact is None:
        assert not found
        return
    assert found, [c for c in said(mine).crossings if c.relation == name]
    for crossing in found:
        assert names(crossing.of(Side.OUTSIDE), theirs)
        # A mount or an interface is of nobody inside but of the namespace.
        inside = crossing.of(Side.INSIDE)
        assert names(inside, mine) or inside[0].kind in {"MOUNT", "NETDEV"}
        assert crossing.stable
        assert crossing.gates is (crossing.impact in GATING)
    assert Impact[impact] in {crossing.impact for crossing in found}


@pytest.mark.parametrize("name", ties())
def test_wholly_inside_it_is_no_crossing(
    cast: Cast, said: Callable[[int], Report], name: str
) -> None:
    tie, one, other = expected(cast, name)
    found = between(said(cast["top"]), tie, one, other)
    assert all(crossing.alone and not crossing.gates for crossing in found)
    assert bool(found) is tie.alone


@pytest.mark.parametrize("who", ["x", "m", "u", "p"])
def test_what_strangers_are_called_stays_in_its_line(
    cast: Cast, said: Callable[[int], Report], who: str
) -> None:
    text = to_text(render(said(cast[who]), 80, everything=True), colour=False)
    assert "tie" in text
    assert "\x1b" not in text
    assert not [line for line in text.splitlines() if line.startswith("[31m")]
