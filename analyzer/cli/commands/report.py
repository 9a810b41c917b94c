"""cranalyze report: say what a snapshot shows."""

from __future__ import annotations

from typing import Final

from analyzer.cli import hashes
from analyzer.cli import options as opt
from analyzer.cli.arguments import for_tool, newest_snapshot, obey_policy
from analyzer.cli.desk import Desk, to_file
from analyzer.cli.target import Target
from analyzer.cli.work import asked, chosen_form, finish, judged, known_before

EXAMPLES: Final = (
    "cranalyze report",
    "cranalyze report web1-4711-20260101T120000Z.crz --json",
    "cranalyze report host.crz --pid 4711 --check",
    "cranalyze report --markdown",
    "cranalyze report --for criu",
    "cranalyze report --tree",
    "cranalyze report --html page.html",
    "cranalyze report -o PID,ASSOC,NAME -Q 'SIDE == \"outside\" and not INITIAL'",
)


def run(  # noqa: PLR0913 - an option each
    file: opt.SnapshotFile = None,
    *,
    pid: opt.OtherPid = None,
    rules: opt.Rules = opt.RuleSet.MODERN,
    json: opt.AsJson = False,
    markdown: opt.AsMarkdown = False,
    junit: opt.AsJUnit = False,
    tree: opt.AsTree = False,
    html: opt.Html = None,
    everything: opt.All = False,
    redact: opt.Redact = False,
    redact_key: opt.RedactKey = None,
    short: opt.ColumnsOrOutput = None,
    columns: opt.Columns = None,
    noheadings: opt.NoHeadings = False,
    list_columns: opt.ListColumns = False,  # noqa: ARG001 - it is done by then
    filter_: opt.Filter = None,
    output: opt.OutputFile = None,
    force: opt.Force = False,
    check: opt.Gate = False,
    subtree: opt.Subtree = False,
    strict: opt.Strict = False,
    fail_on: opt.FailOn = None,
    ignore: opt.Ignore = None,
    references_only: opt.ReferencesOnly = False,
    accept: opt.Accept = opt.Accepted.PROVEN,
    profile: opt.ProfileName = "auto",
    tool: opt.For = opt.Tool.NONE,
    policy: opt.Policy = None,
    baseline: opt.Baseline = None,
    sarif: opt.Sarif = None,
    github: opt.AsGithub = False,
    config: opt.Config = None,
) -> None:
    """Say what a snapshot shows.

    Exits with 0 whatever that is, unless --check asks for more.
    """
    from analyzer.core import extras, settings
    from analyzer.report.make import make

    extras.need("report", "pyarrow")
    form = chosen_form(
        json=json, markdown=markdown, junit=junit, tree=tree, html=html is not None,
        sarif=sarif is not None, github=github,
    )  # fmt: skip
    wanted = asked(
        form, html or sarif, (short, columns, output), filter_,
        noheadings=noheadings, everything=everything, force=force,
    )  # fmt: skip
    obey_policy(settings.load(config), subtree=subtree, live=False)
    target = Target.parse(pid, of_dump=True)
    chosen = wanted.options(
        "report", fail_on, ignore,
        subtree=subtree, gate=check, strict=strict, references_only=references_only,
        accept=accept,
        profile=profile, policy=policy, baseline=known_before(baseline, target, rules.value),
    )  # fmt: skip
    if tool is opt.Tool.CRIU:
        chosen = for_tool(chosen, form)
    name = file or newest_snapshot()
    redacted = hashes.asked(redact=redact, key=redact_key)
    with Desk([name], to_file(wanted.output, force=force)) as desk:
        finish(make(*judged(desk, name, target, rules, redacted=redacted), chosen), wanted, desk)
