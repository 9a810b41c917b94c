"""Sources: what turns a machine, or a dump of one, into a snapshot.

`collect` chooses one. "auto" takes the kernel's own memory where it can be read, and /proc
otherwise, with the reason in the snapshot's notes.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import (
    BadInputError,
    NotPermittedError,
    TargetVanishedError,
    no_such,
)
from analyzer.core.values import replace
from analyzer.sources.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from analyzer.memory.reader import Memory
    from analyzer.snapshot.value import Snapshot

SOURCES: Final = ("auto", "kernel", "procfs")


def collect(
    asked: Request | int | None,
    *,
    source: str = "auto",
    proc: Path | None = None,
    opened: int | None = None,
    raw_addresses: bool = False,
    drop_privileges: bool = False,
    memory: Memory | None = None,
) -> Snapshot:
    """Take a snapshot of what is asked for: a pid is a Request for the border of its subtree.

    `source` is one of SOURCES; with `proc`, a dumped /proc is read instead of this machine
    (from the descriptor `opened`, where there is one already), or one that is mounted elsewhere.
    `drop_privileges` gives up, for this thread and for good, every capability that is not needed
    after the BPF programs are loaded. `memory` is the kernel's, where it is `opened` already.
    Raises BadInputError, NotPermittedError (KernelSourceError), TargetVanishedError.
    """
    request = asked if isinstance(asked, Request) else Request(asked)
    snapshot = _named(
        _taken(
            request, source, proc, opened,
            raw_addresses=raw_addresses, drop=drop_privileges, memory=memory,
        ),
        request,
    )  # fmt: skip
    # What is to be looked at here and now (`wanted`) is not given away, and is as it was read.
    if (
        request.wanted is None
        and snapshot.meta["subject"]["pid"] is not None
        and not _whole(snapshot)
    ):
        from analyzer.sources.privacy import only_relevant

        return only_relevant(snapshot)
    return snapshot


def _whole(snapshot: Snapshot) -> bool:
    return bool(snapshot.meta["scope"] == "host")


def _named(snapshot: Snapshot, request: Request) -> Snapshot:
    subject = snapshot.meta["subject"]
    if request.chosen is None or request.label:
        subject = {**subject, "selector": request.selector}
    subject = {**request.called, **subject}
    return replace(snapshot, meta={**snapshot.meta, "subject": subject})


def _taken(
    request: Request,
    source: str,
    proc: Path | None,
    opened: int | None,
    *,
    raw_addresses: bool,
    drop: bool,
    memory: Memory | None,
) -> Snapshot:
    if request.freeze and request.pid is None:
        raise BadInputError("--freeze stops a subtree: name its PID")
    if request.freeze and proc is None and not os.path.exists("/proc/self/task"):
        raise NotPermittedError("--freeze needs /proc; mount it: mount -t proc proc /proc")
    if proc is None and request.freeze:
        _require_own_proc(request.pid)
    if source not in SOURCES:
        raise no_such("no source", source, SOURCES)
    if proc is not None:
        told = _elsewhere(request, proc, opened)
        return told if raw_addresses else _without_mappings(told)
    if source == "procfs":
        told = _procfs(request)
        return told if raw_addresses else _without_mappings(told)
    from analyzer.memory.probe import KernelSourceError

    try:
        return _kernel(request, raw=raw_addresses, drop=drop, memory=memory)
    except KernelSourceError as error:
        if source == "kernel":
            raise
        told = _with_note(_procfs(request), f"no refcounts: {error}")
        return told if raw_addresses else _without_mappings(told)


def _elsewhere(request: Request, proc: Path, opened: int | None) -> Snapshot:
    from analyzer.procfs.mounted import mounted
    from analyzer.sources import procfs, replay

    running = mounted(proc) if opened is None else None
    if running is None:
        return replay.collect(proc, request, opened)
    if request.freeze:
        raise BadInputError("--freeze is of this machine's own /proc: leave --proc out")
    if request.chosen is not None:
        request = request.chosen(running, request)
    return procfs.collect(
        request.pid,
        scope=request.scope,
        proc=running,
        progress=request.progress,
        others=request.others,
    )


def _without_mappings(snapshot: Snapshot) -> Snapshot:
    from analyzer.snapshot.addresses import boot_key, mappings_hashed

    return mappings_hashed(snapshot, boot_key(snapshot.meta["boot_id"]))


@contextlib.contextmanager
def opened(source: str) -> Iterator[tuple[Memory | None, str]]:
    """Open the kernel's memory to read it several times, and then give up privileges, for good.

    Gives None where /proc is read (`source` says so, or is "auto" and there is nothing else), and
    why privileges could not be given up, "" where they were. Raises KernelSourceError.
    """
    from analyzer.memory.probe import KernelSourceError, open_memory

    with contextlib.ExitStack() as stack:
        memory = None
        if source != "procfs":
            try:
                memory = stack.enter_context(open_memory())
            except KernelSourceError:
                if source == "kernel":
                    raise
        yield memory, _dropped(memory.engine.works if memory is not None else lambda: True)


def _kernel(request: Request, *, raw: bool, drop: bool, memory: Memory | None) -> Snapshot:
    from analyzer.core import heap
    from analyzer.memory.probe import open_memory
    from analyzer.snapshot.addresses import boot_key, hashed
    from analyzer.sources import kernel

    with open_memory() if memory is None else contextlib.nullcontext(memory) as read:
        refused = ""
        if drop:  # the process is ours
            heap.keep()
            refused = _dropped(read.engine.works)
        snapshot = kernel.collect(read, request)
    if refused:
        snapshot = _with_note(snapshot, f"privileges could not be given up: {refused}")
    return snapshot if raw else hashed(snapshot, boot_key(snapshot.meta["boot_id"]))


def _dropped(works: Callable[[], bool]) -> str:
    """Give up what is not needed any more; return why that is refused, "" when it is not."""
    from analyzer.memory import capability

    try:
        capability.drop(capability.KEPT, works)
    except OSError as error:  # a seccomp filter: what we may read does not depend on it
        return f"{error.filename}: {error.strerror}"
    return ""


def _require_own_proc(pid: int | None) -> None:
    """Raise BadInputError where /proc calls another process `pid` than we do."""
    from analyzer.sources.tasks import proc_levels

    if pid is not None and os.path.exists("/proc/1") and proc_levels() != 0:
        raise BadInputError(
            f"/proc is of another pid namespace than this, where {pid} is another process: "
            "mount ours (mount -t proc proc /proc)"
        )


def _procfs(request: Request) -> Snapshot:
    from analyzer.sources import procfs

    def read() -> Snapshot:
        return procfs.collect(
            request.pid, scope=request.scope, progress=request.progress, others=request.others
        )

    _require_own_proc(request.pid)
    if not request.freeze or request.pid is None:
        return read()
    from analyzer.sources.freeze import descendants, frozen

    root = request.pid

    def threads() -> list[int]:
        found = descendants(root)
        for other in request.others():
            with contextlib.suppress(TargetVanishedError):
                found += descendants(other)
        return list(dict.fromkeys(found))

    with frozen(root, threads) as held:
        snapshot = read()
    facts = {"frozen": True, "frozen_seconds": held.seconds}
    for gap in held.gaps():
        snapshot = _with_note(snapshot, f"{gap['where']}: {gap['effect']}")
    return replace(snapshot, meta={**snapshot.meta, **facts})


def _with_note(snapshot: Snapshot, note: str) -> Snapshot:
    source = snapshot.meta["source"]
    return replace(
        snapshot, meta={**snapshot.meta, "source": {**source, "notes": [note, *source["notes"]]}}
    )
