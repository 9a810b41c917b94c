"""CRED: struct cred, a task's credentials. It pins the user namespace and is not judged itself.

linux-cr grabbed credentials but never compared their count (no `ref_users`). Each open file holds
those that it was opened with (`f_cred`): they outlive the task that opened it. Looked at are only
those of other user namespaces than the initial one, which is the host's whoever holds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.kinds._initial import nested
from analyzer.kinds.base import Association, By, Counter, Edges, Judged, Kind, Pointer
from analyzer.kinds.ucounts import charged
from analyzer.memory.distinct import member, unique

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

OPENED: Final = Association("f_cred", "was opened with it", collects=False)
UCOUNTS: Final = Association("cred.ucounts", "is counted there")


def opened(memory: Memory, creds: U64) -> Iterator[Edges]:
    """Yield the references that open files have to their `creds`."""
    distinct = unique(creds)
    read = memory.gather(distinct, "cred", {"ns": "user_ns"})
    at = np.flatnonzero(member(creds, distinct[nested(memory, read)]))
    yield Edges(OPENED, "CRED", at, creds[at])


def _walk(memory: Memory, creds: U64) -> Iterator[Edges]:
    if memory.has("cred", "ucounts"):
        read = memory.gather(creds, "cred", {"ucounts": "ucounts"})
        yield from charged(memory, UCOUNTS, np.where(read.ok, read["ucounts"], np.uint64(0)))


KIND: Final = Kind(
    name="CRED",
    struct="cred",
    title="set of credentials",
    plural="sets of credentials",
    message="cred",
    order=60,
    rank=90,
    # atomic_long_t since 6.7 (f8fa5d769227 "cred: switch to using atomic_long_t").
    counters=(Counter("usage.counter"), Counter("usage.refs.counter")),
    judged=Judged.NOT,
    pointers=(
        Pointer(("user_ns",), "USER_NS", Association("cred.user_ns", "its credentials are of it")),
    ),
    walk=_walk,
    walk_associations=(UCOUNTS,),
    of_process=True,
    through={
        "": "knows credentials of it",
        OPENED.name: "was opened with credentials of it",
    },
    leaked=Impact.BY_DESIGN,
    leaked_by=By.NOBODY,
    member=True,
)
