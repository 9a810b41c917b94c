"""cranalyze procdump: dump /proc for a later collect --proc."""

from __future__ import annotations

from typing import Final

from analyzer.cli import hashes
from analyzer.cli import options as opt
from analyzer.cli.output import Progress, emit
from analyzer.cli.target import Target

EXAMPLES: Final = (
    "cranalyze procdump 4711 -o 4711.tar",
    "cranalyze procdump pod:web -o web.tar",
    "cranalyze procdump --script > procdump.sh",
    "cranalyze check --proc 4711.tar 4711",
)


def run(
    subject: opt.Subjects = None,
    *,
    output: opt.Output = None,
    script: opt.AsScript = False,
    members: opt.Members = opt.Membership.DESCENT,
    redact: opt.Redact = False,
    redact_key: opt.RedactKey = None,
    force: opt.Force = False,
) -> None:
    """Dump /proc for a later collect --proc.

    Of a subject what its subtree needs, otherwise everything. Or print a shell script that does it,
    for a machine without Python.
    """
    from pathlib import Path

    from analyzer.core import files
    from analyzer.core.errors import BadInputError
    from analyzer.sources import procdump as dumper
    from analyzer.sources.meta import boot_id
    from analyzer.sources.request import Request

    if script:
        emit(dumper.script())
        return
    target = Target.parse(subject, members=members.value)
    request = target.requested(Request(target.pid))
    path = output or f"procdump-{request.pid or target}.tar"
    if path == "-":
        raise BadInputError("a dump cannot go to stdout: name a file with -o")
    files.refuse_target(path, force=force)
    redacted = hashes.asked(redact=redact, key=redact_key)
    with Progress() as progress:
        dumper.dump(
            request.pid, Path(path), others=request.others,
            force=force, redaction=redacted and redacted(boot_id()), progress=progress,
        )  # fmt: skip
    emit(f"{files.printable_path(path)}\n")
