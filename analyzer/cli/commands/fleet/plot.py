"""cranalyze fleet plot: draw what the results of a fleet have in common."""

from __future__ import annotations

from typing import Annotated, Final

from analyzer.cli import completion, picture
from analyzer.cli import options as opt
from analyzer.cli.desk import unprivileged
from analyzer.cli.output import note
from analyzer.cli.parameters import Option

EXAMPLES: Final = (
    "cranalyze fleet plot /srv/fleet -o hosts.svg",
    "cranalyze fleet plot s3://fleet --kind days -o days.png",
)

Kind = Annotated[
    str,
    Option(
        "--kind",
        metavar="NAME",
        help="hosts (by signature), or days (signatures over time).",
        autocompletion=completion.fleet_plots,
    ),
]


def run(
    where: opt.Results,
    *,
    kind: Kind = "hosts",
    output: opt.Output = None,
    form: opt.PictureForm = None,
    since: opt.NewSince = None,
    force: opt.Force = False,
) -> None:
    """Draw who has what, or since when.

    As png, svg or pdf: what decides, by signature (docs/fleet.md).
    """
    from analyzer.core import extras, files
    from analyzer.snapshot import crz

    extras.need("fleet plot", "fsspec", "matplotlib", "pyarrow")
    output, chosen = picture.target(output, form, force=force)
    unprivileged()
    from analyzer.fleet import plots
    from analyzer.fleet.places import absolute
    from analyzer.fleet.summary import day, load, summary
    from analyzer.plots import base

    plot = plots.named(kind)
    start = None if since is None else day(since)
    data = base.render(plot, summary(load(absolute(where)), start), chosen)
    if output == "-":
        crz.to_stdout(data, "a picture")
    else:
        files.write_file(output, data, force=force)
        note(f"cranalyze: wrote {output}: the plot {plot.name}")
