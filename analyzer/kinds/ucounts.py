"""UCOUNTS: struct ucounts, what one user has used up in one user namespace (since 4.9).

Credentials hold it (since 5.14), and every namespace that was charged to it when it was made; as
long as it is there it holds its user namespace, once (kernel/ucount.c, alloc_ucounts()). Those of
the initial user namespace are left out: that one is the host's whoever holds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.kinds._initial import nested
from analyzer.kinds.base import Association, By, Edges, Judged, Kind, Pointer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

NAMESPACE: Final = Association("ucounts", "is counted in it")


def charged(memory: Memory, association: Association, ucounts: U64) -> Iterator[Edges]:
    """Yield the references that holders have to their `ucounts` (0 where a holder has none).

    None on a kernel where it holds nothing: it has a reference to its namespace since credentials
    have one to it (5.14).
    """
    if not memory.has("cred", "ucounts"):
        return
    read = memory.gather(ucounts, "ucounts", {"ns": "ns"})
    at = np.flatnonzero(nested(memory, read))
    yield Edges(association, "UCOUNTS", at, ucounts[at])


KIND: Final = Kind(
    name="UCOUNTS",
    struct="ucounts",
    title="count of a user's resources",
    plural="counts of users' resources",
    message="ucounts",
    order=185,
    rank=93,
    counters=(),
    judged=Judged.NOT,
    pointers=(Pointer(("ns",), "USER_NS", NAMESPACE),),
    leaked=Impact.BY_DESIGN,
    leaked_by=By.NOBODY,
)
