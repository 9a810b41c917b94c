"""Two readings side by side: leaks by kind, crossings by relation, descriptors by holder."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from analyzer.changes.between import between
from analyzer.core.errors import BadInputError
from analyzer.core.values import NamedTuple, replace
from analyzer.kinds import registry
from analyzer.plots import _style
from analyzer.plots.base import (
    ROW,
    Picture,
    Plot,
    Room,
    beside,
    counts_axis,
    drawn,
    label_room,
    more,
    nothing,
    rows_axis,
)
from analyzer.report.crossed import Crossed
from analyzer.report.make import make
from analyzer.report.value import ReportObject
from analyzer.scene import palette
from analyzer.writers import diff as words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from analyzer.changes.between import Changes
    from analyzer.report.value import Report

_MOST_ROWS: Final = 40
_WIDTH: Final = 4.4
_MOST_LABEL: Final = 3.2
_GREW: Final = palette.VERMILLION
_SHRANK: Final = palette.BLUE
_BOTH: Final = 2


class _Row(NamedTuple):
    """How many of one sort there were, and are; `fresh` is how many of these are new."""

    label: str
    before: int
    after: int
    remark: str = ""

    @property
    def more(self) -> int:
        return self.after - self.before


def diff(reports: Sequence[Report], ax: Axes | None = None) -> Axes:
    """Draw what changed from the first of two reports to the second.

    A row is a sort of thing: the leaks of a kind, the crossings of a relation, the descriptors of
    one type that one process has. A ring is how many there were, a dot how many there are, the line
    between them vermilion where there are more, blue where there are fewer. Beside it stands how
    many are new and how many are gone, which may be as many. What grew most comes first.

    Returns the axes: `ax`, or new ones. Raises BadInputError for more than two reports.
    """
    return drawn(PLOT, reports, ax)


def _picture(reports: Sequence[Report], room: Room | None) -> Picture:
    if len(reports) > _BOTH:
        raise BadInputError(f"the plot diff is of two snapshots, not of {len(reports)}: name two")
    first, last = _whole(reports[0]), _whole(reports[-1])
    changes = between(first, last)
    title = words.headline(changes) if len(reports) == _BOTH else "only one snapshot to compare"
    rows = sorted(_rows(changes), key=lambda row: (-abs(row.more), not row.remark))
    most = min(room.rows, _MOST_ROWS) if room else _MOST_ROWS
    shown = rows if len(rows) <= most else rows[: most - 1]
    wide = label_room(room, _MOST_LABEL)
    labels = [_style.fitting(_style.drawable(row.label), _style.LABEL, wide) for row in shown]
    if len(shown) < len(rows):
        labels.append(more(len(rows) - len(shown)))
    remarks = [row.remark for row in shown]
    return Picture(
        title=_style.drawable(title),
        subtitle=_style.drawable(words.about(changes)),
        room=Room(_WIDTH, max(len(labels), 2) * ROW + 0.1),
        left=max((_style.inches(text, _style.LABEL) for text in labels), default=0) + 0.15,
        right=max((_style.inches(text, _style.SMALL) for text in remarks), default=0) + 0.1,
        below=0.46,
        paint=lambda ax: _paint(ax, shown, labels),
        legend=_legend(shown),
    )


def _whole(report: Report) -> Report:
    options = replace(report.options, all=True)
    return report if report.options.all else make(report.snapshot, report.verdicts, options)


def _rows(changes: Changes) -> Iterator[_Row]:
    counts: dict[str, Counter[str]] = {}
    for change in changes.all:
        one = change.now if change.now is not None else change.was
        if isinstance(one, ReportObject):
            label = f"leaks: {registry()[one.kind].plural}"
        else:
            label = f"crossings: {one.relation}" if isinstance(one, Crossed) else "other findings"
        counts.setdefault(label, Counter())[change.way.value] += 1
    for label, ways in counts.items():
        stay = ways["kept"] + ways["changed"]
        said = [f"{ways[way]} {way}" for way in ("new", "gone") if ways[way]]
        yield _Row(label, stay + ways["gone"], stay + ways["new"], ", ".join(said))
    for held in changes.growth:
        if held.more:
            there = "" if held.stayed else "new process" if held.before is None else "process gone"
            label = f"fd of {words.who(held)}: {held.what}"
            yield _Row(label, held.before or 0, held.after or 0, there)


def _paint(ax: Axes, rows: Sequence[_Row], labels: Sequence[str]) -> None:
    for y, row in enumerate(rows):
        colour = _GREW if row.more > 0 else _SHRANK
        if row.more:
            ax.hlines(y, row.before, row.after, color=colour, linewidth=2, zorder=2)
        ax.scatter([row.before], [y], s=40, facecolors=_style.PAPER, edgecolors=palette.BLACK,
                   linewidths=1.1, zorder=3, clip_on=False)  # fmt: skip
        ax.scatter([row.after], [y], s=18, color=colour if row.more else palette.BLACK, zorder=4,
                   clip_on=False)  # fmt: skip
        if row.remark:
            beside(ax, y, row.remark)
    if not rows:
        nothing(ax)
    ax.set_ylim(max(len(labels), 2) - 0.5, -0.6)
    rows_axis(ax, labels, range(len(labels)))
    counts_axis(ax, [value for row in rows for value in (row.before, row.after)], "how many")


def _legend(rows: Sequence[_Row]) -> tuple[Artist, ...]:
    from matplotlib.lines import Line2D

    def mark(said: str, colour: str, face: str, size: float) -> Line2D:
        return Line2D([], [], linestyle="", marker="o", color=colour, markerfacecolor=face,
                      markersize=size, label=said)  # fmt: skip

    if not rows:
        return ()
    found = [mark("in the first", palette.BLACK, _style.PAPER, 6.5)]
    if any(row.more > 0 for row in rows):
        found.append(mark("in the second: more", _GREW, _GREW, 4.5))
    if any(row.more < 0 for row in rows):
        found.append(mark("in the second: fewer", _SHRANK, _SHRANK, 4.5))
    if any(not row.more for row in rows):
        found.append(mark("in the second: as many", palette.BLACK, palette.BLACK, 4.5))
    return tuple(found)


PLOT: Final = Plot(
    "diff",
    "what two snapshots differ by: leaks, crossings, descriptors",
    _picture,
    diff,
    many=True,
)
