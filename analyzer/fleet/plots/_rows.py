"""The rows that both plots have: a signature each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.values import NamedTuple
from analyzer.fleet import told
from analyzer.plots import _style
from analyzer.plots.base import Room, label_room, more, nothing, rows_axis
from analyzer.scene import palette

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from matplotlib.axes import Axes

    from analyzer.fleet.summary import Fleet, Trouble

COLOUR: Final = palette.BLUE
"""The colour of what is found."""

_HIGH: Final = 0.26  # inches of a row
_MOST: Final = 30
_MOST_LABEL: Final = 3.6
_NAME: Final = 0.22  # inches: "signature", upright beside the labels
_FEWEST: Final = 2  # rows, which it needs the height of
_WIDE: Final = 0.36  # inches of a column with a number in it
_NARROWEST: Final = 1.2
_NOTHING: Final = "nothing was found that decides"


class Rows(NamedTuple):
    """The troubles that decide and have room, what each is called, and how many have none."""

    troubles: Sequence[Trouble]
    labels: Sequence[str]
    left_out: int

    @property
    def left(self) -> float:
        """Return what they need beside the axes, in inches."""
        return max((_style.inches(text, _style.LABEL) for text in self.labels), default=0) + _NAME


def rows(fleet: Fleet, room: Room | None, wanted: Container[str] = ()) -> Rows:
    """Return the rows of a fleet, the most common first; the `wanted` signatures are among them."""
    every = fleet.deciding
    most = min(int(room.height / _HIGH), _MOST) if room else _MOST
    shown = every
    if len(every) > most:
        chosen = sorted(every, key=lambda one: one.signature not in wanted)[: max(most - 1, 1)]
        shown = [one for one in every if one in chosen]
    wide = label_room(room, _MOST_LABEL)
    labels = [_style.fitting(_style.drawable(told.called(t)), _style.LABEL, wide) for t in shown]
    return Rows(shown, labels, len(every) - len(shown))


def axes(ax: Axes, shown: Rows, columns: int) -> None:
    """Set axes up: a line of the y axis for each row, and one for those that are left out."""
    rest = [more(shown.left_out)] if shown.left_out else []
    labels = [*shown.labels, *rest]
    rows_axis(ax, labels, [y + 0.5 for y in range(len(labels))])
    ax.tick_params("y", length=0, pad=4)
    ax.set_xlim(0, max(columns, 1))
    ax.set_ylim(max(len(labels), _FEWEST), 0)
    ax.set_ylabel("signature", loc="top")
    ax.spines[:].set_visible(False)
    if not labels:
        nothing(ax, _NOTHING)


def room_for(shown: Rows, columns: int) -> Room:
    """Return how large the axes have to be for so many columns, each with a number in it."""
    least = _NARROWEST if shown.troubles else _style.inches(_NOTHING, _style.BODY)
    rows = len(shown.troubles) + bool(shown.left_out)
    return Room(max(columns * _WIDE, least), max(rows, _FEWEST) * _HIGH)


def columns_in(room: Room) -> int:
    """Return how many columns with a number in it there is room for."""
    return round(room.width / _WIDE)
