"""Hosts by signature: who has what, and which host is unlike the others."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.values import NamedTuple
from analyzer.fleet import told
from analyzer.fleet.plots import _rows
from analyzer.plots import _style
from analyzer.plots._tiles import shade, tiles
from analyzer.plots.base import Picture, Plot, beside, drawn, more
from analyzer.report.wording import few, number
from analyzer.scene import palette

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from analyzer.fleet.plots._rows import Rows
    from analyzer.fleet.summary import Fleet
    from analyzer.plots.base import Room

_MOST_COLUMNS: Final = 24
_MOST_NAME: Final = 1.6
_SLANT: Final = 45
_SLOPE: Final = 0.72  # how high and wide a slanted word is
_UNLIKE: Final = palette.VERMILLION


class _Hosts(NamedTuple):
    """Hosts that have the same signatures: one column; `mixed` ones have what some of them do."""

    names: tuple[str, ...]
    unlike: bool = False
    mixed: bool = False

    @property
    def label(self) -> str:
        if self.mixed:
            return more(len(self.names))
        rest = f" + {number(len(self.names) - 1)}" if len(self.names) > 1 else ""
        room = _MOST_NAME - _style.inches(rest, _style.LABEL)
        return _style.fitting(_style.drawable(self.names[0]), _style.LABEL, room) + rest

    @property
    def colour(self) -> str:
        return _UNLIKE if self.unlike else _rows.COLOUR


def hosts(fleet: Fleet, ax: Axes | None = None) -> Axes:
    """Draw which hosts have which signature.

    A row is a signature that decides, the most common above. A column is all hosts that have the
    same of them, the most hosts first, and those that are unlike the others (vermilion) behind
    them. A cell has the number of these hosts that have it.

    Returns the axes: `ax`, or new ones. Raises nothing of its own.
    """
    return drawn(PLOT, fleet, ax)


def _picture(fleet: Fleet, room: Room | None) -> Picture:
    strange = {t.signature for one in fleet.unlike for t in (*one.has, *one.lacks)}
    shown = _rows.rows(fleet, room, strange)
    most = min(_rows.columns_in(room), _MOST_COLUMNS) if room else _MOST_COLUMNS
    columns = _columns(fleet, max(most, 2))
    labels = [one.label for one in columns]
    slanted = max((_style.inches(text, _style.LABEL) for text in labels), default=0) * _SLOPE
    remarks = [f"{number(len(t.hosts))} of {number(len(fleet.hosts))}" for t in shown.troubles]
    return Picture(
        title=_style.drawable(_title(fleet)),
        subtitle=_style.drawable(told.about(fleet)),
        room=_rows.room_for(shown, len(columns)),
        left=max(shown.left, slanted),
        right=max((_style.inches(text, _style.SMALL) for text in remarks), default=0) + 0.15,
        below=slanted + 0.4,
        paint=lambda ax: _paint(ax, shown, columns, labels, remarks),
        legend=_legend(shown, columns),
    )


def _columns(fleet: Fleet, most: int) -> list[_Hosts]:
    strange = {one.host for one in fleet.unlike}
    alike: dict[object, list[str]] = defaultdict(list)
    for host in fleet.hosts:
        has = (one.signature for one in fleet.deciding if host in one.hosts)
        alike[host in strange, tuple(has)].append(host)
    every = [_Hosts(tuple(names), unlike=names[0] in strange) for names in alike.values()]
    every.sort(key=lambda one: (not one.unlike, -len(one.names), one.names))
    if len(every) > most:  # who is unlike the others is what is looked for
        rest = tuple(name for one in every[most - 1 :] for name in one.names)
        every[most - 1 :] = [_Hosts(rest, mixed=True)]
    return sorted(every, key=lambda one: (one.unlike, one.mixed))


def _title(fleet: Fleet) -> str:
    said = told.headline(fleet)
    names = [one.host for one in fleet.unlike]
    if not names:
        return said
    return f"{said}: {few(names)} {'is' if len(names) == 1 else 'are'} unlike the others"


def _paint(
    ax: Axes, shown: Rows, columns: Sequence[_Hosts], labels: Sequence[str], remarks: Sequence[str]
) -> None:
    _rows.axes(ax, shown, len(columns))
    counts = np.array(
        [[len({*one.names} & {*t.hosts}) for one in columns] for t in shown.troubles], np.int64
    )
    if counts.size:
        sizes = np.array([len(one.names) for one in columns])
        tiles(ax, counts, counts / sizes, [[one.colour for one in columns]])
    for y, said in enumerate(remarks):
        beside(ax, y + 0.5, said)
    ax.set_xticks(
        [x + 0.5 for x in range(len(columns))], labels, rotation=_SLANT, ha="right",
        rotation_mode="anchor",
    )  # fmt: skip
    ax.tick_params("x", length=0)
    ax.set_xlabel("host", loc="left")
    for label, one in zip(ax.get_xticklabels(), columns, strict=True):
        label.set_parse_math(False)
        if one.unlike:
            label.set_color(one.colour)


def _legend(shown: Rows, columns: Sequence[_Hosts]) -> tuple[Artist, ...]:
    from matplotlib.patches import Patch

    if not shown.troubles:
        return ()
    entries = [Patch(color=shade(_rows.COLOUR, 1), label="so many hosts have it")]
    if any(one.unlike for one in columns):
        entries.append(Patch(color=shade(_UNLIKE, 1), label="of a host that is unlike the others"))
    return tuple(entries)


PLOT: Final = Plot("hosts", "hosts by signature, and who is unlike the others", _picture, hosts)
