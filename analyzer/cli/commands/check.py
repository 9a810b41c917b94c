"""cranalyze check: collect and report in one go, nothing written; the one that gates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.cli import options as opt
from analyzer.cli.arguments import obey_policy
from analyzer.cli.desk import Desk, to_file
from analyzer.cli.output import Progress
from analyzer.cli.target import Target
from analyzer.cli.work import Form, asked, chosen_form, collected, finish

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from analyzer.check.leaks import Verdicts
    from analyzer.snapshot.value import Snapshot

EXAMPLES: Final = (
    "sudo cranalyze check 4711",
    "sudo cranalyze check 4711 --json --ignore USER_NS",
    "sudo cranalyze check 4711 --junit --output leaks.xml",
    "cranalyze check $$ --subtree",
)


def run(  # noqa: PLR0913 - an option each
    pid: opt.Pid,
    *,
    rules: opt.Rules = opt.RuleSet.MODERN,
    json: opt.AsJson = False,
    markdown: opt.AsMarkdown = False,
    junit: opt.AsJUnit = False,
    tree: opt.AsTree = False,
    html: opt.Html = None,
    everything: opt.All = False,
    short: opt.ColumnsOrOutput = None,
    columns: opt.Columns = None,
    noheadings: opt.NoHeadings = False,
    list_columns: opt.ListColumns = False,  # noqa: ARG001 - it is done by then
    filter_: opt.Filter = None,
    output: opt.OutputFile = None,
    force: opt.Force = False,
    source: opt.From = opt.Source.AUTO,
    proc: opt.ProcRoot = None,
    raw_addresses: opt.Raw = False,
    freeze: opt.Freeze = False,
    subtree: opt.Subtree = False,
    strict: opt.Strict = False,
    fail_on: opt.FailOn = None,
    ignore: opt.Ignore = None,
    references_only: opt.ReferencesOnly = False,
    config: opt.Config = None,
) -> None:
    """Tell whether a subtree is contained.

    Exits with 16 if it is not, 3 if that could not be decided.
    """
    from analyzer.check.leaks import check as judge
    from analyzer.core import settings
    from analyzer.core.model import Rules
    from analyzer.report.make import make, shown

    target = Target.parse(pid, of_dump=proc is not None)
    form = chosen_form(json=json, markdown=markdown, junit=junit, tree=tree, html=html is not None)
    wanted = asked(
        form, html, (short, columns, output), filter_,
        noheadings=noheadings, everything=everything, force=force,
    )  # fmt: skip
    obey_policy(settings.load(config), subtree=subtree, live=True)
    chosen = wanted.options(
        "check", fail_on, ignore,
        subtree=subtree, gate=True, strict=strict, references_only=references_only,
    )  # fmt: skip

    seen: list[Verdicts] = []

    def listed(snapshot: Snapshot) -> npt.NDArray[np.bool_]:
        # What is named afterwards does not change the verdicts: they are worked out once.
        seen.append(judge(snapshot, rules=Rules(rules)))
        return shown(seen[-1], everything=wanted.everything)

    inputs = [] if proc is None else [proc]
    with Desk(inputs, to_file(wanted.output, force=force), foreign=proc is not None) as desk:
        with Progress(quiet=form is Form.JSON) as progress:
            snapshot = collected(
                target,
                source,
                opt.Scope.BORDER,
                desk,
                progress,
                raw=raw_addresses,
                freeze=freeze,
                related=not references_only,
                listed=listed,
            )
        verdicts = seen[-1] if seen else judge(snapshot, rules=Rules(rules))
        finish(make(snapshot, verdicts, chosen), wanted, desk)
