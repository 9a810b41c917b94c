"""MNT_NS: a tree of mounts. Compared by linux-cr since v19.

Held by nsproxies, by its nsfs inode while that is in use, and by open /proc/PID/mounts files.
"""

from __future__ import annotations

from typing import Final

from analyzer.kinds._namespace import namespace
from analyzer.kinds.base import SINCE_LINUX_CR

KIND: Final = namespace(
    "mnt",
    order=130,
    initial_ino=0xEFFFFFF8,
    old_counters=("count.counter",),
    rules=SINCE_LINUX_CR,
)
