"""What the scripts of a page know of its graph: nodes, edges, and what folded nodes unfold into.

Plain lists and numbers, written as JSON that no name can break out of: `<`, `>`, `&` and the line
separators of JavaScript are escaped. Only folds that could be unfolded bring their members: what is
drawn at once is limited (`scene.MOST_DRAWN`), and so is the size of a page.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import Side, Verdict
from analyzer.core.text import shorten
from analyzer.scene.layout import three_columns
from analyzer.scene.scene import MOST_DRAWN
from analyzer.writers import svg

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from analyzer.report.value import ReportObject
    from analyzer.scene.scene import Link, Node, Parts, Scene

_MOST_MEMBERS: Final = 4000
_MOST_LINKS: Final = 20_000
_MOST_HOLDERS: Final = 500  # of one object, that its row leads to
_LETTERS: Final = 28  # of a label, so that it stays in its column
_CLOSE: Final = 1.3  # rows: what is further apart is of another band

_ESCAPES: Final = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}

Pairs = dict[tuple[str, str, Side], tuple[dict[str, None], int]]


def island(scene: Scene, made: Parts, listed: Sequence[ReportObject]) -> str:
    """Return the JSON of `document`, for a `<script>` element."""
    return dumps(document(scene, made, listed))


def dumps(value: Any) -> str:  # noqa: ANN401 - any JSON
    """Return JSON that can stand in a `<script>` element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)


def document(scene: Scene, made: Parts, listed: Sequence[ReportObject]) -> dict[str, Any]:
    """Return plain lists: nodes and things are known by their key, a node also by its index.

    A node has two heights: among all, and while contained objects are not shown (null: it is not
    either). `made` is what `scene` was folded of, the `listed` objects are those to choose from.
    """
    things, links, _ = made
    home = {key: row for row, node in enumerate(scene.nodes) for key in _keys(node)}
    alone = _border(scene)
    degree = _degrees(links)
    opened = _opened(scene.nodes, degree)
    told = {key for row in opened for key in scene.nodes[row].members}
    return {
        "total": sum(node.verdict is not None for node in things.values()),
        "most": MOST_DRAWN,
        "column": svg.COLUMN,
        "row": svg.ROW,
        "columns": list(svg.COLUMNS.values()),
        "shapes": _shapes(),
        "nodes": [
            [
                node.key, node.column, *svg.look_of(node), _short(node.label), svg.title_of(node),
                round(y, 2), alone.get(row), node.things, int(row in opened),
            ]
            for row, (node, y) in enumerate(zip(scene.nodes, scene.y.tolist(), strict=True))
        ],
        "edges": [
            [edge.source, edge.target, edge.side.value, svg.some(edge.words), edge.weight,
             int(edge.counted)]
            for edge in scene.edges
        ],
        "folds": [[row, _members(scene.nodes[row], things)] for row in sorted(opened)],
        "links": [
            [holder, target, side.value, svg.some(tuple(words)), weight,
             int(things[target].impact is None)]
            for (holder, target, side), (words, weight) in _pairs(links, told).items()
        ],
        "objects": _objects(listed, links, home),
    }  # fmt: skip


def _border(scene: Scene) -> dict[int, float]:
    """Return the heights, by row, that nodes have without the contained objects, in the same order.

    What was further apart than a row stays so: these are the layout's bands.
    """
    calm = {row for row, node in enumerate(scene.nodes) if node.verdict is Verdict.CONTAINED}
    edges = [(edge.source, edge.target) for edge in scene.edges if edge.target not in calm]
    drawn = {row for row, node in enumerate(scene.nodes) if node.verdict or node.impact}
    kept = drawn - calm
    kept.update(source for source, _ in edges)
    rows = sorted(kept, key=lambda row: (scene.x[row], scene.y[row], row))
    index = {row: number for number, row in enumerate(rows)}
    ends = np.array([[index[row] for row in edge] for edge in edges], np.int64).reshape(-1, 2)
    band = np.concatenate([[0], np.cumsum(np.diff(scene.y[rows]) > _CLOSE)])[: len(rows)]
    _, y = three_columns(scene.x[rows].astype(np.int64), band, *ends.T, sweeps=0)
    return dict(zip(rows, y.round(2).tolist(), strict=True))


def _keys(node: Node) -> Iterable[str]:
    return node.members or (node.key,)


def _members(fold: Node, things: Mapping[str, Node]) -> list[list[str]]:
    return [[k, _short(things[k].label), svg.title_of(things[k])] for k in fold.members]


def _short(label: str) -> str:
    return shorten(label, _LETTERS)


def _shapes() -> dict[str, str]:
    return {name: look.cytoscape for name, look in svg.looks().items()}


def _degrees(links: Iterable[Link]) -> Mapping[str, int]:
    found: dict[str, int] = defaultdict(int)
    for link in links:
        found[link.holder] += 1
        found[link.target] += 1
    return found


def _opened(nodes: Sequence[Node], degree: Mapping[str, int]) -> set[int]:
    """Return the folds, small ones first, whose members fit on a page."""
    members, references = 0, 0
    opened: set[int] = set()
    folds = [row for row, node in enumerate(nodes) if node.members]
    for row in sorted(folds, key=lambda row: (nodes[row].things, row)):
        members += nodes[row].things
        references += sum(degree[key] for key in nodes[row].members)
        fits = members <= _MOST_MEMBERS and references <= _MOST_LINKS
        if not fits or nodes[row].things > MOST_DRAWN:
            break
        opened.add(row)
    return opened


def _pairs(links: Iterable[Link], told: set[str]) -> Pairs:
    """Return the links of `told` things, those between the same two of one side together."""
    found: Pairs = {}
    for link in links:
        if link.holder in told or link.target in told:
            pair = (link.holder, link.target, link.side)
            words, weight = found.get(pair, ({}, 0))
            words[link.words] = None
            found[pair] = words, weight + link.weight
    return found


def _objects(
    objects: Iterable[ReportObject], links: Iterable[Link], home: Mapping[str, int]
) -> dict[str, list[Any]]:
    """Return for each object the node that it is drawn as, and those of its holders."""
    wanted: dict[str, dict[int, None]] = {f"{e.kind}:{e.objref}": {} for e in objects}
    for link in links:
        held = wanted.get(link.target)
        if held is not None and len(held) < _MOST_HOLDERS:
            held[home[link.holder]] = None
    return {key: [home[key], list(held)] for key, held in wanted.items()}
