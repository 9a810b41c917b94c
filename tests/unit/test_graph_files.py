"""Graph files: every format is read back by what reads it, and no name breaks one.

Rewrite the golden file with CRANALYZE_GOLDEN=write, then read the difference.
"""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import analyzer
from analyzer.cli.commands import graph as command
from analyzer.core.text import printable, valid
from analyzer.graph import build as network
from analyzer.writers import graph_files
from tests.build import Machine
from tests.unit.test_cli import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.core.model import Drawn

NASTY = "a\udcff\n\x1b[2J\u202eevil\x00\ufffe</data>]]>&amp;&lt;\"'\\N\\"
Y = "{http://www.yworks.com/xml/graphml}"


def machine(name: str = "/srv/log", comm: str = "bash") -> Machine:
    made = Machine()
    made.task(77, comm=comm)
    made.task(100, 77, comm="app", nspid=1)
    fds = [made.object("FILE_TABLE", 1, holders=[(task, "files")]) for task in (100, 77)]
    made.object("FILE", 3, name=name, ino=1 << 63, dev=0x801,
                holders=[(fds[0], "fd", 3), (fds[0], "fd", 4), (fds[1], "fd", 7)])  # fmt: skip
    made.object("FILE", None, holders=[(fds[0], "fd", 5, 1, "cloexec")])
    return made


def made(name: str = "/srv/log", comm: str = "bash", scope: Drawn = "host") -> Any:  # noqa: ANN401
    return analyzer.graph(machine(name, comm).snapshot(100, scope="host"), scope=scope)


def read(text: str, form: str) -> Any:  # noqa: ANN401 - as networkx has it
    """Read a file as its readers do."""
    if form == "json":
        named = "edges" if "edges" in inspect.signature(nx.node_link_graph).parameters else "link"
        return nx.node_link_graph(json.loads(text), **{named: "edges"})
    readers: dict[str, Callable[[Any], Any]] = {
        "graphml": lambda file: nx.read_graphml(file, force_multigraph=True),
        "gexf": nx.read_gexf,
    }
    return readers[form](io.BytesIO(text.encode()))


def escaped(data: dict[str, Any], form: str) -> dict[str, Any]:
    """What a reader gets of a node's or an edge's attributes."""
    escape = valid if form == "json" else printable
    said = {n: escape(v) if isinstance(v, str) else v for n, v in data.items()}
    if form != "json" and "ino" in said:
        said["ino"] = str(said["ino"])  # it does not fit a long
    if form == "gexf" and "words" in said:
        said["label"] = said.pop("words")
    return said


def dotted(*words: str, text: str) -> str:
    done = subprocess.run(["dot", *words], input=text, capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout


# --- reading back


@pytest.mark.parametrize("form", ["graphml", "gexf", "json"])
@pytest.mark.parametrize("name", ["/srv/log", NASTY])
def test_what_is_written_is_what_is_read(form: str, name: str) -> None:
    graph = made(name, name)
    found = read(graph_files.render(graph, form), form)
    assert list(found) == list(graph)
    for node, data in graph.nodes(data=True):
        got = {n: v for n, v in found.nodes[node].items() if n in data}
        assert got == escaped(data, form)
    assert sorted(found.edges()) == sorted(graph.edges())
    words = {name for *_, data in graph.edges(data=True) for name in escaped(data, form)}
    assert [escaped(data, form) for *_, data in graph.edges(data=True)] == [
        {n: v for n, v in data.items() if n in words} for *_, data in found.edges(data=True)
    ]


@pytest.mark.parametrize("form", ["gexf", "json"])
def test_parallel_references_keep_their_keys(form: str) -> None:
    graph = made()
    assert sorted(read(graph_files.render(graph, form), form).edges(keys=True)) == sorted(
        graph.edges(keys=True)
    )


def test_node_link_json_keeps_what_is_known_of_the_graph() -> None:
    graph = made()
    found = read(graph_files.render(graph, "json"), "json")
    assert found.graph == graph.graph
    assert nx.utils.graphs_equal(found, graph)


@given(st.text(max_size=30), st.text(max_size=15))
def test_no_name_breaks_a_format(name: str, comm: str) -> None:
    graph = made(name, comm)
    for form in ("graphml", "gexf", "json"):
        found = read(graph_files.render(graph, form), form)
        assert list(found) == list(graph)
        escape = valid if form == "json" else printable
        assert found.nodes["TASK:77"].get("comm", "") == escape(comm)
        assert found.nodes["FILE:3"].get("name", "") == escape(name)


@pytest.mark.parametrize("form", graph_files.FORMATS)
def test_equal_graphs_give_equal_files(form: str) -> None:
    text = graph_files.render(made(NASTY, NASTY), form)
    assert text == graph_files.render(made(NASTY, NASTY), form)
    assert text.endswith("\n")
    text.encode()
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e\ud800-\udfff]", text)


