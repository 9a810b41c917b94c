"""cranalyze report: say what a snapshot shows."""

from __future__ import annotations

from typing import Final

from analyzer.cli import options as opt
from analyzer.cli.arguments import obey_policy
from analyzer.cli.work import finish, judged, report_options

EXAMPLES: Final = (
    "cranalyze report",
    "cranalyze report web1-4711-20260101T120000Z.crz --json",
    "cranalyze report host.crz --pid 4711 --check",
)


def run(  # noqa: PLR0913 - an option each
    file: opt.SnapshotFile = None,
    *,
    pid: opt.OtherPid = None,
    rules: opt.Rules = opt.RuleSet.MODERN,
    json: opt.AsJson = False,
    everything: opt.All = False,
    output: opt.Output = None,
    force: opt.Force = False,
    check: opt.Gate = False,
    subtree: opt.Subtree = False,
    fail_on: opt.FailOn = None,
    ignore: opt.Ignore = None,
    config: opt.Config = None,
) -> None:
    """Say what a snapshot shows.

    Exits with 0 whatever that is, unless --check asks for more.
    """
    from analyzer import settings
    from analyzer.report import make

    obey_policy(settings.load(config), subtree=subtree, live=False)
    chosen = report_options(
        "report", fail_on, ignore, everything=everything, subtree=subtree, gate=check,
        brief=not json and not everything,
    )  # fmt: skip
    result = make(*judged(file, pid, rules), chosen)
    finish(result, output, json=json, everything=everything, force=force)
