"""cranalyze collect: keep the reference graph of a subtree in a file."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Final

from analyzer.cli import hashes
from analyzer.cli import options as opt
from analyzer.cli.arguments import default_name
from analyzer.cli.desk import Desk, to_file
from analyzer.cli.output import Progress, emit, note
from analyzer.cli.target import Target
from analyzer.cli.work import chosen_core, collected, strangers
from analyzer.core.values import replace

if TYPE_CHECKING:
    from analyzer.snapshot.value import Snapshot

EXAMPLES: Final = (
    "sudo cranalyze collect 4711",
    "sudo cranalyze collect pod:web -o web.crz",
    "sudo cranalyze collect 4711 --scope host -o host.crz",
    "cranalyze collect --proc support-bundle.tar.gz 4711",
    "cranalyze collect --vmcore /var/crash/vmcore 4711",
)


def run(  # noqa: PLR0913 - an option each
    subject: opt.Subjects = None,
    *,
    output: opt.Output = None,
    source: opt.From = opt.Source.AUTO,
    scope: opt.HowMuch = opt.Scope.BORDER,
    proc: opt.ProcRoot = None,
    vmcore: opt.Vmcore = None,
    vmlinux: opt.Vmlinux = None,
    raw_addresses: opt.Raw = False,
    freeze: opt.Freeze = False,
    members: opt.Members = opt.Membership.DESCENT,
    redact: opt.Redact = False,
    redact_key: opt.RedactKey = None,
    force: opt.Force = False,
) -> None:
    """Keep the reference graph of a subtree in a file."""
    from analyzer.core import extras, files
    from analyzer.core.errors import BadInputError
    from analyzer.snapshot import crz

    extras.need("collect", "pyarrow")
    if not subject and scope is not opt.Scope.HOST:
        raise BadInputError("name a subject, or take the whole machine with --scope host")
    if output not in {None, "-"}:
        files.refuse_target(str(output), force=force)
    target = Target.parse(subject, of_dump=bool(proc or vmcore), members=members.value)
    core = chosen_core(vmcore, vmlinux, target, proc, freeze=freeze)
    redacted = hashes.asked(redact=redact, key=redact_key)
    images = {} if proc is not None or core is not None else _images(target)
    inputs = strangers(proc) if core is None else core.files
    with Desk(inputs, to_file(output, force=force), foreign=bool(inputs)) as desk:
        with Progress() as progress:
            snapshot = collected(
                target, source, scope, desk, progress,
                raw=raw_addresses, freeze=freeze, thorough=True, proc=proc, core=core,
            )  # fmt: skip
        if proc is not None:  # a little of what it was made of holds most of the memory that took
            gc.collect()
        snapshot = _with_images(snapshot, images)
        if redacted is not None:
            snapshot = redacted(snapshot.meta["boot_id"]).snapshot(snapshot)
        path = output or ""
        if path == "-":
            crz.save(snapshot, path)
        elif path or proc is not None or core is not None:
            path = path or default_name(snapshot)
            desk.deliver([(path, crz.pack(snapshot))])
        else:
            path = _named(desk, snapshot)
    if path != "-":
        emit(f"{files.printable_path(path)}\n")
    note(_written(snapshot))


def _images(target: Target) -> dict[str, str]:
    """Return the image of each container that may be meant, by its id."""
    from pathlib import Path

    from analyzer.procfs.fs import ProcFs
    from analyzer.subjects import images

    return images.listed(images.runtimes(ProcFs(Path("/proc")), target.pid))


def _with_images(snapshot: Snapshot, by_id: dict[str, str]) -> Snapshot:
    from analyzer.subjects import images

    found = images.by_pid(snapshot.tables, snapshot.meta["subject"]["pid"], by_id)
    return replace(snapshot, meta={**snapshot.meta, "images": found}) if found else snapshot


def _named(desk: Desk, snapshot: Snapshot) -> str:
    """Write a snapshot under a name of its own, which is returned: others may be as quick."""
    from analyzer.core.errors import BadInputError
    from analyzer.snapshot import crz

    data = crz.pack(snapshot)
    while True:
        path = default_name(snapshot)
        try:
            desk.deliver([(path, data)])
        except BadInputError:
            if not os.path.lexists(path):
                raise
        else:
            return path


def _written(snapshot: Snapshot) -> str:
    from analyzer.core.model import SCHEMAS
    from analyzer.report.wording import many

    rows = {name: len(snapshot.tables[name]) for name in SCHEMAS}
    told = [many(rows[name], name[:-1]) for name in rows if name != "gaps" or rows[name]]
    return f"cranalyze: {', '.join(told)}; source: {snapshot.meta['source']['name']}"
