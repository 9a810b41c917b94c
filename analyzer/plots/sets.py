"""Who shares with whom: the exact sets of holders, as an UpSet plot (Lex and others, 2014)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from analyzer.core.model import Side
from analyzer.core.values import NamedTuple
from analyzer.plots import _style
from analyzer.plots._words import Keeper, about, finding, kept
from analyzer.plots.base import (
    NARROWEST,
    NO_OBJECT,
    ROW,
    Picture,
    Plot,
    Room,
    drawn,
    label_room,
    more,
    nothing,
    room_of,
    rows_axis,
)
from analyzer.report.make import whole
from analyzer.report.wording import number, plural
from analyzer.scene import palette
from analyzer.scene.scene import not_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from analyzer.report.value import Report, ReportObject

    _Held = Sequence[tuple[ReportObject, frozenset[Keeper]]]

OUTSIDE: Final = "outside"
_REST: Final = "rest"

_MOST_MEMBERS: Final = 16
_MOST_SETS: Final = 24
_BARS: Final = 2.0  # inches
_COLUMN: Final = 0.34
_WIDEST: Final = 1.8
_BAR: Final = 0.42  # at most
_MOST_LABEL: Final = 2.6


class _Sets(NamedTuple):
    """How many objects each set of members holds, the largest first, and the members in rows.

    `folded` is how many sets, and how many objects of them, there is no room for.
    """

    counts: list[tuple[frozenset[str], int]]
    members: list[tuple[str, str, int]]
    folded: tuple[int, int]


def sets(report: Report, ax: Axes | None = None) -> Axes:
    """Draw how many objects are held by exactly which processes.

    A column is a set of holders, and its bar how many objects are held by all of them and by no
    other: each object is in one column. Rows are the processes inside; the last row is everything
    outside, together with what nobody could name. Bars are orange where the outside takes part.
    The number behind a process is how many objects it holds.

    Returns the axes, with the bars and the dots on axes of their own in them: `ax`, or new ones.
    Raises nothing of its own.
    """
    return drawn(PLOT, [report], ax)


def _picture(reports: Sequence[Report], room: Room | None) -> Picture:
    report = whole(reports[0])
    held = kept(report)
    found = _sets(held, room)
    wide = label_room(room, _MOST_LABEL)
    labels = [_label(*member, wide) for member in found.members]
    left = max((_style.inches(text, _style.LABEL) for text in labels), default=0.4) + 0.2
    columns = len(found.counts) + bool(found.folded[0])
    across = min(max(columns * _COLUMN, NARROWEST - left - 0.3), max(columns, 1) * _WIDEST)
    return Picture(
        title=finding(report, _title(held)),
        subtitle=about(report),
        room=Room(across, (_BARS + 0.15 if labels else ROW) + max(len(labels), 1) * ROW),
        left=left,
        paint=lambda ax: _paint(ax, found, labels),
        legend=_legend(found),
    )


def _title(held: _Held) -> str:
    total = len(held)
    if not total:
        return NO_OBJECT
    sets = [_members(*one, {}) for one in held]
    outside = sum(OUTSIDE in members for members in sets)
    alone = sum(len(members) == 1 and OUTSIDE not in members for members in sets)
    parts = {
        "by one process alone": alone,
        "by several inside": total - outside - alone,
        "also from outside": outside,
    }
    (words, first), *rest = [part for part in parts.items() if part[1]]
    said = [f"{number(first)} {'is' if first == 1 else 'are'} held {words}"]
    said += [f"{number(count)} {words}" for words, count in rest]
    return f"of {number(total)} {plural(total, 'object')} {', '.join(said)}"


def _members(entry: ReportObject, own: Iterable[Keeper], rows: Mapping[str, str]) -> frozenset[str]:
    inside = {rows.get(k.key, k.key) for k in own if k.side is Side.INSIDE}
    beyond = any(k.side is Side.OUTSIDE for k in own) or not_named(entry)
    return frozenset(inside | {OUTSIDE}) if beyond else frozenset(inside)


def _sets(held: _Held, room: Room | None) -> _Sets:
    inside: Counter[Keeper] = Counter()
    for _, own in held:
        inside.update(k for k in own if k.side is Side.INSIDE)
    order = sorted(inside, key=lambda keeper: (-inside[keeper], keeper.key, keeper.label))
    most = min(_MOST_MEMBERS, max(room.rows // 2, 2)) if room else _MOST_MEMBERS
    shown = order if len(order) <= most else order[: most - 1]
    rest = order[len(shown) :]
    rows = {keeper.key: keeper.key for keeper in shown} | {keeper.key: _REST for keeper in rest}
    counts = Counter(_members(*one, rows) for one in held)
    counts.pop(frozenset(), None)
    members = [(keeper.key, keeper.label, inside[keeper]) for keeper in shown]
    if rest:
        members.append((_REST, more(len(rest)), _in(counts, _REST)))
    if any(OUTSIDE in members for members in counts):
        members.append((OUTSIDE, "outside", _in(counts, OUTSIDE)))
    return _cut(counts, members, int(room.width / _COLUMN) if room else _MOST_SETS)


def _in(counts: Mapping[frozenset[str], int], member: str) -> int:
    return sum(count for members, count in counts.items() if member in members)


def _cut(
    counts: Mapping[frozenset[str], int], members: list[tuple[str, str, int]], most: int
) -> _Sets:
    rank = {key: index for index, (key, _, _) in enumerate(members)}
    ordered = sorted(
        counts.items(), key=lambda item: (-item[1], sorted(rank[key] for key in item[0]))
    )
    most = max(min(most, _MOST_SETS), 2)
    if len(ordered) <= most:
        return _Sets(ordered, members, (0, 0))
    rest = ordered[most - 1 :]
    return _Sets(ordered[: most - 1], members, (len(rest), sum(count for _, count in rest)))


def _label(key: str, label: str, count: int, wide: float) -> str:
    name = label if key in {OUTSIDE, _REST} else _style.fitting(label, _style.LABEL, wide)
    return f"{name}: {number(count)}"


def _paint(ax: Axes, found: _Sets, labels: Sequence[str]) -> None:
    ax.set_axis_off()
    if not labels:
        nothing(ax)
        return
    high = room_of(ax).height
    share = min(len(labels) * ROW / high, 0.7)
    bars = ax.inset_axes((0, share + 0.15 / high, 1, 1 - share - 0.15 / high))
    dots = ax.inset_axes((0, 0, 1, share), sharex=bars)
    _bars(bars, found)
    _dots(dots, found, labels)


def _bars(ax: Axes, found: _Sets) -> None:
    from matplotlib.ticker import MaxNLocator

    heights = [count for _, count in found.counts]
    looks = [palette.ORANGE if OUTSIDE in members else palette.BLUE for members, _ in found.counts]
    if found.folded[0]:
        heights, looks = [*heights, found.folded[1]], [*looks, palette.GREY]
    wide = min(0.62, _BAR / (room_of(ax).width / len(heights)))
    ax.bar(range(len(heights)), heights, wide, color=looks)
    for x, count in enumerate(heights):
        ax.annotate(_short(count), (x, count), (0, 2), textcoords="offset points", ha="center",
                    fontsize=_style.SMALL)  # fmt: skip
    ax.set_xlim(-0.5, len(heights) - 0.5)
    ax.set_ylim(0, max(heights) * 1.12)
    ax.set_ylabel("objects")
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.yaxis.set_major_formatter(lambda value, _: number(int(value)))
    ax.grid(axis="y", color=_style.RULE, linewidth=0.6)
    ax.tick_params("x", bottom=False, labelbottom=False)


def _short(count: int) -> str:
    return str(count) if count < 10_000 else f"{count // 1000}k"  # noqa: PLR2004 - fits a column


def _dots(ax: Axes, found: _Sets, labels: Sequence[str]) -> None:
    row = {key: y for y, (key, _, _) in enumerate(found.members)}
    for y in range(0, len(labels), 2):
        ax.axhspan(y - 0.5, y + 0.5, color="#F4F4F4", linewidth=0, zorder=0)
    for x, (members, _) in enumerate(found.counts):
        at = sorted(row[key] for key in members)
        colour = palette.ORANGE if OUTSIDE in members else palette.BLUE
        ax.plot([x, x], [at[0], at[-1]], color=colour, linewidth=1.6, zorder=3)
        ax.scatter([x] * len(at), at, s=26, color=colour, zorder=4)
    every = [(x, y) for x in range(len(found.counts)) for y in range(len(labels))]
    across, down = zip(*every, strict=True)
    ax.scatter(across, down, s=16, color=_style.RULE, zorder=2)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    rows_axis(ax, labels, range(len(labels)))
    ax.tick_params(length=0, labelbottom=False)
    ax.spines[:].set_visible(False)


def _legend(found: _Sets) -> tuple[Artist, ...]:
    from matplotlib.patches import Patch

    beyond = {OUTSIDE in members for members, _ in found.counts}
    entries = []
    if False in beyond:
        entries.append(Patch(color=palette.BLUE, label="held inside alone"))
    if True in beyond:
        entries.append(Patch(color=palette.ORANGE, label="also from outside"))
    if found.folded[0]:
        said = f"{number(found.folded[0])} smaller sets"
        entries.append(Patch(color=palette.GREY, label=said))
    return tuple(entries)


PLOT: Final = Plot("sets", "how many objects are held by exactly which processes", _picture, sets)
