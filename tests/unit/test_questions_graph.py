"""Questions on the reference graph, each held to a slow, obvious answer on random machines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import networkx as nx
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import analyzer
from analyzer.check.leaks import check
from analyzer.check.objhash import find_ref_leaks
from analyzer.core.errors import BadInputError
from analyzer.core.model import TASK, Basis, Rules, Side, Verdict
from analyzer.graph import containing, questions
from analyzer.kinds import associations, registry
from analyzer.kinds.base import Judged
from tests.build import Machine, Obj
from tests.each import each
from tests.strategies import Graph, counted_graphs, half_as_often

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.snapshot.value import Snapshot

JUDGED = {kind.name for kind in registry().values() if kind.judged is not Judged.NOT}


def host(graph: Graph) -> nx.MultiDiGraph[str]:
    return analyzer.graph(graph.snapshot(), graph.root, scope="host")


def machine() -> Machine:
    """77 shares a file with 100 and sends it one in a message; 100 has a file of its own."""
    made = Machine()
    made.task(77, comm="bash\x1b")
    made.task(78, 77, comm="child")
    made.task(100, comm="app", nspid=1)
    made.task(102, 1, tgid=100, comm="io")
    inside = made.object("FILE_TABLE", 2, holders=[(100, "files"), (102, "files")])
    outside = made.object("FILE_TABLE", 1, holders=[(77, "files")])
    made.object("FILE", 2, name="/log", holders=[(inside, "fd", 3), (outside, "fd", 9)])
    end = made.object("FILE", 1, name="socket:[5]", holders=[(outside, "fd", 4)])
    queue = made.object("SOCKET", 1, holders=[(end, "sock")])
    made.object("FILE", 2, name="/sent", holders=[(inside, "fd", 5), (queue, "scm")])
    made.object("FILE", 1, name="/own", holders=[(inside, "fd", 6)])
    return made


@pytest.fixture
def graph() -> nx.MultiDiGraph[str]:
    return analyzer.graph(machine().snapshot(100, scope="host"), scope="host")


# --- who


def test_a_chain_reads_from_the_task_to_the_object(graph: nx.MultiDiGraph[str]) -> None:
    (sent,) = questions.find(graph, kind="FILE", name="/sent")
    table = r"bash\e (77) → file descriptor table no. 2: fd 4"
    sender = f"{table} → open file no. 4 (socket:[5]): open on it"
    assert [str(chain) for chain in questions.who_reaches(graph, sent)] == [
        "app (100) → file descriptor table no. 1: fd 5",
        "io (102) → file descriptor table no. 1: fd 5",
        f"{sender} → unix socket no. 5: in flight in its queue",
    ]


def test_a_task_says_itself_how_it_holds(graph: nx.MultiDiGraph[str]) -> None:
    (chain,) = questions.who_reaches(graph, "FILE_TABLE:2")
    assert chain.words == r"bash\e (77): uses it"
    assert questions.holders_of(graph, "FILE:3") == (
        ("FILE_TABLE:1", "FILE:3", 0, "fd 3", 1, "inside"),
        ("FILE_TABLE:2", "FILE:3", 0, "fd 9", 1, "outside"),
    )


@given(counted_graphs(), st.data())
def test_answers_are_those_of_slow_and_obvious_ways(graph: Graph, data: st.DataObject) -> None:
    found = host(graph)
    nodes = list(found)
    compare_chains(found, data.draw(st.sampled_from(nodes)))
    compare_freed(found, data.draw(st.sets(st.sampled_from(nodes), min_size=1, max_size=4)))
    compare_groups(graph, found, data.draw(st.sets(st.sampled_from(["FILE", "UTS_NS"]))))


def compare_chains(found: nx.MultiDiGraph[str], node: str) -> None:
    """A chain from every task that has a path, and as short as the shortest."""
    lengths = nx.single_source_shortest_path_length(found.reverse(), node)
    chains = questions.who_reaches(found, node)
    tasks = {name for name in lengths if found.nodes[name]["type"] == "task"} - {node}
    assert {chain.task: len(chain.path) for chain in chains} == {t: lengths[t] for t in tasks}
    for chain in chains:
        steps = [chain.task, *(step.target for step in chain.path)]
        assert steps[-1] == node
        assert [step.holder for step in chain.path] == steps[:-1]
        assert each(found.has_edge(s.holder, s.target, s.key) for s in chain.path)


def test_answers_are_tables_in_a_notebook(graph: nx.MultiDiGraph[str]) -> None:
    frame = pd.DataFrame(questions.who_reaches(graph, "FILE:3"))
    assert list(frame["task"]) == ["TASK:77", "TASK:100", "TASK:102"]
    assert list(pd.DataFrame(questions.holders_of(graph, "FILE:3"))["words"]) == ["fd 3", "fd 9"]


# --- what would be freed


def test_what_goes_with_a_process(graph: nx.MultiDiGraph[str]) -> None:
    assert questions.freed_by(graph, *questions.threads(graph, 77)) == (
        ("FILE_TABLE:2", "FILE:4", "SOCKET:5"),
        (),
    )
    assert questions.freed_by(graph, *questions.threads(graph, 100)).freed == (
        "FILE_TABLE:1",
        "FILE:7",
    )
    assert questions.freed_by(graph, "TASK:100") == ((), ())  # its other thread holds the table


def test_what_goes_with_one_reference_or_with_both_sides(graph: nx.MultiDiGraph[str]) -> None:
    assert questions.freed_by(graph, ("FILE_TABLE:1", "FILE:7", 0)).freed == ("FILE:7",)
    assert questions.freed_by(graph, ("FILE_TABLE:1", "FILE:3", 0)).freed == ()
    assert questions.freed_by(graph, "FILE_TABLE:1", "FILE_TABLE:2").freed == (
        "FILE:3",
        "FILE:4",
        "SOCKET:5",
        "FILE:6",
        "FILE:7",
    )


@pytest.mark.parametrize(
    ("refcount", "stable", "expected"),
    [
        (1, True, (("FILE_TABLE:1", "FILE:2", "PIPE:3"), ())),
        (2, True, (("FILE_TABLE:1",), ())),  # somebody holds it whom nobody could name
        (None, True, (("FILE_TABLE:1",), ("FILE:2", "PIPE:3"))),
        (1, False, (("FILE_TABLE:1",), ("FILE:2", "PIPE:3"))),
        (0, True, (("FILE_TABLE:1",), ("FILE:2", "PIPE:3"))),
    ],
)
def test_nothing_is_freed_for_sure_that_may_be_held(
    refcount: int | None,
    stable: bool,  # noqa: FBT001 - a column
    expected: object,
) -> None:
    made = Machine()
    made.task(100)
    table = made.object("FILE_TABLE", 1, holders=[(100, "files")])
    end = made.object("FILE", refcount, stable=stable, holders=[(table, "fd", 3)])
    made.object("PIPE", 1, holders=[(end, "pipe.reader")])
    found = analyzer.graph(made.snapshot(100), scope="host")
    assert questions.freed_by(found, "TASK:100") == expected


OWNS = ("sock", "backlog")
UNTIL_CLOSED = ("peer", "peer.closed", "scm", "scm.pid", "backlog")


def naive_freed(graph: nx.MultiDiGraph[str], gone: set[str], *, hopeful: bool) -> set[str]:
    """Take away references for as long as that empties an object, or leaves garbage."""
    said = dict(graph.edges)
    freed: set[str] = set()
    lost: set[tuple[str, str, int]] = set()

    def goes(node: str) -> bool:
        count, stable = graph.nodes[node].get("refcount"), graph.nodes[node]["stable"]
        named = sum(d["weight"] for *_, d in graph.in_edges(node, data=True))
        if count is None or not stable:
            return hopeful
        return bool(count == named or (hopeful and count < named))

    def closed(node: str) -> bool:
        owners = {e for e in said if e[1] == node and said[e]["association"] in OWNS}
        return graph.nodes[node]["kind"] == "SOCKET" and bool(owners & lost) and owners <= lost

    while True:
        before = len(freed), len(lost)
        lost |= {e for e in said if e[0] in gone | freed}
        lost |= {e for e in said if closed(e[0]) and said[e]["association"] in UNTIL_CLOSED}
        touched, live = {e[1] for e in lost}, {e[1] for e in said if e not in lost}
        freed |= {node for node in touched - live - gone if goes(node)}
        if before == (len(freed), len(lost)):
            lost |= unreceivable(graph, lost, {node for node in live - gone if goes(node)})
        if before == (len(freed), len(lost)):
            return freed


def unreceivable(
    graph: nx.MultiDiGraph[str], lost: set[tuple[str, str, int]], may: set[str]
) -> set[tuple[str, str, int]]:
    """References to sockets in flight that no process can get: what is live is found, from it."""
    left = {e: d["association"] for e, d in graph.edges.items() if e not in lost}
    sockets = {n for n in graph if graph.nodes[n]["kind"] == "SOCKET"}
    files = {h for h, t, _ in graph.edges if t in sockets and h not in sockets} & may
    owned = {t for (_, t, _), a in left.items() if a in OWNS}
    live = {n for n in graph if n not in files and not (n in sockets and n in owned)}
    while True:
        more = {t for (h, t, _), a in left.items() if t in sockets and a in OWNS and h in live}
        more |= {t for (h, t, _), a in left.items() if t in files and (a != "scm" or h in live)}
        if more <= live:
            return {e for e in left if e[1] in files - live}
        live |= more


def compare_freed(found: nx.MultiDiGraph[str], gone: set[str]) -> None:
    answer = questions.freed_by(found, *gone)
    sure, hoped = (
        naive_freed(found, gone, hopeful=hopeful) - naive_freed(found, set(), hopeful=hopeful)
        for hopeful in (False, True)
    )
    assert set(answer.freed) == sure
    assert set(answer.maybe) == hoped - sure


@st.composite
def many_sockets(draw: st.DrawFn) -> nx.MultiDiGraph[str]:
    """A process with sockets, in flight in each other's queues, to each other and to be accepted.

    Of most the count is what it should be, so that they can go.
    """
    made = Machine()
    made.task(100)
    table = made.object("FILE_TABLE", 1, holders=[(100, "files")])
    many = draw(st.integers(2, 5))
    files = [made.object("FILE", 0) for _ in range(many)]
    ends = [made.object("SOCKET", 0) for _ in range(many)]
    listened = made.object("SOCKET", 0)
    for file, end in zip(files, ends, strict=True):
        made.reference(end, file, "sock", None, 2)
    any_of = st.sampled_from
    for file in draw(st.sets(any_of(files))):
        made.reference(file, table, "fd", file.objref)
    for place, holders, targets in (
        ("scm", [*ends, listened], files),
        ("peer", [*ends, listened], ends),
        ("scm.pid", ends, [made.object("PID", 0)]),
    ):
        for holder, target in draw(st.sets(st.tuples(any_of(holders), any_of(targets)))):
            made.reference(target, holder, place)
    made.reference(listened, draw(any_of(ends)), "backlog")
    if draw(st.booleans()):  # read while it was accepted
        made.reference(listened, files[0], "sock")
    for thing in made.rows["objects"][1:]:
        held = sum(r["weight"] for r in made.rows["references"] if r["target"] == thing["objref"])
        thing["refcount"] = draw(any_of([held] * 8 + [held + 1, None]))
    return analyzer.graph(made.snapshot(100), scope="host")


@given(many_sockets(), st.data())
def test_sockets_go_as_slow_and_obvious_ways_have_it(
    found: nx.MultiDiGraph[str], data: st.DataObject
) -> None:
    compare_freed(found, data.draw(st.sets(st.sampled_from(list(found)), max_size=3)))


def socketpair(made: Machine) -> tuple[Obj, list[Obj], list[Obj]]:
    """A process with both ends of a socketpair(2): its table, their files, the sockets."""
    made.task(100)
    table = made.object("FILE_TABLE", 1, holders=[(100, "files")])
    files = [made.object("FILE", 1, holders=[(table, "fd", fd)]) for fd in (3, 4)]
    ends = [made.object("SOCKET", 3, holders=[(file, "sock", None, 2)]) for file in files]
    for one, other in (ends, ends[::-1]):
        made.reference(other, one, "peer")
    return table, files, ends


def freed(made: Machine, *gone: str | tuple[str, str, int]) -> set[str]:
    answer = questions.freed_by(analyzer.graph(made.snapshot(100), scope="host"), *gone)
    assert answer.maybe == ()
    return set(answer.freed)


def test_a_pair_of_sockets_goes_with_its_files_and_what_is_in_flight_with_one() -> None:
    made = Machine()
    table, _, ends = socketpair(made)
    sent = made.object("FILE", 1, name="/sent", holders=[(ends[1], "scm")])
    made.object("NET_NS", 2, holders=[(end, "socket") for end in ends])
    first, second = (("FILE_TABLE:1", f"FILE:{n}", 0) for n in (2, 3))
    assert (table.objref, sent.objref) == (1, 6)
    assert freed(made, first) == {"FILE:2"}  # the other end remembers it
    # It is still the peer's, but closed: its queue is empty, and what was sent to it is lost.
    assert freed(made, second) == {"FILE:3", "FILE:6"}
    assert freed(made, first, second) == {
        "FILE:2",
        "FILE:3",
        "SOCKET:4",
        "SOCKET:5",
        "FILE:6",
        "NET_NS:7",
    }


def test_what_has_yet_to_be_accepted_goes_with_the_listener() -> None:
    made = Machine()
    made.task(100)
    table = made.object("FILE_TABLE", 1, holders=[(100, "files")])
    file = made.object("FILE", 1, holders=[(table, "fd", 3)])
    listener = made.object("SOCKET", 2, holders=[(file, "sock", None, 2)])
    client = made.object("FILE", 1, holders=[(table, "fd", 4)])
    calling = made.object("SOCKET", 3, holders=[(client, "sock", None, 2)])
    waiting = made.object("SOCKET", 2, holders=[(listener, "backlog"), (calling, "peer")])
    made.reference(calling, waiting, "peer")
    made.object("FILE", 1, name="/sent", holders=[(waiting, "scm")])
    assert freed(made, ("FILE_TABLE:1", "FILE:2", 0)) == {"FILE:2", "SOCKET:3", "FILE:7"}


def test_sockets_in_flight_to_each_other_are_garbage_without_a_process() -> None:
    made = Machine()
    _, files, ends = socketpair(made)
    for file, end in zip(files, ends, strict=True):
        made.rows["objects"][file.objref - 1]["refcount"] += 1
        made.reference(file, end, "scm")  # each is in its own queue
    made.object("FILE", 1, name="/sent", holders=[(ends[0], "scm")])
    first, second = (("FILE_TABLE:1", f"FILE:{n}", 0) for n in (2, 3))
    assert freed(made, first) == {"FILE:2", "FILE:6"}
    assert freed(made, first, second) == {"FILE:2", "FILE:3", "SOCKET:4", "SOCKET:5", "FILE:6"}
    made.rows["objects"][1]["refcount"] += 1  # somebody has the first: it can be received
    assert freed(made, first, second) == {"FILE:3"}


def test_a_listener_in_flight_to_what_it_has_yet_to_accept_is_garbage() -> None:
    made = Machine()
    made.task(100)
    table = made.object("FILE_TABLE", 1, holders=[(100, "files")])
    file = made.object("FILE", 2, holders=[(table, "fd", 3)])
    listener = made.object("SOCKET", 2, holders=[(file, "sock", None, 2)])
    waiting = made.object("SOCKET", 2, holders=[(listener, "backlog", None, 2)])
    made.reference(file, waiting, "scm")
    assert freed(made, ("FILE_TABLE:1", "FILE:2", 0)) == {"FILE:2", "SOCKET:3", "SOCKET:4"}


def test_what_is_garbage_already_is_freed_by_nobody() -> None:
    made = Machine()
    _, (file, _), (end, _) = socketpair(made)
    made.rows["references"] = [r for r in made.rows["references"] if r["target"] != file.objref]
    made.reference(file, end, "scm")
    assert freed(made, "TASK:100") == {"FILE_TABLE:1", "FILE:3", "SOCKET:4", "SOCKET:5"}


# --- groups


def test_groups_say_who_shares_what(graph: nx.MultiDiGraph[str]) -> None:
    (group,) = questions.sharing_groups(graph)
    assert str(group) == r"bash\e (77), app (100) share 2 objects"
    assert [shared.label for shared in group.objects] == ["/log", "/sent"]
    assert questions.sharing_groups(graph, ignore=["FILE"]) == ()


def test_the_hosts_namespaces_do_not_join_all_processes() -> None:
    made = Machine()
    for tid in (1, 2, 3):
        made.task(tid, 0, kthread=tid == 3)
    sets = made.object("NSPROXY", 3, initial=True, holders=[(t, "nsproxy") for t in (1, 2, 3)])
    made.object("UTS_NS", 1, initial=True, holders=[(sets, "nsproxy.uts")])
    found = analyzer.graph(made.snapshot(scope="host"), scope="host")
    assert questions.sharing_groups(found) == ()
    (group,) = questions.sharing_groups(found, initial=True)
    assert [process.pid for process in group.processes] == [1, 2]
    assert [shared.kind for shared in group.objects] == ["NSPROXY", "UTS_NS"]


def compare_groups(graph: Graph, found: nx.MultiDiGraph[str], ignore: set[str]) -> None:
    owns: nx.DiGraph[str] = nx.DiGraph()
    owns.add_edges_from(
        (h, t) for h, t, d in found.edges(data=True) if associations()[d["association"]].collects
    )
    owns.add_nodes_from(found)
    held: dict[int, set[str]] = {}
    for task in graph.tasks:
        if not task.observer and not task.kthread:
            held.setdefault(task.tgid, set()).update(nx.descendants(owns, f"{TASK}:{task.tid}"))
    wanted = {n for n, d in found.nodes(data=True) if d["kind"] in JUDGED - ignore}
    pairs: nx.Graph[int] = nx.Graph()
    pairs.add_edges_from((p, q) for p in held for q in held if p < q and held[p] & held[q] & wanted)
    groups = questions.sharing_groups(found, ignore=ignore, initial=True)
    components = [{process.pid for process in group.processes} for group in groups]
    assert sorted(map(sorted, components)) == sorted(map(sorted, nx.connected_components(pairs)))
    assert [len(c) for c in components] == sorted((len(c) for c in components), reverse=True)
    for group in groups:
        for shared in group.objects:
            assert {pid for pid in held if shared.object in held[pid]} == set(shared.pids)
    told = {shared.object for group in groups for shared in group.objects}
    by = {n: sum(n in objects for objects in held.values()) for n in wanted}
    assert told == {n for n, many in by.items() if many > 1}


# --- whom to add


def test_a_closure_says_whom_to_add_and_what_stays_open() -> None:
    made = machine()
    kept = made.object("NSFS", 1)
    own = made.object("UTS_NS", 2, name="uts:[9]", holders=[(100, "nsproxy.uts")])
    made.reference(own, kept, "nsfs")
    made.object("FILE", 5, name="/hidden\n", holders=[(77, "io_uring.ring", 0)])
    found = containing.closure(made.snapshot(100, scope="host"))
    kept_by = "namespace file no. 8, which no task leads to"
    assert str(found).splitlines() == [
        "to contain 100, 2 processes have to be added",
        r"  add   bash\e (77), open file /log: fd 9",
        "  add   child (78), a child of 77",
        f"  open  uts namespace uts:[9]: is open or mounted ({kept_by})",
        r"  open  open file /hidden\n: 4 references are not named",
    ]
    assert not found.contained


def test_what_is_contained_needs_nobody() -> None:
    made = Machine()
    made.task(100, nspid=1)
    made.object("FILE_TABLE", 1, holders=[(100, "files")])
    assert containing.closure(made.snapshot(100, scope="host")).contained
    border = containing.closure(made.snapshot(100))
    assert (border.added, border.contained) == ((), False)
    assert "nobody has to be added at least" in str(border)


def test_a_kernel_thread_cannot_be_added() -> None:
    made = Machine()
    made.task(2, 0, kthread=True)
    made.task(100, nspid=1)
    made.object("FS", 2, holders=[(100, "fs"), (2, "fs")])
    found = containing.closure(made.snapshot(100, scope="host"))
    assert str(found).splitlines() == [
        "to contain 100, nobody has to be added",
        "  open  root and working directory no. 1: held by 1 kernel thread",
    ]


def test_a_parent_that_holds_brings_all_its_children() -> None:
    made = Machine()
    made.task(1, 0)
    made.task(100, 1, nspid=1)
    made.task(200, 1)
    made.object("SIGHAND", 2, holders=[(100, "sighand"), (1, "sighand")])
    made.object("FS", 2, holders=[(200, "fs"), (1, "fs")])
    found = containing.closure(made.snapshot(100, scope="host"))
    assert [(process.pid, process.round) for process in found.added] == [(1, 1), (200, 0)]
    assert found.contained
    assert containing.closure(made.snapshot(100, scope="host"), ignore=["SIGHAND"]).added == ()


def test_the_hosts_own_namespaces_ask_for_everybody_unless_left_out() -> None:
    made = Machine()
    made.task(1, 0)
    made.task(100, nspid=1)
    own = [(tid, "nsproxy.uts") for tid in (1, 100)]
    made.object("UTS_NS", 2, initial=True, holders=own)
    snapshot = made.snapshot(100, scope="host")
    assert [process.pid for process in containing.closure(snapshot).added] == [1]
    assert containing.closure(snapshot, initial=False).contained


def adopted(graph: Graph, pids: Iterable[int]) -> Graph:
    """The machine with processes made children of the root, which is then nobody's."""
    made, parents = graph.copy(), dict.fromkeys(pids, graph.root) | {graph.root: 0}
    made.tasks = [replace(t, ppid=parents.get(t.tgid, t.ppid)) for t in graph.tasks]
    return made


