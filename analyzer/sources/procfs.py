"""The procfs source: what /proc and kcmp(2) tell, without BPF and without privilege.

There are no reference counts in /proc, so it can witness a leak (an outside task shares an object)
and never proves containment. Without privilege one's own processes can be read; what is refused
becomes a gap. Which files are mapped, nsproxies, credentials and whatever the kernel itself holds
cannot be told, and no error says so: the notes do. Nor can the other end of a unix socket.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from analyzer.core.errors import NotPermittedError, TargetVanishedError
from analyzer.procfs import kcmp, mountinfo, moved, preconditions, tasks
from analyzer.procfs.facts import Facts
from analyzer.procfs.fs import ProcFs
from analyzer.procfs.gaps import OTHERS, Failure
from analyzer.procfs.identity import ByKcmp, Presumed
from analyzer.procfs.reading import read
from analyzer.snapshot.source import PROCFS
from analyzer.snapshot.value import Snapshot
from analyzer.sources.meta import here, run_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from analyzer.procfs.identity import Identity
    from analyzer.procfs.reading import Progress, Seen
    from analyzer.snapshot.source import SourceInfo

_HIDEPID: Final = re.compile(r"hidepid=(2|4|invisible|ptraceable)")
LIVE: Final = Path("/proc")
_ARRIVED: Final = Failure(
    "a child that started while it was read", "read", None, "what the child holds is missing"
)
_HIDDEN: Final = Failure(
    "processes of others", "readdir", None, "/proc is mounted with hidepid: they are not listed"
)


def collect(
    pid: int | None,
    *,
    scope: str = "border",
    proc: ProcFs | None = None,
    progress: Progress = lambda _: None,
    identity: Identity | None = None,
    others: Callable[[], tuple[int, ...]] = tuple,
) -> Snapshot:
    """Read what the subtree of `pid` (None: everybody) holds and shares; `others` are more roots.

    `scope` "border" reads in full only the subtree, "host" everybody. `proc` is the /proc to read;
    `identity` tells what is shared, kcmp(2) by default.
    Raises BadInputError and TargetVanishedError for a subject that cannot be one.
    """
    fs = ProcFs(LIVE) if proc is None else proc
    host = scope == "host" or pid is None
    who = who_to_ask(fs) if identity is None else identity
    more = () if pid is None else others()
    seen = look(fs, who, pid, host=host, progress=progress, others=more)
    if fs.is_live() and os.geteuid() and _hidden(fs):
        seen.log.add(_HIDDEN, OTHERS)
    meta = run_facts(
        pid=pid,
        start_time=None if pid is None else seen.start_time(pid),
        source=able(PROCFS, seen),
        origin=here(),
    )
    if more:
        meta["subject"]["roots"] = list(more)
    return snapshot(seen, {**meta, "scope": "host" if host else "border"}, whole=True)


def look(
    fs: ProcFs,
    identity: Identity,
    pid: int | None,
    *,
    host: bool,
    progress: Progress,
    others: Sequence[int],
) -> Seen:
    """Do as `reading.read` on this machine; `pid` has to be there at the end as well."""
    seen = read(fs, facts(fs), identity, pid, host=host, progress=progress, others=others)
    _still_there(seen, pid)
    return seen


def snapshot(seen: Seen, meta: Mapping[str, Any], *, whole: bool | None) -> Snapshot:
    """Return the snapshot of what was seen; `whole` is of `preconditions.of_reading`."""
    arrived = moved.arrived(seen.fs, seen.tasks, seen.facts.observer)
    for parent in (arrived or {}).values():
        if parent in seen.subtree:
            seen.log.add(_ARRIVED, parent)
    conditions = preconditions.of_reading(seen.tasks, seen.log, arrived, whole=whole)
    source = {**meta["source"], "preconditions": conditions, "ran": ran(seen)}
    incomplete = seen.log.touches(seen.subtree)
    return Snapshot(
        {**meta, "source": source, "incomplete": incomplete},
        {**seen.tables, "gaps": seen.log.table()},
    )


def ran(seen: Seen) -> list[int] | None:
    """Return the processes of others that may have handed over meanwhile what they had."""
    if seen.talkers is None or not moved.counted(seen.fs, seen.tasks, seen.talkers):
        return None
    tids = moved.ran(seen.fs, seen.tasks, seen.talkers)
    return sorted({one.tgid for one in seen.tasks if one.tid in tids} - {seen.facts.observer})


def able(source: SourceInfo, seen: Seen) -> SourceInfo:
    """Return a source with what it can tell of what was seen."""
    others = {task.tgid for task in seen.tasks} - seen.subtree
    return source.able(identity=seen.certain, all_processes=not seen.log.touches({*others, OTHERS}))


def facts(fs: ProcFs) -> Facts:
    """Return what is needed of this machine to read its own /proc."""
    try:
        own = fs.link("self")  # in a /proc of another pid namespace, not what getpid(2) says
    except OSError:
        own = ""
    observer = int(own) if own.isascii() and own.isdigit() else 0
    machine = os.uname().machine
    return Facts(clk_tck=os.sysconf("SC_CLK_TCK"), observer=observer, machine=machine)


def who_to_ask(fs: ProcFs) -> Identity:
    """Return kcmp(2) where it can be asked about processes of `fs`, else what to presume."""
    try:
        own = os.getpid(), 0
        kcmp.comparer(kcmp.What.VM)(own, own)
    except (OSError, NotPermittedError):
        return Presumed()
    return ByKcmp() if fs.is_live() else Presumed()


def _still_there(seen: Seen, pid: int | None) -> None:
    if pid is not None and tasks.again(seen.fs, seen.leader(pid)) is None:
        raise TargetVanishedError(f"process {pid} ended while it was read")


def _hidden(fs: ProcFs) -> bool:
    try:
        mounts = mountinfo.parse(fs.read("self/mountinfo"), "self/mountinfo")
    except OSError:
        return False
    proc = [mount.options for mount in mounts if mount.fstype == "proc"]
    return any(_HIDEPID.search(options) for options in proc)
