"""The border: who inside and who outside holds the same objects, in three columns."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from analyzer.core.model import Side, Verdict
from analyzer.core.values import NamedTuple
from analyzer.plots import _style
from analyzer.plots._words import VERDICTS, about
from analyzer.plots.base import Picture, Plot, Room, drawn, nothing
from analyzer.report.make import whole
from analyzer.report.wording import number
from analyzer.scene import palette
from analyzer.scene.layout import LEFT, MIDDLE, RIGHT
from analyzer.scene.scene import UNNAMED, Scene, scene
from analyzer.writers.terminal import headline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from analyzer.report.value import Report
    from analyzer.scene.scene import Edge, Node

_ROW: Final = 0.25
_TALLEST: Final = 46  # rows of the highest column
_TRIED: Final = (240, 120, 60, 30, 0)  # nodes and edges, until that is so
_MOST_LABEL: Final = (2.1, 2.9, 2.1)
_LANE: Final = 1.15  # inches between columns, for the curves
_STUB: Final = 0.2  # inches, at least, where the lines to one object are one
_MOST_WORDS: Final = 1.95
_TINT: Final = 0.1  # how much of its colour a box is filled with
_DESCRIPTOR: Final = re.compile(r"fd \d+(, \.\.\.)?")

_Side = Literal[-1, 1]  # of an object: the left or the right


class _Columns(NamedTuple):
    """Left and right edges of the boxes of each column, in inches.

    The lines to one object meet at `stubs`, left and right of the objects, and go on as one.
    """

    left: tuple[float, float, float]
    right: tuple[float, float, float]
    stubs: tuple[float, float]

    def end(self, side: _Side) -> float:
        return self.left[MIDDLE] + 0.04 if side < 0 else self.right[MIDDLE] - 0.04

    def stub(self, side: _Side) -> float:
        return self.stubs[side > 0]


class _Words(NamedTuple):
    """How an object is held, in words, and on which side of it they stand."""

    place: int
    side: _Side
    said: str


def border(report: Report, ax: Axes | None = None) -> Axes:
    """Draw the reference graph at the border of the subtree.

    Left are the processes (and other holders) inside, in the middle the objects, right the holders
    outside; a line is a reference. On the line to an object that leaks stands how it is held
    ("fd 3"), and how many other ways there are ("+2 more"). What does not leak is green, and
    everything left of the dashed line is the subtree's: an orange line that crosses it is a
    reference from outside; a dashed one is no reference, but what no count shows. What is alike is
    folded into one box with its number.

    Returns the axes: `ax`, or new ones. Raises nothing of its own.
    """
    return drawn(PLOT, [report], ax)


def _picture(reports: Sequence[Report], room: Room | None) -> Picture:
    report = whole(reports[0])
    found = _scene(report, room.height / _ROW if room else _TALLEST)
    labels = [
        _style.fitting(_style.drawable(node.label), _style.LABEL, _MOST_LABEL[node.column])
        for node in found.nodes
    ]
    words = list(_words(found))
    columns = _columns(found, labels, words)
    high = _height(found)
    return Picture(
        title=headline(report),
        subtitle=about(report),
        room=Room(columns.right[RIGHT], (high + 2.2) * _ROW),
        paint=lambda ax: _paint(ax, found, labels, words, columns),
        legend=_legend(found),
    )


def _scene(report: Report, rows: float) -> Scene:
    tried = (scene(report, most) for most in _TRIED)
    return list(_until(tried, rows))[-1]


def _until(tried: Iterator[Scene], rows: float) -> Iterator[Scene]:
    """Yield scenes up to the first that is not higher than so many rows."""
    for one in tried:
        yield one
        if _height(one) <= rows:
            return


def _height(found: Scene) -> float:
    return float(np.ptp(found.y)) + 1 if len(found.y) else 1.0


def _columns(found: Scene, labels: Sequence[str], words: Sequence[_Words]) -> _Columns:
    wide = [1.0, 1.0, 1.0]
    for node, label in zip(found.nodes, labels, strict=True):
        wide[node.column] = max(wide[node.column], _style.inches(label, _style.LABEL) + 0.2)
    said = {-1: _STUB, 1: _STUB}
    for _, side, text in words:
        said[side] = max(said[side], _style.inches(text, _style.SMALL) + 0.15)
    middle = wide[0] + _LANE + said[-1]
    last = middle + wide[1] + said[1] + _LANE
    return _Columns(
        (0.0, middle, last),
        (wide[0], middle + wide[1], last + wide[2]),
        (middle - said[-1], middle + wide[1] + said[1]),
    )


def _paint(
    ax: Axes,
    found: Scene,
    labels: Sequence[str],
    words: Sequence[_Words],
    columns: _Columns,
) -> None:
    ax.set_axis_off()
    ax.set_xlim(0, columns.right[RIGHT])
    top, bottom = (float(found.y.min()), float(found.y.max())) if len(found.y) else (0.0, 0.0)
    ax.set_ylim(bottom + 0.6, top - 1.6)
    if not found.nodes:
        nothing(ax)
        return
    _sides(ax, found, columns, top, bottom)
    _lines(ax, found, columns)
    for node, label, y in zip(found.nodes, labels, found.y.tolist(), strict=True):
        _node(ax, node, label, y, columns)
    for place, side, said in words:
        ax.annotate(said, (columns.end(side), float(found.y[place])), (side * 6, 1),
                    textcoords="offset points", fontsize=_style.SMALL, va="bottom",
                    ha="right" if side < 0 else "left", zorder=4, parse_math=False)  # fmt: skip


_HEADINGS: Final = ("inside", "objects", "outside")


def _sides(ax: Axes, found: Scene, columns: _Columns, top: float, bottom: float) -> None:
    line = columns.stub(1) + _LANE / 2
    ax.plot([line, line], [top - 1.5, bottom + 0.6], "--", color=_style.FAINT, linewidth=1)
    for column, word in enumerate(_HEADINGS):
        told = [
            n for n in found.nodes if n.column == column and n.kind != UNNAMED and n.impact is None
        ]
        things = sum(n.things for n in told if n.side is not Side.OBSERVER)
        middle = (columns.left[column] + columns.right[column]) / 2
        ax.text(middle, top - 1.2, f"{word}: {number(things)}", ha="center", va="center",
                fontsize=_style.BODY, color=_style.FAINT)  # fmt: skip


def _colour(node: Node) -> str:
    if node.kind == UNNAMED:
        return palette.UNNAMED.colour
    if node.impact is not None:
        return palette.CROSSING.colour
    if node.verdict is not None:
        return palette.VERDICTS[node.verdict].colour
    return palette.SIDES[node.side or Side.OUTSIDE].colour


def _node(ax: Axes, node: Node, label: str, y: float, columns: _Columns) -> None:
    from matplotlib.patches import FancyBboxPatch

    left, right = columns.left[node.column], columns.right[node.column]
    colour, high = _colour(node), 0.66
    # Units of y are rows: the corners are round in inches only if the aspect is told.
    box = FancyBboxPatch(
        (left + 0.04, y - high / 2), right - left - 0.08, high, linewidth=1.2,
        boxstyle="round,pad=0,rounding_size=0.05", mutation_aspect=1 / _ROW, edgecolor=colour,
        facecolor=_style.mixed(colour, _TINT), zorder=3,
        linestyle="--" if node.kind == UNNAMED else "-",
    )  # fmt: skip
    ax.add_patch(box)
    if node.members:  # a second edge behind: a stack
        ax.plot([left + 0.09, right, right], [y + high / 2 + 0.12] * 2 + [y - high / 2 + 0.14],
                color=colour, linewidth=1, zorder=2)  # fmt: skip
    ax.text((left + right) / 2, y, label, fontsize=_style.LABEL, ha="center",
            va="center_baseline", zorder=4, parse_math=False)  # fmt: skip


def _side_of(found: Scene, edge: Edge) -> _Side:
    """Return on which side a line reaches its object: between objects it is the right."""
    return -1 if found.nodes[edge.source].column == LEFT else 1


def _unnamed(found: Scene, edge: Edge) -> bool:
    return found.nodes[edge.source].kind == UNNAMED


def _lines(ax: Axes, found: Scene, columns: _Columns) -> None:
    named = [edge for edge in found.edges if not _unnamed(found, edge)]
    met = {(edge.target, _side_of(found, edge)) for edge in named}
    for edge in found.edges:
        way = _way(found, edge, columns)
        # A dotted line ends where it meets another: under that it would show through.
        under = _unnamed(found, edge) and (edge.target, _side_of(found, edge)) in met
        _edge(ax, found, edge, way[:-1] if under else way)


def _edge(ax: Axes, found: Scene, edge: Edge, way: Sequence[tuple[float, float]]) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    unnamed = _unnamed(found, edge)
    calm = found.nodes[edge.target].verdict is Verdict.CONTAINED
    width, alpha = (0.9, 0.55) if calm else (1.5, 1.0)
    ax.add_patch(PathPatch(
        Path(way, [1, 4, 4, 4, 2][: len(way)]), fill=False, linewidth=width, alpha=alpha,
        edgecolor=palette.BLACK if unnamed else palette.SIDES[edge.side].colour,
        # Where lines are one, that of a holder outside is seen.
        linestyle=":" if unnamed else "-" if edge.counted else "--",
        zorder=1 if unnamed or edge.side is Side.OBSERVER else 2,
    ))  # fmt: skip


def _way(found: Scene, edge: Edge, columns: _Columns) -> list[tuple[float, float]]:
    """Return the points of a line: a curve from its holder, and straight on to its object."""
    side = _side_of(found, edge)
    column = found.nodes[edge.source].column
    y0, y1 = float(found.y[edge.source]), float(found.y[edge.target])
    meet = columns.stub(side)
    if column == MIDDLE:  # from object to object: a loop
        x0, bend = meet, (meet + _LANE / 2,) * 2
    else:
        x0 = columns.right[LEFT] - 0.04 if side < 0 else columns.left[RIGHT] + 0.04
        bend = ((x0 + meet) / 2,) * 2
    return [(x0, y0), (bend[0], y0), (bend[1], y1), (meet, y1), (columns.end(side), y1)]


def _words(found: Scene) -> Iterator[_Words]:
    """Yield how each object that leaks is held, on either side."""
    said: dict[tuple[int, _Side], dict[str, None]] = defaultdict(dict)
    for edge in found.edges:
        source, target = found.nodes[edge.source], found.nodes[edge.target]
        told = source.kind != UNNAMED and target.verdict is not Verdict.CONTAINED
        if told and edge.side is not Side.OBSERVER:
            said[edge.target, _side_of(found, edge)] |= dict.fromkeys(map(_short, edge.words))
    for (place, side), words in said.items():
        # Of many things held in many ways there is no one word.
        if not found.nodes[place].members or len(words) == 1:
            yield _Words(place, side, _said(list(words)))


def _short(words: str) -> str:
    """Return what matters of "fd 4: is open or mounted", "fd 3 (cloexec)", "maps it (r-xp)"."""
    descriptor = _DESCRIPTOR.match(words)
    return descriptor[0] if descriptor else words.partition(" (")[0]


def _said(words: Sequence[str]) -> str:
    rest = f", +{number(len(words) - 1)} more" if len(words) > 1 else ""
    room = _MOST_WORDS - _style.inches(rest, _style.SMALL)
    first = _style.drawable(words[0])
    return _style.fitting(first, _style.SMALL, room, keep_end=False) + rest


def _legend(found: Scene) -> tuple[Artist, ...]:
    from matplotlib.lines import Line2D

    colours = {verdict: palette.VERDICTS[verdict].colour for verdict in VERDICTS}
    there = {node.verdict for node in found.nodes}
    boxes = [
        Line2D([], [], linestyle="", marker="s", color=colour, label=VERDICTS[verdict],
               markerfacecolor=_style.mixed(colour, _TINT), markersize=7, markeredgewidth=1.4)
        for verdict, colour in colours.items() if verdict in there
    ]  # fmt: skip
    if any(not edge.counted for edge in found.edges):
        colour = palette.CROSSING.colour
        boxes.append(Line2D([], [], color=colour, linewidth=1.5, linestyle="--",
                            label="crosses the border uncounted"))  # fmt: skip
    if any(edge.side is Side.OBSERVER for edge in found.edges):
        colour = palette.SIDES[Side.OBSERVER].colour
        boxes.append(Line2D([], [], color=colour, linewidth=1.5, label="held by cranalyze itself"))
    return tuple(boxes)


PLOT: Final = Plot("border", "who inside and outside holds the same objects", _picture, border)
