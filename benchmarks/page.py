"""What a run of the benchmark measured, and the page that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

INTRODUCTION: Final = (
    "Whole processes, start-up included, best of {rounds} rounds in turn. Made by `make bench`; "
    "a ratio of 0.25 means a quarter of the other's time."
)


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


@dataclass(frozen=True)
class Row:
    """One size of the load: what every program took."""

    files: int
    processes: int
    timings: dict[str, Timing]


def others_in(rows: Sequence[Row]) -> list[str]:
    """Name what cranalyze was compared with."""
    return [name for name in rows[0].timings if name not in OURS]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table: the first column to the left, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ratios(rows: Sequence[Row]) -> str:
    """Show cranalyze's wall time as a part of the others'."""
    pairs = [*(("cranalyze", name) for name in others_in(rows)), ASKED, RELATED]

    def ratio(row: Row, one: str, other: str) -> str:
        return f"{row.timings[one].seconds / row.timings[other].seconds:.2f}"

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


def growth(rows: Sequence[Row], base: Timing) -> str:
    """Tell what one more open file costs: bytes at the peak, over a check of a few files."""
    last = rows[-1]
    grown = max(0, last.timings["cranalyze"].peak - base.peak)
    return f"{grown / last.files:,.0f} bytes of peak memory an open file, at {last.files:,} files"


def page(
    rows: Sequence[Row],
    start: Mapping[str, Timing],
    machine: Mapping[str, str],
    *,
    floor: int,
    rounds: int,
) -> str:
    """Write the whole result as Markdown."""
    startup = [[name, f"{t.seconds * 1000:.0f}", peak_text(floor)(t)] for name, t in start.items()]
    check = list(start.values())[-1]
    return "\n\n".join(
        [
            "# Benchmark",
            INTRODUCTION.format(rounds=rounds),
            "## Ratios of wall time",
            ratios(rows),
            "## Wall time, seconds",
            each(rows, lambda timing: f"{timing.seconds:.2f}"),
            "## CPU time, seconds",
            each(rows, lambda timing: f"{timing.cpu:.2f}"),
            "## Peak memory, MB",
            each(rows, peak_text(floor)),
            growth(rows, check) + ".",
            "## Start-up",
            table(["program", "milliseconds", "peak MB"], startup),
            "## Machine",
            "\n".join(f"- {key}: {value}" for key, value in machine.items()),
        ]
    )
