"""cranalyze procdump: dump /proc for a later collect --proc."""

from __future__ import annotations

from typing import Final

from analyzer.cli import options as opt
from analyzer.cli.output import Progress, emit
from analyzer.cli.target import Target

EXAMPLES: Final = (
    "cranalyze procdump 4711 -o 4711.tar",
    "cranalyze procdump --script > procdump.sh",
    "cranalyze check --proc 4711.tar 4711",
)


def run(
    pid: opt.MaybePid = None,
    *,
    output: opt.Output = None,
    script: opt.AsScript = False,
    redact: opt.Redact = False,
    force: opt.Force = False,
) -> None:
    """Dump /proc for a later collect --proc.

    With a PID what its subtree needs, otherwise everything. Or print a shell script that does it,
    for a machine without Python.
    """
    from pathlib import Path

    from analyzer.core import files
    from analyzer.core.errors import BadInputError
    from analyzer.sources import procdump as dumper

    if script:
        emit(dumper.script())
        return
    target = Target.parse(pid)
    if target.names:
        raise BadInputError(f"{target.label}: a dump is of a process id")
    path = output or f"procdump-{target}.tar"
    if path == "-":
        raise BadInputError("a dump cannot go to stdout: name a file with -o")
    files.refuse_target(path, force=force)
    with Progress() as progress:
        dumper.dump(target.pid, Path(path), force=force, redact=redact, progress=progress)
    emit(f"{files.printable_path(path)}\n")
