"""The reference graph: what is in it, in which scope, and that it says what the check says."""

from __future__ import annotations

import gc
import importlib
import warnings
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

import analyzer
from analyzer.check.objhash import find_ref_leaks
from analyzer.core.errors import BadInputError, TargetVanishedError
from analyzer.core.model import TASK, Rules, Verdict
from analyzer.graph import build as network
from analyzer.graph import questions
from analyzer.kinds import associations
from analyzer.writers import graph_files
from tests.build import Machine, Obj
from tests.strategies import Graph, counted_graphs, half_as_often

if TYPE_CHECKING:
    import networkx as nx


def machine() -> Machine:
    """A container (100, a thread 102, a child 101) that shares a file with 77; 88 has its own."""
    made = Machine()
    made.task(77, comm="bash")
    made.task(88, comm="other")
    made.task(100, 77, comm="a\udcff\n", nspid=1)
    made.task(102, 77, tgid=100, comm="io")
    made.task(101, 100, comm="worker")
    inside = made.object("FILE_TABLE", 3, holders=[(tid, "files") for tid in (100, 102, 101)])
    outside = made.object("FILE_TABLE", 1, holders=[(77, "files")])
    other = made.object("FILE_TABLE", 1, holders=[(88, "files")])
    made.object(
        "FILE", 3, name="/log", ino=7, dev=0x801, holders=[(inside, "fd", 3), (inside, "fd", 4)]
    )
    made.reference(Obj(4, "FILE"), outside, "fd", 9, detail="cloexec")
    made.object("FILE", 1, name="/own", holders=[(inside, "fd", 5)])
    made.object("FILE", 1, name="/else", holders=[(other, "fd", 3)])
    made.object("FILE", None, holders=[(inside, "fd", 6)])
    return made


def names(graph: nx.MultiDiGraph[str]) -> list[str]:
    return list(graph)


# --- what is in it


def test_the_border_has_what_leaks_and_all_that_leads_to_it() -> None:
    graph = analyzer.graph(machine().snapshot(100), ignore=[])
    tasks = ["TASK:77", "TASK:100", "TASK:102", "TASK:101"]
    assert names(graph) == [*tasks, "FILE_TABLE:1", "FILE_TABLE:2", "FILE:4", "FILE:7"]
    assert list(graph["FILE_TABLE:1"]) == ["FILE:4", "FILE:7"]


def test_the_subtree_has_what_is_contained_too_and_the_host_everything() -> None:
    snapshot = machine().snapshot(100)
    more = set(analyzer.graph(snapshot, scope="subtree")) - set(analyzer.graph(snapshot))
    assert more == {"FILE:5"}
    rest = set(analyzer.graph(snapshot, scope="host")) - set(
        analyzer.graph(snapshot, scope="subtree")
    )
    assert rest == {"TASK:88", "FILE_TABLE:3", "FILE:6"}


def test_nodes_and_edges_carry_what_the_tables_and_the_check_say() -> None:
    graph = analyzer.graph(machine().snapshot(100))
    assert graph.nodes["FILE:4"] == {
        "type": "object",
        "kind": "FILE",
        "label": "/log",
        "objref": 4,
        "name": "/log",
        "initial": False,
        "stable": True,
        "refcount": 3,
        "ino": 7,
        "dev": "8:1",
        "side": "inside",
        "collected": True,
        "users": 2,
        "outside": 1,
        "observer": 0,
        "unnamed": 0,
        "verdict": "usage_leak",
        "basis": "proven",
    }
    assert graph.nodes["TASK:100"] == {
        "type": "task",
        "kind": "TASK",
        "label": r"a\xff\n (100)",
        "tid": 100,
        "tgid": 100,
        "ppid": 77,
        "comm": "a\udcff\n",
        "kthread": False,
        "side": "inside",
    }
    assert graph.edges["FILE_TABLE:2", "FILE:4", 0] == {
        "association": "fd",
        "slot": 9,
        "detail": "cloexec",
        "weight": 1,
        "words": "fd 9 (cloexec)",
        "side": "outside",
    }
    assert graph.graph["name"] == r"border of a\xff\n (100) on test"
    assert (graph.graph["pid"], graph.graph["status"]) == (100, "leaks")


def test_what_is_not_known_is_not_there() -> None:
    unknown = analyzer.graph(machine().snapshot(100)).nodes["FILE:7"]
    assert unknown["verdict"] == "unknown"
    assert unknown["label"] == "open file no. 7"
    assert not {"refcount", "unnamed", "name", "ino", "dev"} & set(unknown)


