"""The life of objects over several snapshots: what grows, what goes, what becomes shared late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.changes.identity import how, identified, same_subject
from analyzer.core.model import Verdict
from analyzer.core.values import NamedTuple
from analyzer.plots import _style
from analyzer.plots._words import VERDICTS, about, object_label
from analyzer.plots.base import (
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

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from analyzer.changes.identity import By
    from analyzer.report.value import Report, ReportObject

_MOST_ROWS: Final = 40
_WIDTH: Final = 4.6
_MOST_LABEL: Final = 3.4
_LINE: Final = _style.mixed(palette.BLACK, 0.3)
_UNITS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))
_LEAKS: Final = (Verdict.USAGE_LEAK, Verdict.OVERCOUNT)


class _Life(NamedTuple):
    """One object: its verdict in each snapshot, None where it is not there."""

    label: str
    verdicts: tuple[Verdict | None, ...]

    @property
    def shared_late(self) -> bool:
        there = [verdict for verdict in self.verdicts if verdict]
        return there[0] not in _LEAKS and any(verdict in _LEAKS for verdict in there)

    @property
    def came(self) -> bool:
        return self.verdicts[0] is None

    @property
    def went(self) -> bool:
        return self.verdicts[-1] is None

    @property
    def away(self) -> bool:
        return not self.came and not self.went and None in self.verdicts

    @property
    def freed(self) -> bool:
        there = [verdict for verdict in self.verdicts if verdict]
        return there[-1] not in _LEAKS and any(verdict in _LEAKS for verdict in there)

    @property
    def wavered(self) -> bool:
        there = {verdict in _LEAKS for verdict in self.verdicts if verdict}
        return len(set(self.verdicts) - {None}) > 1 and len(there) == 1

    @property
    def rank(self) -> tuple[int, int]:
        first = next(i for i, verdict in enumerate(self.verdicts) if verdict)
        leaks = any(verdict in _LEAKS for verdict in self.verdicts)
        changed = self.away or self.freed or self.wavered
        changes = (self.shared_late, self.came, self.went, changed, leaks, True)
        return changes.index(True), first


def life(reports: Sequence[Report], ax: Axes | None = None) -> Axes:
    """Draw the objects of one subtree over several snapshots of it.

    A row is one object, from the first snapshot that has it to the last, over the time at which
    they were taken; its mark in each is the verdict: a green square where it was contained, a
    vermilion diamond where it was referenced from outside. First come objects that became shared
    late, then new ones, then those that went; what stays the same comes last. The subtitle tells by
    what an object of one snapshot is known in another.

    Returns the axes: `ax`, or new ones. Raises BadInputError for no reports, and for reports of
    different boots or processes.
    """
    return drawn(PLOT, reports, ax)


def _picture(reports: Sequence[Report], room: Room | None) -> Picture:
    ordered = sorted(map(whole, reports), key=lambda report: report.snapshot.meta["monotonic_ns"])
    same_subject(ordered)
    by = how(ordered)
    lives = _lives(ordered, by)
    most = min(room.rows, _MOST_ROWS) if room else _MOST_ROWS
    shown = lives if len(lives) <= most else lives[: most - 1]
    rest = len(lives) - len(shown)
    wide = label_room(room, _MOST_LABEL)
    labels = [_style.fitting(one.label, _style.LABEL, wide) for one in shown]
    if rest:
        same = all(one.rank[0] > 3 for one in lives[len(shown) :])  # noqa: PLR2004 - see rank
        labels.append(more(rest, "that were always there" if same else "more"))
    start = ordered[0].snapshot.meta["monotonic_ns"]
    times = [(report.snapshot.meta["monotonic_ns"] - start) / 1e9 for report in ordered]
    return Picture(
        title=_title(lives, len(ordered)),
        subtitle=f"{about(ordered[-1])}; matched {by.words}",
        room=Room(_WIDTH, max(len(labels), 2) * ROW),
        left=max((_style.inches(text, _style.LABEL) for text in labels), default=0) + 0.15,
        right=0.25,
        below=0.46,
        paint=lambda ax: _paint(ax, shown, labels, times, ordered[0].subject.collected_at),
        legend=_legend(shown),
    )


def _lives(reports: Sequence[Report], by: By) -> list[_Life]:
    labels: dict[Hashable, str] = {}
    seen: dict[Hashable, list[Verdict | None]] = {}
    for index, report in enumerate(reports):
        entry: ReportObject
        for key, entry in identified(report, by):
            labels.setdefault(key, object_label(entry))
            seen.setdefault(key, [None] * len(reports))[index] = entry.verdict
    lives = [_Life(labels[key], tuple(verdicts)) for key, verdicts in seen.items()]
    return sorted(lives, key=lambda one: one.rank)


def _title(lives: Sequence[_Life], count: int) -> str:
    if count == 1:
        return f"only one snapshot: {number(len(lives))} {plural(len(lives), 'object')}"
    first, last = (sum(one.verdicts[at] is not None for one in lives) for at in (0, -1))
    said = f"from {number(first)} to {number(last)} {plural(last, 'object')}"
    said += f" in {number(count)} snapshots"
    changes = {
        "new": sum(one.came and not one.went for one in lives),
        "gone": sum(one.went and not one.came for one in lives),
        "there in between": sum(one.came and one.went for one in lives),
        "away for a while": sum(one.away for one in lives),
        "shared late": sum(one.shared_late for one in lives),
        "no longer shared": sum(one.freed for one in lives),
        "undecided at times": sum(one.wavered for one in lives),
    }
    words = [f"{number(n)} {word}" for word, n in changes.items() if n]
    return f"{said}: {', '.join(words) or 'all the same'}"


def _paint(
    ax: Axes, lives: Sequence[_Life], labels: Sequence[str], times: Sequence[float], start: str
) -> None:
    rows = range(len(lives))
    spans = [[at for at, verdict in enumerate(one.verdicts) if verdict] for one in lives]
    starts, ends = ([times[there[end]] for there in spans] for end in (0, -1))
    ax.hlines(rows, times[0], times[-1], color=_style.RULE, linewidth=0.5, zorder=0)
    ax.hlines(rows, starts, ends, color=_LINE, linewidth=3, zorder=1)
    for verdict, (colour, _, _, marker) in palette.VERDICTS.items():
        points = [
            (times[at], row)
            for row, one in enumerate(lives)
            for at, found in enumerate(one.verdicts)
            if found is verdict
        ]
        if points:
            across, down = zip(*points, strict=True)
            ax.scatter(across, down, s=22, color=colour, marker=marker, zorder=3, clip_on=False,
                       edgecolors=_style.PAPER, linewidths=0.5)  # fmt: skip
    if not lives:
        nothing(ax)
    ax.set_ylim(max(len(labels), 2) - 0.4, -0.6)
    rows_axis(ax, labels, range(len(labels)))
    ax.set_xlim(times[0], times[-1] if times[-1] > times[0] else times[0] + 1)
    ticks = _apart(times, room_of(ax).width)
    ax.set_xticks(ticks, [_after(tick) for tick in ticks])
    ax.set_xlabel(f"time after the first snapshot, {_style.drawable(start)}", loc="left")


def _apart(times: Sequence[float], width: float) -> list[float]:
    """Return those times whose labels have room beside each other."""
    span = (times[-1] - times[0]) or 1.0
    kept: list[float] = []
    for time in times:
        need = _style.inches(_after(time), _style.BODY) + 0.1
        if not kept or (time - kept[-1]) / span * width > need:
            kept.append(time)
    return kept


def _after(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def _legend(lives: Sequence[_Life]) -> tuple[Artist, ...]:
    from matplotlib.lines import Line2D

    there = {verdict for one in lives for verdict in one.verdicts}
    looks = palette.VERDICTS
    return tuple(
        Line2D([], [], linestyle="", marker=looks[verdict].marker, color=looks[verdict].colour,
               markersize=5, label=words)
        for verdict, words in VERDICTS.items() if verdict in there
    )  # fmt: skip


PLOT: Final = Plot(
    "life",
    "objects over several snapshots: what grows, what is shared late",
    _picture,
    life,
    many=True,
)
