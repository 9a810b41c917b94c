"""sock_diag(7): the other ends of unix sockets, and the interfaces of listeners: no file has them.

It is a question to the running kernel, by netlink, of one network namespace: a socket answers for
that in which it was made, in which a thread makes it (`visit`). What may not be asked, or what a
kernel without CONFIG_UNIX_DIAG cannot answer, stays unknown.
"""

from __future__ import annotations

import socket
import struct
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from analyzer.core.values import NamedTuple
from analyzer.procfs import visit
from analyzer.procfs.parse import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from analyzer.procfs.fs import ProcFs

T = TypeVar("T")

_SOCK_DIAG: Final = 4  # NETLINK_SOCK_DIAG, include/uapi/linux/netlink.h
_BY_FAMILY: Final = 20  # SOCK_DIAG_BY_FAMILY, include/uapi/linux/sock_diag.h
REQUEST_DUMP: Final = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
ERROR, DONE = 2, 3
HEAD: Final = struct.Struct("=IHHII")  # struct nlmsghdr
_ATTRIBUTE: Final = struct.Struct("=HH")
# include/uapi/linux/unix_diag.h
_ASKED: Final = struct.Struct("=BBHIIIII")  # struct unix_diag_req
_SHOW: Final = 0x1 | 0x4 | 0x8  # UDIAG_SHOW_NAME, UDIAG_SHOW_PEER, UDIAG_SHOW_ICONS
_MESSAGE: Final = struct.Struct("=BBBBIII")  # struct unix_diag_msg
_NAME, _PEER, _ICONS = 0, 2, 3
# include/uapi/linux/inet_diag.h
_LISTENERS: Final = struct.Struct("=BBBxI48x")  # struct inet_diag_req_v2, of any addresses
_LISTENER: Final = struct.Struct("=40xI24xI")  # struct inet_diag_msg: id.idiag_if, idiag_inode
_IN_LISTEN: Final = 1 << 10  # TCP_LISTEN, include/net/tcp_states.h
_ANY: Final = 0xFFFFFFFF
MOST: Final = 1 << 16  # bytes of one answer
_PATIENCE: Final = 2.0  # seconds


class Ends(NamedTuple):
    """The other end of a unix socket, 0 for none, and who waits to be accepted by it (inodes).

    `local` is its name, "" for none: net/unix breaks one with a newline in it.
    """

    peer: int = 0
    waiting: tuple[int, ...] = ()
    local: str = ""


def ends(fs: ProcFs, pids: Sequence[int]) -> dict[int, Ends] | None:
    """Return by inode what is known of the unix sockets of the network namespace of processes.

    None is nothing: the kernel could not be asked, or would not say.
    """
    asked = _ASKED.pack(socket.AF_UNIX, 0, 0, _ANY, 0, _SHOW, 0, 0)
    return _answers(fs, pids, [asked], parse)


def listeners(fs: ProcFs, pids: Sequence[int]) -> dict[int, int] | None:
    """Return by inode the index of the interface that each TCP listener is bound to, 0 for none.

    Of which namespace, and None, as `ends`.
    """
    families = (socket.AF_INET, socket.AF_INET6)
    asked = [_LISTENERS.pack(one, socket.IPPROTO_TCP, 0, _IN_LISTEN) for one in families]
    return _answers(fs, pids, asked, parse_listeners)


def _answers(
    fs: ProcFs, pids: Sequence[int], asked: Sequence[bytes], read: Callable[[bytes], dict[int, T]]
) -> dict[int, T] | None:
    for pid in pids:
        try:
            answers = list(_ask(fs, pid, asked))
        except OSError:
            continue  # it ended, or may not be looked at: another may
        if any(kind == ERROR for data in answers for kind, _ in messages(data)):
            return None
        return {inode: told for data in answers for inode, told in read(data).items()}
    return None


def _ask(fs: ProcFs, pid: int, asked: Sequence[bytes]) -> Iterator[bytes]:
    name = f"{pid}/ns/net"
    own = fs.link(name) == fs.link("self/ns/net")
    there = partial(visit.there, partial(fs.open_now, name), visit.NET)
    with _asker() if own else there(_asker) as asker:
        asker.settimeout(_PATIENCE)
        for body in asked:
            asker.send(HEAD.pack(HEAD.size + len(body), _BY_FAMILY, REQUEST_DUMP, 1, 0) + body)
            while True:
                data = asker.recv(MOST)
                yield data
                if not data or any(kind in {ERROR, DONE} for kind, _ in messages(data)):
                    break


def _asker() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG)


def parse(data: bytes) -> dict[int, Ends]:
    """Parse an answer: by inode the other end, and who waits; what is cut short is left out."""
    found: dict[int, Ends] = {}
    for kind, body in messages(data):
        if kind == _BY_FAMILY and len(body) >= _MESSAGE.size:
            inode = _MESSAGE.unpack_from(body)[4]
            told = dict(attributes(body[_MESSAGE.size :]))
            peer = _numbers(told.get(_PEER, b""))
            name = told.get(_NAME, b"")
            called = name.rstrip(b"\0") if name[:1] != b"\0" else name.replace(b"\0", b"@")
            found[inode] = Ends(
                peer[0] if peer else 0, _numbers(told.get(_ICONS, b"")), decode(called)
            )
    return found


def parse_listeners(data: bytes) -> dict[int, int]:
    """Parse an answer on listeners: by inode the interface; what is cut short is left out."""
    found: dict[int, int] = {}
    for kind, body in messages(data):
        if kind == _BY_FAMILY and len(body) >= _LISTENER.size:
            interface, inode = _LISTENER.unpack_from(body)
            found[inode] = interface
    return found


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the messages of an answer (netlink(7)): the type and the body of each."""
    at = 0
    while at + HEAD.size <= len(data):
        size, kind, *_ = HEAD.unpack_from(data, at)
        if size < HEAD.size:
            return
        yield kind, data[at + HEAD.size : at + size]
        at += _aligned(size)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the attributes that follow one another: the type and the value of each."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size:
            return
        yield kind, data[at + _ATTRIBUTE.size : at + size]
        at += _aligned(size)


def _aligned(size: int) -> int:
    return (size + 3) & ~3


def _numbers(data: bytes) -> tuple[int, ...]:
    return struct.unpack_from(f"={len(data) // 4}I", data)
