r"""A reference graph as a file: GraphML, GEXF, DOT, and node-link JSON.

========= =========================== ==============================================================
format    read by                     what is special
========= =========================== ==============================================================
graphml   yEd, Gephi, networkx        typed attributes; yEd's own data for label, colour and place
gexf      Gephi, networkx             label, colour and place as GEXF has them (``viz``)
dot       Graphviz                    placed: ``dot -Tsvg FILE`` draws the columns as they are
json      d3, networkx, jq            node-link: ``networkx.node_link_graph(data, edges="edges")``
========= =========================== ==============================================================

Each has all nodes, edges and attributes of a graph (`analyzer.graph.build`); DOT only those that a
drawing uses, and kind, verdict, side and the numbers. In GEXF the `words` of an edge are its label.
A node has its place as ``x`` and ``y`` (inside | objects | outside, y upwards; not in JSON), unless
the graph is too large to look at. Gephi merges parallel edges unless its import dialog is told not
to.

Names are escaped where a format cannot carry them: XML has no control characters, and a drawing
program should not be given marks that turn the direction of writing, so that names in XML and DOT
are printable (``\n``, ``\x1b``, ``\u202e``; see `text.printable`). In JSON only a byte that is no
UTF-8 is, as everywhere in our JSON. A number that does not fit 64 bits with a sign makes its
attribute a text in XML.

The XML is written here, not by networkx: that takes 9 KB for a reference, most of a minute for a
million of them, and names the attributes d0, d1, ...: Gephi takes d3 for the label of a node. Files
of equal graphs are equal.
"""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from analyzer.core.model import Side, Verdict
from analyzer.core.text import printable, shorten, valid
from analyzer.core.values import NamedTuple
from analyzer.kinds import associations, registry
from analyzer.kinds.base import Slot
from analyzer.scene.layout import three_columns
from analyzer.scene.palette import GREY, SIDES, VERDICTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import networkx as nx
    import numpy.typing as npt

    Graph = nx.MultiDiGraph[str]
    Attributes = Mapping[str, Any]
    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

MOST_PLACED: Final = 50_000
"""Graphs of more nodes are written without places."""

_WIDE, _HIGH = 300.0, 48.0  # the distance of columns and of rows, in points
(_INSIDE, _TABLES, _OBJECTS, _HOLDERS, _OUTSIDE) = range(5)
_LONGEST: Final = 44
_LONG: Final = 1 << 63
_TYPES: Final = {bool: "boolean", int: "long", float: "double", str: "string"}


class Look(NamedTuple):
    """How a node is drawn: a colour (#RRGGBB) and a shape as Graphviz and yEd call it."""

    colour: str
    shape: str
    yed: str


def render(graph: Graph, form: str) -> str:
    """Return the text of a graph in one of FORMATS, ending in a newline."""
    return "".join(FORMATS[form](graph))


def places(graph: Graph) -> dict[str, tuple[float, float]]:
    """Return where each node is drawn, x to the right and y upwards, in points.

    Five columns: the tasks inside, what leads from them to objects, the objects, what leads to
    these from outside, and the tasks there.
    """
    if not len(graph) or len(graph) > MOST_PLACED:
        return {}
    index = {node: number for number, node in enumerate(graph)}
    held = ((a, b) for a, b, counted in graph.edges(data="counted", default=True) if counted)
    ends = np.array([(index[a], index[b]) for a, b in held], np.int64).reshape(-1, 2)
    column = np.array([_column(graph, node) for node in graph], np.int64)
    y = _heights(graph, column, ends)
    wide = max(_WIDE, float(np.ptp(y)) * _HIGH / 16)
    across, up = np.round(column * wide, 1).tolist(), np.round(y * -_HIGH, 1).tolist()
    return dict(zip(index, zip(across, up, strict=True), strict=True))


