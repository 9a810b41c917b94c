"""epoll-watch: an epoll that watches an open file of the other side.

An item holds no reference to the file that it watches (fs/eventpoll.c): the descriptor by which it
was added may long be closed, the epoll goes on reporting as long as anybody has the file open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.kinds._named_types import items, of_type
from analyzer.memory.distinct import member
from analyzer.relations._files import files
from analyzer.relations.base import Related, Relation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World


def _find(world: World) -> Iterator[Related]:
    opened = world.once(files)
    polls = of_type(world.memory, opened.address[opened.good], opened.ops[opened.good], "epoll")
    found, watched, fd = items(world.memory, polls)
    at = np.flatnonzero(member(watched, opened.address))
    detail = np.array([f"added as fd {number}" for number in fd[at].tolist()], object)
    yield Related("FILE", polls[found.owner[at]], "FILE", watched[at], detail=detail)


RELATION: Final = Relation(
    name="epoll-watch",
    title="watched by an epoll of the other side",
    plural="watched by epolls of the other side",
    left="watches it",
    right="is watched",
    impact=Impact.WATCHES,
    next="epoll_ctl(2) with EPOLL_CTL_DEL before the file is given away or closed",
    kernel=_find,
)
