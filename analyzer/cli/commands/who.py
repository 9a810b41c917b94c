"""cranalyze who: every holder of an object, on the whole machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import typer

from analyzer.cli import listing
from analyzer.cli import options as opt
from analyzer.cli.output import Progress, coloured, columns, emit

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from analyzer.snapshot.value import Snapshot

EXAMPLES: Final = (
    "sudo cranalyze who 4711:3",
    "sudo cranalyze who 'net:[4026532178]' /run/netns/blue",
    "sudo cranalyze who /dev/sdb1 tcp:8080 cgroup:/app",
    "sudo cranalyze who /var/log/app.log --json",
    "sudo cranalyze who --kind inotify",
    "sudo cranalyze who --deleted --larger 10M",
)


def run(  # noqa: PLR0913 - an option each
    what: opt.What = None,
    *,
    kind: opt.OfKind = None,
    deleted: opt.Deleted = False,
    larger: opt.Larger = None,
    columns_: opt.ListColumnsOf = None,
    noheadings: opt.NoHeadings = False,
    list_columns: opt.ColumnsOfThings = False,
    filter_: opt.FilterThings = None,
    json: opt.AsJson = False,
) -> None:
    """Tell who still holds an object, on the whole machine.

    Name it as you see it: a path, PID:FD, net:[N], pipe:[N], tcp:PORT, a block device, a network
    interface, a cgroup: docs/who.md has all words. Exits with 1 if there is no such object, 0 if it
    is there, held or not, 3 if none was found but not all could be read, or seen here.

    With --kind or --deleted instead: all such things of the machine, who holds how many, worst
    first, and how near the limits are.
    """
    del list_columns
    if listing.asked(kind, larger, columns_, filter_, deleted=deleted, named=bool(what)):
        view = listing.View(columns_, filter_, noheadings=noheadings, json=json)
        listing.tell(kind, larger, view)
        return
    from analyzer.lookup import who as asking
    from analyzer.report.make import gaps_of
    from analyzer.sources import collect as take
    from analyzer.sources.request import Request
    from analyzer.writers import who as writer

    queries = [asking.parse(name) for name in what or ()]

    def wanted(snapshot: Snapshot) -> npt.NDArray[np.bool_]:
        rows = [row for query in queries for row in asking.rows(snapshot, query)]
        return asking.upward(snapshot, rows)

    def enough(snapshot: Snapshot) -> bool:
        return all(asking.enough(snapshot, query) for query in queries)

    with Progress(quiet=json) as progress:
        asked = Request(
            None, wanted=wanted, detailed=True, stated=asking.stated(queries), enough=enough,
            named=tuple(pid for query in queries for pid in query.pids), progress=progress,
        )  # fmt: skip
        snapshot = take(asked, source="kernel", drop_privileges=True)
    answers = [asking.answer(snapshot, query) for query in queries]
    gaps = gaps_of(snapshot)
    code = asking.exit_code(answers)
    if json:
        emit(writer.to_json(answers, gaps, code))
    else:
        emit(writer.to_text(answers, gaps, columns(), colour=coloured()))
    raise typer.Exit(code)