def _heights(graph: Graph, column: Integers, ends: Integers) -> Floats:
    """Return y (downwards, in rows): objects and what leads to them, then tasks beside that."""
    band = np.array([_band(data) for _, data in graph.nodes(data=True)], np.int64)
    thing = (column != _INSIDE) & (column != _OUTSIDE)
    number = np.cumsum(thing) - 1
    source, target = number[ends[thing[ends[:, 0]]]].T
    y = np.zeros(len(column))
    _, y[thing] = three_columns(column[thing] - _TABLES, band[thing], source, target)
    holder, held = ends[~thing[ends[:, 0]]].T
    degree = np.bincount(holder, minlength=len(y))
    mean = np.bincount(holder, weights=y[held], minlength=len(y)) / np.maximum(degree, 1)
    for place in (_INSIDE, _OUTSIDE):
        rows = np.flatnonzero(column == place)
        order = rows[np.argsort(mean[rows], kind="stable")]
        centre = mean[rows].mean() if len(rows) else 0
        y[order] = np.arange(len(rows)) - (len(rows) - 1) / 2 + centre
    return y


def _column(graph: Graph, node: str) -> int:
    data = graph.nodes[node]
    if data["type"] == "task":
        return _INSIDE if data.get("side", Side.INSIDE) == Side.INSIDE else _OUTSIDE
    if not data.get("collected", True) and data["side"] != Side.INSIDE:
        return _HOLDERS
    calm = data.get("verdict", Verdict.CONTAINED) == Verdict.CONTAINED
    return _TABLES if calm and graph.out_degree(node) else _OBJECTS


def _band(data: Attributes) -> int:
    """Return the band in a column: what leaks first, then by kind."""
    calm = bool(data.get("verdict", Verdict.CONTAINED) == Verdict.CONTAINED)
    return calm * (1 << 20) + registry()[data["kind"]].order


def look(data: Attributes) -> Look:
    """Return how the node with these attributes is drawn."""
    if "verdict" in data:
        style = VERDICTS[Verdict(data["verdict"])]
        return Look(style.colour, style.graphviz, _YED[style.graphviz])
    shapes = ("ellipse", "ellipse") if data["type"] == "task" else ("box", "rectangle")
    return Look(_side_colour(data), *shapes)


def _side_colour(data: Attributes) -> str:
    return SIDES[Side(data["side"])].colour if "side" in data else GREY


_YED: Final = {
    "diamond": "diamond",
    "triangle": "triangle",
    "hexagon": "hexagon",
    "octagon": "octagon",
    "box": "roundrectangle",
}


def graphml(graph: Graph) -> Iterator[str]:
    """Yield the graph as GraphML, with yEd's extension for what is drawn."""
    at = places(graph)
    extra = {"x": 0.0, "y": 0.0, "r": 0, "g": 0, "b": 0} if at else {}
    nodes = _types(chain((data for _, data in graph.nodes(data=True)), [extra]))
    edges = _types(data for _, _, data in graph.edges(data=True))
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield (
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns" '
        'xmlns:y="http://www.yworks.com/xml/graphml">\n'
    )
    for scope, columns in (("node", nodes), ("edge", edges)):
        for name, kind in columns.items():
            called = f'attr.name="{name}" attr.type="{_TYPES[kind]}"'
            yield f'<key id="{scope}.{name}" for="{scope}" {called}/>\n'
    # The id by which Gephi knows yEd's label.
    yield '<key id="d3" for="node" yfiles.type="nodegraphics"/>\n' if at else ""
    yield f'<graph id="G" edgedefault="directed">\n<desc>{_text(_facts(graph))}</desc>\n'
    for node, data in graph.nodes(data=True):
        drawn = _yed(data, *at[node]) if at else ""
        own = {**data, **_spot(at[node], look(data).colour)} if at else data
        yield f"<node id={_quoted(node)}>{drawn}{_data('node', own)}</node>\n"
    for number, (holder, target, data) in enumerate(graph.edges(data=True)):
        ends = f"source={_quoted(holder)} target={_quoted(target)}"
        yield f'<edge id="e{number}" {ends}>{_data("edge", data)}</edge>\n'
    yield "</graph>\n</graphml>\n"


def _spot(at: tuple[float, float], colour: str) -> dict[str, float | int]:
    red, green, blue = _rgb(colour)
    return {"x": at[0], "y": at[1], "r": red, "g": green, "b": blue}


