"""FS: struct fs_struct, a task's root, working directory and umask; shared by clone(CLONE_FS).

linux-cr since v19. Threads of one process share it.
"""

from __future__ import annotations

from typing import Final

from analyzer.kinds.base import SINCE_LINUX_CR, Counter, Kind

KIND: Final = Kind(
    name="FS",
    struct="fs_struct",
    title="root and working directory",
    plural="roots and working directories",
    message="fs",
    order=40,
    rank=40,
    counters=(Counter("users"),),
    rules=SINCE_LINUX_CR,
)
