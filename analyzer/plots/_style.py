"""How every plot looks: one style whatever the user's settings, text that fits, harmless names.

Sizes are inches (of the page, at 100 %) and points (of type). The style is entered for drawing and
for writing, and left again: the user's rcParams are neither obeyed nor changed.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.text import printable, shorten, width

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FONT: Final = "DejaVu Sans"  # it comes with matplotlib
TITLE: Final = 11.0
BODY: Final = 8.5
LABEL: Final = 8.0
SMALL: Final = 7.5
INK: Final = "#222222"
FAINT: Final = "#6B6B6B"
RULE: Final = "#D9D9D9"
PAPER: Final = "#FFFFFF"

_POINTS: Final = 72.0
_LEADING: Final = 1.35
_HINTED: Final = 1.04  # letters on a pixel grid may be this much wider than in the outlines
_WIDEST: Final = 4096  # more of one name is never measured

_RC: Final[Mapping[Any, Any]] = {
    "font.family": [FONT],
    "font.size": BODY,
    "text.usetex": False,
    "text.parse_math": False,  # a file may be called $x$
    "axes.formatter.use_mathtext": False,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.labelsize": BODY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "xtick.labelsize": LABEL,
    "ytick.labelsize": LABEL,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.fontsize": LABEL,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": PAPER,
    # Outlines: an SVG looks the same wherever it is opened, whichever fonts there are.
    "svg.fonttype": "path",
    "svg.hashsalt": "cranalyze",
    "pdf.fonttype": 42,  # TrueType: its text can be searched and copied
}


@contextmanager
def styled() -> Iterator[None]:
    """Enter our style for the length of a ``with`` block."""
    import matplotlib as mpl

    shows = mpl.rcParams["interactive"]  # whether Jupyter shows a new figure
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({**_RC, "interactive": shows})
        yield
        shows = mpl.rcParams["interactive"]  # the first figure loads the backend, which sets it
    mpl.interactive(shows)


def drawable(name: str) -> str:
    r"""Return a name as it can be drawn: `printable`, and what the font lacks as ``\uNNNN``.

    Which other fonts a machine has must not change a picture.
    """
    text = printable(name[:_WIDEST])
    if text.isascii():
        return text
    known = _glyphs()
    return "".join(char if ord(char) in known else _escape(char) for char in text)


def inches(text: str, size: float) -> float:
    """Return how wide one line of drawable text is, `size` in points."""
    return max((_line_width(line) for line in text.split("\n")), default=0.0) * size / _POINTS


def height(lines: int, size: float) -> float:
    """Return how high so many lines are, in inches."""
    return lines * size * _LEADING / _POINTS


def fitting(text: str, size: float, most: float, *, keep_end: bool = True) -> str:
    """Return drawable text cut, with an ellipsis, to at most `most` inches.

    With `keep_end` the middle is cut: the end of a path says the most.
    """
    if inches(text, size) <= most:
        return text
    low, high = 1, min(width(text), _WIDEST)
    while low < high:
        middle = (low + high + 1) // 2
        if inches(shorten(text, middle, keep_end=keep_end), size) <= most:
            low = middle
        else:
            high = middle - 1
    return shorten(text, low, keep_end=keep_end)


def mixed(colour: str, share: float) -> str:
    """Return so large a share of a colour (#RRGGBB) on paper."""
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(255 - (255 - part) * share):02X}" for part in parts)


def wrapped(text: str, size: float, most: float) -> str:
    """Return drawable text broken at spaces into lines of at most `most` inches."""
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if line and inches(longer, size) > most:
            lines.append(line)
            longer = word
        line = fitting(longer, size, most)
    return "\n".join([*lines, line])


def _escape(char: str) -> str:
    return char.encode("ascii", "backslashreplace").decode()


@cache
def _glyphs() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties(family=[FONT]))).get_charmap())


@cache
def _advances() -> Mapping[str, float]:
    """Return how wide the letters of ASCII are, at one point."""
    return {chr(code): _measured(chr(code)) for code in range(0x20, 0x7F)}


def _line_width(line: str) -> float:
    """Return the width of a line at one point, not less than it is: letters are kerned together."""
    known = _advances()
    return sum(known.get(char) or _measured(char) for char in line) * _HINTED


@cache
def _measured(char: str) -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    # At a large size and between others, since a space alone has no width.
    style = FontProperties(family=[FONT], size=100)
    both, _, _ = text_to_path.get_text_width_height_descent(f"|{char}|", style, ismath=False)
    bars, _, _ = text_to_path.get_text_width_height_descent("||", style, ismath=False)
    return float(both - bars) / 100