def _data(scope: str, data: Attributes) -> str:
    return "".join(f'<data key="{scope}.{n}">{_text(_plain(v))}</data>' for n, v in data.items())


def _yed(data: Attributes, x: float, y: float) -> str:
    """Return a node as yEd draws it: its y grows downwards, and a label may be HTML there."""
    drawn, label = look(data), shorten(data["label"], _LONGEST)
    wide = 20 + 7 * len(label)
    apart = " " if label.startswith("<") else ""
    return (
        '<data key="d3"><y:ShapeNode>'
        f'<y:Geometry x="{x - wide / 2}" y="{-y - 12}" width="{wide}" height="24"/>'
        f'<y:Fill color="{drawn.colour}66" transparent="false"/>'
        f'<y:BorderStyle color="{drawn.colour}" type="line" width="1.0"/>'
        f"<y:NodeLabel>{apart}{_text(label)}</y:NodeLabel>"
        f'<y:Shape type="{drawn.yed}"/></y:ShapeNode></data>'
    )


def gexf(graph: Graph) -> Iterator[str]:
    """Yield the graph as GEXF 1.2."""
    at = places(graph)
    nodes = _types(_without(data, "label") for _, data in graph.nodes(data=True))
    edges = _types(_without(data, "words", "weight") for _, _, data in graph.edges(data=True))
    edges["networkx_key"] = int
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield (
        '<gexf xmlns="http://www.gexf.net/1.2draft" '
        'xmlns:viz="http://www.gexf.net/1.2draft/viz" version="1.2">\n'
    )
    day = _quoted(str(graph.graph.get("collected_at", ""))[:10])
    about = f"<creator>cranalyze</creator><description>{_text(_facts(graph))}</description>"
    yield f"<meta lastmodifieddate={day}>{about}</meta>\n"
    yield '<graph defaultedgetype="directed" mode="static">\n'
    for scope, columns in (("node", nodes), ("edge", edges)):
        yield f'<attributes class="{scope}" mode="static">\n'
        for number, (name, kind) in enumerate(columns.items()):
            yield f'<attribute id="{number}" title="{name}" type="{_TYPES[kind]}"/>\n'
        yield "</attributes>\n"
    yield "<nodes>\n"
    place = {name: number for number, name in enumerate(nodes)}
    for node, data in graph.nodes(data=True):
        drawn = _viz(look(data).colour, *at[node]) if at else ""
        names = f"id={_quoted(node)} label={_quoted(data['label'])}"
        yield f"<node {names}>{_values(place, _without(data, 'label'))}{drawn}</node>\n"
    yield "</nodes>\n<edges>\n"
    place = {name: number for number, name in enumerate(edges)}
    for number, (holder, target, key, data) in enumerate(graph.edges(keys=True, data=True)):
        ends = f"source={_quoted(holder)} target={_quoted(target)}"
        says = f'label={_quoted(data["words"])} weight="{data["weight"]}"'
        own = {**_without(data, "words", "weight"), "networkx_key": key}
        yield f'<edge id="{number}" {ends} {says}>{_values(place, own)}</edge>\n'
    yield "</edges>\n</graph>\n</gexf>\n"


def _values(number: Mapping[str, int], data: Attributes) -> str:
    values = (f'<attvalue for="{number[n]}" value={_quoted(_plain(v))}/>' for n, v in data.items())
    return f"<attvalues>{''.join(values)}</attvalues>"


def _viz(colour: str, x: float, y: float) -> str:
    red, green, blue = _rgb(colour)
    return (
        f'<viz:color r="{red}" g="{green}" b="{blue}"/>'
        f'<viz:position x="{x}" y="{y}" z="0.0"/><viz:size value="10.0"/>'
    )


