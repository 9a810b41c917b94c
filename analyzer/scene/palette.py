"""How sides and verdicts look in every picture: a colour and a shape each, never colour alone.

The colours are those of Okabe and Ito (Color Universal Design, 2008), told apart with any kind of
colour vision; the shapes carry the same for print without colour. A shape has the name that each
way of drawing knows it by: cytoscape.js and Graphviz share most of theirs, matplotlib has markers.
"""

from __future__ import annotations

from typing import Final

from analyzer.core.model import Side, Verdict
from analyzer.core.values import NamedTuple

BLACK: Final = "#000000"
ORANGE: Final = "#E69F00"
SKY: Final = "#56B4E9"
GREEN: Final = "#009E73"
YELLOW: Final = "#F0E442"
BLUE: Final = "#0072B2"
VERMILLION: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
GREY: Final = "#8A8A8A"


class Look(NamedTuple):
    """A colour (#RRGGBB), and a shape by its names in cytoscape.js, Graphviz and matplotlib."""

    colour: str
    cytoscape: str
    graphviz: str
    marker: str


VERDICTS: Final = {
    Verdict.USAGE_LEAK: Look(VERMILLION, "diamond", "diamond", "D"),
    Verdict.OVERCOUNT: Look(PURPLE, "triangle", "triangle", "^"),
    Verdict.UNSTABLE: Look(YELLOW, "hexagon", "hexagon", "h"),
    Verdict.UNKNOWN: Look(GREY, "octagon", "octagon", "8"),
    Verdict.CONTAINED: Look(GREEN, "round-rectangle", "box", "s"),
}
SIDES: Final = {
    Side.INSIDE: Look(BLUE, "ellipse", "ellipse", "o"),
    Side.OUTSIDE: Look(ORANGE, "ellipse", "ellipse", "o"),
    Side.OBSERVER: Look(SKY, "ellipse", "ellipse", "o"),
    Side.UNPLACED: Look(GREY, "ellipse", "ellipse", "o"),
}
HOLDER: Final = "rectangle"
"""The cytoscape.js shape of a holder that is no task; it has the colour of its side."""

CROSSING: Final = Look(PURPLE, "pentagon", "pentagon", "p")
"""What crosses the border without being counted; its lines are dashed."""

UNNAMED: Final = Look(BLACK, "star", "star", "*")
"""References that the kernel holds and nobody could name."""
