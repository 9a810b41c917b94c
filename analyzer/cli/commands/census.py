"""cranalyze census: the whole machine, kind by kind."""

from __future__ import annotations

from typing import Final

from analyzer.cli import options as opt
from analyzer.cli.output import coloured, columns, emit
from analyzer.cli.parameters import Exit
from analyzer.cli.work import machine

EXAMPLES: Final = (
    "sudo cranalyze census",
    "sudo cranalyze census --json",
    "cranalyze census --from host.crz",
)


def run(*, json: opt.AsJson = False, from_: opt.FromFile = None, proc: opt.ProcRoot = None) -> None:
    """Count and name every reference of the whole machine.

    Kind by kind; what does not come out even is listed object by object. Exits with 3 if a file has
    not what it takes to tell (--from, --proc).
    """
    from analyzer.lookup import census as counting
    from analyzer.lookup.recorded import headed
    from analyzer.sources.request import Request
    from analyzer.writers import census as writer

    request = Request(None, wanted=counting.uneven, related=())
    snapshot = machine(from_, proc, request, quiet=json)
    found = counting.take(snapshot)
    if json:
        emit(writer.to_json(found))
    else:
        about = headed(snapshot)
        emit(writer.to_text(found, columns(), colour=coloured(), about=about))
    raise Exit(found.exit_code)
