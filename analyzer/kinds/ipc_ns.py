"""IPC_NS: System V IPC and POSIX message queues. In the check since the seed.

Held by nsproxies, by its nsfs inode while that is in use, and by every SysV shm attach.
"""

from __future__ import annotations

from typing import Final

from analyzer.kinds._namespace import namespace
from analyzer.kinds.base import ALL_RULES

KIND: Final = namespace(
    "ipc",
    order=120,
    initial_ino=0xEFFFFFFF,
    old_counters=("count.refs.counter",),
    rules=ALL_RULES,
)
