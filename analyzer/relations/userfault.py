"""userfault: an address space whose page faults are answered by who has its userfaultfd(2).

The handler decides what the pages contain. CRIU restores the memory without the registration: who
touches a page that was to be filled gets zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.memory.distinct import member
from analyzer.relations._anonymous import USERFAULTFD, anonymous, data_of
from analyzer.relations._tasks import sided
from analyzer.relations.base import Related, Relation, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World

_NOBODY: Final = np.empty(0, np.uint64)


def _find(world: World) -> Iterator[Related]:
    opened = world.once(anonymous).get(USERFAULTFD)
    if opened is None:
        return
    read = world.memory.gather(data_of(world, opened), "userfaultfd_ctx", {"mm": "mm"})
    at = np.flatnonzero(read.ok & member(read["mm"], world.all("MM")))
    ours = member(opened[at], world.inside.get("FILE", _NOBODY))
    yield Related(
        "FILE", opened[at], "MM", read["mm"][at], role=words(len(at), "handler"),
        impact=sided(ours, Impact.REACHES_OUT, Impact.LOST),
    )  # fmt: skip


RELATION: Final = Relation(
    name="userfault",
    title="answers page faults of the other side (userfaultfd)",
    plural="answer page faults of the other side (userfaultfd)",
    back="has its page faults answered by the other side (userfaultfd)",
    left="has the userfaultfd",
    right="is the memory that it fills",
    impact=Impact.LOST,
    next="let the handler unregister the range (UFFDIO_UNREGISTER), or end, before a checkpoint",
    kernel=_find,
)
