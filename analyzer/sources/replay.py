"""The replay source: what a dump of /proc tells, made by `cranalyze procdump` or by hand.

Nobody can be asked any more: what is shared is known from the identities that cranalyze wrote
beside the dump, and otherwise unknown. The machine's facts come with the dump too, and what it does
not say stays unknown.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.errors import BadInputError, TargetVanishedError
from analyzer.core.model import SNAPSHOT_FORMAT, UNKNOWN_PARENT
from analyzer.core.version import __version__
from analyzer.procfs import facts, identity, inventory, refusals
from analyzer.procfs.archive import open_dump
from analyzer.procfs.gaps import Failure
from analyzer.procfs.identity import Presumed
from analyzer.procfs.parse import decode
from analyzer.procfs.reading import read
from analyzer.procfs.tarball import SEVERAL
from analyzer.snapshot.source import REPLAY
from analyzer.sources.procfs import able, snapshot
from analyzer.sources.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from analyzer.procfs.facts import Facts
    from analyzer.procfs.fs import ProcFs
    from analyzer.procfs.identity import Identity
    from analyzer.snapshot.value import Snapshot

_CUT: Final = Failure(
    "the dump", "read", None, "it was cut short while it was made: tasks and files are missing"
)
_OF_ANOTHER: Final = Failure(
    "a dump for another process", "", None, "of others it has what that one may share with them"
)
_DAMAGED: Final = "what is told there is missing"
_AFTER: Final = "what would have come after that is missing: tasks and files"
_LINE: Final = re.compile(r"(?:^|: )line \d+: ")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def collect(path: Path, asked: Request | int | None, opened: int | None = None) -> Snapshot:
    """Read the subtree that is asked for (by its pid; None: everybody) from the dump at `path`.

    `opened` is a descriptor of it, where there is one already.
    Raises BadInputError for what is no dump, or a malformed one, and as the procfs source does.
    """
    lost: list[BadInputError] = []
    fs = refusals.restored(open_dump(path, opened), lost)
    request = asked if isinstance(asked, Request) else Request(asked)
    if request.chosen is not None:
        request = request.chosen(fs, request)
    pid, others = request.pid, request.others()
    known = _facts(fs, lost)
    answers = _identities(fs, lost)
    host = request.host
    who = Presumed() if answers is None else answers
    try:
        seen = read(fs, known, who, pid, host=host, progress=request.progress, others=others)
    except TargetVanishedError as error:
        raise TargetVanishedError(f"{error} in the dump{_why_not(fs, pid)}") from None
    if fs.cut:
        seen.log.add(Failure(f"the dump: {fs.cut}", "", None, _AFTER))
    elif _is_cut(fs):
        seen.log.add(_CUT)
    for said in _damaged(fs, [*fs.damaged, *lost]):
        seen.log.add(Failure(f"the dump: {said}", "", None, _DAMAGED))
    notes = [*_skipped(fs), *fs.notes]
    if known.subject and pid != known.subject:
        seen.log.add(_OF_ANOTHER._replace(what=f"a dump for process {known.subject}"))
    source = able(REPLAY, seen).meta(notes)
    made_by_us = _optional(fs, facts.PATH) is not None
    whole = not (fs.cut or _is_cut(fs)) if made_by_us or fs.cut else None
    parents = any(task.stat.ppid != UNKNOWN_PARENT for task in seen.tasks)
    source["inventory"] = inventory.take(fs, known, whole=whole, parents=parents)
    start = None if pid is None else seen.start_time(pid)
    subject = _subject(pid, start, host=host)
    subject["subject"] |= {**request.called, "roots": list(others)} if others else request.called
    return snapshot(seen, {**_meta(known), **subject, "source": source}, whole=whole)


def _why_not(fs: ProcFs, pid: int | None) -> str:
    """Return why a process may be missing in a dump, "" where nothing tells."""
    if str(pid) in fs.listdir(""):
        return " that could be read: it ended while that was made"
    return f": {fs.cut}" if fs.cut else ""


def _damaged(fs: ProcFs, lost: Sequence[BadInputError]) -> Iterator[str]:
    """Yield for each file that has malformed lines the first of them, and how many there are."""
    by_file: dict[str, list[str]] = {}
    for said in (str(error).removeprefix(fs.name("")) for error in lost):
        by_file.setdefault(_LINE.split(said)[0], []).append(said)
    for first, *more in by_file.values():
        yield f"{first} (and {len(more)} more)" if more else first


def _skipped(fs: ProcFs) -> list[str]:
    if not fs.skipped:
        return []
    said = ", ".join(
        f"{count:,} {one if count == 1 else SEVERAL[one]}"
        for one, count in sorted(fs.skipped.items())
    )
    return [f"passed over in the dump: {said}"]


def _meta(known: Facts) -> dict[str, Any]:
    return {
        "format": SNAPSHOT_FORMAT,
        "tool_version": __version__,
        "kernel": known.kernel,
        "machine": known.machine,
        "boot_id": known.boot_id,
        "host": known.host,
        "collected_at": known.collected_at if _TIME.fullmatch(known.collected_at) else "",
        "monotonic_ns": known.monotonic_ns,
        "options": {},
        "frozen": False,
        "passes": 1,
        "addresses": "none",
    }


def _subject(pid: int | None, start: int | None, *, host: bool) -> dict[str, Any]:
    selector = "host" if pid is None else str(pid)
    return {
        "subject": {"pid": pid, "local_pid": pid, "start_time": start, "selector": selector},
        "scope": "host" if host else "border",
    }


def _facts(fs: ProcFs, lost: list[BadInputError]) -> Facts:
    data = _optional(fs, facts.PATH)
    if data is not None:
        return facts.parse(data, fs.name(facts.PATH), lost)
    # A plain copy of /proc, as support bundles have it: what sysctl shows.
    told = {key: _optional(fs, path) or b"" for key, path in facts.SYSCTLS.items()}
    text = {key: decode(value.strip()) for key, value in told.items()}
    return facts.Facts(kernel=text["kernel"], host=text["host"], boot_id=text["boot_id"])


def _identities(fs: ProcFs, lost: list[BadInputError]) -> Identity | None:
    data = _optional(fs, identity.PATH)
    return None if data is None else identity.parse(data, fs.name(identity.PATH), lost)


def _is_cut(fs: ProcFs) -> bool:
    made_by_us = _optional(fs, facts.PATH) is not None
    return made_by_us and _optional(fs, facts.COMPLETE) is None


def _optional(fs: ProcFs, path: str) -> bytes | None:
    try:
        return fs.read(path)
    except OSError:
        return None
