"""PID_NS: process ids. Judged by who is in it: counts of pid namespaces are not comparable.

Held by every struct pid made in it (those of live tasks, and of dead ones that are still a process
group or session), by nsproxies (for children), child namespaces, proc superblocks and nsfs.
"""

from __future__ import annotations

from typing import Final

from analyzer.core.model import Impact
from analyzer.core.values import replace
from analyzer.kinds._namespace import Holds, namespace
from analyzer.kinds.acct import ACCT
from analyzer.kinds.base import Judged, Pointer
from analyzer.kinds.pid import LISTED, leftovers

_COMMON: Final = namespace(
    "pid",
    order=150,
    initial_ino=0xEFFFFFFC,
    old_counters=("kref.refcount.refs.counter",),
    judged=Judged.STRUCTURAL,
    holds=Holds(leftovers, (LISTED,)),
)

KIND: Final = replace(
    _COMMON,
    pointers=(*_COMMON.pointers, Pointer(("bacct",), "ACCT", ACCT)),
    one_for_all="pid",
    hosts=Impact.REACHES_OUT,
    remembered=True,
)
