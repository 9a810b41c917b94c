"""Every fixture, made by real processes, judged from the kernel's memory and from /proc."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fixtures
from analyzer.check import leaks
from analyzer.check.subtree import INSIDE
from analyzer.core.model import Rules
from analyzer.lookup import census
from analyzer.memory.probe import open_memory
from analyzer.sources import collect, kernel
from analyzer.sources.request import Request
from tests import own
from tests.graph import Graph
from tests.promised import wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.snapshot.value import Snapshot

pytestmark = pytest.mark.live

SCENES = sorted(set(fixtures.FACTORIES) - {"many"})


@pytest.fixture(params=SCENES)
def scene(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """One fixture, running."""
    factory = fixtures.FACTORIES[request.param]
    if factory.needs_root and os.geteuid():
        pytest.skip("needs root")
    with fixtures.start(request.param) as running:
        yield dict(running.info)


def judged(snapshot: Snapshot, pid: int) -> Graph:
    """The verdicts of the default rules."""
    return Graph(snapshot, leaks.check(snapshot, pid, Rules.MODERN))


@pytest.mark.bpf
def test_the_kernel_source_proves_what_each_fixture_promises(scene: dict[str, Any]) -> None:
    """Users, refcount, outside holders and verdict of every object that a fixture knows."""
    snapshot = collect(scene["root"], source="kernel", raw_addresses=True)
    graph = judged(snapshot, scene["root"])
    for expected in scene["expect"]:
        assert list(wrong(graph, expected)) == []


@pytest.mark.bpf
def test_an_exhaustive_fixture_has_no_other_leak(scene: dict[str, Any]) -> None:
    """What a fixture does not list is contained (but for the host's user namespace)."""
    if not scene["exhaustive"]:
        pytest.skip("this fixture shares more than it lists")
    graph = judged(collect(scene["root"], source="kernel", raw_addresses=True), scene["root"])
    listed = {graph.find(expected["match"]) for expected in scene["expect"]}
    for row in np.flatnonzero(graph.verdicts.judged):
        if int(row) + 1 in listed or graph.objects["initial"][row]:
            continue
        assert graph.verdict(int(row) + 1) == "contained", graph.objects.row(int(row))


@pytest.mark.bpf
def test_what_no_count_shows_changes_no_verdict(scene: dict[str, Any]) -> None:
    """Looked for or not: what the check says of each object is the same, by all rules."""
    root, found = scene["root"], []
    for related in (None, ()):
        with open_memory() as memory:
            found.append(kernel.collect(memory, Request(root, related=related)))
    for rules in Rules:
        with_it, without = (_verdicts(snapshot, root, rules) for snapshot in found)
        assert set(without) <= set(with_it)
        # What others on this machine hold too can move between the two.
        moved = {key for one in (with_it, without) for key in one if one[key] == "unstable"}
        same = set(without) - moved
        assert {key: with_it[key] for key in same} == {key: without[key] for key in same}


def _verdicts(snapshot: Snapshot, pid: int, rules: Rules) -> dict[tuple[str, int], str]:
    verdicts = leaks.check(snapshot, pid, rules)
    objects, graph = snapshot.tables["objects"], Graph(snapshot, verdicts)
    return {
        (objects.value("kind", row), objects.value("address", row)): graph.verdict(row + 1)
        for row in np.flatnonzero(verdicts.judged).tolist()
    }


def test_proc_witnesses_leaks_and_never_claims_containment(scene: dict[str, Any]) -> None:
    """Without refcounts a shared object is seen to be shared, and nothing is called contained."""
    snapshot = collect(scene["root"], source="procfs", raw_addresses=True)
    graph = judged(snapshot, scene["root"])
    rows = np.flatnonzero(graph.verdicts.judged)
    assert "contained" not in {graph.verdict(int(row) + 1) for row in rows}
    for expected in scene["expect"]:
        if expected["verdict"] != "usage_leak" or expected["match"]["association"] in BLIND:
            continue
        if any(holder["association"] in BLIND for holder in expected["holders_outside"]):
            continue
        objref = graph.find(expected["match"])
        assert objref is not None, expected
        assert graph.verdict(objref) == "usage_leak", expected


@pytest.mark.bpf
def test_the_sources_never_disagree_as_contained_against_leak(scene: dict[str, Any]) -> None:
    """What /proc saw outside, the kernel source does not call contained.

    But UTS, IPC, MNT and so on by the letter, where it says that they are shared.
    """
    kernel, proc = (
        judged(collect(scene["root"], source=source, raw_addresses=True), scene["root"])
        for source in ("kernel", "procfs")
    )
    for place in places(kernel):
        mine, theirs = kernel.find(place), proc.find(place)
        if mine and theirs and proc.verdict(theirs) == "usage_leak":
            shared = kernel.verdicts.shared[mine - 1] > 0
            assert kernel.verdict(mine) != "contained" or shared, place


def places(graph: Graph) -> Iterator[dict[str, Any]]:
    """Where the tasks of the subtree, and their tables, hold something."""
    border = graph.verdicts.border
    mine = (border.reference_side == INSIDE) & border.counted
    tasks: dict[int, int] = {}
    for row in np.flatnonzero(mine & border.by_task).tolist():
        tid, name = (graph.references.value(c, row) for c in ("holder", "association"))
        if name in {"files", "fs", "mm", "sighand"}:
            yield {"tid": tid, "association": name}
        if name == "nsproxy":
            yield from ({"tid": tid, "association": f"nsproxy.{n}"} for n in NAMESPACES)
        if name == "files":
            tasks.setdefault(graph.references.value("target", row), tid)
    table = graph.references
    fds = table["association"] == table.code("association", "fd")
    for row in np.flatnonzero(mine & fds).tolist():
        if (holder := table.value("holder", row)) in tasks:
            yield {"tid": tasks[holder], "association": "fd", "slot": table.value("slot", row)}


NAMESPACES = ("uts", "ipc", "mnt", "net", "cgroup", "time")
# What /proc cannot identify: a file that is only mapped, sets of namespaces.
BLIND = {"vma", "exe", "nsproxy"}


@pytest.mark.bpf
def test_every_reference_of_the_counted_kinds_is_named() -> None:
    """In a reading of the whole machine: descriptor tables, address spaces and the rest."""
    with fixtures.start("contained") as one, fixtures.start("two-inside") as other:
        assert own.uneven([one.info["root"], other.info["root"]], EXACT) == []


EXACT = ("FILE_TABLE", "FS", "SIGHAND", "NSPROXY", "MM")


@pytest.mark.bpf
def test_the_census_has_as_many_files_as_the_kernel_counts() -> None:
    """FILE objects against /proc/sys/fs/file-nr, read before and after."""
    for attempt in range(5):
        before = _file_nr()
        counted = census.take(collect(Request(None, wanted=census.uneven), source="kernel"))
        found = next(kind.objects for kind in counted.kinds if kind.kind == "FILE")
        after = _file_nr()
        # What came and went, files in no table (accept), and a counter that each CPU has a part of.
        slack = abs(after - before) + 8 + found // 20
        if min(before, after) - slack <= found <= max(before, after) + slack:
            return
        assert attempt < 4, (before, found, after)


def _file_nr() -> int:
    return int(Path("/proc/sys/fs/file-nr").read_text().split()[0])
