"""What several commands do alike: collect, load and check, choose a form, write it out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from analyzer.cli.arguments import newest_snapshot, parse_kinds, parse_pid
from analyzer.cli.output import coloured, columns, emit

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from analyzer.check.leaks import Verdicts
    from analyzer.cli import options as opt
    from analyzer.cli.output import Progress
    from analyzer.report import Report, ReportOptions
    from analyzer.snapshot import Snapshot


def collected(
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
    """Return the snapshot that the options ask for."""
    from analyzer import sources
    from analyzer.sources.request import Request

    return sources.collect(
        Request(root, scope.value, freeze=freeze, wanted=listed, progress=progress),
        source=source.value,
        proc=None if proc is None else Path(proc),
        raw_addresses=raw,
        drop_privileges=True,
    )


def judged(
    file: str | None, pid: str | None = None, rules: str = "modern"
) -> tuple[Snapshot, Verdicts]:
    """Return the snapshot of `file`, by default the newest here, and its verdicts."""
    from analyzer import crz
    from analyzer.check.leaks import check as judge
    from analyzer.model import Rules
    from analyzer.report import checked_pid

    snapshot = crz.load(file or newest_snapshot())
    root = checked_pid(snapshot, None if pid is None else parse_pid(pid, of_dump=True))
    return snapshot, judge(snapshot, root, Rules(rules))


def whole_report(file: str | None, pid: str | None = None, rules: str = "modern") -> Report:
    """Return the report of `file` that lists every object: what pictures are made of."""
    from analyzer.report import ReportOptions, make

    return make(*judged(file, pid, rules), ReportOptions("report", all=True))


def report_options(
    command: str, fail_on: str | None, ignore: str | None, **flags: bool
) -> ReportOptions:
    """Return what was asked of a report, in its own terms."""
    from analyzer.report import ReportOptions

    return ReportOptions(
        command=command,
        all=flags["everything"],
        brief=flags["brief"],
        subtree=flags["subtree"],
        gate=flags["gate"],
        fail_on=parse_kinds(fail_on, "--fail-on"),
        ignore=parse_kinds(ignore, "--ignore"),
    )


def finish(
    result: Report, output: str | None, *, json: bool, everything: bool, force: bool
) -> None:
    """Write a report in the form that was asked for, and exit with its code."""
    from analyzer.writers import json as machine
    from analyzer.writers import terminal

    if json:
        text = machine.render(result)
    else:
        lines = terminal.render(result, columns(), everything=everything)
        text = terminal.to_text(lines, colour=output in {None, "-"} and coloured())
    write(text, output, force=force)
    raise typer.Exit(result.exit_code)


def write(text: str, output: str | None, *, force: bool) -> None:
    """Write text to stdout (None, "-") or to a file that is then whole; BadInputError if not."""
    if output in {None, "-"}:
        emit(text)
        return
    from analyzer import crz

    crz.write_file(str(output), text.encode("utf-8", "backslashreplace"), force=force)
