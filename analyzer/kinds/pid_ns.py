"""PID_NS: process ids. Judged by who is in it: counts of pid namespaces are not comparable.

Held by every struct pid made in it (those of live tasks, and of dead ones that are still a process
group or session), by nsproxies (for children), child namespaces, proc superblocks and nsfs.
"""

from __future__ import annotations

from typing import Final

from analyzer.kinds._namespace import namespace
from analyzer.kinds.base import Judged

KIND: Final = namespace(
    "pid",
    order=150,
    initial_ino=0xEFFFFFFC,
    old_counters=("kref.refcount.refs.counter",),
    judged=Judged.STRUCTURAL,
    parent=True,
)
