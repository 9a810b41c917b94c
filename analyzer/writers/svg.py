"""A scene as static SVG: what a page shows without scripts and on paper, and a file of its own.

Hand-made from the scene's coordinates: no library, equal scenes give equal bytes. Nodes and edges
have classes (their side, their verdict) for a page's style sheet to colour in its own light or dark
way; with `alone` the picture brings its own. Shapes are those of `palette`, so that no meaning is
in a colour alone, and every node and edge says what it is in a `<title>`.
"""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING, Final

from analyzer.core.model import TASK, Side
from analyzer.core.text import printable, shorten
from analyzer.kinds import registry
from analyzer.report.wording import number, plural
from analyzer.scene import palette
from analyzer.scene.layout import LEFT, MIDDLE, RIGHT
from analyzer.scene.scene import CROSSING, UNNAMED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from analyzer.scene.scene import Edge, Node, Scene

COLUMN: Final = 200
"""The distance of two columns of a picture, in pixels."""

ROW: Final = 42
"""The distance of two rows of a picture, in pixels."""

COLUMNS: Final = {LEFT: "inside", MIDDLE: "objects", RIGHT: "outside"}

_RADIUS: Final = 8
_LETTERS: Final = 28  # of a label, so that it stays in its column
_MOST_LETTERS: Final = 400  # of a title: a name can be a path of 4,096 bytes
_MARGIN: Final = 20
_MOST_SAID: Final = 24  # edges from outside: with more, what they are is in their titles alone
_MOST_WORDS: Final = 6
_LINE: Final = 11  # pixels that a line of words takes

_STYLE: Final = (
    "text{font:12px system-ui,sans-serif;fill:var(--ink);text-anchor:middle}"
    ".words,.column{font-size:10px;fill:var(--soft)}"
    ".edge{fill:none;stroke:var(--line);stroke-width:1.2}"
    ".node{stroke:var(--ink);stroke-width:1}"
    ".halo{stroke:var(--paper);stroke-width:4;stroke-linejoin:round;paint-order:stroke}"
)


