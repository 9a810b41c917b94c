"""cranalyze fleet report: what the results of a fleet have in common."""

from __future__ import annotations

from typing import Annotated, Final

from analyzer.cli import options as opt
from analyzer.cli.desk import unprivileged
from analyzer.cli.output import coloured, columns, emit, speak_utf8
from analyzer.cli.parameters import Option

EXAMPLES: Final = (
    "cranalyze fleet report /srv/fleet",
    "cranalyze fleet report s3://fleet --since 2026-11-01",
    "cranalyze fleet report /srv/fleet --html fleet.html",
)

Everything = Annotated[
    bool, Option("--all", help="List all: what does not decide, every host and file.")
]


def run(
    where: opt.Results,
    *,
    since: opt.NewSince = None,
    json: opt.AsJson = False,
    html: opt.Html = None,
    force: opt.Force = False,
    everything: Everything = False,
) -> None:
    """Tell what a fleet has in common, and which host is unlike.

    By signature: what is the same trouble on many hosts (docs/fleet.md), and when it was first and
    last seen there.
    """
    from analyzer.core import extras, files
    from analyzer.core.errors import BadInputError

    extras.need("fleet report", "fsspec", "pyarrow")
    if json and html is not None:
        raise BadInputError("--json and --html: say one of them")
    if html is not None and html != "-":
        files.refuse_target(html, force=force)
    unprivileged()
    from analyzer.fleet import document, page, told
    from analyzer.fleet.places import absolute
    from analyzer.fleet.summary import day, load, summary
    from analyzer.writers.terminal import to_text

    start = None if since is None else day(since)
    fleet = summary(load(absolute(where)), start)
    if html is not None and html != "-":
        data = page.render(fleet, everything=everything).encode()
        files.write_file(html, data, force=force)
    elif html is not None:
        speak_utf8()
        emit(page.render(fleet, everything=everything))
    elif json:
        speak_utf8()
        emit(document.render(fleet))
    else:
        emit(to_text(told.render(fleet, columns(), everything=everything), colour=coloured()))
