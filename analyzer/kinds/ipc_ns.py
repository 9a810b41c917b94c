"""IPC_NS: System V IPC and POSIX message queues. In the check since the seed.

Held by nsproxies, by its nsfs inode while that is in use, and by every SysV shm attach; its
internal mount for message queues does not hold it (ipc/mqueue.c, mq_create_mount()), but is in no
mount namespace either: it goes by the namespace. It owns its SysV shm segments; "nothing to do for
msg and sem", as linux-cr says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.core.values import replace
from analyzer.kinds._namespace import Holds, namespace
from analyzer.kinds.base import ALL_RULES, Association, Edges
from analyzer.kinds.shm import SEGMENT, segments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

MQUEUE: Final = Association("mqueue", "has its message queues in it", collects=False)


def _walk(memory: Memory, namespaces: U64) -> Iterator[Edges]:
    yield from segments(memory, namespaces)
    if memory.has("ipc_namespace", "mq_mnt"):  # CONFIG_POSIX_MQUEUE
        mount = memory.gather(namespaces, "ipc_namespace", {"mount": "mq_mnt"})
        read = memory.gather(mount["mount"], "vfsmount", {"superblock": "mnt_sb"})
        at = np.flatnonzero(read.ok)
        yield Edges(MQUEUE, "SUPERBLOCK", at, read["superblock"][at])


KIND: Final = replace(
    namespace(
        "ipc",
        order=120,
        initial_ino=0xEFFFFFFF,
        old_counters=("count.refs.counter",),
        rules=ALL_RULES,
        holds=Holds(_walk, (SEGMENT, MQUEUE)),
    ),
    hosts=Impact.SHARED_STATE,
)
