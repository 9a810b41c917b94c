"""The facts of a run that every snapshot carries, whichever source made it."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.model import SNAPSHOT_FORMAT
from analyzer.core.values import dataclass
from analyzer.core.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.snapshot.source import SourceInfo

_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True)
class Origin:
    """Which machine a snapshot is of, and of when."""

    kernel: str
    machine: str
    host: str
    boot_id: str
    collected_at: str
    monotonic_ns: int


def here() -> Origin:
    """Return this machine, now."""
    return Origin(
        platform.release(),
        platform.machine(),
        os.uname().nodename,
        boot_id(),
        written(datetime.now(UTC)),
        time.monotonic_ns(),
    )


def written(when: datetime) -> str:
    """Return a time as snapshots have it: in UTC, to the second."""
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


def run_facts(
    *,
    pid: int | None,
    start_time: int | None,
    source: SourceInfo,
    origin: Origin,
    local_pid: int | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the meta data of a snapshot that is being made, of the machine `origin`.

    `pid` is the root of the subtree (None for the whole machine) as the tables call it, `local_pid`
    as the user does, who may be in another pid namespace than the initial one; `start_time` is its
    start in nanoseconds since boot.
    """
    return {
        "format": SNAPSHOT_FORMAT,
        "tool_version": __version__,
        "kernel": origin.kernel,
        "machine": origin.machine,
        "boot_id": origin.boot_id,
        "host": origin.host,
        "collected_at": origin.collected_at,
        "monotonic_ns": origin.monotonic_ns,
        "subject": {
            "pid": pid,
            "local_pid": pid if local_pid is None else local_pid,
            "start_time": start_time,
            "selector": "host" if pid is None else str(pid),
        },
        "source": source.meta(notes),
        "scope": "border",
        "options": {},
        "frozen": False,
        "passes": 1,
        "addresses": "none",
        "incomplete": False,
    }


def boot_id() -> str:
    """Return the id of this boot (random(4)), "" when it cannot be read."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
