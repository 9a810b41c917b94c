"""TIME_NS: clock offsets (since 5.6). An nsproxy holds it twice: for the task, for its children."""

from __future__ import annotations

from typing import Final

from analyzer.core.values import replace
from analyzer.kinds._namespace import namespace

KIND: Final = replace(
    namespace(
        "time",
        order=180,
        initial_ino=0xEFFFFFFA,
        old_counters=("kref.refcount.refs.counter",),
    ),
    anybodys=True,
)
