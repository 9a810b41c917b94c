"""Makes dumps of /proc that the replay source reads.

`script` is a shell script for a machine without Python. `dump` reads this machine as the procfs
source does and keeps what it read, with the answers of kcmp(2) beside it: replaying the dump gives
the same snapshot.
"""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Final

from analyzer.core.files import whole
from analyzer.core.values import replace
from analyzer.procfs import facts, identity, moved, peers, refusals, tarball
from analyzer.procfs.fs import ProcFs
from analyzer.procfs.identity import Recording
from analyzer.procfs.record import Recorder
from analyzer.sources import procfs
from analyzer.sources.meta import boot_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from analyzer.procfs.reading import Progress, Seen
    from analyzer.sources.privacy import Redaction

READINGS: Final = 4  # a host where somebody comes each second is quiet for one of them
_LOOKS: Final = 4
_PAUSE: Final = 0.02  # seconds; most commands of a shell take less

Entries = dict[str, bytes | str]


def script() -> str:
    """Return the POSIX shell script that makes a dump, as `cranalyze procdump --script` prints."""
    return resources.files("analyzer.sources").joinpath("procdump.sh").read_text("utf-8")


def dump(
    pid: int | None,
    out: Path,
    *,
    others: Callable[[], tuple[int, ...]] = tuple,
    force: bool = False,
    redaction: Redaction | None = None,
    progress: Progress = lambda _: None,
) -> None:
    """Write the tar `out` with all that a replay for `pid` (None: for any process) needs.

    `others` are more roots of the subtree.

    It is there when it is complete, and replaces another only with `force` (see `files.whole`).
    With a `redaction` it has hashes for names, paths and cgroups (`analyzer.sources.privacy`).
    Raises BadInputError when it cannot be written, and as the procfs source does.
    """
    entries = record(pid, others=others, progress=progress)
    if redaction is not None:
        recorded = entries[facts.PATH]
        assert isinstance(recorded, bytes)  # noqa: S101 -- as `record` made it
        entries = {path: redaction.entry(path, entry) for path, entry in entries.items()}
        told = facts.parse(recorded, facts.PATH)
        told = replace(told, host=redaction.word(told.host))
        entries[facts.PATH] = facts.text(told).encode()
    progress("writing")
    with whole(os.fspath(out), force=force) as file:
        tarball.write(entries, file)


def record(
    pid: int | None,
    *,
    only: Collection[int] | None = None,
    others: Callable[[], tuple[int, ...]] = tuple,
    progress: Progress = lambda _: None,
) -> Entries:
    """Return the entries of a dump for `pid`: contents as bytes, links as str.

    `only` are the processes that it is to know of, all by default. It is read again, up to
    READINGS times in all, where somebody came meanwhile and stays.
    """
    entries: Entries = {}
    came, left = True, READINGS
    # Who came was not read, and may hold anything. Whoever ran since may have given him something,
    # or have something of his, and on a busy host most did: all are read anew, and compared. To
    # read him alone would save little: most of the time goes into what is made of it.
    while came and left:
        came, entries = _record(pid, only, others, progress)
        left -= 1
    return entries


def _record(
    pid: int | None,
    only: Collection[int] | None,
    others: Callable[[], tuple[int, ...]],
    progress: Progress,
) -> tuple[bool, Entries]:
    """Return whether somebody came meanwhile who stays, and the entries."""
    live = ProcFs(procfs.LIVE)
    started = _now()
    recorder, answers = Recorder(live, only), Recording(procfs.who_to_ask(live))
    more = () if pid is None else others()
    seen = procfs.look(recorder, answers, pid, host=pid is None, progress=progress, others=more)
    procfs.ran(seen)  # what tells it is recorded
    came = _came(recorder, seen)
    told = replace(
        _facts(live),
        collected_at=started,
        ended_at=_now(),
        kcmp="cranalyze" if answers.certain else "none",
        sock_diag="cranalyze" if peers.are_in(recorder.entries) else "none",
        subject=pid or 0,
    )
    entries: Entries = {facts.PATH: facts.text(told).encode()}
    if answers.certain:
        entries[identity.PATH] = answers.text().encode()
    if recorder.refused:
        entries[refusals.PATH] = refusals.text(recorder.refused).encode()
    return came, {**entries, **recorder.entries, facts.COMPLETE: b""}


def _came(recorder: Recorder, seen: Seen) -> bool:
    """Tell whether somebody came since it was read; who has ended again holds nothing.

    What that one may have given to others is told by who ran, up to the same new end.
    """
    for left in reversed(range(_LOOKS)):
        if not moved.arrived(recorder, seen.tasks, seen.facts.observer):
            return False
        if left:
            time.sleep(_PAUSE)
            recorder.read_end()
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _facts(fs: ProcFs) -> facts.Facts:
    return replace(
        procfs.facts(fs),
        kernel=platform.release(),
        machine=platform.machine(),
        host=os.uname().nodename,
        boot_id=boot_id(),
        uid=str(os.getuid()),
        monotonic_ns=time.monotonic_ns(),
    )
