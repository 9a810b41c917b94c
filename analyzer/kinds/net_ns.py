"""NET_NS: a network stack. Every user socket in it holds it, so arithmetic alone misleads.

Held by nsproxies, sockets, its nsfs inode, tun devices, /proc/net files. (`net.passive` counts
references to the memory alone and is not looked at; sockets of the kernel's own do not pin it.)
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Fact, Impact
from analyzer.core.values import replace
from analyzer.kinds import _proc_net
from analyzer.kinds._initial import initial
from analyzer.kinds._namespace import Holds, namespace
from analyzer.kinds.base import Judged, Known, State
from analyzer.kinds.net_socket import ORPHAN, orphans
from analyzer.kinds.netdev import INTERFACE, interfaces
from analyzer.memory.trees import xarrays

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.kinds.base import U64, Edges, Told
    from analyzer.memory.reader import Memory


def _walk(memory: Memory, namespaces: U64) -> Iterable[Edges]:
    return chain(orphans(memory, namespaces), interfaces(memory, namespaces))


def _state(memory: Memory, namespaces: U64) -> Told:
    """Read the ids by which the initial one knows others (ip-netns(8), list-id)."""
    first = np.array([initial(memory, "net")], np.uint64)
    root = memory.gather(
        first, "net", {"head": "netns_ids.idr_rt.xa_head", "base": "netns_ids.idr_base"}
    )
    known = xarrays(memory, np.where(root.ok, root["head"], np.uint64(0)))
    base = int(root["base"][0])
    number = {
        at: base + n for at, n in zip(known.value.tolist(), known.index.tolist(), strict=True)
    }
    column = np.array([number.get(one, -1) for one in namespaces.tolist()], np.int64)
    return {"netns.id": Known(column, column >= 0)}


_FACTS: Final = (
    Fact("netns.id", "number", "id that the host's network namespace gave another (ip-netns(8))",
         aside=True),
    Fact("netns.sockets", "number", "sockets that hold it, as /proc/net/sockstat counts them",
         aside=True),
)  # fmt: skip

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
    state=State(_FACTS, _state),
    hosts=Impact.REACHES_OUT,
)
