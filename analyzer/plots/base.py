"""What a plot is, and the page around it: title, sizes, legend, files.

A plot works out a `Picture`: how large its axes want to be, what its title states, and how it is
painted. `drawn` paints it on axes that the user has, or on a new pyplot figure as Jupyter shows;
`figure` on a figure of its own, that needs neither pyplot nor a display.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import numpy as np

from analyzer.core import extras
from analyzer.core.errors import BadInputError
from analyzer.core.text import printable
from analyzer.core.values import NamedTuple, dataclass
from analyzer.plots import _style
from analyzer.report.wording import listing, number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Shown = TypeVar("Shown")
"""What a plot is of: reports, or a fleet."""

FORMATS: Final[Mapping[str, Mapping[str, Any]]] = {
    "png": {"metadata": {"Software": None}},
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
}
"""The forms of a picture file; no date in any: equal input gives equal bytes."""

NO_OBJECT: Final = "no object is held"
"""The title of a plot that has none to show."""

ROW: Final = 0.21  # inches from one line of labels to the next
_EDGE: Final = 0.15
_GAP: Final = 0.12
NARROWEST: Final = 6.2
"""How wide a page is at least, in inches: a title needs as much."""
_BESIDE: Final = 0.6
_WIDE: Final = 40  # a larger count asks for a logarithmic axis
_TICKS: Final = 7


class Room(NamedTuple):
    """How large the axes are, in inches."""

    width: float
    height: float

    @property
    def rows(self) -> int:
        """Return how many rows of labels have room one above the other."""
        return max(int(self.height / ROW), 2)


@dataclass(frozen=True)
class Picture:
    """What is drawn: `room` is what the axes want, the margins (inches) what stands beside them.

    `title` states the finding, `subtitle` of what. `below` is what ticks and the label of the x
    axis need; the `legend` comes under them, column by column.
    """

    title: str
    subtitle: str
    room: Room
    paint: Callable[[Axes], None]
    left: float = 0.0
    right: float = 0.0
    below: float = 0.0
    legend: tuple[Artist, ...] = ()


@dataclass(frozen=True)
class Plot(Generic[Shown]):
    """One kind of plot: `picture` makes it, for axes of a given room or of its own.

    `draw` is the same as a function for people. Only a plot of `many` takes several reports.
    """

    name: str
    summary: str
    picture: Callable[[Shown, Room | None], Picture]
    draw: Callable[..., Axes]
    many: bool = False


def drawn(plot: Plot[Shown], shown: Shown, ax: Axes | None) -> Axes:
    """Return axes with the plot on them: `ax`, or new ones on a pyplot figure of the right size."""
    extras.need("a plot", "matplotlib")
    if ax is None:
        from matplotlib import pyplot as plt  # before the style: it sets up the user's backend

        with _style.styled():
            return _on_page(plot.picture(shown, None), plt.figure)
    with _style.styled():
        room = room_of(ax)
        _painted(plot.picture(shown, room), ax, left=0.0, width=room.width)
    return ax


def figure(plot: Plot[Shown], shown: Shown) -> Figure:
    """Return a figure of the plot that pyplot knows nothing of."""
    extras.need("a plot", "matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Made

    pages: list[Figure] = []

    def made(figsize: tuple[float, float]) -> Figure:
        pages.append(Made(figsize=figsize))
        FigureCanvasAgg(pages[0])
        return pages[0]

    with _style.styled():
        _on_page(plot.picture(shown, None), made)
    return pages[0]


def render(plot: Plot[Shown], shown: Shown, form: str) -> bytes:
    """Return the plot as the bytes of a file of one of FORMATS: equal for what is equal."""
    page = figure(plot, shown)
    out = io.BytesIO()
    with _style.styled():
        options = dict(FORMATS[form])
        if form != "png":
            title = page.axes[0].get_title(loc="left").replace("\n", " ")
            options["metadata"] = {**options["metadata"], "Title": title}
        page.savefig(out, format=form, **options)
    return out.getvalue()


def room_of(ax: Axes) -> Room:
    """Return how large axes are."""
    box = ax.get_window_extent()
    return Room(box.width / ax.figure.dpi, box.height / ax.figure.dpi)


def nothing(ax: Axes, said: str = "nothing was judged") -> None:
    """Say on empty axes that there is nothing to show."""
    ax.text(0.5, 0.5, said, transform=ax.transAxes, ha="center", va="center",
            color=_style.FAINT)  # fmt: skip


def rows_axis(ax: Axes, labels: Sequence[str], places: Sequence[float]) -> None:
    """Set the y axis up for rows with labels; one that stands for others is set apart."""
    ax.set_yticks(list(places), list(labels))
    ax.tick_params("y", length=0, pad=6)
    ax.spines["left"].set_visible(False)
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
        if label.get_text().startswith("…"):
            label.set_color(_style.FAINT)
            label.set_fontstyle("italic")


def counts_axis(ax: Axes, values: Sequence[int], of: str) -> None:
    """Set the x axis up for counts of what it is called; logarithmic where they are far apart."""
    most = max(values, default=0)
    if most > _WIDE:
        ax.set_xscale("symlog", linthresh=1, linscale=0.3)
        ticks = [0, *_decades(most)]
        ax.set_xlim(0, most * 1.15)
    else:
        step = next(step for step in (1, 2, 5, 10) if most <= step * _TICKS)
        ticks = list(range(0, most + step, step))
        ax.set_xlim(0, max(most, 1) * 1.06)
    ax.set_xticks(ticks, [number(tick) for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.grid(axis="x", color=_style.RULE, linewidth=0.6)
    ax.tick_params("x", length=3)
    ax.set_xlabel(of + (" (logarithmic)" if most > _WIDE else ""), loc="left")


def _decades(most: int) -> list[int]:
    powers = range(len(str(most)))
    ticks = [step * 10**power for power in powers for step in (1, 2, 5)]
    wanted = [tick for tick in ticks if tick <= most]
    return wanted if len(wanted) <= 9 else [tick for tick in wanted if str(tick)[0] == "1"]  # noqa: PLR2004


def beside(ax: Axes, y: float, said: str) -> None:
    """Write a remark to the right of the row at `y`."""
    ax.annotate(
        said, (1, y), (6, 0), ax.get_yaxis_transform(), "offset points", va="center_baseline",
        fontsize=_style.SMALL, color=_style.FAINT, parse_math=False, annotation_clip=False,
    )  # fmt: skip


def label_room(room: Room | None, most: float) -> float:
    """Return how wide labels beside axes may be: `most` inches, on given axes in proportion."""
    return most if room is None else min(most, max(room.width * _BESIDE, 0.6))


def form_of(path: str, form: str | None = None) -> str:
    """Return which of FORMATS a picture is to have: `form`, or what `path` ends with.

    Raises BadInputError, which lists them, for another.
    """
    suffix = os.path.splitext(path)[1].removeprefix(".").lower()
    chosen = (form or suffix).lower()
    if chosen in FORMATS:
        return chosen
    known = listing(list(FORMATS))
    if form:
        raise BadInputError(f"--format {printable(form)}: a picture is one of {known}")
    if path == "-":
        raise BadInputError(f"say --format for stdout: one of {known}")
    said = f"{printable(path)} ends with none of .{', .'.join(FORMATS)}"
    raise BadInputError(f"{said}: rename it, or say --format ({known})")


def more(count: int, what: str = "more") -> str:
    """Return what stands for things that there is no room for."""
    return f"… and {number(count)} {what}"


def _on_page(picture: Picture, new: Callable[..., Figure]) -> Axes:
    left, right = picture.left + _EDGE, picture.right + _EDGE
    wide = max(left + picture.room.width + right, NARROWEST)
    top = _EDGE + _heading_height(picture, wide - 2 * _EDGE) + _GAP
    rows = _legend_rows(picture.legend, wide - 2 * _EDGE)
    bottom = picture.below + _EDGE + (_style.height(rows, _style.BODY) + _GAP if rows else 0)
    high = top + picture.room.height + bottom
    page = new(figsize=(wide, high))
    box = (left / wide, bottom / high, picture.room.width / wide, picture.room.height / high)
    ax = page.add_axes(box)
    _painted(picture, ax, left=picture.left, width=wide - 2 * _EDGE)
    return ax


def _painted(picture: Picture, ax: Axes, *, left: float, width: float) -> None:
    picture.paint(ax)
    title, subtitle = _heading(picture, width)
    pad = _style.height(subtitle.count("\n") + 1, _style.BODY) * 72 + 7
    said = ax.set_title(
        title, loc="left", y=1.0, pad=pad, fontsize=_style.TITLE, fontweight="normal",
        color=_style.INK, parse_math=False,
    )  # fmt: skip
    ax.annotate(
        subtitle, (0, 1), (-left * 72, 6), "axes fraction", "offset points", fontsize=_style.BODY,
        color=_style.FAINT, va="bottom", ha="left", parse_math=False, annotation_clip=False,
    )  # fmt: skip
    said.set_x(-left / room_of(ax).width)
    if picture.legend:
        _legend(picture, ax, left=left, width=width)


def _heading(picture: Picture, width: float) -> tuple[str, str]:
    return (
        _style.wrapped(picture.title, _style.TITLE, width),
        _style.wrapped(picture.subtitle, _style.BODY, width),
    )


def _heading_height(picture: Picture, width: float) -> float:
    title, subtitle = _heading(picture, width)
    return _style.height(title.count("\n") + 1, _style.TITLE) + _style.height(
        subtitle.count("\n") + 1, _style.BODY
    )


_HANDLE: Final = 0.42  # inches of a legend's entry beside its words


def _legend_columns(entries: Sequence[Artist], width: float) -> int:
    wide = [_style.inches(str(entry.get_label()), _style.LABEL) + _HANDLE for entry in entries]
    for columns in range(len(wide), 1, -1):
        split = np.array_split(wide, columns)  # as Legend does
        if sum(float(column.max()) for column in split) <= width:
            return columns
    return 1


def _legend_rows(entries: Sequence[Artist], width: float) -> int:
    return -(-len(entries) // _legend_columns(entries, width)) if entries else 0


def _legend(picture: Picture, ax: Axes, *, left: float, width: float) -> None:
    room = room_of(ax)
    columns = _legend_columns(picture.legend, width)
    ax.legend(
        handles=list(picture.legend), loc="upper left", ncols=columns,
        bbox_to_anchor=(-left / room.width, -(picture.below + _GAP) / room.height), borderaxespad=0,
        borderpad=0, handlelength=1.8, columnspacing=1.2, handletextpad=0.5, labelspacing=0.35,
    )  # fmt: skip
