"""Which namespaces there are: a tree by owner, with sides, and what keeps those without a task."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from analyzer.core.model import Side, Verdict
from analyzer.core.values import NamedTuple
from analyzer.kinds import registry
from analyzer.plots import _style
from analyzer.plots._namespaces import Namespace, State, namespaces_of, pins_of
from analyzer.plots._words import about, finding
from analyzer.plots.base import ROW, Picture, Plot, Room, drawn, more, room_of
from analyzer.report.wording import number, plural
from analyzer.scene import palette

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from analyzer.report.value import Report

_MOST_ROWS: Final = 44
_STEP: Final = 0.26  # inches from an owner to what it owns
_FIRST: Final = 0.12
_DEEPEST: Final = 8
_MOST_REMARK: Final = 4.4
_NAMED: Final = 2  # so many processes are named
_SIZE: Final = _style.LABEL

_LOOKS: Final = {
    State.OWN: (palette.VERDICTS[Verdict.CONTAINED], "the subtree's own"),
    State.SHARED: (palette.VERDICTS[Verdict.USAGE_LEAK], "of the subtree, and held outside"),
    State.UNDECIDED: (palette.VERDICTS[Verdict.UNKNOWN], "of the subtree, undecided"),
    State.OUTSIDE: (palette.SIDES[Side.OUTSIDE], "outside"),
}


class _Row(NamedTuple):
    """A row of the tree; one that has no `namespace` says how many there is no room for."""

    namespace: Namespace | None
    depth: int
    rest: str = ""


def namespaces(report: Report, ax: Axes | None = None) -> Axes:
    """Draw the namespaces of a snapshot as a tree of owners.

    A user namespace owns what is indented under it; the thick line leads from user namespace to
    user namespace. A pid namespace is "in" its parent. Colour and shape tell the side, a hollow
    mark that no task is in it: then the words behind it say what keeps it (a mount, a descriptor,
    a socket), and else who is in it, and who holds it outside.

    Returns the axes: `ax`, or new ones. Raises nothing of its own.
    """
    return drawn(PLOT, [report], ax)


def _picture(reports: Sequence[Report], room: Room | None) -> Picture:
    (report,) = reports
    found = namespaces_of(report)
    rows = _rows(found, min(room.rows, _MOST_ROWS) if room else _MOST_ROWS)
    names = [_name(row) for row in rows]
    places = [_FIRST + min(row.depth, _DEEPEST) * _STEP for row in rows]
    ends = [x + 0.2 + _style.inches(n, _SIZE) for x, n in zip(places, names, strict=True)]
    column = max(ends, default=1.0) + 0.25
    most = max(room.width - column, 1.0) if room else _MOST_REMARK
    pins = pins_of(report, [row.namespace for row in rows if row.namespace])
    remarks = [_style.fitting(_remark(row, pins), _SIZE, most) for row in rows]
    wide = max((_style.inches(text, _SIZE) for text in remarks), default=0)
    own = Room(max(column + wide, 4), max(len(rows), 1) * ROW)
    return Picture(
        title=finding(report, _title(found)),
        subtitle=about(report),
        room=own,
        paint=lambda ax: _paint(ax, rows, names, remarks, column),
        legend=_legend(rows),
    )


def _title(found: Sequence[Namespace]) -> str:
    if not found:
        return "the snapshot has no namespaces"
    count = {state: sum(n.state is state for n in found) for state in State}
    ours = len(found) - count[State.OUTSIDE]
    said = f"{number(count[State.SHARED])} of the subtree's {number(ours)} "
    said += (
        f"{plural(ours, 'namespace')} {'is' if count[State.SHARED] == 1 else 'are'} held outside"
    )
    empty = sum(not n.processes for n in found)
    if empty:
        said += f"; {number(empty)} of all {number(len(found))} {'has' if empty == 1 else 'have'}"
        said += " no task"
    return said


def _rows(found: Sequence[Namespace], most: int) -> list[_Row]:
    owned: dict[int | None, list[Namespace]] = defaultdict(list)
    known = {namespace.objref for namespace in found}
    for namespace in found:
        owned[namespace.owner if namespace.owner in known else None].append(namespace)
    tree = list(_walk(owned, None, 0, set()))
    seen = {namespace.objref for namespace, _ in tree}
    tree += [(namespace, 0) for namespace in found if namespace.objref not in seen]  # a loop
    if len(tree) > most:
        rank = _ranks(found)
        worst = sorted(tree, key=lambda item: rank[item[0].objref])[: most - 1]
        kept = {namespace.objref for namespace, _ in worst}
        cut = [item for item in tree if item[0].objref in kept]
        rest = _Row(None, 0, more(len(tree) - len(cut)))
        return [*(_Row(n, depth) for n, depth in cut), rest]
    return [_Row(n, depth) for n, depth in tree]


def _walk(
    owned: Mapping[int | None, list[Namespace]], owner: int | None, depth: int, seen: set[int]
) -> Iterator[tuple[Namespace, int]]:
    """Yield what `owner` owns, user namespaces last, each with what it owns in turn."""
    stack = [(n, depth) for n in reversed(_users_last(owned.get(owner, [])))]
    while stack:
        namespace, level = stack.pop()
        if namespace.objref in seen:
            continue
        seen.add(namespace.objref)
        yield namespace, level
        below = _users_last(owned.get(namespace.objref, []))
        stack += [(n, level + 1) for n in reversed(below)]


def _users_last(found: Sequence[Namespace]) -> list[Namespace]:
    return sorted(found, key=lambda namespace: registry()[namespace.kind].owns)


def _ranks(found: Sequence[Namespace]) -> Mapping[int, int]:
    """Return how much each namespace matters, 0 the most; an owner as much as what it owns."""
    rank = {n.objref: _rank(n) for n in found}
    by = {n.objref: n.owner for n in found}
    for namespace in found:
        at, own = namespace.owner, rank[namespace.objref]
        while at in rank and rank[at] > own:
            rank[at] = own
            at = by[at]
    return rank


def _rank(namespace: Namespace) -> int:
    if namespace.state is not State.OUTSIDE:
        return 0
    return 1 if not namespace.processes else 2 if namespace.initial else 3


def _name(row: _Row) -> str:
    if row.namespace is None:
        return row.rest
    whose = " (the host's)" if row.namespace.initial else ""
    within = f" in {row.namespace.within}" if row.namespace.within else ""
    return f"{row.namespace.name}{whose}{within}"


def _remark(row: _Row, pins: Mapping[int, Sequence[str]]) -> str:
    if row.namespace is None:
        return ""
    namespace, by = row.namespace, ", ".join(pins.get(row.namespace.objref, ()))
    told = namespace.processes[: namespace.inside] if by else namespace.processes
    processes = [f"{name} ({pid})" for pid, name in told]
    if len(processes) > _NAMED + 1:
        processes = [*processes[:_NAMED], f"{number(len(processes) - _NAMED)} more"]
    if not namespace.processes:
        return f"no task: {by or 'what keeps it is not named'}"
    return "; ".join([*filter(None, [", ".join(processes)]), *([f"outside: {by}"] if by else [])])


def _paint(
    ax: Axes, rows: Sequence[_Row], names: Sequence[str], remarks: Sequence[str], column: float
) -> None:
    ax.set_axis_off()
    ax.set_xlim(0, room_of(ax).width)
    ax.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    places = {row.namespace.objref: (_x(row), y) for y, row in enumerate(rows) if row.namespace}
    for y, (row, name, remark) in enumerate(zip(rows, names, remarks, strict=True)):
        if row.namespace is None:
            _say(ax, _FIRST, y, name, _style.FAINT)
            continue
        _branch(ax, row.namespace, places)
        colour, *_, marker = _LOOKS[row.namespace.state][0]
        face = colour if row.namespace.processes else _style.PAPER
        ax.scatter([_x(row)], [y], s=34, marker=marker, facecolors=face, edgecolors=colour,
                   linewidths=1.5, zorder=3)  # fmt: skip
        _say(ax, _x(row) + 0.16, y, name, _style.INK)
        _say(ax, column, y, remark, _style.INK if _matters(row.namespace) else _style.FAINT)


def _matters(namespace: Namespace) -> bool:
    shared = namespace.state is State.SHARED and not namespace.initial
    return shared or not namespace.processes


def _x(row: _Row) -> float:
    return _FIRST + min(row.depth, _DEEPEST) * _STEP


def _say(ax: Axes, x: float, y: float, text: str, colour: str) -> None:
    ax.text(x, y, text, fontsize=_SIZE, color=colour, va="center_baseline", parse_math=False)


def _branch(ax: Axes, namespace: Namespace, places: Mapping[int, tuple[float, float]]) -> None:
    x, y = places[namespace.objref]
    if namespace.owner is not None and namespace.owner in places:
        left, top = places[namespace.owner]
        spine = registry()[namespace.kind].owns
        colour, width = (_style.INK, 2.0) if spine else (palette.GREY, 0.8)
        ax.plot([left, left, x], [top, y, y], color=colour, linewidth=width, zorder=1 + spine,
                solid_joinstyle="miter")  # fmt: skip


def _legend(rows: Sequence[_Row]) -> tuple[Artist, ...]:
    from matplotlib.lines import Line2D

    there = [row.namespace for row in rows if row.namespace]
    found = [
        Line2D(
            [], [], linestyle="", marker=look.marker, color=look.colour, markersize=6, label=words
        )
        for state, (look, words) in _LOOKS.items()
        if any(namespace.state is state for namespace in there)
    ]
    if any(not namespace.processes for namespace in there):
        found.append(
            Line2D([], [], linestyle="", marker="o", color=_style.INK, markersize=6,
                   markerfacecolor=_style.PAPER, label="hollow: no task is in it")
        )  # fmt: skip
    return tuple(found)


PLOT: Final = Plot(
    "namespaces",
    "who owns which namespace, and what keeps one without a task",
    _picture,
    namespaces,
)
