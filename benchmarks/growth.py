"""The plot of a run of the benchmark: how processor time grows with what is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from analyzer.scene import palette

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.page import Row

COLOURS: Final = {
    "cranalyze": palette.VERMILLION,
    "lsof": palette.BLUE,
    "lsfd": palette.GREEN,
    "census": palette.GREY,
}
_WIDTH, _HEIGHT = 6.4, 4.0


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw processor time by open files, both logarithmic, as an SVG file."""
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    files = [row.files for row in rows]
    for name, colour in COLOURS.items():
        if name in rows[0].timings:
            seconds = [row.timings[name].cpu for row in rows]
            label = "cranalyze check" if name == "cranalyze" else name
            axes.plot(files, seconds, "o-", color=colour, label=label)
    axes.set(xscale="log", yscale="log", xlabel="open files", ylabel="processor time, seconds")
    axes.grid(which="major", alpha=0.3)
    axes.legend(frameon=False)
    with mpl.rc_context({"svg.hashsalt": "cranalyze"}):  # the same picture of the same numbers
        figure.savefig(path, metadata={"Date": None})
