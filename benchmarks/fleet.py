"""Times `cranalyze fleet check`: snapshots per second by this process and by workers, and memory.

    python -m benchmarks.fleet [--snapshots 300 3000] [--workers 0 1 2]

The snapshots are of one made-up container on so many hosts. Writes docs/benchmark-fleet.md. Where
others use the machine too, processor time tells more than wall time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.run import CRANALYZE, run_once
from scripts.docs.markdown import table

if TYPE_CHECKING:
    from analyzer.snapshot.value import Snapshot
    from benchmarks.page import Timing

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "benchmark-fleet.md"
_FILES: Final = 300
_DAYS: Final = 10
_MIB: Final = 1 << 20
_HEAD: Final = """# Benchmark: a fleet

`cranalyze fleet check` of so many snapshots in a folder ({size:,} bytes each: a container with
{files} open files, two of them leaks), from the start of the program to its end, into a folder of
results. Workers are processes beside it; 0 is none. Processor time is of all processes together,
peak memory that of the largest one: with more snapshots it should stay what it is. Made by
`python -m benchmarks.fleet` on {processors} processors ({machine}), with others using them too.
"""


class Took(NamedTuple):
    """One run: the peak of its timing is that of the largest process."""

    snapshots: int
    workers: int
    timing: Timing


def main() -> None:
    """Run what the arguments ask for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--snapshots", type=int, nargs="+", default=[300, 3000])
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        took = []
        for count in asked.snapshots:
            # In a process of its own: what starts a program is the least that its peak can be.
            maker = multiprocessing.Process(target=_make, args=(folder / f"{count}", count))
            maker.start()
            maker.join()
            took += [_run(folder, count, workers) for workers in asked.workers]
        size = (folder / f"{asked.snapshots[0]}" / "0.crz").stat().st_size
    PAGE.write_text(_page(took, size))


def _make(folder: Path, count: int) -> None:
    """Write so many snapshots."""
    from analyzer.core.values import replace

    folder.mkdir()
    one = _container()
    for number in range(count):
        day, host = number % _DAYS, number // _DAYS
        meta = {
            "host": f"host{host}", "boot_id": f"{host:08x}-0000-4000-8000-000000000000",
            "collected_at": f"2026-11-{10 + day}T12:00:00Z", "monotonic_ns": day * 10**12,
        }  # fmt: skip
        replace(one, meta={**one.meta, **meta}).save(folder / f"{number}.crz")


def _container() -> Snapshot:
    from tests.build import Machine

    made = Machine()
    made.task(1, 0, comm="init")
    made.task(77, 1, comm="launcher")
    made.task(100, 77, comm="app", nspid=1)
    own, other = (made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (100, 77))
    for fd in range(_FILES):
        held = [(own, "fd", fd), *([(other, "fd", fd)] if fd > _FILES - 3 else [])]
        made.object("FILE", len(held), name=f"/srv/{fd}.db", ino=fd, dev=1, holders=held)
    return made.snapshot(100)


def _run(folder: Path, count: int, workers: int) -> Took:
    out = folder / f"out-{count}-{workers}"
    words = ["fleet", "check", str(folder / f"{count}"), "-o", str(out), "--workers", str(workers)]
    return Took(count, workers, run_once([CRANALYZE, *words], (0,)))


def _page(took: list[Took], size: int) -> str:
    head = ["snapshots", "workers", "snapshots per second", "per second of processor time",
            "wall time, s", "processor time, s", "peak memory, MiB"]  # fmt: skip
    rows = [
        [
            f"{count:,}", str(workers), f"{count / timing.seconds:,.0f}",
            f"{count / timing.cpu:,.0f}", f"{timing.seconds:.1f}", f"{timing.cpu:.1f}",
            f"{timing.peak / _MIB:.0f}",
        ]
        for count, workers, timing in took
    ]  # fmt: skip
    about = _HEAD.format(
        size=size, files=_FILES, processors=os.cpu_count(), machine=platform.machine()
    )
    return f"{about}\n{table(head, rows)}\n"


if __name__ == "__main__":
    main()