def render(scene: Scene, label: str, *, alone: bool = False) -> str:
    """Return the picture as one `<svg>` element; `label` says what it shows.

    With `alone` it can be a file: it has colours and shapes of its own, else it uses the page's
    (`colours` and `sprite`).
    """
    top = min(scene.y, default=0.0) * ROW - 2 * ROW
    height = max(scene.y, default=0.0) * ROW - top + ROW
    left, width = -COLUMN / 2 - _MARGIN, 3 * COLUMN + 2 * _MARGIN
    box = " ".join(map(_decimal, (left, top, width, height)))
    space = ' xmlns="http://www.w3.org/2000/svg"' if alone else ""
    size = f'viewBox="{box}" width="{_decimal(width)}" height="{_decimal(height)}"'
    lines = [
        f'<svg{space} class="scene" role="img" {size} aria-label="{_text(label)}">',
        *(_own() if alone else ()),
        *_titles(scene, top),
        *_edges(scene),
        *_words(scene),
        *_nodes(scene),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def colours() -> str:
    """Return the palette as CSS: custom properties, and classes by side and verdict."""
    properties = "".join(f"--{name}:{look.colour};" for name, look in looks().items())
    classes = "".join(f".{name}{{fill:var(--{name})}}" for name in looks())
    edges = "".join(f".edge.{side.value}{{fill:none;stroke:var(--{side.value})}}" for side in Side)
    edges += ".edge.uncounted{stroke-dasharray:5 3}"
    return f":root{{{properties}}}{classes}.{UNNAMED}{{fill:var(--ink)}}{edges}"


def looks() -> dict[str, palette.Look]:
    """Return how sides, what crosses, and verdicts look, by name."""
    sides = {side.value: look for side, look in palette.SIDES.items()}
    sides[CROSSING.lower()] = palette.CROSSING
    return sides | {verdict.value: look for verdict, look in palette.VERDICTS.items()}


def sprite() -> str:
    """Return the shapes as symbols (`#s-diamond`) in an element that is not seen."""
    return f'<svg class="sprite" width="0" height="0" aria-hidden="true">{_symbols()}</svg>'


def mark(look: str, shape: str) -> str:
    """Return a small shape to stand beside words: `look` is a side, a verdict or UNNAMED."""
    return f'<svg class="m" aria-hidden="true"><use href="#s-{shape}" class="{look}"/></svg>'


def look_of(node: Node) -> tuple[str, str]:
    """Return the class and the shape of a node."""
    if node.kind == UNNAMED:
        return UNNAMED, palette.UNNAMED.cytoscape
    if node.impact is not None:
        return CROSSING.lower(), palette.CROSSING.cytoscape
    if node.verdict is not None:
        return node.verdict.value, palette.VERDICTS[node.verdict].cytoscape
    side = node.side or Side.OUTSIDE
    return side.value, palette.SIDES[side].cytoscape if node.kind == TASK else palette.HOLDER


def some(words: Sequence[str]) -> str:
    """Return the words of an edge, not more than a few."""
    rest = len(words) - _MOST_WORDS
    more = [f"and {number(rest)} more"] if rest > 0 else []
    return ", ".join([*words[:_MOST_WORDS], *more])


def title_of(node: Node) -> str:
    """Return what a node is, in words."""
    if node.kind == UNNAMED:
        return "references that the kernel holds and nobody could name"
    label = shorten(node.label, _MOST_LETTERS)
    if node.impact is not None:
        return f"{label}, {node.impact.value}: it crosses the border, and no count shows it"
    if node.verdict is not None:
        return f"{_kind(node)}{label}, {node.verdict.value.replace('_', ' ')}"
    return f"{label}, {node.side.value}" if node.side else label


def _kind(node: Node) -> str:
    title = registry()[node.kind].title
    return "" if node.members or node.label.startswith(title) else f"{title} "


def _own() -> Iterator[str]:
    light = "--ink:#1c1f23;--soft:#59626d;--line:#9aa2ab;--paper:#fff"
    dark = "--ink:#e8eaed;--soft:#a8b0ba;--line:#6b737d;--paper:#17191d"
    yield (
        f"<style>:root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f"{_STYLE}{colours()}svg{{background:var(--paper)}}</style>"
    )
    yield _symbols()


def _symbols() -> str:
    shapes = "".join(
        f'<symbol id="s-{name}" viewBox="-10 -10 20 20"><path d="{d}"/></symbol>'
        for name, d in _shapes()
    )
    return f"<defs>{shapes}</defs>"


def _shapes() -> Iterator[tuple[str, str]]:
    """Yield the outline of each shape of the palette, about the origin."""
    r = _RADIUS
    yield "ellipse", f"M{-r} 0a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0Z"
    yield "rectangle", "M-7 -7H7V7H-7Z"
    yield "round-rectangle", "M-5 -7H5Q7 -7 7 -5V5Q7 7 5 7H-5Q-7 7 -7 5V-5Q-7 -7 -5 -7Z"
    yield "diamond", "M0 -9L9 0L0 9L-9 0Z"
    yield "triangle", "M0 -8L9 7H-9Z"
    yield "pentagon", _polygon(5, -math.pi / 2)
    yield "hexagon", _polygon(6, 0.0)
    yield "octagon", _polygon(8, math.pi / 8)
    yield "star", _star()


def _polygon(corners: int, turned: float) -> str:
    turns = [turned + 2 * math.pi * corner / corners for corner in range(corners)]
    return _closed((9 * math.cos(turn), 9 * math.sin(turn)) for turn in turns)


def _star() -> str:
    turns = [(math.pi * corner / 5 - math.pi / 2, 4 if corner % 2 else 9) for corner in range(10)]
    return _closed((far * math.cos(turn), far * math.sin(turn)) for turn, far in turns)


def _closed(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_decimal(x)} {_decimal(y)}" for x, y in points) + "Z"


def _titles(scene: Scene, top: float) -> Iterator[str]:
    for column in sorted({node.column for node in scene.nodes}):
        x = column * COLUMN
        yield f'<text class="column" x="{x}" y="{_decimal(top + 18)}">{COLUMNS[column]}</text>'


def _edges(scene: Scene) -> Iterator[str]:
    for edge in scene.edges:
        dashed = "" if edge.counted else " uncounted"
        yield (
            f'<path class="edge {edge.side.value}{dashed}" d="{_curve(*_ends(scene, edge))}">'
            f"<title>{_text(_sentence(scene, edge))}</title></path>"
        )


def _ends(scene: Scene, edge: Edge) -> tuple[float, float, float, float]:
    source, target = edge.source, edge.target
    places = (scene.x[source] * COLUMN, scene.y[source] * ROW)
    return *places, scene.x[target] * COLUMN, scene.y[target] * ROW


def _words(scene: Scene) -> Iterator[str]:
    """Yield how those outside hold, beside their edges, where there is room for it."""
    said = [edge for edge in scene.edges if edge.side is Side.OUTSIDE]
    taken: list[tuple[float, float]] = []
    for edge in said if len(said) <= _MOST_SAID else ():
        x1, y1, x2, y2 = _ends(scene, edge)
        x, y = x2 + (x1 - x2) * 0.45, y2 + (y1 - y2) * 0.42 - 3
        free = all(abs(y - other) > _LINE or abs(x - at) > COLUMN / 2 for at, other in taken)
        if x1 == x2 or not free or scene.nodes[edge.source].kind == UNNAMED:
            continue
        taken.append((x, y))
        word = shorten(edge.words[0], 16) + (", …" if len(edge.words) > 1 else "")
        place = f'x="{_decimal(x)}" y="{_decimal(y)}"'
        yield f'<text class="words halo" {place}>{_text(word)}</text>'


def _curve(x1: float, y1: float, x2: float, y2: float) -> str:
    """Return a path: an S between columns, an arc within one."""
    bends = (x1 + 50, x2 + 50) if x1 == x2 else ((x1 + x2) / 2,) * 2
    points = (x1, y1, bends[0], y1, bends[1], y2, x2, y2)
    return "M{} {}C{} {} {} {} {} {}".format(*map(_decimal, points))


def _sentence(scene: Scene, edge: Edge) -> str:
    holder, target = scene.nodes[edge.source], scene.nodes[edge.target]
    count = f"{number(edge.weight)} {plural(edge.weight, 'reference')}"
    ends = [shorten(end.label, _MOST_LETTERS) for end in (holder, target)]
    more = f" ({count})" if edge.counted else ""
    return f"{ends[0]} to {ends[1]}: {some(edge.words)}{more}"


def _nodes(scene: Scene) -> Iterator[str]:
    for node, x, y in zip(scene.nodes, scene.x.tolist(), scene.y.tolist(), strict=True):
        look, shape = look_of(node)
        at = f'x="{_decimal(x * COLUMN - 10)}" y="{_decimal(y * ROW - 10)}"'
        use = f'<use href="#s-{shape}" class="node {look}" {at} width="20" height="20"/>'
        if node.members:
            behind = f'x="{_decimal(x * COLUMN - 7)}" y="{_decimal(y * ROW - 13)}"'
            use = use.replace(at, behind) + use
        text = _text(shorten(node.label, _LETTERS))
        place = f'x="{_decimal(x * COLUMN)}" y="{_decimal(y * ROW - 14)}"'
        yield (
            f"<g><title>{_text(title_of(node))}</title>{use}"
            f'<text class="halo" {place}>{text}</text></g>'
        )


def _text(text: str) -> str:
    return html.escape(printable(text))


def _decimal(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if value % 1 else str(int(value))
