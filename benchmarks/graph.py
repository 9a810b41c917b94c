"""Times the making of a reference graph against networkx's own way from a table, in one run.

    python -m benchmarks.graph [--sizes 10000,100000,1000000] [--rounds 3]

For each size a snapshot is made with about that many nodes and references together: a process for
every hundred files, and two references to each file. ``analyzer.graph`` makes a MultiDiGraph of it,
with all attributes; ``networkx.from_pandas_edgelist`` makes one of the same references and their
attributes, without those of nodes. Each runs in a new process of its own, they take turns, and the
best of the rounds counts. Bytes are what is resident more with the graph than before.

Prints seconds and bytes for one node or reference: `analyzer.graph.build` estimates by them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
import warnings
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import networkx as nx

import analyzer
from analyzer.graph import build as network
from tests.build import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from analyzer.snapshot.value import Snapshot

    Make = Callable[[Snapshot], nx.MultiDiGraph[Any]]

FILES: Final = 100  # of a process
# A fork would have room left of what its parent needed.
NEW: Final = multiprocessing.get_context("spawn")


class Cost(NamedTuple):
    """What making one graph took: seconds, and bytes."""

    seconds: float
    bytes: float


def machine(size: int) -> Snapshot:
    """Return a snapshot of about `size` nodes and references."""
    made = Machine()
    made.task(1, 0)
    tables = []
    for tid in range(100, 100 + max(2, size // (3 * FILES))):
        made.task(tid, nspid=1)
        tables.append(made.object("FILE_TABLE", 1, holders=[(tid, "files")]))
    for at, table in enumerate(tables):
        other = tables[at - 1]
        for fd in range(FILES):
            held = [(table, "fd", fd), (other, "fd", fd + FILES)]
            made.object("FILE", 2, name=f"/srv/{at}/{fd}", ino=fd, dev=2049, holders=held)
    return made.snapshot(scope="host")


def ours(snapshot: Snapshot) -> nx.MultiDiGraph[Any]:
    """Make the graph as users of the package do."""
    return analyzer.graph(snapshot, scope="host")


def theirs(snapshot: Snapshot) -> nx.MultiDiGraph[Any]:
    """Make the graph of the references as networkx does from a frame."""
    frame = snapshot.references
    source = frame["holder_kind"].astype(str) + ":" + frame["holder"].astype(str)
    frame = frame.assign(source=source, objref=frame["target"])
    attributes: list[str | int] = ["association", "slot", "weight", "detail"]
    return nx.from_pandas_edgelist(frame, "source", "objref", attributes, nx.MultiDiGraph)


WAYS: Final[Mapping[str, Make]] = {"analyzer.graph": ours, "from_pandas_edgelist": theirs}


def measured(name: str, path: str) -> Cost:
    """Make a graph in a new process."""
    receiver, sender = NEW.Pipe(duplex=False)
    child = NEW.Process(target=_measure, args=(name, path, sender))
    child.start()
    sender.close()
    cost: Cost = receiver.recv()
    child.join()
    return cost


def _measure(name: str, path: str, sender: Any) -> None:  # noqa: ANN401 - a Connection
    warnings.simplefilter("ignore", network.CostWarning)
    snapshot = analyzer.load(path)
    WAYS[name](machine(1))  # what is imported at the first time
    before, start = _resident(), time.perf_counter()
    made = WAYS[name](snapshot)
    sender.send(Cost(time.perf_counter() - start, _resident() - before))
    del made


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def compare(snapshot: Snapshot, path: str, rounds: int) -> None:
    """Take turns with one snapshot, and print the best of each way."""
    cost = network.plan(snapshot, scope="host").cost
    things = cost.nodes + cost.edges
    print(f"{cost.nodes:,} nodes, {cost.edges:,} references", flush=True)
    snapshot.save(path)
    seen = [{name: measured(name, path) for name in WAYS} for _ in range(rounds)]
    for name in WAYS:
        seconds = min(costs[name].seconds for costs in seen)
        size = max(costs[name].bytes for costs in seen)
        each = f"{seconds / things * 1e6:.1f} us and {size / things:,.0f} bytes for each"
        print(f"  {name:22}{seconds:7.2f} s {size / 1e6:8,.0f} MB   {each}", flush=True)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    for size in map(int, asked.sizes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            compare(machine(size), f"{folder}/a.crz", asked.rounds)


if __name__ == "__main__":
    main()