# --- Graphviz


@pytest.mark.needs("tool:dot")
def test_graphviz_draws_names_as_they_are() -> None:
    text = graph_files.render(made('R&amp;D \\N "x"\\', "<b>\n\\"), "dot")
    svg = ET.fromstring(dotted("-Tsvg", text=text))  # noqa: S314 - Graphviz's own
    drawn = [e.text for e in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {'R&amp;D \\N "x"\\', "<b>\\n\\ (77)", "fd 3", "fd 7"} <= set(drawn)


@pytest.mark.needs("tool:dot")
def test_graphviz_reads_every_node_and_edge_at_its_place() -> None:
    graph = made(NASTY, NASTY)
    read_back = json.loads(dotted("-Tdot_json", text=graph_files.render(graph, "dot")))
    names = [node["name"] for node in read_back["objects"]]
    assert names == list(graph)
    ends = [(names[e["tail"]], names[e["head"]]) for e in read_back["edges"]]
    assert sorted(ends) == sorted(graph.edges())
    across = {n["name"]: float(n["pos"].split(",")[0]) for n in read_back["objects"]}
    assert across["TASK:100"] < across["FILE_TABLE:1"] < across["FILE:3"]
    assert across["FILE:3"] < across["FILE_TABLE:2"] < across["TASK:77"]


def test_the_dot_text_is_the_golden_one() -> None:
    path = Path(__file__).parents[1] / "golden" / "graph.dot"
    found = graph_files.render(made(NASTY, scope="border"), "dot")
    if os.environ.get("CRANALYZE_GOLDEN") == "write":
        path.write_text(found)
    assert found == path.read_text()


# --- Gephi and yEd


def test_gephi_finds_label_place_and_colour_in_graphml() -> None:
    found = read(graph_files.render(made(), "graphml"), "graphml")
    assert {"label", "x", "y", "r", "g", "b"} <= set(found.nodes["FILE:3"])
    assert found.nodes["FILE:3"]["label"] == "/srv/log"
    assert found.nodes["TASK:100"]["x"] < found.nodes["FILE:3"]["x"] < found.nodes["TASK:77"]["x"]


def test_ids_in_graphml_are_unique_and_no_key_is_taken_for_a_label() -> None:
    root = ET.fromstring(graph_files.render(made(), "graphml"))  # noqa: S314 - our own
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    by_id = {e.get("id"): e for e in root.iter("{http://graphml.graphdrawing.org/xmlns}key")}
    assert by_id["d3"].get("yfiles.type") == "nodegraphics"  # what Gephi reads as yEd's label
    assert "d7" not in by_id


def test_yed_gets_a_label_that_is_no_html() -> None:
    root = ET.fromstring(graph_files.render(made("<html><img src=x>"), "graphml"))  # noqa: S314
    labels = [label.text or "" for label in root.iter(f"{Y}NodeLabel")]
    assert "<html><img src=x>" in [label.strip() for label in labels]
    assert not any(label.startswith("<") for label in labels)
    shapes = {shape.get("type") for shape in root.iter(f"{Y}Shape")}
    assert shapes == {"ellipse", "roundrectangle", "rectangle", "diamond", "octagon"}


def test_gexf_places_and_paints_and_is_dated_as_the_snapshot() -> None:
    text = graph_files.render(made(), "gexf")
    assert 'lastmodifieddate="2009-04-24"' in text
    viz = read(text, "gexf").nodes["FILE:3"]["viz"]
    assert viz["color"] == {"r": 0xD5, "g": 0x5E, "b": 0x00, "a": 1.0}
    assert viz["position"]["x"] > 0


# --- places


def test_sides_and_what_leads_there_have_columns() -> None:
    across = {node: x for node, (x, _) in graph_files.places(made()).items()}
    order = ["TASK:100", "FILE_TABLE:1", "FILE:3", "FILE_TABLE:2", "TASK:77"]
    assert sorted(order, key=across.__getitem__) == order
    assert across["FILE:4"] == across["FILE:3"]


def test_no_two_nodes_are_in_one_place() -> None:
    many = machine()
    for tid in range(200, 260):
        many.task(tid, 100)
        many.object("FS", 2, holders=[(tid, "fs"), (77, "fs")])
    graph = analyzer.graph(many.snapshot(100), scope="host")
    at = list(graph_files.places(graph).values())
    assert len(set(at)) == len(at) == len(graph)


def test_a_graph_without_sides_and_an_empty_one_can_be_written() -> None:
    graph = analyzer.graph(machine().snapshot(scope="host"), scope="host")
    for form in graph_files.FORMATS:
        assert "TASK:77" in graph_files.render(graph, form)
        assert graph_files.render(nx.MultiDiGraph(), form)


def test_a_large_graph_is_written_without_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_files, "MOST_PLACED", 3)
    graph = made()
    written = "".join(graph_files.render(graph, form) for form in graph_files.FORMATS)
    assert not re.search('pos=|y:Geometry|"x"|viz:position', written)
    assert list(read(graph_files.render(graph, "graphml"), "graphml")) == list(graph)


