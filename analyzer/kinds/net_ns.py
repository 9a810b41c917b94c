"""NET_NS: a network stack. Every user socket in it holds it, so arithmetic alone misleads.

Held by nsproxies, sockets, its nsfs inode, tun devices, /proc/net files. (`net.passive` counts
references to the memory alone and is not looked at; sockets of the kernel's own do not pin it.)
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.kinds._namespace import namespace
from analyzer.kinds.base import Association, Edges, FileType, Judged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

SOCKET: Final = Association("socket", "is a socket in it")


def _open_own() -> int:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach()


def _of_sockets(memory: Memory, files: U64) -> Iterator[Edges]:
    data = memory.gather(files, "file", {"socket": "private_data"})
    sock = memory.gather(data["socket"], "socket", {"sk": "sk"})
    net = memory.gather(
        sock["sk"], "sock",
        {"net": "__sk_common.skc_net.net", "counted": "__sk_common.skc_net_refcnt"},
    )  # fmt: skip
    holds = np.flatnonzero(net.ok & (net["net"] != 0) & (net["counted"] == 1))
    yield Edges(SOCKET, "NET_NS", holds, net["net"][holds])


KIND: Final = namespace(
    "net",
    order=140,
    initial_ino=0xEFFFFFF9,
    old_counters=("count.refs.counter", "count.counter"),
    judged=Judged.STRUCTURAL,
    file_types=(FileType("socket", _open_own, _of_sockets, (SOCKET,)),),
)
