"""Who holds what kinds of objects: a heat map of processes and kinds, inside above outside."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Side
from analyzer.core.values import NamedTuple
from analyzer.kinds import registry
from analyzer.plots import _style
from analyzer.plots._tiles import tiles
from analyzer.plots._words import Keeper, about, finding, kept
from analyzer.plots.base import (
    NO_OBJECT,
    Picture,
    Plot,
    Room,
    beside,
    drawn,
    label_room,
    more,
    nothing,
    rows_axis,
)
from analyzer.report.make import whole
from analyzer.report.wording import number, plural
from analyzer.scene import palette
from analyzer.scene.scene import crowd, not_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from analyzer.report.value import Report, ReportObject

_MOST_ROWS: Final = 20  # of a side
_COLUMN: Final = 0.5
_ROW: Final = 0.24
_MOST_LABEL: Final = 2.6
_FEWEST_ALIKE: Final = 4  # so many holders of the same objects are one row
_SLANT: Final = 45
_LOOKS: Final = {
    Side.INSIDE: (palette.SIDES[Side.INSIDE].colour, "held inside"),
    Side.OUTSIDE: (palette.SIDES[Side.OUTSIDE].colour, "held outside"),
    None: (palette.GREY, "held, and by whom not named"),
}

_Held = dict[str, set[int]]  # objrefs by kind


class _Row(NamedTuple):
    label: str
    side: Side | None
    held: _Held
    holders: int = 1


class _Map(NamedTuple):
    """The rows from the top, the kinds from the left, and how many holders there are of a side."""

    rows: list[_Row]
    kinds: list[str]
    holders: Mapping[Side, int]


def heatmap(report: Report, ax: Axes | None = None) -> Axes:
    """Draw how many objects of each kind each process holds.

    Rows are processes (and holders that no process leads to): those inside above the rule, those
    outside below it, each side with most objects first; the last row counts the objects that are
    held by something that nobody could name. Columns are kinds of objects of the subtree. A number
    is how many different objects; dark is many, on a logarithmic scale, an empty cell is none.
    What several processes share is in each one's row; four or more that hold exactly the same are
    one row.

    Returns the axes: `ax`, or new ones. Raises nothing of its own.
    """
    return drawn(PLOT, [report], ax)


def _picture(reports: Sequence[Report], room: Room | None) -> Picture:
    report = whole(reports[0])
    most = max(min((room.rows - 1) // 2, _MOST_ROWS), 1) if room else _MOST_ROWS
    cells = _cells(kept(report), most)
    wide = label_room(room, _MOST_LABEL)
    labels = [_style.fitting(row.label, _style.LABEL, wide) for row in cells.rows]
    titles = [registry()[kind].plural for kind in cells.kinds]
    slanted = max((_style.inches(t, _style.LABEL) for t in titles), default=0) * 0.72
    remarks = max((_style.inches(text, _style.SMALL) for _, text in _sides(cells)), default=0)
    widest = max((_style.inches(text, _style.LABEL) for text in labels), default=0)
    return Picture(
        title=finding(report, _title(report, cells)),
        subtitle=about(report),
        room=Room(len(titles) * _COLUMN or 2.0, max(len(labels), 1) * _ROW),
        left=max(widest + 0.15, slanted - _COLUMN / 2 + 0.1),
        right=remarks + 0.1,
        below=slanted + 0.1,
        paint=lambda ax: _paint(ax, cells, labels, titles),
        legend=_legend(cells),
    )


def _cells(objects: Iterable[tuple[ReportObject, frozenset[Keeper]]], most: int) -> _Map:
    held: dict[Keeper, _Held] = defaultdict(lambda: defaultdict(set))
    unnamed: _Held = defaultdict(set)
    for entry, own in objects:
        for keeper in own:
            held[keeper][entry.kind].add(entry.objref)
        if not_named(entry):
            unnamed[entry.kind].add(entry.objref)
    rows = [*_side(held, Side.INSIDE, most), *_side(held, Side.OUTSIDE, most)]
    if unnamed:
        rows.append(_Row("not named", None, unnamed))
    there = {kind for row in rows for kind in row.held}
    kinds = [name for name in registry() if name in there]
    count = {side: sum(keeper.side is side for keeper in held) for side in Side}
    return _Map(rows, kinds, count)


def _side(held: Mapping[Keeper, _Held], side: Side, most: int) -> list[_Row]:
    alike: dict[object, list[Keeper]] = defaultdict(list)
    for keeper in sorted(keeper for keeper in held if keeper.side is side):
        same = frozenset((kind, frozenset(objrefs)) for kind, objrefs in held[keeper].items())
        alike[same].append(keeper)
    rows = [row for same in alike.values() for row in _told(same, held)]
    rows.sort(key=lambda row: -sum(map(len, row.held.values())))
    if len(rows) <= most:
        return rows
    rest: _Held = defaultdict(set)
    for row in rows[most - 1 :]:
        for kind, objrefs in row.held.items():
            rest[kind] |= objrefs
    shown = rows[: most - 1]
    return [*shown, _Row(more(sum(row.holders for row in rows[most - 1 :])), side, rest)]


def _told(same: Sequence[Keeper], held: Mapping[Keeper, _Held]) -> list[_Row]:
    """Return the rows of holders of exactly the same objects: one, where they are many."""
    if len(same) < _FEWEST_ALIKE:
        return [_Row(keeper.label, keeper.side, held[keeper]) for keeper in same]
    label = crowd([keeper.label for keeper in same])
    return [_Row(label, same[0].side, held[same[0]], len(same))]


def _title(report: Report, cells: _Map) -> str:
    total = report.summary.checked
    objects = f"{number(total)} {plural(total, 'object')}"
    named, count = _held_by(cells, Side.OUTSIDE), cells.holders[Side.OUTSIDE]
    others = len(_held_by(cells, None) - named)
    if not total:
        return NO_OBJECT
    if not named and not others:
        return f"nothing was seen outside that holds any of the subtree's {objects}"
    if not named:
        return f"something not named holds {number(others)} of the subtree's {objects}"
    who = f"{number(count)} {plural(count, 'holder')} outside {'holds' if count == 1 else 'hold'}"
    rest = f", something not named {number(others)} more" if others else ""
    return f"{who} {number(len(named))} of the subtree's {objects}{rest}"


def _held_by(cells: _Map, side: Side | None) -> set[int]:
    rows = [row.held.values() for row in cells.rows if row.side is side]
    return {objref for held in rows for objrefs in held for objref in objrefs}


def _sides(cells: _Map) -> list[tuple[float, str]]:
    """Return what stands beside the rows of each side, and at which row."""
    said = []
    for side in (Side.INSIDE, Side.OUTSIDE):
        at = [y for y, row in enumerate(cells.rows) if row.side is side]
        if at:
            said.append((float(at[0]), f"{side.value}: {number(cells.holders[side])}"))
    return said


def _paint(ax: Axes, cells: _Map, labels: Sequence[str], titles: Sequence[str]) -> None:
    counts = np.array(
        [[len(row.held.get(kind, ())) for kind in cells.kinds] for row in cells.rows], np.int64
    ).reshape(len(labels), len(titles))
    if counts.size:
        strength = np.log(np.maximum(counts, 1)) / np.log(max(int(counts.max()), 2))
        tiles(ax, counts, strength, [[_LOOKS[row.side][0]] for row in cells.rows])
    else:
        nothing(ax)
    ax.set_xlim(0, max(len(titles), 1))
    ax.set_ylim(max(len(labels), 1), 0)
    ax.set_xticks(
        np.arange(len(titles)) + 0.5, titles, rotation=_SLANT, ha="right", rotation_mode="anchor"
    )
    rows_axis(ax, labels, [y + 0.5 for y in range(len(labels))])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for y, said in _sides(cells):
        beside(ax, y + 0.5, said)
    for y in range(1, len(cells.rows)):
        if cells.rows[y].side is not cells.rows[y - 1].side:
            ax.axhline(y, color=_style.INK, linewidth=1.4)


def _legend(cells: _Map) -> tuple[Artist, ...]:
    from matplotlib.patches import Patch

    there = {row.side for row in cells.rows}
    entries = [
        Patch(color=colour, label=words)
        for side, (colour, words) in _LOOKS.items()
        if side in there
    ]
    if entries:
        note = f"{entries[0].get_label()} (darker: more objects)"
        entries[0].set_label(note)
    return tuple(entries)


PLOT: Final = Plot("heatmap", "which processes hold what kinds of objects", _picture, heatmap)