# --- the command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    machine(NASTY).snapshot(100).save(tmp_path / "leak.crz")
    return tmp_path


@pytest.mark.parametrize("form", graph_files.FORMATS)
def test_the_suffix_or_the_format_decides(folder: Path, form: str) -> None:
    ran = run("graph", "leak.crz", "-o", f"out.{form.upper()}", cwd=folder)
    told = f"cranalyze: wrote out.{form.upper()}: a graph of 6 nodes and 6 edges\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", told)
    piped = run("graph", "--format", form, cwd=folder)
    assert piped.stdout == (folder / f"out.{form.upper()}").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-o", "out.pdf"), "out.pdf: a graph file ends in .graphml, .gexf, .dot, .json"),
        ((), "say the --format, or name a file (-o) that ends in .graphml"),
        (("-o", "leak.crz", "--format", "dot"), "leak.crz exists: --force replaces it"),
        (("-o", "no/out.dot"), "cannot write no/out.dot: there is no folder no"),
        (("-o", "out.dot", "--pid", "77"), "the border of pid 100, not of 77"),
        (("-o", "out.dot", "--ignore", "GADGET"), "--ignore: no kind GADGET; there are: "),
        (("-o", "out.dot", "--scope", "moon"), "'border', 'subtree', 'host'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_no_file(
    folder: Path, words: tuple[str, ...], said: str
) -> None:
    ran = run("graph", "leak.crz", *words, cwd=folder)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert said in ran.stderr
    assert [path.name for path in folder.iterdir()] == ["leak.crz"]


def test_what_a_reader_should_know_is_said_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "EXPENSIVE", 5)
    ran = run("graph", "leak.crz", "--scope", "host", "-o", "a.json", cwd=folder)
    cost, border, _ = ran.stderr.splitlines()
    assert cost.startswith("cranalyze: a graph of 6 nodes and 6 references: about 0 s and 0.0 GB, ")
    assert border == (
        "cranalyze: the snapshot is a border: the graph has what it kept, not the whole host"
    )
    ran = run("graph", "leak.crz", "--ignore", "FILE", "-o", "b.json", cwd=folder)
    assert "nothing leaks: the graph has the tasks of the subtree, and no object" in ran.stderr


def test_the_hosts_own_namespaces_are_pointed_at(tmp_path: Path) -> None:
    made = machine()
    made.object("UTS_NS", 2, initial=True, holders=[(100, "nsproxy.uts"), (77, "nsproxy.uts")])
    made.snapshot(100).save(tmp_path / "a.crz")
    ran = run("graph", "--format", "json", cwd=tmp_path)
    assert ran.stderr == (
        "cranalyze: the host's own UTS_NS: what leads to them is in the graph too, "
        "unless --ignore UTS_NS\n"
        "cranalyze: a.crz is the newest *.crz here\n"
    )
    ran = run("graph", "a.crz", "--format", "json", "--ignore", "UTS_NS", cwd=tmp_path)
    assert ran.stderr == ""


def test_the_command_offers_the_formats_and_scopes_that_there_are() -> None:
    assert list(command.Form) == list(graph_files.FORMATS)
    assert [scope.value for scope in command.Scope] == [s.value for s in network.Scope]
