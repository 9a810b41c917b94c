"""epoll-watch: an epoll that watches an open file of the other side.

An item holds no reference to the file that it watches (fs/eventpoll.c): the descriptor by which it
was added may long be closed, the epoll goes on reporting as long as anybody has the file open.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.core.pattern import pattern
from analyzer.kinds._named_types import items, of_type
from analyzer.memory.distinct import member
from analyzer.relations._anonymous import unnamed
from analyzer.relations._files import files
from analyzer.relations.base import Related, Relation
from analyzer.relations.shown import NUMBERED, Tied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World
    from analyzer.relations.shown import File, Shown


# Descriptor, inode, and the device of its filesystem as MKDEV() makes it.
_TARGET: Final = pattern(r"(\d{1,10}) .* ino:([0-9a-f]{1,16}) sdev:([0-9a-f]{1,8})$", re.ASCII)


def _find(world: World) -> Iterator[Related]:
    opened = world.once(files)
    at = world.once(unnamed)
    polls = of_type(world.memory, opened.address[at], opened.ops[at], "epoll")
    found, watched, fd = items(world.memory, polls)
    at = np.flatnonzero(member(watched, opened.address))
    detail = np.array([f"added as fd {number}" for number in fd[at].tolist()], object)
    yield Related("FILE", polls[found.owner[at]], "FILE", watched[at], detail=detail)


def _from_proc(shown: Shown) -> Iterator[Tied]:
    for file in shown.telling():
        for text in file.told(b"tfd"):
            found = _TARGET.match(text)
            if found is None:
                continue
            fd, dev, ino = int(found[1]), int(found[3], 16), int(found[2], 16)
            likely = list(_with(shown, os.makedev(dev >> 20, dev & 0xFFFFF), ino))
            there = [one for one in likely if any(slot.fd == fd for slot in one.slots)]
            if len(there or likely) == 1:
                yield Tied(file.key, (there or likely)[0].key, f"added as fd {fd}")


def _by_number(shown: Shown) -> dict[int, list[File]]:
    found: dict[int, list[File]] = {}
    for file in shown.files:
        if file.ino is not None:
            found.setdefault(file.ino, []).append(file)
    return found


def _with(shown: Shown, dev: int, ino: int) -> Iterator[File]:
    """Yield the open files of an inode, where its number is enough to know it."""
    for file in shown.once(_by_number).get(ino, ()):
        if file.slots:
            numbered = file.mount is not None and file.mount.fstype in NUMBERED
            if file.link in {f"pipe:[{ino}]", f"socket:[{ino}]"} or (
                numbered and file.mount is not None and file.mount.dev == dev
            ):
                yield file


RELATION: Final = Relation(
    name="epoll-watch",
    title="watches what is open on the other side (epoll)",
    plural="watch what is open on the other side (epoll)",
    back="watched by an epoll of the other side",
    left="watches it",
    right="is watched",
    impact=Impact.WATCHES,
    next="epoll_ctl(2) with EPOLL_CTL_DEL in the process that watches, or close its epoll",
    kernel=_find,
    from_proc=_from_proc,
    hidden="what has no inode of its own (epolls, timers), and pipes that nobody inside has open",
)
