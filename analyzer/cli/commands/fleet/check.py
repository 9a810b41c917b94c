"""cranalyze fleet check: snapshots checked where they are, into a folder of results."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final

from analyzer.cli.desk import unprivileged
from analyzer.cli.output import Progress, emit, note
from analyzer.cli.parameters import Argument, Option
from analyzer.core.errors import BadInputError
from analyzer.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analyzer.fleet.check import Came
    from analyzer.fleet.places import Found

EXAMPLES: Final = (
    "cranalyze fleet check '/srv/snapshots/*.crz' -o /srv/fleet",
    "cranalyze fleet check s3://snapshots/2026/ -o s3://fleet/results",
    "cranalyze fleet check /srv/snapshots -o /srv/fleet --workers 0",
    "cranalyze fleet check s3://raw -o s3://fleet --scheduler tcp://dask:8786",
)

Where = Annotated[
    str,
    Argument(
        metavar="URL", help="A folder, a pattern or a file: *.crz; fsspec's URLs too.",
        show_default=False,
    ),
]  # fmt: skip
Into = Annotated[str, Option("--output", "-o", metavar="URL", help="The folder of the results.")]
Scheduler = Annotated[
    str | None,
    Option("--scheduler", metavar="ADDRESS", help="Let the workers of this one do it."),
]
Workers = Annotated[
    int | None,
    Option(
        "--workers", metavar="N", min=0, show_default=False,
        help="Processes here; 0 is this one. [default: one for each processor]",
    ),
]  # fmt: skip


def run(
    where: Where, *, output: Into, scheduler: Scheduler = None, workers: Workers = None
) -> None:
    """Check snapshots where they are, and keep what is found.

    As Parquet, in date=YYYY-MM-DD/host=NAME/, one file for each snapshot: rows of leaks, crossings
    and gaps (docs/fleet.md). What cannot be read is a row that says so. Only what is new is read.
    """
    from analyzer.core import extras

    more = () if workers == 0 and scheduler is None else ("distributed", "cryptography")
    extras.need("fleet check", "fsspec", "pyarrow", *more)
    if scheduler is not None and workers is not None:
        raise BadInputError("--workers are of this machine: leave it out with --scheduler")
    unprivileged()
    from analyzer.fleet.check import new
    from analyzer.fleet.places import Folder, absolute, find

    url, folder = absolute(where), absolute(output)
    found, refused = find(url)
    for path in refused:
        note(f"cranalyze: cannot look into {printable(path)}: no permission")
    if not found:
        raise BadInputError(f"no snapshot (*.crz) is at {printable(where)}")
    todo = new(found, Folder(folder))
    count: Counter[str] = Counter()
    with Progress() as progress, _checked(todo, folder, scheduler, workers) as results:
        for came in results:
            count[came.value] += 1
            progress(f"{sum(count.values()):,} of {len(todo):,} snapshots: {_words(count)}")
    emit(f"{len(todo):,} of {len(found):,} snapshots are new{': ' if count else ''}"
         f"{_words(count)}\n")  # fmt: skip
    if count["unread"]:
        note(f"cranalyze: {count['unread']:,} could not be read: fleet report says which, and why")


@contextlib.contextmanager
def _checked(
    todo: Sequence[Found], folder: str, scheduler: str | None, workers: int | None
) -> Iterator[Iterator[Came]]:
    from analyzer.fleet import engine

    number = len(os.sched_getaffinity(0)) if workers is None else workers
    if not todo or (scheduler is None and not number):
        yield engine.serial(todo, folder)
        return
    chosen = engine.own(min(number, len(todo))) if scheduler is None else engine.at(scheduler)
    with chosen as client:
        yield engine.spread(todo, folder, client)


def _words(count: Counter[str]) -> str:
    """Return "3 contained, 2 with leaks": what came of how many."""
    told = sorted(count.items())
    return ", ".join(f"{number:,} {_CAME.get(came, came)}" for came, number in told)


_CAME: Final = {"leaks": "with leaks"}
