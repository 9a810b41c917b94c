"""users against refcount: each object that is not contained, as a dumbbell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import Basis, Side, Verdict
from analyzer.core.values import NamedTuple
from analyzer.kinds import registry
from analyzer.plots import _style
from analyzer.plots._words import about, leaks, object_label
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
from analyzer.report.grouping import FEWEST_ALIKE, Bundle, is_namespace
from analyzer.report.make import whole
from analyzer.report.wording import nouns, number, plural
from analyzer.scene import palette
from analyzer.writers.terminal import headline

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from analyzer.report.value import Report, ReportObject

_MOST_ROWS: Final = 40
_WIDTH: Final = 4.2
_MOST_LABEL: Final = 3.4
_MOST_REMARK: Final = 2.4
_MARGIN: Final = 0.1
_LAST: Final = {Bundle.HOST: 1, Bundle.CODE: 2}


class _Row(NamedTuple):
    """One dumbbell; `refcount` is None when it is not known.

    It `adds_up` where references that have no name may be told from it.
    """

    label: str
    remark: str
    users: int
    seen: int
    refcount: int | None
    adds_up: bool = True


def dumbbell(report: Report, ax: Axes | None = None) -> Axes:
    """Draw users against refcount of every object that is not contained.

    One row an object, or several alike whose rows would be equal, the largest surplus first; the
    host's namespaces and then code that both sides map come after the rest. A dot is what the
    subtree holds (users); a diamond what was seen with the holders outside (and cranalyze itself);
    a ring the kernel's own refcount. A solid line leads to holders that have a name, a dotted one
    to references that nobody could name. Where users reach the ring, the object is contained; where
    nothing leaks, the sums by kind are shown instead. The axis is logarithmic where counts are far
    apart.

    Returns the axes: `ax`, or new ones. Raises nothing of its own.
    """
    return drawn(PLOT, [report], ax)


def _picture(reports: Sequence[Report], room: Room | None) -> Picture:
    (report,) = reports
    rows = _rows(report, min(room.rows, _MOST_ROWS) if room else _MOST_ROWS)
    wide, beside_it = label_room(room, _MOST_LABEL), label_room(room, _MOST_REMARK)
    labels = [_style.fitting(row.label, _style.LABEL, wide) for row in rows]
    remarks = [_style.fitting(row.remark, _style.SMALL, beside_it) for row in rows]
    return Picture(
        title=headline(report),
        subtitle=about(report),
        room=Room(_WIDTH, max(len(rows), 2) * ROW + _MARGIN),
        left=max((_style.inches(text, _style.LABEL) for text in labels), default=0) + 0.15,
        right=max((_style.inches(text, _style.SMALL) for text in remarks), default=0) + 0.1,
        below=0.46,
        paint=lambda ax: _paint(ax, rows, labels, remarks),
        legend=_legend(rows, report),
    )


def _rows(report: Report, most: int) -> list[_Row]:
    worst = _worst(report)
    told = [entry for entry in worst if entry.verdict is not Verdict.UNKNOWN]
    if not told:
        return _calm(report)[:most]
    # What could not be decided has nothing to show: one line says how much of it there is.
    unknown = len(worst) - len(told)
    last = [_only(more(unknown, "that could not be decided"))] if unknown else []
    folds, room = _folded(told), most - len(last)
    if len(folds) > room:
        # The last of them have no room, but for namespaces.
        rank = sorted(range(len(folds)), key=lambda at: (not is_namespace(folds[at][0]), at))
        kept = sorted(rank[: room - 1])
        left = sum(map(len, folds)) - sum(len(folds[at]) for at in kept)
        last = [_only(more(left)), *last]
        folds = [folds[at] for at in kept]
    return [*map(_row_of, folds), *last]


def _folded(told: Sequence[ReportObject]) -> list[list[ReportObject]]:
    """Return the objects, those together whose rows would be equal: many, and no namespaces."""
    same: dict[object, list[ReportObject]] = {}
    for entry in told:
        numbers = entry.users, entry.refcount, entry.outside, entry.observer, entry.unnamed
        alone = entry.objref if is_namespace(entry) else None
        same.setdefault((entry.kind, entry.verdict, numbers, alone), []).append(entry)
    folds = [
        [entry] for entries in same.values() if len(entries) < FEWEST_ALIKE for entry in entries
    ]
    folds += [entries for entries in same.values() if len(entries) >= FEWEST_ALIKE]
    place = {entry.objref: at for at, entry in enumerate(told)}
    return sorted(folds, key=lambda entries: place[entries[0].objref])


def _row_of(entries: Sequence[ReportObject]) -> _Row:
    row = _row(entries[0])
    if len(entries) == 1:
        return row
    remark = f"{row.remark}, each" if row.remark else "each"
    return row._replace(label=nouns(entries), remark=remark)


def _only(label: str) -> _Row:
    return _Row(label, "", 0, 0, None)


def _worst(report: Report) -> list[ReportObject]:
    """Return what is not contained, largest surplus first; what goes without saying comes last."""
    bundle = {e.objref: group.bundle for group in report.groups for e in group.objects}
    rank = {objref: _LAST.get(which, 0) for objref, which in bundle.items()}
    return sorted(leaks(report), key=lambda entry: (rank[entry.objref], -abs(_surplus(entry))))


def _surplus(entry: ReportObject) -> int:
    if entry.refcount is None or entry.basis is Basis.STRUCTURAL:
        return entry.outside
    return entry.refcount - entry.users - entry.observer


def _row(entry: ReportObject) -> _Row:
    seen = entry.users + entry.observer + entry.outside
    label, remark = object_label(entry), ", ".join(_remarks(entry))
    adds_up = entry.basis is not Basis.STRUCTURAL
    return _Row(label, remark, entry.users, seen, entry.refcount, adds_up)


def _remarks(entry: ReportObject) -> Iterable[str]:
    if entry.verdict is Verdict.UNSTABLE:
        yield "kept changing"
    if entry.outside:
        yield f"{number(entry.outside)} outside"
    if entry.basis is Basis.STRUCTURAL:
        yield "judged by its holders"
    elif entry.unnamed > 0:
        yield f"{number(entry.unnamed)} not named"
    elif entry.unnamed < 0:
        yield f"{number(-entry.unnamed)} fewer than its users"


def _calm(report: Report) -> list[_Row]:
    """Return the sums of each kind: where nothing leaks, users and refcount are equal."""
    kinds = registry()
    same: dict[str, list[ReportObject]] = {}
    for entry in whole(report).objects:
        same.setdefault(entry.kind, []).append(entry)
    rows = []
    for kind in sorted(same, key=lambda kind: kinds[kind].order):
        entries = same[kind]
        words = kinds[kind].title if len(entries) == 1 else kinds[kind].plural
        counts = [e.refcount for e in entries if e.refcount is not None]
        users = sum(e.users for e in entries)
        seen = users + sum(e.observer + e.outside for e in entries)
        rows.append(
            _Row(
                f"{number(len(entries))} {words}",
                f"{number(users)} {plural(users, 'user')}",
                users,
                seen,
                sum(counts) if len(counts) == len(entries) else None,
            )
        )
    return rows


def _paint(ax: Axes, rows: Sequence[_Row], labels: Sequence[str], remarks: Sequence[str]) -> None:
    shown = [(y, row) for y, row in enumerate(rows) if row.seen or row.refcount]
    _lines(ax, shown)
    _marks(ax, [(y, row.refcount) for y, row in shown if row.refcount is not None], "ring")
    _marks(ax, [(y, row.seen) for y, row in shown if row.seen != row.users], "seen")
    _marks(ax, [(y, row.users) for y, row in shown], "users")
    for y, (row, remark) in enumerate(zip(rows, remarks, strict=True)):
        if row.remark:
            beside(ax, y, remark)
    if not rows:
        nothing(ax)
    ax.set_ylim(max(len(labels), 2) - 0.5, -0.6)
    rows_axis(ax, labels, range(len(labels)))
    values = [value for row in rows for value in (row.users, row.seen, row.refcount or 0)]
    counts_axis(ax, values, "references")


def _has_gap(row: _Row) -> bool:
    return row.adds_up and row.refcount not in {None, row.seen}


def _lines(ax: Axes, shown: Sequence[tuple[int, _Row]]) -> None:
    outside = [(y, row.users, row.seen) for y, row in shown if row.seen != row.users]
    gaps = [(y, row.seen, row.refcount or 0) for y, row in shown if _has_gap(row)]
    colour = palette.SIDES[Side.OUTSIDE].colour
    ax.hlines([y for y, _ in shown], 0, 1, color=_style.RULE, linewidth=0.5, zorder=0,
              transform=ax.get_yaxis_transform())  # fmt: skip
    for spans, look in (
        (outside, {"color": colour, "linewidth": 2}),
        (gaps, {"color": palette.BLACK, "linewidth": 1.4, "linestyle": ":"}),
    ):
        if spans:
            ax.hlines(*zip(*spans, strict=True), **look)  # type: ignore[arg-type]


_MARKS: Final = {
    "users": {"marker": "o", "s": 26, "color": palette.BLUE, "zorder": 4},
    "seen": {"marker": "D", "s": 22, "color": palette.ORANGE, "zorder": 3},
    "ring": {"marker": "o", "s": 64, "facecolors": "none", "edgecolors": palette.BLACK,
             "linewidths": 1.1, "zorder": 5},
}  # fmt: skip


def _marks(ax: Axes, points: Sequence[tuple[int, int]], mark: str) -> None:
    y, x = zip(*points, strict=True) if points else ((), ())
    ax.scatter(x, y, clip_on=False, **_MARKS[mark])  # type: ignore[arg-type]


def _legend(rows: Sequence[_Row], report: Report) -> tuple[Artist, ...]:
    from matplotlib.lines import Line2D

    def mark(words: str, marker: str, colour: str, *, filled: bool = True) -> Line2D:
        face = colour if filled else "none"
        size = 5 if filled else 8
        return Line2D([], [], linestyle="", marker=marker, color=colour, markerfacecolor=face,
                      markersize=size, label=words)  # fmt: skip

    own = " and by cranalyze" if any(entry.observer for entry in leaks(report)) else ""
    found = [mark("users: held from inside", "o", palette.BLUE)]
    if any(row.seen != row.users for row in rows):
        found.append(mark(f"with those seen outside{own}", "D", palette.ORANGE))
    if any(row.refcount is not None for row in rows):
        found.append(mark("refcount: the kernel's own", "o", palette.BLACK, filled=False))
    if any(map(_has_gap, rows)):
        line = Line2D(
            [], [], linestyle=":", color=palette.BLACK, label="held, and by whom not named"
        )
        found.append(line)
    return tuple(found) if rows else ()


PLOT: Final = Plot(
    "dumbbell", "users against refcount of what is not contained", _picture, dumbbell
)
