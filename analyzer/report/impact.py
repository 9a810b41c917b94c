"""What it means that an object is referenced from outside: an `Impact`, as a crossing has one.

It changes no verdict and no number. A shared open file is a shared offset, which both can change; a
library that both map is what every process has. What is seen to be held by nobody (the kernel's
count says so) is kept alive, which is all that is known.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from analyzer.core.model import TASK, Impact, Side, Verdict
from analyzer.kinds import associations, registry
from analyzer.kinds.base import By
from analyzer.kinds.file import KIND as FILE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.report.holders import Holder
    from analyzer.report.value import ReportObject

ORDER: Final = {impact: rank for rank, impact in enumerate(Impact)}
"""The impacts by rank, worst first."""

_O_PATH: Final = 0o10000000
_NO_STATE: Final = frozenset({"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"})


def of_leak(entry: ReportObject, mode: int | None, flags: int | None) -> Impact | None:
    """Return what a leak means; None for what is none. `mode` and `flags` are those of a file."""
    if entry.verdict is not Verdict.USAGE_LEAK:
        return None
    return _of_kind(entry) if entry.kind != FILE.name else _of_file(entry, mode or 0, flags or 0)


def _of_kind(entry: ReportObject) -> Impact:
    kind = registry()[entry.kind]
    if kind.set_of_namespaces:
        return Impact.SHARED_STATE if entry.passes else Impact.REACHES_OUT
    if entry.initial:
        return kind.hosts
    return kind.leaked if _held_by(entry, kind.leaked_by) else Impact.PINS


def _held_by(entry: ReportObject, by: By) -> bool:
    outside = _of(entry, Side.OUTSIDE)
    match by:
        case By.NOBODY:
            return True
        case By.TASK:
            return any(holder.kind == TASK for holder in outside)
        case By.MEMBER:
            return any(h.kind == TASK or registry()[h.kind].member for h in outside)
        case By.ANYBODY:
            return bool(entry.outside or entry.shared)


def rank(impact: Impact | None) -> int:
    """Return where an impact stands in a list, worst first; what has none comes last."""
    return len(ORDER) if impact is None else ORDER[impact]


def worst(entries: Iterable[ReportObject]) -> Impact | None:
    """Return the worst impact of some objects, None where none has any."""
    found = [entry.impact for entry in entries if entry.impact is not None]
    return min(found, key=rank, default=None)


def _of(entry: ReportObject, side: Side) -> list[Holder]:
    return [holder for holder in entry.holders if holder.holds_from(side)]


def _is_mapped(holder: Holder) -> bool:
    return associations()[holder.association].mapped


def _of_file(entry: ReportObject, mode: int, flags: int) -> Impact:
    sort = stat.S_IFMT(mode)
    # /proc does not tell the type of an open file: then the name says what it is.
    null = sort in {0, stat.S_IFCHR} and entry.name in _NO_STATE
    if flags & _O_PATH or sort == stat.S_IFDIR or null:
        return Impact.BY_DESIGN
    by_side = [_of(entry, side) for side in (Side.INSIDE, Side.OUTSIDE)]
    if not all(by_side):
        return Impact.PINS
    opened = all(any(not _is_mapped(h) for h in held) for held in by_side)
    written = all(any(h.shares for h in held) for held in by_side)
    written &= any(h.writes for held in by_side for h in held)  # or nobody tells anybody anything
    if opened or written:
        return Impact.SHARED_STATE
    mapped = all(_is_mapped(h) for held in by_side for h in held)
    return Impact.BY_DESIGN if mapped else Impact.PINS