def outsiders(graph: Graph, snapshot: Snapshot, ignore: set[str]) -> set[int]:
    """Who leads to an outside holder of what is judged, one reference after the other."""
    border = check(snapshot, graph.root).border
    judged = find_ref_leaks(snapshot, graph.root, Rules.MODERN)
    sides = {(TASK, t.tid): int(border.task_side[n]) for n, t in enumerate(graph.tasks)}
    sides |= {(o.kind, o.objref): int(border.object_side[n]) for n, o in enumerate(graph.objects)}
    kinds = {thing.objref: thing.kind for thing in graph.objects}
    outside = list(Side).index(Side.OUTSIDE)
    reached: set[Any] = set()
    for row, r in enumerate(graph.references):
        if r.target not in judged or kinds[r.target] in ignore:
            continue
        by_sharing = judged[r.target].basis in {Basis.STRUCTURAL, Basis.WITNESSED}
        theirs = sides[r.holder_kind, r.holder] == outside
        theirs |= by_sharing and bool(border.shared[row])
        if theirs:
            reached |= leading(graph, (r.holder_kind, r.holder), (kinds[r.target], r.target))
    return {
        t.tgid
        for t in graph.tasks
        if (TASK, t.tid) in reached and sides[TASK, t.tid] == outside and not t.kthread
    }


