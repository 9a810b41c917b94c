"""What a snapshot that was kept, or a dump, cannot tell; and who its processes are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.lookup.words.base import of_host
from analyzer.procfs.homes import home
from analyzer.procfs.people import Person, unit_of
from analyzer.report.inventory import inventory_of, words
from analyzer.snapshot.source import source_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from analyzer.snapshot.value import Snapshot


def limits(snapshot: Snapshot) -> tuple[str, ...]:
    """Return why a snapshot does not have all holders of what is in it, a sentence each."""
    found = []
    if not of_host(snapshot):
        of = snapshot.meta["subject"]["pid"]
        found.append(
            f"the snapshot has what process {of} and those below it have, and what holds that: "
            "collect --scope host keeps the whole machine"
        )
    source = source_of(snapshot)
    if not source.nsproxy:
        found.append(
            f"{source.reads} shows neither what the kernel itself holds nor files in flight, "
            "credentials and sockets that are no file: collect as root, from the kernel's memory, "
            "has them"
        )
    return tuple(found)


def about(snapshot: Snapshot) -> str:
    """Return what a snapshot is of, in a line."""
    meta, source = snapshot.meta, source_of(snapshot)
    whole = "all processes"
    of = whole if of_host(snapshot) else f"process {meta['subject']['pid']} and what holds its own"
    parts = [f"{of}, on {meta['host']}" if meta["host"] else of]
    parts += [f"Linux {meta['kernel']}"] if meta["kernel"] else []
    parts += [f"from {source.words}"]
    parts += [meta["collected_at"]] if meta["collected_at"] else []
    return ", ".join(parts)


def headed(snapshot: Snapshot) -> tuple[str, ...]:
    """Return what a kept snapshot is of, and what a dump has, a line each; () for one of now."""
    if not snapshot.meta.get("kept"):
        return ()
    told = inventory_of(snapshot.meta)
    has = () if told is None else words(told, snapshot.meta["subject"]["pid"])
    return (f"of {about(snapshot)}", *has)


def told_of(snapshot: Snapshot) -> tuple[str, ...]:
    """Return what a kept snapshot is of and what it lacks, a line each; () for what is of now."""
    lines = headed(snapshot)
    return (*lines, *limits(snapshot)) if lines else ()


def people(snapshot: Snapshot, pids: Iterable[int]) -> Iterator[Person]:
    """Yield who processes are, as far as the table of tasks tells: no user is in it."""
    tasks = snapshot.tables["tasks"]
    leads = np.flatnonzero(tasks["tid"] == tasks["tgid"])
    rows = dict(zip(tasks["tid"][leads].tolist(), leads.tolist(), strict=True))
    for pid in pids:
        row = rows.get(pid)
        if row is None:
            continue
        parent = int(tasks["ppid"][row])
        above = rows.get(parent)
        yield Person(
            pid,
            _comm(tasks.value("comm", row)),
            "",
            unit_of(home(tasks.value("cgroup", row) or "")),
            zombie=tasks.value("state", row) == "Z",
            parent=parent,
            parent_comm="" if above is None else _comm(tasks.value("comm", above)),
        )


def _comm(comm: str) -> str:
    return comm.removesuffix("\n")
