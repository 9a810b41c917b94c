"""SIGHAND: struct sighand_struct, a table of signal handlers; shared by clone(CLONE_SIGHAND).

linux-cr by v18. Its count became a refcount_t in 5.1 (d036bda7d0e7).
"""

from __future__ import annotations

from typing import Final

from analyzer.core.model import Impact
from analyzer.kinds.base import SINCE_LINUX_CR, By, Counter, Kind

KIND: Final = Kind(
    name="SIGHAND",
    struct="sighand_struct",
    title="signal handler table",
    plural="signal handler tables",
    message="sighand",
    order=50,
    rank=50,
    counters=(Counter("count.refs.counter"), Counter("count.counter")),
    rules=SINCE_LINUX_CR,
    of_process=True,
    leaked=Impact.SHARED_STATE,
    leaked_by=By.TASK,
)
