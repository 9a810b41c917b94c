"""The border: who inside and who outside holds the same objects, in three columns."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from analyzer import palette
from analyzer.layout import MIDDLE, RIGHT
from analyzer.model import Side, Verdict
from analyzer.plots import _style
from analyzer.plots._words import about
from analyzer.plots.base import Picture, Plot, Room, drawn, nothing
from analyzer.report import whole
from analyzer.scene import UNNAMED, Scene, scene
from analyzer.writers.terminal import headline
from analyzer.writers.wording import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from analyzer.report import Report
    from analyzer.scene import Edge, Node

_ROW: Final = 0.25
_TALLEST: Final = 46  # rows of the highest column
_TRIED: Final = (240, 120, 60, 30, 0)  # nodes and edges, until that is so
_MOST_LABEL: Final = (2.1, 2.9, 2.1)
_LANE: Final = 1.9  # inches between columns, for the edges
_SIZE: Final = _style.SMALL


class _Columns(NamedTuple):
    """Left and right edges of the boxes of each column, in inches."""

    left: tuple[float, float, float]
    right: tuple[float, float, float]


def border(report: Report, ax: Axes | None = None) -> Axes:
    """Draw the reference graph at the border of the subtree.

    Left are the processes (and other holders) inside, in the middle the objects, right the holders
    outside; a line is a reference. Beside an object that leaks stand the words of how it is held
    ("fd 3"), and how many other ways there are ("+2"). What does not leak is green, and everything
    left of the dashed line is the subtree's: an orange line that crosses it is a reference from
    outside. What is alike is folded into one box with its number.

    Returns the axes: `ax`, or new ones. Raises nothing of its own.
    """
    return drawn(PLOT, [report], ax)


def _picture(reports: Sequence[Report], room: Room | None) -> Picture:
    report = whole(reports[0])
    found = _scene(report, room.height / _ROW if room else _TALLEST)
    labels = [_style.fitting(_label(n), _SIZE, _MOST_LABEL[n.column]) for n in found.nodes]
    columns = _columns(found, labels)
    high = _height(found)
    return Picture(
        title=headline(report),
        subtitle=about(report),
        room=Room(columns.right[RIGHT], (high + 2.2) * _ROW),
        paint=lambda ax: _paint(ax, found, labels, columns),
        legend=_legend(found),
    )


def _scene(report: Report, rows: float) -> Scene:
    tried = (scene(report, most) for most in _TRIED)
    *_, last = found = list(_until(tried, rows))
    return found[-1] if found else last


def _until(tried: Iterator[Scene], rows: float) -> Iterator[Scene]:
    """Yield scenes up to the first that is not higher than so many rows."""
    for one in tried:
        yield one
        if _height(one) <= rows:
            return


def _height(found: Scene) -> float:
    return float(np.ptp(found.y)) + 1 if len(found.y) else 1.0


def _label(node: Node) -> str:
    return _style.drawable(node.label)


def _columns(found: Scene, labels: Sequence[str]) -> _Columns:
    wide = [1.0, 1.0, 1.0]
    for node, label in zip(found.nodes, labels, strict=True):
        wide[node.column] = max(wide[node.column], _style.inches(label, _SIZE) + 0.2)
    starts = (0.0, wide[0] + _LANE, wide[0] + wide[1] + 2 * _LANE)
    return _Columns(starts, (wide[0], starts[1] + wide[1], starts[2] + wide[2]))


def _paint(ax: Axes, found: Scene, labels: Sequence[str], columns: _Columns) -> None:
    ax.set_axis_off()
    ax.set_xlim(0, columns.right[RIGHT])
    top, bottom = (float(found.y.min()), float(found.y.max())) if len(found.y) else (0.0, 0.0)
    ax.set_ylim(bottom + 0.6, top - 1.6)
    if not found.nodes:
        nothing(ax)
        return
    _sides(ax, found, columns, top, bottom)
    for edge in found.edges:
        _edge(ax, found, edge, columns)
    for node, label, y in zip(found.nodes, labels, found.y.tolist(), strict=True):
        _node(ax, node, label, y, columns)
    _words(ax, found, columns)


_HEADINGS: Final = ("inside", "objects", "outside")


def _sides(ax: Axes, found: Scene, columns: _Columns, top: float, bottom: float) -> None:
    line = columns.right[MIDDLE] + _LANE * 0.66
    ax.plot([line, line], [top - 1.5, bottom + 0.6], "--", color=_style.FAINT, linewidth=1)
    for column, word in enumerate(_HEADINGS):
        told = [n for n in found.nodes if n.column == column and n.kind != UNNAMED]
        things = sum(n.things for n in told if n.side is not Side.OBSERVER)
        middle = (columns.left[column] + columns.right[column]) / 2
        ax.text(middle, top - 1.2, f"{word}: {number(things)}", ha="center", va="center",
                fontsize=_style.BODY, color=_style.FAINT)  # fmt: skip


def _colour(node: Node) -> str:
    if node.kind == UNNAMED:
        return palette.UNNAMED.colour
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
        facecolor=_style.PAPER, zorder=3, linestyle="--" if node.kind == UNNAMED else "-",
    )  # fmt: skip
    ax.add_patch(box)
    if node.members:  # a second edge behind: a stack
        ax.plot([left + 0.09, right, right], [y + high / 2 + 0.12] * 2 + [y - high / 2 + 0.14],
                color=colour, linewidth=1, zorder=2)  # fmt: skip
    ax.text((left + right) / 2, y, label, fontsize=_SIZE, ha="center", va="center_baseline",
            zorder=4, parse_math=False)  # fmt: skip


def _ends(found: Scene, edge: Edge, columns: _Columns) -> tuple[float, float, float, float]:
    """Return where an edge leaves its holder and reaches its object: x, y, x, y."""
    source, target = found.nodes[edge.source], found.nodes[edge.target]
    y = float(found.y[edge.source]), float(found.y[edge.target])
    if source.column < target.column:
        return columns.right[source.column] - 0.04, y[0], columns.left[target.column] + 0.04, y[1]
    if source.column > target.column:
        return columns.left[source.column] + 0.04, y[0], columns.right[target.column] - 0.04, y[1]
    side = columns.right if source.column != RIGHT else columns.left
    return side[source.column] - 0.04, y[0], side[target.column] - 0.04, y[1]


def _edge(ax: Axes, found: Scene, edge: Edge, columns: _Columns) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    x0, y0, x1, y1 = _ends(found, edge, columns)
    bend = _LANE / 2 if x1 >= x0 else -_LANE / 2
    calm = found.nodes[edge.target].verdict is Verdict.CONTAINED
    unnamed = found.nodes[edge.source].kind == UNNAMED
    colour = palette.BLACK if unnamed else palette.SIDES[edge.side].colour
    curve = Path([(x0, y0), (x0 + bend, y0), (x1 - bend, y1), (x1, y1)], [1, 4, 4, 4])
    width, alpha = (0.9, 0.55) if calm else (1.5, 1.0)
    ax.add_patch(PathPatch(curve, fill=False, edgecolor=colour, linewidth=width, alpha=alpha,
                           linestyle=":" if unnamed else "-", zorder=1))  # fmt: skip


def _words(ax: Axes, found: Scene, columns: _Columns) -> None:
    """Write beside each object that leaks how it is held on either side."""
    said: dict[tuple[int, bool], dict[str, None]] = defaultdict(dict)
    for edge in found.edges:
        source, target = found.nodes[edge.source], found.nodes[edge.target]
        told = source.kind != UNNAMED and target.verdict is not Verdict.CONTAINED
        if told and edge.side is not Side.OBSERVER:
            on_the_left = source.column < target.column
            said[edge.target, on_the_left] |= dict.fromkeys(edge.words)
    for (place, on_the_left), words in said.items():
        if found.nodes[place].members and len(words) > 1:
            continue  # many things held in many ways: there is no one word for it
        x = columns.left[MIDDLE] - 0.06 if on_the_left else columns.right[MIDDLE] + 0.06
        ax.text(x, float(found.y[place]), _said(list(words)), fontsize=_SIZE, va="center_baseline",
                ha="right" if on_the_left else "left", zorder=2.5, parse_math=False,
                bbox={"facecolor": _style.PAPER, "edgecolor": "none", "pad": 0.5})  # fmt: skip


def _said(words: Sequence[str]) -> str:
    rest = f", +{number(len(words) - 1)}" if len(words) > 1 else ""
    room = _LANE * 0.58 - _style.inches(rest, _SIZE)
    return _style.fitting(_style.drawable(words[0]), _SIZE, room) + rest


def _legend(found: Scene) -> tuple[Artist, ...]:
    from matplotlib.lines import Line2D

    said = {
        Verdict.USAGE_LEAK: "referenced from outside",
        Verdict.OVERCOUNT: "fewer counted than held",
        Verdict.UNSTABLE: "kept changing",
        Verdict.UNKNOWN: "could not be decided",
        Verdict.CONTAINED: "contained",
    }
    there = {node.verdict for node in found.nodes}
    boxes = [
        Line2D([], [], linestyle="", marker="s", color=palette.VERDICTS[verdict].colour,
               markerfacecolor=_style.PAPER, markersize=7, markeredgewidth=1.4, label=words)
        for verdict, words in said.items() if verdict in there
    ]  # fmt: skip
    if any(edge.side is Side.OBSERVER for edge in found.edges):
        colour = palette.SIDES[Side.OBSERVER].colour
        boxes.append(Line2D([], [], color=colour, linewidth=1.5, label="held by cranalyze itself"))
    return tuple(boxes)


PLOT: Final = Plot("border", "who inside and outside holds the same objects", _picture, border)
