"""Check the snapshots of a fleet, each where it is, and keep what is found.

`check` is the whole of one snapshot: read it, judge it, write its rows. It is a function of where
the snapshot is and where the results go, so it does not matter which process, or machine, does it,
nor whether that is done twice: what it writes is named after the snapshot, and replaces itself.
In a snapshot of a whole host (`cranalyze collect --scope host`) each container is judged.

A result is ``date=YYYY-MM-DD/host=NAME/part-SNAPSHOT.parquet``, and SNAPSHOT is of the boot, the
subject and the time. Of what could not be read neither is known: its partitions are those of null.
When a result is there, an empty file in ``_seen/`` (which readers of Parquet pass over) says so. It
is named after the URL, the size and the version of what was read, and that is not read again; but
by another version of cranalyze if it was no whole snapshot, and every time if it could not be had.
"""

from __future__ import annotations

import io
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from analyzer.check.leaks import check as judge
from analyzer.core.errors import CranalyzeError
from analyzer.core.text import printable
from analyzer.core.values import dataclass, replace
from analyzer.core.version import __version__
from analyzer.fleet import rows
from analyzer.fleet.places import Folder, read
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.snapshot import crz
from analyzer.subjects import every
from analyzer.subjects.base import Recorded
from analyzer.writers.export import collected, parquet, segment, snapshot_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from analyzer.fleet.places import Found
    from analyzer.report.value import Report
    from analyzer.snapshot.tables import Table
    from analyzer.snapshot.value import Snapshot

SEEN: Final = "_seen"
_UNREAD: Final = "unread"


class Came(StrEnum):
    """What came of one snapshot: its worst status, or that it could not be read."""

    CONTAINED = "contained"
    LEAKS = "leaks"
    UNDECIDED = "undecided"
    UNREAD = "unread"


@dataclass(frozen=True)
class Result:
    """The rows of one snapshot, and what they are named after; `again` to read it again."""

    came: Came
    name: str
    host: str
    at: datetime | None
    table: Table
    again: bool = False

    @property
    def path(self) -> str:
        """Return where it is kept."""
        date = segment("" if self.at is None else f"{self.at:%Y-%m-%d}")
        return f"date={date}/host={segment(self.host)}/part-{self.name}.parquet"


def new(found: Iterable[Found], folder: Folder) -> list[Found]:
    """Return what was not checked before."""
    seen = folder.names(SEEN)
    return [one for one in found if not {_seen(one, Came.UNREAD), _seen(one)} & seen]


def check(one: Found, folder: str) -> Came:
    """Check a snapshot and keep its rows in the folder at the URL `folder`; return what came of it.

    What is wrong with the snapshot is in the rows; raises a CranalyzeError when these cannot be
    written.
    """
    return keep(one, result(one), folder)


def lost(one: Found, folder: str, why: str) -> Came:
    """Keep that nothing could be said of a snapshot, and why."""
    return keep(one, _unread(one, why), folder)


def keep(one: Found, made: Result, folder: str) -> Came:
    """Keep a result, and then that it is there."""
    into = Folder(folder)
    into.put(made.path, parquet(made.table, made.name, made.at))
    if made.came is not Came.UNREAD:
        into.remove(_unread(one, "").path)  # perhaps it was not whole before
    if not made.again:
        into.put(_seen(one, made.came), b"")
    return made.came


def result(one: Found) -> Result:
    """Return the rows of a snapshot, or the row that says why there are none."""
    if one.size > crz.MAX_FILE:
        return _unread(one, f"it is larger than {crz.MAX_FILE >> 30} GiB: refused")
    try:
        data = read(one.url)
    except CranalyzeError as error:  # of the place, and not of what is there
        return replace(_unread(one, str(error)), again=True)
    try:
        snapshot = crz.load(one.url, io.BytesIO(data))
        told = [_report(about) for about in _subjects(snapshot)]
        if not told:
            return _unread(one, f"{one.url} is of a whole host that has no container")
        table = rows.of_reports(told, one.url, __version__)
        name, at = snapshot_name(snapshot), collected(snapshot)
    except CranalyzeError as error:
        return _unread(one, str(error))
    except Exception as error:  # noqa: BLE001 - a file of a stranger ends no run
        return _unread(one, f"internal error, please report it: {type(error).__name__}: {error}")
    came = min((Came(report.status.value) for report in told), key=_WORST.index)
    return Result(came, name, snapshot.meta["host"], at, table)


_WORST: Final = (Came.LEAKS, Came.UNDECIDED, Came.CONTAINED)


def _report(snapshot: Snapshot) -> Report:
    return make(snapshot, judge(snapshot), ReportOptions("check", brief=True))


def _subjects(snapshot: Snapshot) -> Iterator[Snapshot]:
    """Yield a snapshot as one of its subject; that of a whole host as one of each container."""
    if snapshot.meta["subject"]["pid"] is not None:
        yield snapshot
        return
    for one in every(Recorded(snapshot.tables)):
        subject = {
            "pid": one.roots[0], "local_pid": None, "start_time": None, "selector": one.words,
            "roots": list(one.roots[1:]), "name": one.words, "runtime": one.runtime,
            "container": one.container, "starts": list(one.roots[:1]),
        }  # fmt: skip
        yield replace(snapshot, meta={**snapshot.meta, "subject": subject})


def _unread(one: Found, why: str) -> Result:
    called = blake2b(one.url.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    table = rows.of_nothing(one.url, __version__, printable(why))
    return Result(Came.UNREAD, f"{_UNREAD}-{called}", "", None, table)


def _seen(one: Found, came: Came | None = None) -> str:
    return f"{SEEN}/{one.mark}" + (f"-{__version__}" if came is Came.UNREAD else "")
