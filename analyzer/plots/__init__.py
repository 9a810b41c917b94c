"""Plots of reports, as functions that return matplotlib Axes: `registry` has them by name.

A plot is one file in here with a `PLOT`, found by a package walk; nothing else is edited. All of
them show a `Report` (one that was not made with everything in it is completed), state their finding
in the title, and are the same for the same report, byte for byte.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from analyzer.core.errors import BadInputError, no_such
from analyzer.core.registry import members
from analyzer.core.text import printable
from analyzer.plots.base import Plot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from analyzer.report.value import Report
    from analyzer.snapshot.value import Snapshot


@cache
def registry() -> Mapping[str, Plot[Sequence[Report]]]:
    """Return the plots by name."""
    found = members(__name__, __path__, "PLOT", Plot)
    return {plot.name: plot for plot in sorted(found, key=lambda plot: plot.name)}


def named(name: str) -> Plot[Sequence[Report]]:
    """Return the plot called `name`; BadInputError, which lists them, when there is none."""
    if name not in registry():
        raise no_such("there is no plot", printable(name), registry())
    return registry()[name]


def draw(kind: str, given: Sequence[Report | Snapshot], ax: Axes | None = None) -> Axes:
    """Return axes with the plot `kind` of reports, or of snapshots of which they are made.

    Raises BadInputError for an unknown kind, and for several where one is drawn.
    """
    from analyzer import check
    from analyzer.plots.base import drawn
    from analyzer.snapshot.value import Snapshot as Taken

    plot = named(kind)
    if len(given) != 1 and not (plot.many and given):
        raise BadInputError(f"the plot {kind} is of one report, not of {len(given)}")
    reports = [check(one, everything=True) if isinstance(one, Taken) else one for one in given]
    return drawn(plot, reports, ax)
