"""Sources: what turns a machine, or a dump of one, into a snapshot.

`collect` chooses one. "auto" takes the kernel's own memory where it can be read, and /proc
otherwise, with the reason in the snapshot's notes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from analyzer.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from analyzer.snapshot import Snapshot

SOURCES: Final = ("auto", "kernel", "procfs")


def collect(
    pid: int | None,
    *,
    source: str = "auto",
    scope: str = "border",
    proc: Path | None = None,
    raw_addresses: bool = False,
    drop_privileges: bool = False,
    wanted: Callable[[Snapshot], npt.NDArray[np.bool_]] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Snapshot:
    """Take a snapshot of the subtree of `pid` (None: of the whole machine).

    `source` is one of SOURCES; with `proc`, a dumped /proc is read instead of this machine.
    `scope` is "border" (the collected objects and all that holds them) or "host". `wanted` is a
    function that chooses the objects to be described and named. `drop_privileges` gives up, for
    this thread and for good, every capability that is not needed after the BPF programs are loaded.
    Raises BadInputError, NotPermittedError (KernelSourceError), TargetVanishedError.
    """
    if source not in SOURCES:
        msg = f"unknown source {source!r}: choose one of {', '.join(SOURCES)}"
        raise BadInputError(msg)
    if proc is not None:
        from analyzer.sources import replay

        return replay.collect(proc, pid, scope=scope)
    if source == "procfs":
        return _procfs(pid, scope, progress)
    from analyzer.memory.probe import KernelSourceError

    try:
        return _kernel(pid, scope, wanted, progress, raw=raw_addresses, drop=drop_privileges)
    except KernelSourceError as error:
        if source == "kernel":
            raise
        return _with_note(_procfs(pid, scope, progress), f"no refcounts: {error}")


def _kernel(
    pid: int | None,
    scope: str,
    wanted: Callable[[Snapshot], npt.NDArray[np.bool_]] | None,
    progress: Callable[[str], None],
    *,
    raw: bool,
    drop: bool,
) -> Snapshot:
    from analyzer.addresses import hashed
    from analyzer.memory import capability
    from analyzer.memory.probe import open_memory
    from analyzer.sources import kernel

    with open_memory() as memory:
        if drop:
            capability.drop(capability.KEPT, memory.engine.works)
        snapshot = kernel.collect(memory, pid, scope=scope, wanted=wanted, progress=progress)
    return snapshot if raw else hashed(snapshot)


def _procfs(pid: int | None, scope: str, progress: Callable[[str], None]) -> Snapshot:
    from analyzer.sources import procfs

    return procfs.collect(pid, scope=scope, progress=progress)


def _with_note(snapshot: Snapshot, note: str) -> Snapshot:
    source = snapshot.meta["source"]
    return replace(
        snapshot, meta={**snapshot.meta, "source": {**source, "notes": [note, *source["notes"]]}}
    )
