"""keyring: a session, process or thread keyring (keyrings(7)) that processes of both sides have.

A child has its parent's session keyring until it joins another (keyctl(2)); keys know no container,
so one whose runtime made none reads and changes the keys of who started it. What a user has in
common (`_uid.N`) everybody of that number in the user namespace has, and is not told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.relations._tasks import boxed, tasks
from analyzer.relations.base import Related, Relation, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World


def _find(world: World) -> Iterator[Related]:
    found = world.once(tasks)
    at = np.flatnonzero(found.leads)
    fields = {role: f"{role}_keyring" for role in ("session", "process", "thread")}
    read = world.memory.gather(found["cred"][at], "cred", fields)
    impact = Impact.SHARED_STATE if boxed(world) else Impact.BY_DESIGN
    for role in fields:
        has = read.ok & (read[role] != 0)
        count = int(has.sum())
        yield Related(
            TASK, found.address[at[has]], "KEYRING", read[role][has],
            role=words(count, role), impact=words(count, impact.value),
        )  # fmt: skip


RELATION: Final = Relation(
    name="keyring",
    title="has a keyring that the other side has",
    plural="have keyrings that the other side has",
    left="has it",
    right="is what they share",
    impact=Impact.SHARED_STATE,
    next="start the subtree in a session keyring of its own: keyctl session - COMMAND",
    shared=True,
    leads_to=("KEYRING",),
    kernel=_find,
    unseen="keys linked into several keyrings; the keyrings of a user",
)
