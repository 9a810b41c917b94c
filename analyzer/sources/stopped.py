"""What a machine that has stopped tells of itself, in the memory that it left.

Its names are those of the initial UTS namespace; the id of its boot is made when somebody first
asks for it (drivers/char/random.c, proc_do_uuid()); its clocks stand at their last tick
(kernel/time/timekeeping.c).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.kinds._initial import initial
from analyzer.sources.meta import Origin, written

if TYPE_CHECKING:
    from analyzer.memory.reader import Memory

_NAMES: Final = ("nodename", "release", "machine")
_UUID: Final = 16  # bytes
_SECOND: Final = 1_000_000_000
_MOST_SECONDS: Final = 1 << 33  # the year 2242: what is later is no time
# Where the timekeeper is in tk_core, the type of which had no name before 6.13: after a seqcount.
_TIMEKEEPER: Final = 8


def origin(memory: Memory) -> Origin:
    """Return which machine left this memory, and when it stopped."""
    names = memory.gather(
        np.array([initial(memory, "uts")], np.uint64),
        "uts_namespace",
        {name: f"name.{name}" for name in _NAMES},
    )
    host, kernel, machine = (
        names[name][0].split(b"\0", 1)[0].decode("utf-8", "surrogateescape") for name in _NAMES
    )
    seconds, monotonic = _clocks(memory)
    when = written(datetime.fromtimestamp(seconds, UTC)) if seconds else ""
    return Origin(kernel, machine, host, _boot_id_in(memory), when, monotonic * _SECOND)


def _boot_id_in(memory: Memory) -> str:
    import uuid

    place = memory.engine.symbol("sysctl_bootid")
    data, ok = memory.read(np.array([place], np.uint64), _UUID)
    # It is all zeros until somebody asks for it.
    return str(uuid.UUID(bytes=data[0].tobytes())) if ok[0] and data[0].any() else ""


def _clocks(memory: Memory) -> tuple[int, int]:
    """Return the real and the monotonic time in seconds, 0 where they are not known."""
    core = memory.engine.symbol("tk_core") or memory.engine.symbol("timekeeper_data")
    if not core:
        return 0, 0
    named = memory.layout.field("tk_data", "timekeeper")
    at = core + (named.offset if named else _TIMEKEEPER)
    read = memory.gather(
        np.array([at], np.uint64), "timekeeper", {"real": "xtime_sec", "monotonic": "ktime_sec"}
    )
    told = int(read["real"][0]), int(read["monotonic"][0])
    return told if all(0 < seconds < _MOST_SECONDS for seconds in told) else (0, 0)
