"""What is to be said of two readings before what differs between them: where, when, and by whom.

Two machines, another boot, a clock that was set: none of it is an error, and each changes what a
difference means.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from analyzer.changes.identity import By, root
from analyzer.core.model import SINCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.report.value import Report

_APART: Final = 2.0  # seconds by which two clocks may differ: one of them tells whole ones
_NANO: Final = 1e9
_UNITS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def seconds_between(before: Report, after: Report) -> float | None:
    """Return how long after the first reading the second was; None where no clock tells.

    Within a boot it is the time that passed; between boots the clock on the wall has to do.
    """
    passed = _passed(before, after)
    return _by_the_wall(before, after) if passed is None else passed


def _passed(before: Report, after: Report) -> float | None:
    start, end = (report.snapshot.meta["monotonic_ns"] for report in (before, after))
    told = _one_boot(before, after) and start and end  # a plain copy of /proc has no clock
    return float(end - start) / _NANO if told else None


def remarks(before: Report, after: Report, by: By) -> tuple[str, ...]:
    """Return what is to be said of the two, a sentence each."""
    said = (
        *_where(before, after),
        *_whose(before, after, by),
        *_when(before, after),
        *_how(before, after, by),
    )
    return tuple(said)


def span(seconds: float) -> str:
    """Return "3 hours", "1.5 seconds"."""
    size, unit = next((u for u in _UNITS if abs(seconds) >= u[0]), _UNITS[-1])
    count = f"{abs(seconds) / size:.3g}"
    return f"{count} {unit}{'' if count == '1' else 's'}"


def _one_boot(before: Report, after: Report) -> bool:
    return before.subject.boot_id == after.subject.boot_id


def _where(before: Report, after: Report) -> Iterator[str]:
    one, other = before.subject, after.subject
    if one.host != other.host:
        yield f"two hosts: {_named(one.host)} and {_named(other.host)}"
    elif not _one_boot(before, after):
        called = f"called {_named(one.host)}" if one.host else "without a name"
        yield f"two boots of a host {called}, or two hosts of that name"
    if one.kernel != other.kernel:
        yield f"two kernels: {one.kernel} and {other.kernel}"


def _named(host: str) -> str:
    return host or "one without a name"


def _whose(before: Report, after: Report, by: By) -> Iterator[str]:
    one, other = before.subject, after.subject
    if not _one_boot(before, after) or root(before) == root(after) or by is not By.NAME:
        return
    if one.pid == other.pid:
        yield f"pid {one.pid} is another process in the second: the first one ended"
    else:
        yield f"two processes: pid {one.pid} ({one.comm}) and pid {other.pid} ({other.comm})"


def _when(before: Report, after: Report) -> Iterator[str]:
    apart, wall = seconds_between(before, after), _by_the_wall(before, after)
    if apart is None:
        yield "when one of them was read is not known"
    elif apart < 0:
        clock = "" if _one_boot(before, after) else ", or a clock was set back"
        yield f"the second was read {span(apart)} before the first: they are swapped{clock}"
    elif wall is not None and wall - apart < -_APART:
        yield f"the clock was set back by {span(wall - apart)} in between"
    elif wall is not None and wall - apart > _APART:
        more = span(wall - apart)
        yield f"the clock was set forward by {more} in between, or the machine slept"


def _by_the_wall(before: Report, after: Report) -> float | None:
    try:
        start, end = (
            datetime.fromisoformat(report.subject.collected_at) for report in (before, after)
        )
        return (end - start).total_seconds()
    except (TypeError, ValueError):  # a plain copy of /proc has no time, or one without a zone
        return None


def _how(before: Report, after: Report, by: By) -> Iterator[str]:
    metas = [report.snapshot.meta for report in (before, after)]
    versions = [str(meta.get("tool_version", "")) for meta in metas]
    if versions[0] != versions[1]:
        yield f"read by two versions of cranalyze: {versions[0]} and {versions[1]}"
    sources = [report.source.words for report in (before, after)]
    if sources[0] != sources[1]:
        yield f"read from {sources[0]}, and from {sources[1]}: what one cannot see is no change"
    if not relations_known(before, after):
        yield "what crosses without being counted is left out: one of the files has none of it"
    redacted = [bool(meta["options"].get("redacted")) for meta in metas]
    if redacted[0] != redacted[1] and by is By.NAME:
        yield "the names of one are hashed, so that nothing is the same by its name"
    keys = {meta["options"].get("redact_key") for meta in metas}
    if all(redacted) and len(keys) > 1 and by is By.NAME:
        yield "names are hashed under two keys, so that nothing is the same by its name"
    for report, which in ((before, "first"), (after, "second")):
        if report.incomplete:
            yield f"a part of the subtree could not be read in the {which}"


def relations_known(before: Report, after: Report) -> bool:
    """Tell whether both files can have what crosses without being counted."""
    return all(report.snapshot.meta["format"] >= SINCE["relations"] for report in (before, after))
