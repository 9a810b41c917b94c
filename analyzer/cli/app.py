"""The commands: parse, wire, choose the exit code. What they do is elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

# Typer looks the annotations of a command up when it runs: these cannot be for type checkers only.
from analyzer.cli import options as opt
from analyzer.cli.arguments import (
    default_name,
    newest_snapshot,
    obey_policy,
    parse_kinds,
    parse_pid,
)
from analyzer.cli.output import Progress, coloured, columns, emit, note

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from analyzer.check.leaks import Verdicts
    from analyzer.report import Report, ReportOptions
    from analyzer.snapshot import Snapshot

app: Final = typer.Typer(
    name="cranalyze",
    epilog="Exit: 0 done or contained, 16 leaks, 3 undecided, 2 bad input, 4 not permitted, "
    "5 the target vanished, 70 an internal error.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)


def _examples(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - how typer calls it
    if wanted:
        from analyzer._version import __version__

        emit(f"cranalyze {__version__}\n")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
]


@app.callback(invoke_without_command=True)
def cranalyze(context: typer.Context, *, version: Version = False) -> None:
    """Find the kernel objects of a process subtree that are referenced from outside it."""
    del version
    if context.invoked_subcommand is None:
        emit(f"{context.get_help()}\n")
        raise typer.Exit(2)


@app.command(
    epilog=_examples(
        "sudo cranalyze collect 4711",
        "sudo cranalyze collect 4711 --scope host -o host.crz",
        "cranalyze collect --proc support-bundle.tar.gz 4711",
    )
)
def collect(
    pid: opt.MaybePid = None,
    *,
    output: opt.Output = None,
    source: opt.From = opt.Source.AUTO,
    scope: opt.HowMuch = opt.Scope.BORDER,
    proc: opt.ProcRoot = None,
    raw_addresses: opt.Raw = False,
    freeze: opt.Freeze = False,
    force: opt.Force = False,
) -> None:
    """Keep the reference graph of a subtree in a file."""
    from analyzer import crz
    from analyzer.errors import BadInputError

    if pid is None and scope is not opt.Scope.HOST:
        raise BadInputError("name a PID, or take the whole machine with --scope host")
    if output not in {None, "-"}:
        crz.refuse_target(str(output), force=force)
    root = None if pid is None else parse_pid(pid, of_dump=proc is not None)
    with Progress() as progress:
        snapshot = _collected(root, source, scope, proc, progress, raw=raw_addresses, freeze=freeze)
    path = output or default_name(snapshot)
    crz.save(snapshot, path, force=force)
    if path != "-":
        emit(f"{crz.printable_path(path)}\n")
    note(_written(snapshot))


@app.command(
    epilog=_examples(
        "cranalyze report",
        "cranalyze report web1-4711-20260101T120000Z.crz --json",
        "cranalyze report host.crz --pid 4711 --check",
    )
)
def report(  # noqa: PLR0913 - an option each
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
    from analyzer import crz, settings
    from analyzer.check.leaks import check as judge
    from analyzer.model import Rules
    from analyzer.report import checked_pid

    obey_policy(settings.load(config), subtree=subtree, live=False)
    chosen = _options(
        "report", fail_on, ignore, everything=everything, subtree=subtree, gate=check, json=json
    )
    snapshot = crz.load(file or newest_snapshot())
    root = checked_pid(snapshot, None if pid is None else parse_pid(pid, of_dump=True))
    verdicts = judge(snapshot, root, Rules(rules))
    _finish(
        _made(snapshot, verdicts, chosen), output, json=json, everything=everything, force=force
    )


@app.command(
    epilog=_examples(
        "sudo cranalyze check 4711",
        "sudo cranalyze check 4711 --json --ignore USER_NS",
        "cranalyze check $$ --subtree",
    )
)
def check(  # noqa: PLR0913 - an option each
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
    from analyzer.report import shown

    root = parse_pid(pid, of_dump=proc is not None)
    obey_policy(settings.load(config), subtree=subtree, live=True)
    chosen = _options(
        "check", fail_on, ignore, everything=everything, subtree=subtree, gate=True, json=json
    )

    judged: list[Verdicts] = []

    def listed(snapshot: Snapshot) -> npt.NDArray[np.bool_]:
        # What is named afterwards does not change the verdicts: they are worked out once.
        judged.append(judge(snapshot, root, Rules(rules)))
        return shown(judged[-1], everything=everything)

    with Progress(quiet=json) as progress:
        snapshot = _collected(
            root,
            source,
            opt.Scope.BORDER,
            proc,
            progress,
            raw=raw_addresses,
            freeze=freeze,
            listed=listed,
        )
    verdicts = judged[-1] if judged else judge(snapshot, root, Rules(rules))
    _finish(
        _made(snapshot, verdicts, chosen), output, json=json, everything=everything, force=force
    )


@app.command(
    epilog=_examples(
        "sudo cranalyze who 4711:3",
        "sudo cranalyze who 'net:[4026532178]' /run/netns/blue",
        "sudo cranalyze who /var/log/app.log --json",
    )
)
def who(what: opt.What, *, json: opt.AsJson = False) -> None:
    """Tell who still holds an object, on the whole machine.

    Name PID:FD, PID:mm (files, fs, sighand, nsproxy), a path, a mount point, net:[N] (or another
    namespace), pipe:[N] or socket:[N]. Exits with 1 if there is no such object.
    """
    from analyzer import who as asking
    from analyzer.sources import collect as take
    from analyzer.sources.request import Request
    from analyzer.writers import who as writer

    queries = [asking.parse(name) for name in what]

    def wanted(snapshot: Snapshot) -> npt.NDArray[np.bool_]:
        return asking.upward(snapshot, [row for q in queries for row in q.rows(snapshot)])

    with Progress(quiet=json) as progress:
        asked = Request(None, wanted=wanted, detailed=True, progress=progress)
        snapshot = take(asked, source="kernel", drop_privileges=True)
    answers = [asking.answer(snapshot, query) for query in queries]
    code = 0 if all(answer.found for answer in answers) else 1
    if json:
        emit(writer.to_json(answers, code))
    else:
        emit(writer.to_text(answers, columns(), colour=coloured()))
    raise typer.Exit(code)


@app.command(epilog=_examples("sudo cranalyze census", "sudo cranalyze census --json"))
def census(*, json: opt.AsJson = False) -> None:
    """Count and name every reference of the whole machine.

    Kind by kind; what does not come out even is listed object by object.
    """
    from analyzer import census as counting
    from analyzer.sources import collect as take
    from analyzer.sources.request import Request
    from analyzer.writers import census as writer

    with Progress(quiet=json) as progress:
        asked = Request(None, wanted=counting.uneven, progress=progress)
        snapshot = take(asked, source="kernel", drop_privileges=True)
    found = counting.take(snapshot)
    emit(writer.to_json(found) if json else writer.to_text(found, columns(), colour=coloured()))


@app.command(epilog=_examples("cranalyze doctor", "sudo cranalyze doctor --json"))
def doctor(*, json: opt.AsJson = False) -> None:
    """Show what this host lets cranalyze see.

    And why it does not, and what to do about it.
    """
    from analyzer.doctor import capabilities
    from analyzer.writers import doctor as writer

    found = capabilities()
    emit(writer.to_json(found) if json else writer.to_text(found, columns(), colour=coloured()))


@app.command(epilog=_examples("sudo cranalyze demo", "cranalyze demo"))
def demo() -> None:
    """Start a small leaking container, and explain.

    Everything is its own, and nothing is left behind.
    """
    from analyzer import demo as show

    for part in show.play(columns(), colour=coloured()):
        emit(part)


@app.command(
    epilog=_examples(
        "cranalyze procdump 4711 -o 4711.tar",
        "cranalyze procdump --script > procdump.sh",
        "cranalyze check --proc 4711.tar 4711",
    )
)
def procdump(
    pid: opt.MaybePid = None,
    *,
    output: opt.Output = None,
    script: opt.AsScript = False,
    force: opt.Force = False,
) -> None:
    """Dump /proc for a later collect --proc.

    With a PID what its subtree needs, otherwise everything. Or print a shell script that does it,
    for a machine without Python.
    """
    from pathlib import Path

    from analyzer import crz
    from analyzer import procdump as dumper
    from analyzer.errors import BadInputError

    if script:
        emit(dumper.script())
        return
    root = None if pid is None else parse_pid(pid)
    path = output or f"procdump-{'host' if root is None else root}.tar"
    if path == "-":
        raise BadInputError("a dump cannot go to stdout: name a file with -o")
    crz.refuse_target(path, force=force)
    with Progress() as progress:
        dumper.dump(root, Path(path), progress=progress)
    emit(f"{crz.printable_path(path)}\n")


def _collected(
    root: int | None,
    source: opt.Source,
    scope: opt.Scope,
    proc: str | None,
    progress: Progress,
    *,
    raw: bool,
    freeze: bool,
    listed: Callable[[Snapshot], npt.NDArray[np.bool_]] | None = None,
) -> Snapshot:
    from pathlib import Path

    from analyzer import sources
    from analyzer.sources.request import Request

    return sources.collect(
        Request(root, scope.value, freeze=freeze, wanted=listed, progress=progress),
        source=source.value,
        proc=None if proc is None else Path(proc),
        raw_addresses=raw,
        drop_privileges=True,
    )


def _options(command: str, fail_on: str | None, ignore: str | None, **flags: bool) -> ReportOptions:
    from analyzer.report import ReportOptions

    return ReportOptions(
        command=command,
        all=flags["everything"],
        brief=not flags["json"] and not flags["everything"],
        subtree=flags["subtree"],
        gate=flags["gate"],
        fail_on=parse_kinds(fail_on, "--fail-on"),
        ignore=parse_kinds(ignore, "--ignore"),
    )


def _made(snapshot: Snapshot, verdicts: Verdicts, chosen: ReportOptions) -> Report:
    from analyzer.report import make

    return make(snapshot, verdicts, chosen)


def _finish(
    result: Report, output: str | None, *, json: bool, everything: bool, force: bool
) -> None:
    from analyzer.writers import json as machine
    from analyzer.writers import terminal

    if json:
        text = machine.render(result)
    else:
        lines = terminal.render(result, columns(), everything=everything)
        text = terminal.to_text(lines, colour=output in {None, "-"} and coloured())
    if output in {None, "-"}:
        emit(text)
    else:
        from analyzer import crz

        crz.write_file(str(output), text.encode("utf-8", "backslashreplace"), force=force)
    raise typer.Exit(result.exit_code)


def _written(snapshot: Snapshot) -> str:
    rows = {name: len(table) for name, table in snapshot.tables.items()}
    gaps = f", {rows['gaps']} gaps" if rows["gaps"] else ""
    return (
        f"cranalyze: {rows['tasks']:,} tasks, {rows['objects']:,} objects, "
        f"{rows['references']:,} references{gaps}; source: {snapshot.meta['source']['name']}"
    )
