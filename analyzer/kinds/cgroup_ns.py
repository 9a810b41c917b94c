"""CGROUP_NS: a view of the cgroup tree (since 4.6).

Held by nsproxies, by its nsfs inode while that is in use, and by open cgroup files.
"""

from __future__ import annotations

from typing import Final

from analyzer.kinds._namespace import namespace

KIND: Final = namespace(
    "cgroup",
    order=170,
    initial_ino=0xEFFFFFFB,
    old_counters=("count.refs.counter",),
)
