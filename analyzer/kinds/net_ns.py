"""NET_NS: a network stack. Every user socket in it holds it, so arithmetic alone misleads.

Held by nsproxies, sockets, its nsfs inode, tun devices, /proc/net files. (`net.passive` counts
references to the memory alone and is not looked at; sockets of the kernel's own do not pin it.)
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from analyzer.core.values import replace
from analyzer.kinds import _proc_net
from analyzer.kinds._namespace import Holds, namespace
from analyzer.kinds.base import Judged
from analyzer.kinds.net_socket import ORPHAN, orphans
from analyzer.kinds.netdev import INTERFACE, interfaces

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.kinds.base import U64, Edges
    from analyzer.memory.reader import Memory


def _walk(memory: Memory, namespaces: U64) -> Iterable[Edges]:
    return chain(orphans(memory, namespaces), interfaces(memory, namespaces))


KIND: Final = replace(
    namespace(
        "net",
        order=140,
        initial_ino=0xEFFFFFF9,
        old_counters=("count.refs.counter", "count.counter"),
        judged=Judged.STRUCTURAL,
        holds=Holds(_walk, (ORPHAN, INTERFACE)),
        file_types=_proc_net.FILE_TYPES,
    ),
    one_for_all="nsproxy.net",
)
