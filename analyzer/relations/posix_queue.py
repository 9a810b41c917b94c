"""posix-queue: a POSIX message queue (mq_overview(7)) that both sides have open.

Each mq_open(3) makes an open file of its own; they meet at the inode, in which the messages are
(ipc/mqueue.c).
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.relations._anonymous import on
from analyzer.relations._files import files
from analyzer.relations.base import Related, Relation, words
from analyzer.relations.shown import Tied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World
    from analyzer.relations.shown import Shown

_MAGIC: Final = 0x19800202  # MQUEUE_MAGIC, ipc/mqueue.c
_TYPE: Final = 0o170000
_REGULAR: Final = 0o100000


def _find(world: World) -> Iterator[Related]:
    found = world.once(files)
    at = np.flatnonzero(on(world, _MAGIC))
    read = world.memory.gather(found.inode[at], "inode", {"mode": "i_mode"})
    at = at[read.ok & (read["mode"].astype(np.int64) & _TYPE == _REGULAR)]
    yield Related(
        "FILE", found.address[at], "INODE", found.inode[at], role=words(len(at), "message queue")
    )


def _from_proc(shown: Shown) -> Iterator[Tied]:
    queues = {mount.dev for mount in shown.mounts.values() if mount.fstype == "mqueue"}
    # mq_open(3) opens on a mount of the kernel's own, of which no list has the number.
    some = [
        file
        for file in shown.files
        if queues and file.slots and file.ino is not None and file.link.startswith("/")
        if file.mount is None or file.mount.fstype == "mqueue"
    ]
    for file, at in zip(some, shown.look([file.path for file in some]), strict=True):
        if at is not None and at.dev in queues and stat.S_ISREG(at.mode):
            yield Tied(file.key, ("INODE", (at.dev, file.ino)), role="message queue")


RELATION: Final = Relation(
    name="posix-queue",
    title="a message queue that the other side has open",
    plural="message queues that the other side has open",
    left="sends or receives",
    right="is the queue",
    impact=Impact.SHARED_STATE,
    next=(
        "start the subtree in an IPC namespace of its own (unshare -i COMMAND, podman run --ipc "
        "private)"
    ),
    shared=True,
    leads_to=("INODE",),
    kernel=_find,
    from_proc=_from_proc,
    hidden="queues whose filesystem is mounted nowhere, not even at /dev/mqueue",
)
