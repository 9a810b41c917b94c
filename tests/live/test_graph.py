"""The reference graph of real processes: the way to what leaks, and what goes with whom."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import networkx as nx
import pytest

import analyzer
import fixtures
from analyzer.graph import containing, questions
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

pytestmark = [
    pytest.mark.live,
    pytest.mark.bpf,
    # Whole machines are drawn here, and how large they are is not ours to say.
    pytest.mark.filterwarnings("ignore::analyzer.graph.build.CostWarning"),
]


def leaking(graph: nx.MultiDiGraph[str], expected: Mapping[str, Any]) -> str:
    """The file that the fixture leaks."""
    (node,) = questions.find(
        graph, kind="FILE", ino=expected["ino"], verdict="usage_leak", refcount=expected["refcount"]
    )
    return node


def test_a_shared_file_has_a_chain_from_each_side() -> None:
    with fixtures.start("fork-file") as running:
        root, (outside,) = running.info["root"], running.info["outside"]
        snapshot = analyzer.collect(root, scope="host")
    graph = analyzer.graph(snapshot, ignore=["USER_NS"])
    file = leaking(graph, running.info["expect"][0])
    assert graph.nodes[file]["outside"] == 1
    chains = {chain.task: chain for chain in questions.who_reaches(graph, file)}
    assert set(chains) == {f"TASK:{root}", f"TASK:{outside}"}
    slot = running.info["expect"][0]["match"]["slot"]
    assert each(f": fd {slot}" in chain.words for chain in chains.values())
    assert {graph.nodes[task]["side"] for task in chains} == {"inside", "outside"}

    whole = analyzer.graph(snapshot, scope="host")
    alone = questions.freed_by(whole, *questions.threads(whole, root))
    both = questions.freed_by(whole, *(f"TASK:{tid}" for tid in (root, outside)))
    assert file not in (*alone.freed, *alone.maybe)
    assert file in both.freed
    (table,) = (n for n in alone.freed if n.startswith("FILE_TABLE:"))
    assert whole.nodes[table]["side"] == "inside"

    found = containing.closure(snapshot, ignore=["USER_NS"])
    assert outside in [process.pid for process in found.added]
    assert not [left for left in found.open if left.object == file]
    assert [g for g in questions.sharing_groups(whole) if file in {s.object for s in g.objects}]


SOCKETS = """
import os, socket, sys
pair = socket.socketpair()
ring = socket.socketpair()
sent = [os.memfd_create(name) for name in ("one", "two")]
socket.send_fds(pair[0], [b"."], [sent[0]])
for end in ring:  # each is in its own queue
    socket.send_fds(ring[end is ring[0]], [b"."], [end.fileno()])
socket.send_fds(ring[0], [b"."], [sent[1]])
for fd in sent:
    os.close(fd)
print(*(end.fileno() for end in (*pair, *ring)), flush=True)
sys.stdin.readline()
for end in (*ring, *pair):  # the last to be closed has the ring collected
    end.close()
print("closed", flush=True)
sys.stdin.readline()
"""


def named(graph: nx.MultiDiGraph[str], nodes: Iterable[str]) -> set[tuple[str, int]]:
    """What stays the same from one snapshot to the next: kind and inode."""
    found = (graph.nodes[node] for node in nodes)
    return {(data["kind"], data["ino"]) for data in found if data.get("ino")}


def test_sockets_go_as_it_was_said() -> None:
    """Both ends of two pairs, with a file in flight in each; one pair is in its own queues."""
    with subprocess.Popen(
        [sys.executable, "-c", SOCKETS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as ran:
        assert ran.stdin is not None
        assert ran.stdout is not None
        slots = set(map(int, ran.stdout.readline().split()))
        graph = analyzer.graph(analyzer.collect(ran.pid, scope="host"), scope="host")
        ran.stdin.write("\n")
        ran.stdin.flush()
        assert ran.stdout.readline() == "closed\n"
        time.sleep(0.2)  # the collector is a worker of the kernel's
        after = analyzer.graph(analyzer.collect(ran.pid, scope="host"), scope="host")
        ran.communicate("\n")
    (table,) = (n for n in graph.successors(f"TASK:{ran.pid}") if n.startswith("FILE_TABLE:"))
    edges = graph.out_edges(table, keys=True, data=True)
    closed = [(h, t, k) for h, t, k, data in edges if data.get("slot") in slots]
    found = questions.freed_by(graph, *closed)
    assert sorted(node.partition(":")[0] for node in found.freed) == ["FILE"] * 6 + ["SOCKET"] * 4
    assert found.maybe == ()
    freed = named(graph, found.freed)
    assert len(freed) == 10
    assert not freed & named(after, after)


def test_the_command_writes_what_is_read_back(tmp_path: Path) -> None:
    with fixtures.start("fork-file") as running:
        analyzer.collect(running.info["root"]).save(tmp_path / "leak.crz")
    names = [f"out.{form}" for form in ("graphml", "gexf", "json")]
    for name in names:
        command = [sys.executable, "-m", "analyzer", "graph", str(tmp_path / "leak.crz")]
        subprocess.run([*command, "-o", str(tmp_path / name)], check=True, capture_output=True)
    expected = analyzer.graph(analyzer.load(tmp_path / "leak.crz"), relations=True)
    text = json.loads((tmp_path / names[2]).read_text())
    named = "edges" if "edges" in inspect.signature(nx.node_link_graph).parameters else "link"
    for found in (
        nx.read_graphml(tmp_path / names[0], force_multigraph=True),
        nx.read_gexf(tmp_path / names[1]),
        nx.node_link_graph(text, **{named: "edges"}),
    ):
        assert list(found) == list(expected)
        assert found.size() == expected.size()
