"""Times reading and check against the bare reads of the same memory, in one process.

    python -m benchmarks.bare PID [--rounds 3]

What `kernel.collect` and `leaks.check` do for a check of the subtree of PID is timed without
start-up, relations, names and report. Against it stands the least that anybody could do who wants
to know the same: all that one such reading asks the engine for, each address once, on the same
engine, with nothing decoded, followed or kept. They take turns; the best of the rounds counts.

Prints JSON: seconds of processor time of each, and how many reads the bare ones are.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING

from analyzer.check import leaks
from analyzer.memory.distinct import unique
from analyzer.memory.probe import open_memory
from analyzer.sources import kernel
from analyzer.sources.request import Request
from benchmarks.page import Bare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from analyzer.memory.bpf import U8, U64, Mask
    from analyzer.memory.reader import Engine, Memory

LINK = 16
"""Bytes of a node of a list: the way on, and the way back."""


class Recorder:
    """An engine that keeps what it is asked for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.live, self.lost = engine.live, engine.lost
        self.asked: dict[int, list[U64]] = {}

    def current_task(self) -> int:
        """Return the task of ours."""
        return self._engine.current_task()

    def symbol(self, name: str) -> int:
        """Return the address of a symbol."""
        return self._engine.symbol(name)

    def works(self) -> bool:
        """Tell whether the engine works."""
        return self._engine.works()

    def close(self) -> None:
        """Close nothing: the engine is used on."""

    def read(self, addresses: U64, size: int) -> tuple[U8, Mask]:
        """Read, and keep the addresses."""
        self._keep(addresses, size)
        return self._engine.read(addresses, size)

    def batches(self, addresses: U64, size: int) -> Iterator[tuple[int, U8, Mask]]:
        """Read, and keep the addresses."""
        self._keep(addresses, size)
        return self._engine.batches(addresses, size)

    def chase(
        self, start: int, head: int, *, previous: int = 0, offset: int = 0, limit: int = 1 << 22
    ) -> tuple[U64, int]:
        """Follow a list, and keep its nodes."""
        nodes, why = self._engine.chase(start, head, previous=previous, offset=offset, limit=limit)
        self._keep(nodes, LINK)
        return nodes, why

    def _keep(self, addresses: U64, size: int) -> None:
        self.asked.setdefault(size, []).append(addresses)


def recorded(memory: Memory, request: Request) -> dict[int, U64]:
    """Return the distinct addresses that a reading asks for, by size."""
    engine = memory.engine
    recorder = Recorder(engine)
    memory.engine = recorder
    try:
        kernel.collect(memory, request)
    finally:
        memory.engine = engine
    return {size: unique(*parts) for size, parts in recorder.asked.items()}


def read_bare(engine: Engine, asked: dict[int, U64]) -> None:
    """Read it all once, and look at nothing."""
    for size, addresses in asked.items():
        for _ in engine.batches(addresses, size):
            pass


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time that some work takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(pid: int, rounds: int) -> Bare:
    """Measure both, in turn, several rounds of it."""
    request = Request(pid, related=(), wanted=lambda found: found.tables["objects"]["initial"])
    with open_memory() as memory:
        asked = recorded(memory, request)
        pairs = [
            (
                seconds(lambda: leaks.check(kernel.collect(memory, request))),
                seconds(lambda: read_bare(memory.engine, asked)),
            )
            for _ in range(rounds)
        ]
    whole, bare = (min(column) for column in zip(*pairs, strict=True))
    return Bare(whole, bare, sum(map(len, asked.values())))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pid", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.pid, chosen.rounds)._asdict()))


if __name__ == "__main__":
    main()
