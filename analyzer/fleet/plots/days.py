"""Signatures over time: on how many of the hosts that were checked each was found."""

from __future__ import annotations

from datetime import date, timedelta
from math import ceil
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.values import NamedTuple
from analyzer.fleet import told
from analyzer.fleet.plots import _rows
from analyzer.plots import _style
from analyzer.plots._tiles import NONE, shade, tiles
from analyzer.plots.base import Picture, Plot, Room, beside, drawn, room_of
from analyzer.report.wording import many, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from analyzer.fleet.plots._rows import Rows
    from analyzer.fleet.summary import Fleet, Trouble

_MOST_COLUMNS: Final = 60
_WIDEST: Final = 6.6  # inches, of all columns
_TICK: Final = 0.9  # inches: a date
_HATCH: Final = "////"


class _Time(NamedTuple):
    """The days from the first to the last: so many (`step`) are a column, from `first` on."""

    first: date
    step: int
    columns: int

    def column(self, day: str) -> int:
        return (date.fromisoformat(day) - self.first).days // self.step

    def starts(self, column: int) -> str:
        return f"{self.first + timedelta(days=column * self.step)}"


def days(fleet: Fleet, ax: Axes | None = None) -> Axes:
    """Draw on how many hosts each signature was found, day by day.

    A row is a signature that decides, the one that was seen first above. A cell has the number of
    hosts that had it on that day, the darker the more of those that were checked then; hatched is a
    day without a snapshot. Where there are more than 60 days, a column is several of them, and
    shows the one on which most had it.

    Returns the axes: `ax`, or new ones. Raises nothing of its own.
    """
    return drawn(PLOT, fleet, ax)


def _picture(fleet: Fleet, room: Room | None) -> Picture:
    shown = _by_age(_rows.rows(fleet, room))
    time = _time(fleet.days)
    remarks = [
        f"{number(len(t.hosts))} of {many(len(fleet.hosts), 'host')}" for t in shown.troubles
    ]
    wanted = _rows.room_for(shown, time.columns)
    return Picture(
        title=_style.drawable(_title(fleet)),
        subtitle=_style.drawable(told.about(fleet)),
        room=Room(min(wanted.width, _WIDEST), wanted.height),
        left=shown.left,
        right=max((_style.inches(text, _style.SMALL) for text in remarks), default=0) + 0.15,
        below=0.46,
        paint=lambda ax: _paint(ax, fleet, shown, time, remarks),
        legend=_legend(shown, time, fleet.days),
    )


def _by_age(shown: Rows) -> Rows:
    order = sorted(range(len(shown.troubles)), key=lambda at: shown.troubles[at].first)
    return shown._replace(
        troubles=[shown.troubles[at] for at in order], labels=[shown.labels[at] for at in order]
    )


def _title(fleet: Fleet) -> str:
    first = [f"{one.first:%Y-%m-%d}" for one in fleet.deciding]
    since = f": the newest since {max(first)}" if len(first) > 1 else ""
    return f"{told.headline(fleet)}{since}"


def _time(checked: Mapping[str, int]) -> _Time:
    if not checked:
        return _Time(date.min, 1, 0)
    first, last = (date.fromisoformat(day) for day in (min(checked), max(checked)))
    count = (last - first).days + 1
    step = ceil(count / _MOST_COLUMNS)
    return _Time(first, step, ceil(count / step))


def _paint(ax: Axes, fleet: Fleet, shown: Rows, time: _Time, remarks: Sequence[str]) -> None:
    room = room_of(ax)
    _rows.axes(ax, shown, time.columns)
    if shown.troubles and time.columns:
        found = [_cells(one, fleet.days, time) for one in shown.troubles]
        counts, checked = (np.array([row[at] for row in found]) for at in (0, 1))
        tiles(ax, counts, counts / np.maximum(checked, 1), [[_rows.COLOUR]],
              written=time.columns <= _rows.columns_in(room))  # fmt: skip
    for column in _unchecked(fleet.days, time):
        ax.axvspan(column, column + 1, facecolor=_style.PAPER, edgecolor=_style.RULE,
                   hatch=_HATCH, linewidth=0, zorder=2)  # fmt: skip
    for y, said in enumerate(remarks):
        beside(ax, y + 0.5, said)
    every = max(ceil(time.columns * _TICK / room.width), 1)
    ticks = range(0, time.columns, every)
    ax.set_xticks([tick + 0.5 for tick in ticks], [time.starts(tick) for tick in ticks])
    ax.tick_params("x", length=3)
    days_each = f", {time.step} days a column" if time.step > 1 else ""
    ax.set_xlabel(f"day (UTC){days_each}", loc="left")


def _cells(one: Trouble, checked: Mapping[str, int], time: _Time) -> tuple[list[int], list[int]]:
    """Return for each column how many hosts had it, and of how many: on the day of the most."""
    counts, of = [0] * time.columns, [0] * time.columns
    for day in sorted(one.days, key=lambda day: one.days[day] / checked[day]):
        column = time.column(day)
        counts[column], of[column] = one.days[day], checked[day]
    return counts, of


def _unchecked(checked: Iterable[str], time: _Time) -> Iterable[int]:
    return sorted(set(range(time.columns)) - {time.column(day) for day in checked})


def _legend(shown: Rows, time: _Time, checked: Iterable[str]) -> tuple[Artist, ...]:
    from matplotlib.patches import Patch

    if not shown.troubles:
        return ()
    entries = [
        Patch(color=shade(_rows.COLOUR, 1), label="on all hosts that were checked"),
        Patch(color=shade(_rows.COLOUR, 0), label="on few of them"),
        Patch(facecolor=NONE, edgecolor=_style.RULE, label="on none"),
    ]
    if _unchecked(checked, time):
        entries.append(
            Patch(facecolor=_style.PAPER, edgecolor=_style.RULE, hatch=_HATCH, label="no snapshot")
        )
    return tuple(entries)


PLOT: Final = Plot("days", "signatures over time: on how many hosts each was found", _picture, days)
