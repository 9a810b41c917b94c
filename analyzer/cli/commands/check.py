"""cranalyze check: collect and report in one go, nothing written; the one that gates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.cli import options as opt
from analyzer.cli.arguments import obey_policy, parse_pid
from analyzer.cli.output import Progress
from analyzer.cli.work import collected, finish, report_options

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from analyzer.check.leaks import Verdicts
    from analyzer.snapshot import Snapshot

EXAMPLES: Final = (
    "sudo cranalyze check 4711",
    "sudo cranalyze check 4711 --json --ignore USER_NS",
    "cranalyze check $$ --subtree",
)


def run(  # noqa: PLR0913 - an option each
    pid: opt.Pid,
    *,
    rules: opt.Rules = opt.RuleSet.MODERN,
    json: opt.AsJson = False,
    everything: opt.All = False,
    output: opt.Output = None,
    force: opt.Force = False,
    source: opt.From = opt.Source.AUTO,
    proc: opt.ProcRoot = None,
    raw_addresses: opt.Raw = False,
    freeze: opt.Freeze = False,
    subtree: opt.Subtree = False,
    fail_on: opt.FailOn = None,
    ignore: opt.Ignore = None,
    config: opt.Config = None,
) -> None:
    """Tell whether a subtree is contained.

    Exits with 16 if it is not, 3 if that could not be decided.
    """
    from analyzer import settings
    from analyzer.check.leaks import check as judge
    from analyzer.model import Rules
    from analyzer.report import make, shown

    root = parse_pid(pid, of_dump=proc is not None)
    obey_policy(settings.load(config), subtree=subtree, live=True)
    chosen = report_options(
        "check", fail_on, ignore, everything=everything, subtree=subtree, gate=True,
        brief=not json and not everything,
    )  # fmt: skip

    seen: list[Verdicts] = []

    def listed(snapshot: Snapshot) -> npt.NDArray[np.bool_]:
        # What is named afterwards does not change the verdicts: they are worked out once.
        seen.append(judge(snapshot, root, Rules(rules)))
        return shown(seen[-1], everything=everything)

    with Progress(quiet=json) as progress:
        snapshot = collected(
            root,
            source,
            opt.Scope.BORDER,
            proc,
            progress,
            raw=raw_addresses,
            freeze=freeze,
            listed=listed,
        )
    verdicts = seen[-1] if seen else judge(snapshot, root, Rules(rules))
    finish(make(snapshot, verdicts, chosen), output, json=json, everything=everything, force=force)
