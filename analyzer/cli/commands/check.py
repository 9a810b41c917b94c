"""cranalyze check: collect and report in one go, nothing written; the one that gates."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final, NoReturn

from analyzer.cli import options as opt
from analyzer.cli.arguments import for_tool, obey_policy
from analyzer.cli.desk import Desk, to_file
from analyzer.cli.numbers import Numbers
from analyzer.cli.output import Progress
from analyzer.cli.output import columns as columns_of
from analyzer.cli.parameters import Exit
from analyzer.cli.target import Target
from analyzer.cli.work import (
    Asked,
    Form,
    asked,
    chosen_core,
    chosen_form,
    collected,
    finish,
    keep_policy,
    known_before,
    strangers,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from analyzer.check.leaks import Verdicts
    from analyzer.report.value import Report, ReportOptions
    from analyzer.snapshot.value import Snapshot

EXAMPLES: Final = (
    "sudo cranalyze check 4711",
    "sudo cranalyze check podman:web",
    "sudo cranalyze check 4711 --json --ignore USER_NS",
    "sudo cranalyze check 4711 --junit --output leaks.xml",
    "sudo cranalyze check --all-containers",
    "sudo cranalyze check --all-containers --quiet --prometheus cranalyze.prom",
    "sudo cranalyze check 4711 --for criu",
    "cranalyze check $$ --subtree",
)


def run(  # noqa: PLR0913 - an option each
    subject: opt.Subjects = None,
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
    vmcore: opt.Vmcore = None,
    vmlinux: opt.Vmlinux = None,
    raw_addresses: opt.Raw = False,
    freeze: opt.Freeze = False,
    members: opt.Members = opt.Membership.DESCENT,
    all_containers: opt.AllContainers = False,
    quiet: opt.Quiet = False,
    subtree: opt.Subtree = False,
    strict: opt.Strict = False,
    fail_on: opt.FailOn = None,
    ignore: opt.Ignore = None,
    references_only: opt.ReferencesOnly = False,
    accept: opt.Accept = opt.Accepted.PROVEN,
    profile: opt.ProfileName = "auto",
    tool: opt.For = opt.Tool.NONE,
    verify: opt.Verify = False,
    policy: opt.Policy = None,
    write_policy: opt.WritePolicy = None,
    baseline: opt.Baseline = None,
    sarif: opt.Sarif = None,
    github: opt.AsGithub = False,
    prometheus: opt.Prometheus = None,
    config: opt.Config = None,
) -> None:
    """Tell whether a subtree is contained.

    Exits with 16 if it is not, 3 if that could not be decided. With --for criu, 16 also if CRIU
    would refuse it, or could not restore it.
    """
    from analyzer.check.leaks import check as judge
    from analyzer.core import settings
    from analyzer.core.errors import BadInputError
    from analyzer.core.model import Rules
    from analyzer.report.make import make, shown

    numbers = Numbers(prometheus)
    if not subject and not all_containers:
        raise BadInputError("name what to check: a pid, a container, a unit (docs/subjects.md)")
    target = Target.parse(subject, of_dump=bool(proc or vmcore), members=members.value)
    core = chosen_core(vmcore, vmlinux, target, proc, freeze=freeze)
    form = chosen_form(
        json=json, markdown=markdown, junit=junit, tree=tree, html=html is not None,
        sarif=sarif is not None, github=github,
    )  # fmt: skip
    wanted = asked(
        form, html or sarif, (short, columns, output), filter_,
        noheadings=noheadings, everything=everything, force=force,
    )  # fmt: skip
    obey_policy(settings.load(config), subtree=subtree, live=True)
    chosen = wanted.options(
        "check", fail_on, ignore,
        subtree=subtree, gate=True, strict=strict, references_only=references_only,
        accept=accept,
        profile=profile, policy=policy, baseline=known_before(baseline, target, rules.value),
    )  # fmt: skip

    if tool is opt.Tool.CRIU:
        chosen = for_tool(chosen, form, all_containers=all_containers)
    if verify and (proc or core or not chosen.tool):
        raise BadInputError(
            "--verify runs CRIU here: it goes with --for criu, and not with --proc or --vmcore"
        )
    if all_containers:
        if (
            subject
            or proc
            or core
            or form not in {Form.TEXT, Form.JSON}
            or wanted.selection.columns
        ):
            raise BadInputError(
                "--all-containers is of this machine, and goes with --json or no form"
            )
        _everything(wanted, chosen, rules.value, source.value, numbers, freeze=freeze, quiet=quiet)
    seen: list[Verdicts] = []

    def listed(snapshot: Snapshot) -> npt.NDArray[np.bool_]:
        # What is named afterwards does not change the verdicts: they are worked out once.
        seen.append(judge(snapshot, rules=Rules(rules)))
        told = shown(seen[-1], everything=wanted.everything)
        if not chosen.tool:
            return told
        from analyzer.criu import asked_of

        return told | asked_of(snapshot, seen[-1])

    inputs = strangers(proc) if core is None else core.files
    with (
        _proven(asked=verify) as prove,
        Desk(inputs, to_file(wanted.output, force=force), foreign=bool(inputs)) as desk,
    ):
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
                thorough=bool(chosen.tool),
                listed=listed,
                proc=proc,
                core=core,
            )
        verdicts = seen[-1] if seen else judge(snapshot, rules=Rules(rules))
        result = prove(make(snapshot, verdicts, chosen))
        keep_policy(write_policy, result, force=force)
        numbers.keep([result])
        finish(result, wanted, desk, quiet=quiet)


def _proven(*, asked: bool) -> AbstractContextManager[Callable[[Report], Report]]:
    if not asked:  # nor is CRIU imported
        return nullcontext(lambda report: report)
    from analyzer.cli.prover import proven

    return proven(asked=asked)


def _everything(
    wanted: Asked,
    chosen: ReportOptions,
    rules: str,
    source: str,
    numbers: Numbers,
    *,
    freeze: bool,
    quiet: bool,
) -> NoReturn:
    from analyzer.cli import several
    from analyzer.writers import several as writer

    with Desk([], to_file(wanted.output, force=wanted.force), foreign=False) as desk:
        with Progress(quiet=wanted.form is Form.JSON) as progress:
            told = several.reports(chosen, rules, source, progress, freeze=freeze)
        numbers.keep(told)
        if not quiet:
            width = columns_of(stdout=wanted.output in {None, "-"})
            json = wanted.form is Form.JSON
            text = writer.to_json_lines(told) if json else writer.to_text(told, width)
            write(text, wanted.output, "a report a line", desk)
    raise Exit(several.worst(told))
