"""sysv-queue: a System V message queue that processes of both sides use.

The kernel remembers who sent last, who received last, and who waits to (ipc/msg.c); others that
used it before are told nowhere. The queue is the namespace's: nobody holds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.core.pattern import pattern
from analyzer.core.values import NamedTuple
from analyzer.relations._ipc import by_pid, objects, waiting
from analyzer.relations.base import Relation
from analyzer.relations.shown import Tied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import Related, World
    from analyzer.relations.shown import Key, Shown

_WAITING: Final = (
    ("q_receivers", ("msg_receiver", "r_list", "r_tsk")),
    ("q_senders", ("msg_sender", "list", "tsk")),
)
_SIGNED: Final = pattern(r"-?[0-9]{1,18}")
_COLUMNS: Final = 14  # of /proc/sysvipc/msg


class Queue(NamedTuple):
    """A line of /proc/sysvipc/msg (proc_sysvipc(5)); times are seconds since 1970, 0 is never."""

    id: int
    key: int
    messages: int
    bytes: int
    sender: int
    receiver: int
    sent: int
    received: int


def queues(shown: Shown) -> list[Queue]:
    """Return the System V message queues of the IPC namespace of who looked."""
    found = []
    for line in shown.text("sysvipc/msg").splitlines()[1:]:
        words = line.split()
        if len(words) == _COLUMNS and all(_SIGNED.fullmatch(word) for word in words):
            key, ident, _, used, count, sender, receiver, *_, sent, received, _ = map(int, words)
            found.append(Queue(ident, key, count, used, sender, receiver, sent, received))
    return found


def _find(world: World) -> Iterator[Related]:
    memory = world.memory
    queues = objects(world, 1, "msg_queue", "q_perm")
    if not len(queues):
        return
    read = memory.gather(queues, "msg_queue", {"sent": "q_lspid", "received": "q_lrpid"})
    for role in ("sent", "received"):
        pid = np.where(read.ok, read[role], np.uint64(0))
        yield by_pid(world, pid, "MSG", queues, f"{role} last")
    for name, place in _WAITING:
        heads = queues + np.uint64(memory.offset("msg_queue", name))
        yield waiting(world, heads, "MSG", queues, place)


def _from_proc(shown: Shown) -> Iterator[Tied]:
    space = shown.reader.get("ipc")
    for queue in shown.once(queues) if space is not None else ():
        key: Key = ("MSG", (space, queue.id, queue.key))
        for role, pid, when in (
            ("sent", queue.sender, queue.sent),
            ("received", queue.receiver, queue.received),
        ):
            task = shown.tasks.get(pid)
            # A number that was given anew since is somebody else's.
            if task is not None and task.spaces.get("ipc") == space and shown.lived(task, when):
                leader = shown.tasks.get(task.tgid, task)
                yield Tied(leader.key, key, role=f"{role} last")


RELATION: Final = Relation(
    name="sysv-queue",
    title="uses a message queue that the other side uses",
    plural="use message queues that the other side uses",
    left="uses it",
    right="is what they use",
    impact=Impact.SHARED_STATE,
    next=(
        "start the subtree in an IPC namespace of its own (unshare -i COMMAND, podman run --ipc "
        "private)"
    ),
    shared=True,
    leads_to=("MSG",),
    kernel=_find,
    from_proc=_from_proc,
    hidden="who waits; queues of other IPC namespaces than that of who looked",
    unseen="who used it before the last",
)
