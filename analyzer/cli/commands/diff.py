"""cranalyze diff: what is new, gone and changed between two snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from analyzer.cli import options as opt
from analyzer.cli.arguments import obey_policy
from analyzer.cli.desk import Desk, to_file
from analyzer.cli.output import Progress, coloured, columns, speak_utf8
from analyzer.cli.parameters import Exit, Option
from analyzer.cli.selection import WHOLE
from analyzer.cli.target import Target
from analyzer.cli.work import Asked, Form, chosen_form, either, write
from analyzer.cli.work import target as place

if TYPE_CHECKING:
    from analyzer.changes.between import Changes

EXAMPLES: Final = (
    "cranalyze diff monday.crz tuesday.crz",
    "cranalyze diff before.crz after.crz --json",
    "cranalyze diff before.crz after.crz --html changes.html",
    "cranalyze diff web1.crz web2.crz --pid podman:web",
    "cranalyze plot before.crz after.crz --kind diff -o changes.svg",
)

Everything = Annotated[bool, Option("--all", help="List what is as it was, too.")]


def run(  # noqa: PLR0913 - an option each
    before: opt.Before,
    after: opt.After,
    *,
    pid: opt.InBoth = None,
    rules: opt.Rules = opt.RuleSet.MODERN,
    json: opt.AsJson = False,
    html: opt.Html = None,
    everything: Everything = False,
    output: opt.Output = None,
    force: opt.Force = False,
    quiet: opt.Quiet = False,
    subtree: opt.Subtree = False,
    strict: opt.Strict = False,
    fail_on: opt.FailOn = None,
    ignore: opt.Ignore = None,
    references_only: opt.ReferencesOnly = False,
    accept: opt.Accept = opt.Accepted.PROVEN,
    profile: opt.ProfileName = "auto",
    policy: opt.Policy = None,
    config: opt.Config = None,
) -> None:
    """Tell what is new, gone and changed between two snapshots.

    Exits with 16 if something is new that decides, 3 if that could not be decided. Within one boot
    things are known again by kernel address, else as a baseline knows them.
    """
    from analyzer.changes.between import between
    from analyzer.check.leaks import check as judge
    from analyzer.core import extras, settings
    from analyzer.core.errors import BadInputError
    from analyzer.core.model import Rules
    from analyzer.core.values import replace
    from analyzer.report.make import make

    extras.need("diff", "pyarrow")
    form = chosen_form(json=json, html=html is not None)
    wanted = Asked(form, place(output, html, force=force), WHOLE, everything=True, force=force)
    obey_policy(settings.load(config), subtree=subtree, live=False)
    target = Target.parse(pid, of_dump=True)
    chosen = wanted.options(
        "diff", fail_on, ignore,
        subtree=subtree, gate=False, strict=strict, references_only=references_only,
        accept=accept,
        profile=profile, policy=policy,
    )  # fmt: skip
    if before == after == "-":
        raise BadInputError("stdin is one snapshot: name a file for the other")
    names = list(dict.fromkeys((before, after)))
    with Desk(names, to_file(wanted.output, force=force)) as desk:
        with Progress(quiet=form is Form.JSON) as progress:
            read = {name: either(desk, name, target, progress) for name in names}
        options = replace(chosen, brief=True)
        reports = {
            name: make(snapshot, judge(snapshot, rules=Rules(rules)), options)
            for name, snapshot in read.items()
        }
        changes = between(reports[before], reports[after])
        stdout = wanted.output in {None, "-"}
        if not (quiet and stdout):
            text = _written(changes, form, stdout=stdout, everything=everything)
            write(text, wanted.output, _TOLD[form], desk)
    raise Exit(changes.exit_code)


def _written(changes: Changes, form: Form, *, stdout: bool, everything: bool) -> str:
    from analyzer.writers import diff, diff_json, diff_page, terminal

    if form is Form.TEXT:
        lines = diff.render(changes, columns(stdout=stdout), everything=everything)
        return terminal.to_text(lines, colour=stdout and coloured())
    speak_utf8()
    if form is Form.JSON:
        return diff_json.render(changes, everything=everything)
    return diff_page.render(changes)


_TOLD: Final = {
    Form.TEXT: "what changed",
    Form.JSON: "what changed as JSON",
    Form.HTML: "the page",
}
