"""Plots of a fleet: its signatures, by host and over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.errors import no_such
from analyzer.core.text import printable
from analyzer.fleet.plots import days, hosts

if TYPE_CHECKING:
    from analyzer.fleet.summary import Fleet
    from analyzer.plots.base import Plot

PLOTS: Final = {plot.name: plot for plot in (days.PLOT, hosts.PLOT)}
"""The plots by name."""


def named(name: str) -> Plot[Fleet]:
    """Return the plot called `name`; BadInputError, which lists them, when there is none."""
    if name not in PLOTS:
        raise no_such("there is no plot of a fleet", printable(name), PLOTS)
    return PLOTS[name]
