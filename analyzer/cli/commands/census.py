"""cranalyze census: the whole machine, kind by kind."""

from __future__ import annotations

from typing import Final

from analyzer.cli import options as opt
from analyzer.cli.output import Progress, coloured, columns, emit

EXAMPLES: Final = (
    "sudo cranalyze census",
    "sudo cranalyze census --json",
)


def run(*, json: opt.AsJson = False) -> None:
    """Count and name every reference of the whole machine.

    Kind by kind; what does not come out even is listed object by object.
    """
    from analyzer.lookup import census as counting
    from analyzer.sources import collect as take
    from analyzer.sources.request import Request
    from analyzer.writers import census as writer

    with Progress(quiet=json) as progress:
        asked = Request(None, wanted=counting.uneven, progress=progress)
        snapshot = take(asked, source="kernel", drop_privileges=True)
    found = counting.take(snapshot)
    emit(writer.to_json(found) if json else writer.to_text(found, columns(), colour=coloured()))