def dot(graph: Graph) -> Iterator[str]:
    """Yield the graph as DOT; where nodes have places, they are pinned there."""
    at = places(graph)
    yield f"digraph {_id(_facts(graph))} {{\n"
    if at:
        yield "  graph [layout=neato, inputscale=72, splines=line, outputorder=edgesfirst];\n"
    else:
        yield "  graph [rankdir=LR];\n"
    yield '  node [fontname="sans-serif", fontsize=11, style=filled, margin="0.08,0.04"];\n'
    yield '  edge [fontname="sans-serif", fontsize=9, arrowsize=0.6];\n'
    for node, data in graph.nodes(data=True):
        yield f"  {_id(node)} [{_attributes(_dot_node(data, at.get(node)))}];\n"
    for holder, target, data in graph.edges(data=True):
        yield f"  {_id(holder)} -> {_id(target)} [{_attributes(_dot_edge(data))}];\n"
    yield "}\n"


def _dot_node(data: Attributes, at: tuple[float, float] | None) -> dict[str, Any]:
    drawn = look(data)
    return {
        "label": shorten(data["label"], _LONGEST),
        "tooltip": data["label"],
        "shape": drawn.shape,
        "color": drawn.colour,
        "fillcolor": f"{drawn.colour}44",
        **({"pos": f"{at[0]},{at[1]}!"} if at else {}),
        **{name: data[name] for name in _OF_NODES if name in data},
    }


def _dot_edge(data: Attributes) -> dict[str, Any]:
    words = printable(data["words"])
    # Of what is no counted reference, the two ends do not say what it is.
    counted = data.get("counted", True)
    said = not counted or associations()[data["association"]].slot is Slot.DESCRIPTOR
    return {
        **({"label": words} if said else {}),
        "tooltip": words,
        "color": f"{_side_colour(data)}aa",
        **({} if counted else {"style": "dashed"}),
        **{name: data[name] for name in _OF_EDGES if name in data},
    }


_OF_NODES: Final = (
    "kind", "side", "verdict", "basis", "users", "refcount", "outside", "observer", "unnamed",
)  # fmt: skip
_OF_EDGES: Final = ("association", "slot", "weight", "side", "counted", "impact")


def node_link(graph: Graph) -> Iterator[str]:
    """Yield the graph as node-link JSON, a node or an edge a line."""
    facts = json.dumps(_json(graph.graph))
    yield f'{{"directed": true, "multigraph": true, "graph": {facts},\n"nodes": ['
    nodes = ({**_json(data), "id": node} for node, data in graph.nodes(data=True))
    edges = (
        {**_json(data), "source": holder, "target": target, "key": key}
        for holder, target, key, data in graph.edges(keys=True, data=True)
    )
    yield from _lines(nodes)
    yield '],\n"edges": ['
    yield from _lines(edges)
    yield "]}\n"


def _lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield f"{',' if number else ''}\n{json.dumps(row)}"


def _json(data: Attributes) -> dict[str, Any]:
    return {n: valid(v) if isinstance(v, str) else v for n, v in data.items()}


def _types(rows: Iterable[Attributes]) -> dict[str, type]:
    """Return the type of each attribute, in order of first sight; text where it is mixed."""
    found: dict[str, type] = {}
    for row in rows:
        for name, value in row.items():
            kind = str if isinstance(value, int) and not -_LONG <= value < _LONG else type(value)
            if found.setdefault(name, kind) is not kind:
                found[name] = str
    return found


def _without(data: Attributes, *names: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in names}


def _facts(graph: Graph) -> str:
    facts = graph.graph
    kernel = f", Linux {facts['kernel']}, {facts['collected_at']}" if "kernel" in facts else ""
    return printable(f"{facts.get('name', 'graph')}{kernel}")


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else printable(str(value))


def _text(value: str) -> str:
    return escape(printable(value))


def _quoted(value: str) -> str:
    return quoteattr(printable(value))


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _attributes(said: Attributes) -> str:
    return ", ".join(f"{name}={_id(str(value))}" for name, value in said.items())


def _id(text: str) -> str:
    r"""Return a quoted DOT string that is drawn as `text`.

    Backslashes start escapes in labels (``\N`` is the node's name), and ``&`` an entity.
    """
    kept = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{kept.replace("&", "&amp;")}"'


FORMATS: Final[Mapping[str, Callable[[Graph], Iterable[str]]]] = {
    "graphml": graphml,
    "gexf": gexf,
    "dot": dot,
    "json": node_link,
}
"""The formats by their suffix."""
