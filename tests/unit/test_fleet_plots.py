"""Plots of a fleet, as a picky reader sees them (tests/unit/test_plots.py)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest
from matplotlib.figure import Figure

from analyzer.core.values import replace
from analyzer.fleet import plots, told
from analyzer.fleet.summary import Fleet, Trouble, Unlike
from analyzer.plots import _style, base
from tests.unit.test_plots import NASTY, read, said, title

if TYPE_CHECKING:
    from collections.abc import Collection

START: Final = datetime(2026, 9, 1, 12, tzinfo=UTC)


def trouble(number: int, hosts: Collection[str], days: Collection[str], name: str) -> Trouble:
    """One that all of these hosts had on all of these days, but for the last host on the last."""
    first, last = (datetime.fromisoformat(f"{day}T12:00:00Z") for day in (min(days), max(days)))
    there = dict.fromkeys(days, len(hosts))
    return Trouble(
        f"{number:016x}", "leak", "FILE", name, "launcher", "app", "fd", "reaches out", gates=True,
        hosts=tuple(hosts), times=len(hosts) * len(days), first=first, last=last, words="",
        days=there,
    )  # fmt: skip


def fleet(
    hosts: int, days: int, signatures: int, gap: Collection[int] = (), name: str = "/srv/*.log"
) -> Fleet:
    """A fleet whose last host alone has the last signature; a new one comes every few days."""
    names = [f"web{number:03}.example.org" for number in range(hosts)]
    dates = [f"{START + timedelta(days=day):%F}" for day in range(days) if day not in gap]
    found = [
        trouble(number, names[: max(hosts - number, 1)], dates[number * days // signatures // 2 :],
                f"{name}{number}")
        for number in range(signatures - 1)
    ]  # fmt: skip
    if signatures:
        found.append(trouble(signatures, names[-1:], dates[-1:], f"{name}alone"))
    unlike = (Unlike(names[-1], tuple(found[-1:]), ()),) if hosts > 2 else ()
    checks = hosts * len(dates)
    last = START + timedelta(days=days - 1)
    return Fleet(
        tuple(names), checks, {"leaks": checks}, START, last, tuple(found), unlike, (),
        dict.fromkeys(dates, hosts),
    )  # fmt: skip


FLEETS: Final = {
    "none": Fleet((), 0, {}, None, None, (), (), (("x", "y"),), {}),
    "one": fleet(1, 1, 1),
    "few": fleet(5, 4, 5, gap=(1,)),
    "hostile": fleet(5, 5, 5, name=NASTY),
    "many": fleet(300, 200, 60),
}


def drawn(kind: str, name: str) -> Figure:
    figure = base.figure(plots.named(kind), FLEETS[name])
    with _style.styled():
        figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize("kind", plots.PLOTS)
@pytest.mark.parametrize("name", FLEETS)
def test_a_picky_reader_finds_nothing(kind: str, name: str) -> None:
    figure = drawn(kind, name)
    read(figure)
    (ax,) = figure.axes
    assert ax.get_xlabel()
    assert ax.get_ylabel() == "signature"
    assert "\x1b" not in said(figure)


def test_signatures_over_time_begin_where_they_were_first_seen() -> None:
    figure = drawn("days", "few")
    assert title(figure) == "5 signatures that decide, on 5 hosts: the newest since 2026-09-04"
    words = said(figure)
    assert "\n2026-09-01\n" in words
    assert "\nno snapshot\n" in words
    assert "5 of 5 hosts\n" in words
    assert "day (UTC), 4 days a column\n" in said(drawn("days", "many"))


def test_a_host_that_is_unlike_the_others_stands_apart_with_what_it_has_alone() -> None:
    for name in ("few", "many"):
        figure = drawn("hosts", name)
        last = FLEETS[name].hosts[-1]
        assert title(figure).endswith(f"{last} is unlike the others")
        labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
        assert labels[-1] == last
        assert "open file /srv/*.logalone, in app\n" in said(figure)
    assert "… and " in said(drawn("hosts", "many"))


def test_what_does_not_decide_is_listed_and_no_part_of_the_answer() -> None:
    few = FLEETS["few"]
    waived = tuple(replace(one, gates=False) for one in few.troubles)
    lines = [line.text for line in told.render(replace(few, troubles=waived), everything=True)]
    assert lines[0] == "nothing decides, on 5 hosts"
    assert sum("does not decide" in line for line in lines) == 5


def test_axes_of_ones_own_are_drawn_on() -> None:
    figure = Figure(figsize=(14, 6))
    for ax, plot in zip(figure.subplots(1, 2).flat, plots.PLOTS.values(), strict=True):
        assert plot.draw(FLEETS["many"], ax) is ax
        assert 2 <= len(ax.get_yticklabels()) <= 24, "as many rows as there is room for"
