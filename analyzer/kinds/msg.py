"""MSG: struct msg_queue, a System V message queue.

A queue belongs to its IPC namespace and ends with it, or with msgctl(2), IPC_RMID (ipc/msg.c). No
process holds one: who uses it is told by what it keeps of them (`relations.sysv_queue`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import Fact
from analyzer.kinds._told import fields, ipc_names
from analyzer.kinds.base import Judged, Kind, State

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from analyzer.kinds.base import U64, Told
    from analyzer.memory.reader import Memory


def _names(memory: Memory, addresses: U64) -> npt.NDArray[np.object_]:
    read = memory.gather(addresses, "msg_queue", {"id": "q_perm.id", "key": "q_perm.key"})
    return ipc_names("msqid", read)


def _state(memory: Memory, addresses: U64) -> Told:
    read = memory.gather(
        addresses, "msg_queue", {"msg.messages": "q_qnum", "msg.bytes": "q_cbytes"}
    )
    return fields(read)


_FACTS: Final = (
    Fact("msg.messages", "number", "messages in a System V queue that nobody has received"),
    Fact("msg.bytes", "number", "what these messages hold", unit="bytes"),
)

KIND: Final = Kind(
    name="MSG",
    struct="msg_queue",
    title="message queue",
    plural="message queues",
    message="msg",
    order=127,
    rank=94,
    counters=(),
    judged=Judged.NOT,
    names=_names,
    state=State(_FACTS, _state),
    derived=True,
)