def test_parallel_references_are_edges_with_keys_from_0() -> None:
    graph = analyzer.graph(machine().snapshot(100))
    edges = list(graph.edges("FILE_TABLE:1", keys=True, data=True))[:2]
    assert [(held, key, data["slot"]) for _, held, key, data in edges] == [
        ("FILE:4", 0, 3),
        ("FILE:4", 1, 4),
    ]


def test_a_contained_subtree_leaves_its_tasks() -> None:
    made = Machine()
    made.task(1, 0)
    made.task(100, nspid=1)
    made.object("FILE_TABLE", 1, holders=[(100, "files")])
    assert names(analyzer.graph(made.snapshot(100))) == ["TASK:100"]


def test_kinds_to_ignore_bring_nothing_in() -> None:
    graph = analyzer.graph(machine().snapshot(100), ignore=["FILE"])
    assert names(graph) == ["TASK:100", "TASK:102", "TASK:101"]
    assert graph.graph["status"] == "contained"


def test_a_whole_machine_needs_no_subtree() -> None:
    graph = analyzer.graph(machine().snapshot(scope="host"), scope="host")
    assert (len(graph), graph.size()) == (12, 11)
    assert not {"side", "verdict", "users"} & set(graph.nodes["FILE:4"])
    assert "side" not in graph.edges["FILE_TABLE:2", "FILE:4", 0]
    assert not {"pid", "status"} & set(graph.graph)


def test_only_what_the_rules_count_is_an_edge() -> None:
    made = machine()
    made.object("TTY", 1, holders=[(100, "ctty")])
    snapshot = made.snapshot(100, scope="host")
    counted = {
        d["association"] for *_, d in analyzer.graph(snapshot, scope="host").edges(data=True)
    }
    then = analyzer.graph(snapshot, scope="host", rules="seed")
    assert "ctty" in counted
    assert "ctty" not in {data["association"] for *_, data in then.edges(data=True)}


# --- it says what the check says


@half_as_often
@given(counted_graphs())
def test_the_graph_is_the_check(graph: Graph) -> None:
    whole = analyzer.graph(graph.snapshot(), graph.root, scope="host")
    border = analyzer.graph(graph.snapshot(), graph.root)
    again = analyzer.graph(graph.snapshot(), graph.root)
    compare_numbers(graph, whole)
    compare_border(whole, border)
    assert list(border.nodes(data=True)) == list(again.nodes(data=True))
    assert list(border.edges(keys=True, data=True)) == list(again.edges(keys=True, data=True))


def compare_numbers(graph: Graph, whole: nx.MultiDiGraph[str]) -> None:
    """Every counted reference is an edge; verdicts are the check's, numbers those of the edges."""
    counted = [r for r in graph.references if Rules.MODERN in associations()[r.association].rules]
    assert whole.size() == len(counted)
    judged = {n: d for n, d in whole.nodes(data=True) if "verdict" in d}
    expected = find_ref_leaks(graph.snapshot(), graph.root, Rules.MODERN)
    assert {d["objref"]: d["verdict"] for d in judged.values()} == {
        objref: judgement.verdict.value for objref, judgement in expected.items()
    }
    for node, data in judged.items():
        held: Counter[str] = Counter()
        for _, _, reference in whole.in_edges(node, data=True):
            held[reference["side"]] += reference["weight"]
        assert [held[s] for s in ("inside", "outside", "observer")] == [
            data[s] for s in ("users", "outside", "observer")
        ]


def compare_border(whole: nx.MultiDiGraph[str], border: nx.MultiDiGraph[str]) -> None:
    """It is closed upwards, and has nothing else."""
    wanted = {n for n, d in whole.nodes(data=True) if d.get("verdict", "contained") != "contained"}
    wanted |= {n for n, d in whole.nodes(data=True) if d["kind"] == TASK and d["side"] == "inside"}
    todo = list(wanted)
    while todo:
        more = set(whole.predecessors(todo.pop())) - wanted
        wanted |= more
        todo += more
    assert set(border) == wanted
    assert set(border.edges(keys=True)) == {e for e in whole.edges(keys=True) if e[1] in wanted}
    assert all(data == whole.nodes[node] for node, data in border.nodes(data=True))


def test_a_report_and_its_graph_name_the_same_leaks() -> None:
    snapshot = machine().snapshot(100)
    report = analyzer.check(snapshot)
    graph = network.plan_of(report).build()
    leaks = [n for n, d in graph.nodes(data=True) if d.get("verdict") == Verdict.USAGE_LEAK]
    assert leaks == [f"{o.kind}:{o.objref}" for o in report.objects if "leak" in o.verdict]


