"""Cells of a heat map: the stronger, the darker; what they count is written on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.plots import _style
from analyzer.report.wording import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes

NONE: Final = "#F8F8F8"
"""The colour of a cell that counts none."""

_FAINTEST: Final = 0.25  # how much of its colour a cell of no strength has
_DARK: Final = 0.55  # luma: the words on a darker cell are light


def tiles(
    ax: Axes,
    counts: npt.NDArray[np.int64],
    strength: npt.NDArray[np.float64],
    colours: Sequence[Sequence[str]],
    *,
    written: bool = True,
) -> None:
    """Paint cells of width and height 1 from the corner (0, 0): what each counts, `written` or not.

    `strength` (0 to 1) is how much of its full colour each has. The `colours` (#RRGGBB) are one,
    one for each row or column (in a list of one list, or of lists of one), or one for each cell.
    """
    from matplotlib.colors import to_rgb

    full = np.array([[to_rgb(colour) for colour in row] for row in colours])
    share = np.where(counts > 0, _FAINTEST + (1 - _FAINTEST) * strength, 0.0)[:, :, None]
    shades = 1 - (1 - full) * share
    shades[counts == 0] = to_rgb(NONE)
    rows, columns = counts.shape
    ax.pcolormesh(
        np.arange(columns + 1), np.arange(rows + 1), shades, edgecolors=_style.PAPER, linewidth=1.2
    )
    if not written:
        return
    dark = (shades @ (0.299, 0.587, 0.114) < _DARK).astype(np.int64)
    inks = (_style.INK, _style.PAPER)
    for y, x in np.argwhere(counts > 0).tolist():
        ax.text(x + 0.5, y + 0.5, _short(int(counts[y, x])), ha="center", va="center_baseline",
                fontsize=_style.SMALL, color=inks[dark[y, x]])  # fmt: skip


def _short(count: int) -> str:
    return number(count) if count < 100_000 else f"{count // 1000:,}k"  # noqa: PLR2004 - a cell


def shade(colour: str, strength: float) -> str:
    """Return the colour (#RRGGBB) of a cell of so much strength: for a legend."""
    return _style.mixed(colour, _FAINTEST + (1 - _FAINTEST) * strength)
