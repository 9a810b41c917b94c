"""What the two kinds of socket share: `struct sock`, and the open files that are sockets.

A socket is owned by its file: `socket->sk` is the reference with which it was made (sk_alloc()),
and a unix socket that is in the table of its network namespace is held by that too
(sk_add_node(), include/net/sock.h). Both go when the file is released, so the file, or whoever
keeps a socket that has none yet, accounts for both; so did linux-cr ("a live socket gets two").
"""

from __future__ import annotations

import _socket as socket  # what `socket` is made of: that would import a good deal more
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.kinds._sock_facts import inode_numbers
from analyzer.kinds.base import LINUX_CR_ONLY, SINCE_LINUX_CR, Association, Edges, FileType
from analyzer.memory.distinct import one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import I64, U64, Mask
    from analyzer.memory.reader import Columns, Memory

SOCK: Final = Association("sock", "open on it", SINCE_LINUX_CR)
# inet_collect() counted a socket once more: two, for the hash that holds no TCP connection.
AGAIN: Final = Association("sock.again", "open on it, counted twice", LINUX_CR_ONLY, leads=False)
NET: Final = Association("socket", "is a socket in it")

UNIX: Final = int(socket.AF_UNIX)
_INTERNET: Final = (int(socket.AF_INET), int(socket.AF_INET6))


def _open_own() -> int:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach()


def owned(memory: Memory, socks: U64) -> tuple[Mask, I64, I64]:
    """Return which socks could be read, their families, and what their owner accounts for.

    The last is 1, and 2 for a unix socket that is in the table.
    """
    read = memory.gather(
        socks,
        "sock",
        {"family": "__sk_common.skc_family"},
        whether={"hashed": "__sk_common.skc_node.pprev"},
    )
    family = np.where(read.ok, read["family"], 0).astype(np.int64)
    return read.ok, family, 1 + ((family == UNIX) & read["hashed"]).astype(np.int64)


def namespaces(read: Columns) -> Edges:
    """Return the references of socks to their network namespace: a kernel socket has none.

    `net` is `skc_net`, and `counted` the `skc_net_refcnt`, of each.
    """
    holds = np.flatnonzero(read.ok & (read["net"] != 0) & (read["counted"] == 1))
    return Edges(NET, "NET_NS", holds, read["net"][holds])


def names(memory: Memory, socks: U64) -> npt.NDArray[np.object_]:
    """Return socks as /proc/PID/fd names them."""
    found = [f"socket:[{ino}]" if ino else "" for ino in inode_numbers(memory, socks).tolist()]
    return np.array(found, object)


def _of_files(memory: Memory, files: U64) -> Iterator[Edges]:
    data = memory.gather(files, "file", {"socket": "private_data"})
    # NULL for a file that accept(2) has made and not yet filled.
    sock = memory.gather(data["socket"], "socket", {"sk": "sk"})["sk"]
    ok, family, weight = owned(memory, sock)
    for kind, chosen in (("SOCKET", family == UNIX), ("NET_SOCKET", ok & (family != UNIX))):
        at = np.flatnonzero(chosen)
        yield Edges(SOCK, kind, at, sock[at], weight=weight[at])
    at = np.flatnonzero(one_of(family, _INTERNET))
    yield Edges(AGAIN, "NET_SOCKET", at, sock[at])


FILE_TYPE: Final = FileType(
    "socket", _open_own, _of_files, (SOCK, AGAIN), symbols=("socket_file_ops",)
)
