"""What a run of the benchmark measured, and the page that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

INTRODUCTION: Final = (
    "`cranalyze check` of a tree that holds the open files, and of one process beside it, against "
    "`lsof -n -P` and `lsfd`. Whole processes, start-up included, best of {rounds} rounds in turn "
    "(of 500,000 files, one). Made by `make bench`; a ratio of 0.25 means a quarter of the other's "
    "time. Where others use the machine too, processor time tells more than wall time."
)
BARE: Final = (
    "What `check` reads and works out, without start-up, relations and names, against bare reads "
    "of the same memory by the same programs, each address once (`benchmarks/bare.py`)."
)
THREADS: Final = 1000
HELD: Final = (
    "`check --freeze` of a process of {threads:,} threads holds it still for {whole:.0f} ms, in "
    "which what was read before is found again. Stopping them and letting them go is "
    "{nothing:.0f} ms of that: so long they are held where nothing is read."
)
PICTURE: Final = "pictures/growth.svg"
SMALL: Final = "cranalyze check, 10 files"

RELATED: Final = ("one process", "its references only")
"""`cranalyze check` of one process beside the load, with and without what no count shows."""
ASKED: Final = ("who", "census")
"""`cranalyze who` of one descriptor, and `cranalyze census`, both of the whole machine."""
OURS: Final = ("cranalyze", "census", "who", *RELATED)
"""`cranalyze check` of the load, `ASKED`, and `RELATED`."""


@dataclass(frozen=True)
class Timing:
    """The best run of one program: seconds of wall time, seconds of CPU, peak bytes."""

    seconds: float
    cpu: float
    peak: int


class Bare(NamedTuple):
    """Seconds of processor time: of reading and check, and of the bare reads, which are so many."""

    whole: float
    bare: float
    reads: int


class Held(NamedTuple):
    """Seconds for which a subtree is held still: by a check, and where nothing is read."""

    seconds: float
    for_nothing: float


@dataclass(frozen=True)
class Row:
    """One size of the load: what every program took, and what only reading it would take."""

    files: int
    processes: int
    timings: dict[str, Timing]
    bare: Bare


def others_in(rows: Sequence[Row]) -> list[str]:
    """Name what cranalyze was compared with."""
    return [name for name in rows[0].timings if name not in OURS]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table: the first column to the left, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ratios(rows: Sequence[Row], time: Callable[[Timing], float]) -> str:
    """Show cranalyze's time as a part of the others'."""
    against = [(name, other) for name in ("cranalyze", RELATED[0]) for other in others_in(rows)]
    pairs = [*against, ASKED, RELATED]

    def ratio(row: Row, one: str, other: str) -> str:
        return f"{time(row.timings[one]) / time(row.timings[other]):.2f}"

    head = ["open files", "processes", *(f"{one} / {other}" for one, other in pairs)]
    cells = [
        [f"{row.files:,}", f"{row.processes:,}", *(ratio(row, *pair) for pair in pairs)]
        for row in rows
    ]
    return table(head, cells)


def each(rows: Sequence[Row], show: Callable[[Timing], str]) -> str:
    """Show one number of every program."""
    names = [*OURS, *others_in(rows)]
    cells = [[f"{row.files:,}", *(show(row.timings[name]) for name in names)] for row in rows]
    return table(["open files", *names], cells)


def peak_text(floor: int) -> Callable[[Timing], str]:
    """Make the text of a peak: in MB, or as below the floor of what can be told."""

    def show(timing: Timing) -> str:
        if timing.peak <= floor * 1.05:
            return f"below {floor / 1e6:.0f}"
        return f"{timing.peak / 1e6:.0f}"

    return show


def bare(rows: Sequence[Row]) -> str:
    """Show what reading and check take over what reading alone would."""
    cells = [
        [
            f"{row.files:,}",
            f"{row.bare.reads:,}",
            f"{row.bare.bare:.3f}",
            f"{row.bare.whole:.3f}",
            f"{row.bare.whole / row.bare.bare:.1f}",
        ]
        for row in rows
    ]
    return table(["open files", "reads", "bare, s", "reading and check, s", "ratio"], cells)


def growth(rows: Sequence[Row]) -> str:
    """Tell what one more open file costs, from each size to the next: time, and peak memory."""
    points = [(row.files, row.timings["cranalyze"]) for row in rows]
    cells = [
        [
            f"{files:,} to {more_files:,}",
            f"{(more.cpu - less.cpu) / (more_files - files) * 1e6:.1f}",
            f"{max(0, more.peak - less.peak) / (more_files - files):,.0f}",
        ]
        for (files, less), (more_files, more) in pairwise(points)
    ]
    return table(["open files", "microseconds of processor time a file", "bytes a file"], cells)


def page(
    rows: Sequence[Row],
    start: Mapping[str, Timing],
    machine: Mapping[str, str],
    *,
    floor: int,
    rounds: int,
    held: Held,
) -> str:
    """Write the whole result as Markdown."""
    startup = [[name, f"{t.seconds * 1000:.0f}", peak_text(floor)(t)] for name, t in start.items()]
    return "\n\n".join(
        [
            "# Benchmark",
            INTRODUCTION.format(rounds=rounds),
            "## Ratios of wall time",
            ratios(rows, lambda timing: timing.seconds),
            "## Ratios of processor time",
            ratios(rows, lambda timing: timing.cpu),
            "## Wall time, seconds",
            each(rows, lambda timing: f"{timing.seconds:.2f}"),
            "## Processor time, seconds",
            each(rows, lambda timing: f"{timing.cpu:.2f}"),
            "## Peak memory, MB",
            each(rows, peak_text(floor)),
            "## Growth",
            f"![processor time by open files]({PICTURE})",
            growth(rows),
            "## Reading alone",
            BARE,
            bare(rows),
            "## Held still",
            HELD.format(
                threads=THREADS, whole=held.seconds * 1000, nothing=held.for_nothing * 1000
            ),
            "## Start-up",
            table(["program", "milliseconds", "peak MB"], startup),
            "## Machine",
            "\n".join(f"- {key}: {value}" for key, value in machine.items()),
        ]
    )
