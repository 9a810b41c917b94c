"""cranalyze plot: draw what a snapshot shows."""

from __future__ import annotations

import glob
import os
from typing import Annotated, Final

from analyzer.cli import completion, picture
from analyzer.cli import options as opt
from analyzer.cli.arguments import newest_snapshot
from analyzer.cli.desk import Desk, to_file
from analyzer.cli.output import emit, note
from analyzer.cli.parameters import Option
from analyzer.cli.target import Target
from analyzer.cli.work import whole_report
from analyzer.core.errors import BadInputError, CranalyzeError

EXAMPLES: Final = (
    "cranalyze plot -o border.svg",
    "cranalyze plot web1.crz --kind dumbbell -o leaks.png",
    "cranalyze plot monday.crz tuesday.crz --kind life -o life.pdf",
)

_DEFAULT: Final = "border"

Kind = Annotated[
    str,
    Option(
        "--kind",
        metavar="NAME",
        help="Which plot; --list tells them.",
        autocompletion=completion.plots,
    ),
]
List = Annotated[bool, Option("--list", help="List the plots, one a line, and stop.")]


def run(
    files: opt.SnapshotFiles = None,
    *,
    kind: Kind = _DEFAULT,
    output: opt.Output = None,
    form: opt.PictureForm = None,
    pid: opt.OtherPid = None,
    rules: opt.Rules = opt.RuleSet.MODERN,
    force: opt.Force = False,
    listed: List = False,
) -> None:
    """Draw what a snapshot shows.

    As png, svg or pdf. The kind life takes several snapshots of one process; by default all that
    are here.
    """
    from analyzer import plots
    from analyzer.core import extras
    from analyzer.plots import base
    from analyzer.snapshot import crz

    if listed:
        emit("".join(f"{plot.name:12}{plot.summary}\n" for plot in plots.registry().values()))
        return
    extras.need("plot", "matplotlib", "pyarrow")
    target = Target.parse(pid, of_dump=True)
    plot = plots.named(kind)
    output, chosen = picture.target(output, form, force=force)
    names = list(dict.fromkeys(files or []))
    if len(names) > 1 and not plot.many:
        raise BadInputError(f"--kind {plot.name} is of one snapshot, not of {len(names)}: name one")
    newest = "" if names else newest_snapshot()
    here = sorted(path for path in glob.glob("*.crz") if os.path.isfile(path))
    every = names or (here if plot.many else [newest])
    with Desk(every, to_file(output, force=force)) as desk:
        chosen_names = _alike(desk, newest, here, target) if plot.many and not names else every
        reports = [whole_report(desk, name, target, rules.value) for name in chosen_names]
        data = base.render(plot, reports, chosen)
        if output == "-":
            crz.to_stdout(data, "a picture")
        else:
            desk.deliver([(output, data)])
            note(f"cranalyze: wrote {output}: the plot {plot.name}")


def _alike(desk: Desk, newest: str, here: list[str], target: Target) -> list[str]:
    """Return the snapshots here that are of the same boot and process as the newest."""
    meta = desk.load(newest).meta
    root = meta["subject"]["pid"] if target.unnamed else target.root(desk.load(newest))
    found = []
    for name in here:
        try:
            other = desk.load(name).meta
        except CranalyzeError as error:
            note(f"cranalyze: left out: {error}")
            continue
        same = other["boot_id"] == meta["boot_id"]
        mine = root in {None, other["subject"]["pid"]} or other["scope"] == "host"
        if same and mine and (not target.unnamed or other["subject"]["pid"] is not None):
            found.append(name)
    return found or [newest]
