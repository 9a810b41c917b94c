"""UTS_NS: host name and domain name. Held by nsproxies, and by its nsfs inode while that is in use.

In the check since the seed.
"""

from __future__ import annotations

from typing import Final

from analyzer.core.model import Impact
from analyzer.core.values import replace
from analyzer.kinds._namespace import namespace
from analyzer.kinds.base import ALL_RULES

KIND: Final = replace(
    namespace(
        "uts",
        order=110,
        initial_ino=0xEFFFFFFE,
        old_counters=("kref.refcount.refs.counter",),
        rules=ALL_RULES,
    ),
    hosts=Impact.SHARED_STATE,
)
