"""Which object of one snapshot is which of another.

By kernel address, where the snapshots can be compared: they are of one boot, and have raw addresses
or hashes under one key (`meta["address_key"]`). The kernel uses the memory of an object again for
the next of its kind (open files are SLAB_TYPESAFE_BY_RCU), so an object is the same only if what
cannot change of it is the same too: kind, device, inode, mount, the mode that it was opened for.

Without addresses an object is what a process holds at some place: the process by id and start, the
descriptor (or other place), device, inode and mount; a namespace is its inode number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from analyzer.core.errors import BadInputError
from analyzer.core.model import Side
from analyzer.kinds import registry

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from analyzer.report.value import Report, ReportObject

BY_ADDRESS: Final = "by kernel address and inode"
BY_HOLDER: Final = "by process, descriptor and inode (no addresses that compare)"

_ACCESS: Final = 0o3  # O_ACCMODE
_TICK: Final = 10_000_000  # /proc gives the start of a process in hundredths of a second
_FACTS: Final = ("ino", "dev", "mnt_id", "flags")


def same_subject(reports: Sequence[Report]) -> None:
    """Raise BadInputError unless all reports are of one process of one boot."""
    first = reports[0]
    for other in reports[1:]:
        if other.subject.boot_id != first.subject.boot_id:
            raise BadInputError(
                "the snapshots are of different boots or machines: their objects have nothing in "
                f"common ({first.subject.collected_at} and {other.subject.collected_at})"
            )
        if _root(other) != _root(first):
            raise BadInputError(
                f"the snapshots are of different processes (pid {first.subject.pid} and "
                f"{other.subject.pid}): name those of one, or --pid N"
            )


def how(reports: Sequence[Report]) -> str:
    """Return by what the objects of these reports are told apart."""
    metas = [report.snapshot.meta for report in reports]
    said = {(meta["addresses"], meta.get("address_key")) for meta in metas}
    ((addresses, key), *others) = said
    comparable = addresses == "raw" or (addresses == "hashed" and key is not None)
    lone = len(reports) == 1 and addresses == "hashed"
    return BY_ADDRESS if not others and (comparable or lone) else BY_HOLDER


def identified(report: Report, by: str) -> Iterator[tuple[Hashable, ReportObject]]:
    """Yield the objects of a whole report, each with what it is known by."""
    facts = _facts(report)
    starts = _starts(report) if by == BY_HOLDER else {}
    for entry in report.objects:
        own = facts[entry.objref]
        if by == BY_ADDRESS and entry.address is not None:
            yield (entry.kind, entry.address, *own), entry
        elif registry()[entry.kind].namespace:
            yield (entry.kind, entry.ino), entry
        else:
            yield (entry.kind, *own[:3], _place(entry, starts)), entry


def _root(report: Report) -> tuple[int, int]:
    pid = report.subject.pid
    return pid, _starts(report)[pid]


def _starts(report: Report) -> Mapping[int, int]:
    tasks = report.snapshot.tables["tasks"]
    starts = (tasks["start_time"] // _TICK).tolist()
    return dict(zip(tasks["tid"].tolist(), starts, strict=True))


def _facts(report: Report) -> Mapping[int, tuple[Any, ...]]:
    objects = report.snapshot.tables["objects"]
    columns = []
    for name in _FACTS:
        values = objects[name] & _ACCESS if name == "flags" else objects[name]
        known = zip(values.tolist(), objects.known(name).tolist(), strict=True)
        columns.append([value if there else None for value, there in known])
    rows = zip(*columns, strict=True)
    return dict(zip(objects["objref"].tolist(), rows, strict=True))


def _place(entry: ReportObject, starts: Mapping[int, int]) -> Hashable:
    """Return the first of the places at which processes inside hold an object."""
    places = [
        (starts.get(task.tgid, 0), task.tgid, holder.association, holder.slot or 0)
        for holder in entry.holders
        if holder.side is Side.INSIDE
        for task in holder.tasks
        if task.side is Side.INSIDE
    ]
    return min(places, default=None)
