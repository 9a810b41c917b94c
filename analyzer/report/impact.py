"""What it means that an object is referenced from outside: an `Impact`, as a crossing has one.

It changes no verdict and no number. A shared open file is a shared offset, which both can change; a
library that both map is what every process has. What is seen to be held by nobody (the kernel's
count says so) is kept alive, which is all that is known.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from analyzer.core.model import TASK, Impact, Side, Verdict
from analyzer.kinds import registry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.report.holders import Holder
    from analyzer.report.value import ReportObject

ORDER: Final = {impact: rank for rank, impact in enumerate(Impact)}
"""The impacts by rank, worst first."""

_O_PATH: Final = 0o10000000
_NO_STATE: Final = frozenset({"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"})
_MAPPED: Final = frozenset({"vma", "exe"})

# What being in a namespace of the host's lets the subtree do; each of the others is its own word.
_HOSTS: Final = {
    "MNT_NS": Impact.REACHES_OUT,
    "NET_NS": Impact.REACHES_OUT,
    "PID_NS": Impact.REACHES_OUT,
    "IPC_NS": Impact.SHARED_STATE,
    "UTS_NS": Impact.SHARED_STATE,
}
_MEMBERS: Final = frozenset({TASK, "NSPROXY", "CRED"})
_OF_TASKS: Final = frozenset({"MM", "FILE_TABLE", "FS", "SIGHAND"})
_WITH_STATE: Final = frozenset(
    {"PIPE", "SOCKET", "NET_SOCKET", "TTY", "SHM", "AIO", "IO_URING", "LOOP"}
)
_ANYBODYS: Final = frozenset({"CRED", "UCOUNTS"})


def of_leak(entry: ReportObject, mode: int | None, flags: int | None) -> Impact | None:
    """Return what a leak means; None for what is none. `mode` and `flags` are those of a file."""
    if entry.verdict is not Verdict.USAGE_LEAK:
        return None
    return _of_kind(entry) if entry.kind != "FILE" else _of_file(entry, mode or 0, flags or 0)


def _of_kind(entry: ReportObject) -> Impact:
    if entry.kind in _ANYBODYS:
        return Impact.BY_DESIGN
    if entry.kind == "NSPROXY":
        return Impact.SHARED_STATE if entry.passes else Impact.REACHES_OUT
    if registry()[entry.kind].namespace:
        own = _state(any(h.kind in _MEMBERS for h in _of(entry, Side.OUTSIDE)))
        return _HOSTS.get(entry.kind, Impact.BY_DESIGN) if entry.initial else own
    if entry.kind in _OF_TASKS:
        return _state(any(h.kind == TASK for h in _of(entry, Side.OUTSIDE)))
    seen = bool(entry.outside or entry.shared)
    if entry.kind == "PID":
        return Impact.WATCHES if seen else Impact.PINS
    return _state(seen and entry.kind in _WITH_STATE)


def rank(impact: Impact | None) -> int:
    """Return where an impact stands in a list, worst first; what has none comes last."""
    return len(ORDER) if impact is None else ORDER[impact]


def worst(entries: Iterable[ReportObject]) -> Impact | None:
    """Return the worst impact of some objects, None where none has any."""
    found = [entry.impact for entry in entries if entry.impact is not None]
    return min(found, key=rank, default=None)


def _state(is_shared: bool) -> Impact:  # noqa: FBT001 - the question itself
    return Impact.SHARED_STATE if is_shared else Impact.PINS


def _of(entry: ReportObject, side: Side) -> list[Holder]:
    return [holder for holder in entry.holders if holder.holds_from(side)]


def _of_file(entry: ReportObject, mode: int, flags: int) -> Impact:
    sort = stat.S_IFMT(mode)
    # /proc does not tell the type of an open file: then the name says what it is.
    null = sort in {0, stat.S_IFCHR} and entry.name in _NO_STATE
    if flags & _O_PATH or sort == stat.S_IFDIR or null:
        return Impact.BY_DESIGN
    by_side = [_of(entry, side) for side in (Side.INSIDE, Side.OUTSIDE)]
    if not all(by_side):
        return Impact.PINS
    opened = all(any(h.association not in _MAPPED for h in held) for held in by_side)
    written = all(any(h.detail.endswith("s)") for h in held) for held in by_side)
    if opened or written:
        return Impact.SHARED_STATE
    mapped = all(h.association in _MAPPED for held in by_side for h in held)
    return Impact.BY_DESIGN if mapped else Impact.PINS