# --- cost and bad input


def test_a_large_graph_warns_first(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = machine().snapshot(100)
    monkeypatch.setattr(network, "EXPENSIVE", 19)
    with pytest.warns(network.CostWarning, match="12 nodes and 11 references") as caught:
        analyzer.graph(snapshot, scope="host")
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        analyzer.graph(snapshot)


def test_the_estimate_is_of_the_measured_order() -> None:
    cost = network.plan(machine().snapshot(100), scope="host").cost
    a_million = cost._replace(nodes=540_000, edges=1_000_000)
    assert (cost.nodes, cost.edges, cost.high, a_million.high) == (12, 11, False, True)


@pytest.mark.parametrize("on", [True, False])
def test_making_a_graph_leaves_the_collector_as_it_was(
    on: bool,  # noqa: FBT001 - a parameter of the test
    request: pytest.FixtureRequest,
) -> None:
    request.addfinalizer(gc.enable if gc.isenabled() else gc.disable)
    (gc.enable if on else gc.disable)()
    analyzer.graph(machine().snapshot(100))
    assert gc.isenabled() is on


def test_what_cannot_be_is_said() -> None:
    snapshot = machine().snapshot(100)
    with pytest.raises(BadInputError, match="border, subtree, host"):
        analyzer.graph(snapshot, scope="everything")  # type: ignore[arg-type]
    with pytest.raises(BadInputError, match="--pid N"):
        analyzer.graph(machine().snapshot(scope="host"))
    with pytest.raises(TargetVanishedError):
        analyzer.graph(machine().snapshot(scope="host"), 4711)


@pytest.mark.parametrize("pid", [None, 100])
def test_a_kind_of_a_newer_version_is_refused(pid: int | None) -> None:
    made = machine()
    made.object("GADGET", 1)
    with pytest.raises(BadInputError, match="'GADGET' is unknown to this version"):
        analyzer.graph(made.snapshot(pid, scope="host"), scope="host")


def test_no_module_hides_the_function() -> None:
    for name in ("analyzer.graph.build", "analyzer.graph.questions", "analyzer.cli.commands.graph"):
        importlib.import_module(name)
    assert callable(analyzer.graph)


def test_relations_are_edges_that_are_not_counted_where_they_are_asked_for() -> None:
    made = Machine()
    made.task(50)
    made.task(100)
    tables = [made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (100, 50)]
    files = [made.object("FILE", 1, holders=[(table, "fd", 3)]) for table in tables]
    inode = made.object("INODE", None)
    for file in files:
        made.relation("deleted-file", file, inode, detail="7 bytes")
    made.relation("session", 100, 50, left_role="session")
    snapshot = made.snapshot(100)
    assert all("counted" not in data for *_, data in analyzer.graph(snapshot).edges(data=True))
    graph = analyzer.graph(snapshot, relations=True)
    found = {(a, b): data for a, b, data in graph.edges(data=True) if not data.get("counted", True)}
    assert set(found) == {
        ("FILE:3", "INODE:5"),
        ("FILE:4", "INODE:5"),
        ("TASK:100", "TASK:50"),
    }
    assert found["FILE:3", "INODE:5"]["words"] == "deleted, and in use (7 bytes)"
    assert {data["weight"] for data in found.values()} == {0}
    for form in graph_files.FORMATS:
        assert "deleted-file" in graph_files.render(graph, form)
    drawn = graph_files.render(graph, "dot")
    assert "dashed" in drawn
    assert 'label="deleted, and in use (7 bytes)"' in drawn


def test_to_questions_relations_are_not_there() -> None:
    """Asked for or not: whatever is asked of the references, the answers are the same."""
    made = Machine()
    made.task(50)
    made.task(100)
    tables = [made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (100, 50)]
    file = made.object("FILE", 2, holders=[(table, "fd", 3) for table in tables])
    other = made.object("FILE", 1, holders=[(tables[0], "fd", 4)])
    for left, right in ((100, file), (file, other), (other, file), (50, 100)):
        made.relation("session", left, right)
    snapshot = made.snapshot(100)
    plain, rich = (
        analyzer.graph(snapshot, scope="subtree", relations=wanted) for wanted in (False, True)
    )
    assert rich.number_of_edges() == plain.number_of_edges() + 4
    for node in plain:
        assert questions.holders_of(rich, node) == questions.holders_of(plain, node)
        assert questions.who_reaches(rich, node) == questions.who_reaches(plain, node)
        assert questions.freed_by(rich, node) == questions.freed_by(plain, node)
    assert questions.sharing_groups(rich) == questions.sharing_groups(plain) != ()