def leading(graph: Graph, start: tuple[str, int], target: tuple[str, int]) -> set[Any]:
    """The tasks on the way up, through no namespace, no mount, and not through the target."""
    if start[0] == TASK:
        return {start}
    kinds = {thing.objref: thing.kind for thing in graph.objects}
    by: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for r in graph.references:
        if associations()[r.association].leads:
            by.setdefault((kinds[r.target], r.target), []).append((r.holder_kind, r.holder))
    tasks: set[Any] = set()
    seen, todo = {start, target}, [start]
    while todo:
        for holder in by.get(todo.pop(), ()):
            own = [up for up in by.get(holder, ()) if up[0] == TASK]
            if holder[0] == TASK:
                tasks.add(holder)
            elif registry()[holder[0]].of_process and own:
                tasks.update(own)
            elif not (registry()[holder[0]].namespace or holder[0] == "MOUNT" or holder in seen):
                seen.add(holder)
                todo.append(holder)
    return tasks


@half_as_often
@given(counted_graphs(), st.sets(st.sampled_from(["FILE", "USER_NS", "FILE_TABLE"]), max_size=1))
def test_a_closure_is_the_fixpoint_of_adding_who_holds(graph: Graph, ignore: set[str]) -> None:
    found = containing.closure(graph.snapshot(), graph.root, ignore=ignore)
    pids: set[int] = set()
    while True:
        larger = adopted(graph, pids)
        snapshot = larger.snapshot()
        more = outsiders(larger, snapshot, ignore)
        if not more:
            break
        pids |= more
    assert {process.pid for process in found.added if process.round} == pids
    kinds = {thing.objref: thing.kind for thing in graph.objects}
    left = find_ref_leaks(snapshot, graph.root, Rules.MODERN)
    assert {
        f"{kinds[n]}:{n}": j.verdict
        for n, j in left.items()
        if j.verdict is not Verdict.CONTAINED and kinds[n] not in ignore
    } == {one.object: one.verdict for one in found.open}
    assert all(one.because for one in found.open)
    assert {process.pid for process in found.added} == inside(snapshot, graph) - inside(
        graph.snapshot(), graph
    )


