"""What a picture shows: everything once, what is alike folded, never more than fits."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given

from analyzer.check.leaks import check
from analyzer.core.model import Rules, Side, Verdict
from analyzer.report.make import make, whole
from analyzer.report.value import Report, ReportOptions
from analyzer.scene.layout import LEFT, MIDDLE, RIGHT
from analyzer.scene.scene import UNNAMED, Node, Scene, links_of, scene
from analyzer.writers import svg
from tests.build import Machine
from tests.strategies import Graph, counted_graphs

ROOT, OUTSIDE = 100, 77


def report_of(machine: Machine) -> Report:
    snapshot = machine.snapshot(ROOT)
    return make(snapshot, check(snapshot), ReportOptions(all=True))


def two_sides() -> Machine:
    made = Machine()
    made.task(OUTSIDE, 1, comm="bash")
    made.task(ROOT, OUTSIDE, comm="app", nspid=1)
    return made


def shown(made: Scene) -> dict[str, Node]:
    return {node.key: node for node in made.nodes}


def words(made: Scene) -> dict[tuple[str, str], tuple[str, ...]]:
    return {(made.nodes[e.source].key, made.nodes[e.target].key): e.words for e in made.edges}


def test_a_leak_stands_between_its_holders() -> None:
    made = two_sides()
    inside = made.object("FILE_TABLE", 1, holders=[(ROOT, "files")])
    outside = made.object("FILE_TABLE", 1, holders=[(OUTSIDE, "files")])
    made.object("FILE", 2, name="/x", holders=[(inside, "fd", 3), (outside, "fd", 9)])
    picture = scene(report_of(made))
    columns = {key: node.column for key, node in shown(picture).items()}
    assert columns == {"FILE:3": MIDDLE, "FILE_TABLE:1": MIDDLE, "TASK:100": LEFT, "TASK:77": RIGHT}
    assert words(picture) == {
        ("TASK:100", "FILE:3"): ("fd 3",),
        ("TASK:77", "FILE:3"): ("fd 9",),
        ("TASK:100", "FILE_TABLE:1"): ("uses it",),
    }
    assert shown(picture)["FILE:3"].label == "/x"
    assert shown(picture)["TASK:77"].label == "bash (77)"


def test_what_nobody_could_name_is_drawn_too() -> None:
    made = two_sides()
    inside = made.object("FILE_TABLE", 1, holders=[(ROOT, "files")])
    made.object("FILE", 5, holders=[(inside, "fd", 3)])
    picture = scene(report_of(made), contained=False)
    (edge,) = [e for e in picture.edges if picture.nodes[e.source].key == UNNAMED]
    assert (edge.weight, edge.side) == (4, Side.OUTSIDE)


def test_the_contained_are_one_node_a_kind_or_none() -> None:
    made = two_sides()
    inside = made.object("FILE_TABLE", 1, holders=[(ROOT, "files")])
    for fd in range(412):
        made.object("FILE", 1, holders=[(inside, "fd", fd)])
    report = report_of(made)
    (fold,) = [node for node in scene(report).nodes if node.kind == "FILE"]
    assert (fold.label, fold.things, fold.verdict) == ("412 open files", 412, Verdict.CONTAINED)
    assert not scene(report, contained=False).nodes


def test_processes_that_hold_the_same_are_one_node() -> None:
    made = two_sides()
    inside = made.object("FILE_TABLE", 1, holders=[(ROOT, "files")])
    tables = [inside]
    for tid in range(200, 230):
        made.task(tid, 1, comm="worker")
        tables.append(made.object("FILE_TABLE", 1, holders=[(tid, "files")]))
    made.object("FILE", 31, holders=[(table, "fd", 3) for table in tables])
    picture = scene(report_of(made), contained=False)
    (fold,) = [node for node in picture.nodes if node.column == RIGHT]
    assert (fold.label, fold.things) == ("30 processes worker", 30)
    assert len(picture.edges) == 2


def test_the_root_is_never_folded() -> None:
    made = two_sides()
    for tid in range(200, 230):
        made.task(tid, ROOT, comm="app")
    made.object("FILE_TABLE", 32, holders=[(t, "files") for t in (ROOT, OUTSIDE, *range(200, 230))])
    assert "TASK:100" in shown(scene(report_of(made)))


@pytest.mark.parametrize("leaks", [1, 5, 5_000])
def test_it_fits_however_much_leaks(leaks: int) -> None:
    made = two_sides()
    made.task(78, 1)
    inside = made.object("FILE_TABLE", 1, holders=[(ROOT, "files")])
    tables = [made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (OUTSIDE, 78)]
    for number in range(leaks):
        kind = "PIPE" if number % 2 else "FILE"
        made.object(kind, 2, holders=[(inside, "fd", number), (tables[number % 2], "fd", number)])
    picture = scene(report_of(made), most=100)
    assert len(picture.nodes) + len(picture.edges) <= 100
    leaking = [node for node in picture.nodes if node.verdict is Verdict.USAGE_LEAK]
    assert sum(node.things for node in leaking) == leaks


def test_the_worst_are_told_apart_when_not_all_fit() -> None:
    made = two_sides()
    inside = made.object("FILE_TABLE", 1, holders=[(ROOT, "files")])
    for number in range(500):  # each with a holder of its own: no two are alike
        tid = made.task(1000 + number, 1)
        made.object("FILE", 2, name=f"/{number}", holders=[(inside, "fd", number), (tid, "exe")])
    picture = scene(report_of(made), most=300)
    assert picture.apart == 60
    alone = [node.label for node in picture.nodes if node.kind == "FILE" and not node.members]
    assert alone == [f"/{number}" for number in range(60)]
    assert "440 open files" in {node.label for node in picture.nodes}


@given(counted_graphs())
def test_nothing_is_lost_and_nothing_invented(graph: Graph) -> None:
    for rules in Rules:
        snapshot = graph.snapshot()
        report = whole(
            make(snapshot, check(snapshot, graph.root, rules), ReportOptions(brief=True))
        )
        picture = scene(report)
        drawn = Counter(key for node in picture.nodes for key in node.members or (node.key,))
        assert set(drawn.values()) <= {1}
        objects = {f"{entry.kind}:{entry.objref}" for entry in report.objects}
        assert objects <= set(drawn)
        links = list(links_of(report.objects, {}))
        assert sum(edge.weight for edge in picture.edges) == sum(link.weight for link in links)
        assert set(drawn) == objects | {link.holder for link in links}
        assert len(picture.x) == len(picture.y) == len(picture.nodes)


def test_a_process_is_called_what_its_first_thread_is() -> None:
    made = two_sides()
    made.task(300, OUTSIDE, comm="server")
    made.task(301, OUTSIDE, tgid=300, comm="a-worker")
    inside = made.object("FILE_TABLE", 1, holders=[(ROOT, "files")])
    own = made.object("FILE_TABLE", 1, holders=[(301, "files")])
    made.object("FILE", 2, holders=[(inside, "fd", 3), (own, "fd", 9)])
    assert shown(scene(report_of(made)))["TASK:300"].label == "server (300)"


def test_what_crosses_uncounted_stands_between_its_ends_with_lines_that_do_not_count() -> None:
    made = two_sides()
    tables = [made.object("FILE_TABLE", 1, holders=[(t, "files")]) for t in (ROOT, OUTSIDE)]
    inode = made.object("INODE", None)
    for table in tables:
        made.relation("deleted-file", made.object("FILE", 1, holders=[(table, "fd", 3)]), inode)
    made.relation("session", ROOT, OUTSIDE, left_role="session")
    picture = scene(report_of(made))
    crossing = [node for node in picture.nodes if node.impact is not None]
    assert {node.label for node in crossing} == {
        "open file no. 4: deleted, and in use",
        "app (100): in a session or process group led from the other side",
    }
    assert {node.column for node in crossing} == {MIDDLE}
    ends = {key for key, words in words(picture).items() if "CROSSING" in key[1]}
    assert {holder for holder, _ in ends} == {"TASK:100", "TASK:77"}
    uncounted = [edge for edge in picture.edges if not edge.counted]
    assert len(uncounted) == 4
    assert all(picture.nodes[edge.target].impact is not None for edge in uncounted)
    assert 'class="edge outside uncounted"' in svg.render(picture, "x")


def test_many_that_cross_alike_are_one_node() -> None:
    made = two_sides()
    for tid in range(200, 240):
        made.task(tid, ROOT)
        made.relation("session", tid, OUTSIDE + tid, left_role="session")
        made.task(OUTSIDE + tid, 1)
    nodes = [node for node in scene(report_of(made)).nodes if node.impact is not None]
    assert [node.label.split()[0] for node in nodes] == ["40"]