def inside(snapshot: Snapshot, graph: Graph) -> set[int]:
    """The processes of the subtree."""
    sides = check(snapshot, graph.root).border.task_side.tolist()
    return {task.tgid for task, side in zip(graph.tasks, sides, strict=True) if not side}


# --- bad input


def test_what_the_graph_does_not_have_is_said(graph: nx.MultiDiGraph[str]) -> None:
    with pytest.raises(BadInputError, match="no process 4711"):
        questions.threads(graph, 4711)
    with pytest.raises(BadInputError, match="no FILE:99"):
        questions.who_reaches(graph, "FILE:99")
    with pytest.raises(BadInputError, match="no reference 5 from TASK:77 to FILE:3"):
        questions.freed_by(graph, ("TASK:77", "FILE:3", 5))


def test_siblings_of_a_parent_that_was_not_read_can_be_added() -> None:
    """A border has not all ancestors: who descends from the same stranger is outside still."""
    made = Machine()
    for task in (100, 77):
        made.task(task, 7)
    tables = [made.object("FILE_TABLE", 1, holders=[(task, "files")]) for task in (100, 77)]
    made.object("FILE", 2, name="/x", holders=[(table, "fd", 3) for table in tables])
    found = containing.closure(made.snapshot(100))
    assert [str(added) for added in found.added] == ["task77 (77), open file /x: fd 3"]
    assert not found.open
