"""What a socket can say of itself: family, type, state, both addresses, its namespace and queues.

An internet socket that knows no address of a side says none of it; a unix socket has a path (an
abstract one begins with @, as everywhere), a netlink socket its port and groups, a packet socket
the number of its interface, a vsock the two ids and ports.
"""

from __future__ import annotations

import _socket as socket  # what `socket` is made of: that would import a good deal more
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import Fact
from analyzer.core.values import NamedTuple
from analyzer.kinds._named_types import named, plain, texts
from analyzer.kinds.base import Known, State
from analyzer.kinds.superblock import device_of
from analyzer.memory.distinct import one_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask, Told
    from analyzer.memory.reader import Memory

    Words = npt.NDArray[np.object_]

_LONGEST: Final = 108  # sun_path, include/uapi/linux/un.h
_FAMILY_SIZE: Final = 2  # a sa_family_t goes before the path
_CORKED: Final = 1  # UDP_FLAGS_CORK; since 6.7 a bit of several, before it the one of a flag
_UDP: Final = ("udp", "udplite")
_ANY_CID: Final = 0xFFFFFFFF  # VMADDR_CID_ANY, and VMADDR_PORT_ANY
_UNIX_STATES: Final = {1: "connected", 7: "unconnected", 10: "listening"}
# include/net/tcp_states.h
_STATES: Final = (
    "", "established", "syn-sent", "syn-recv", "fin-wait-1", "fin-wait-2", "time-wait", "closed",
    "close-wait", "last-ack", "listening", "closing", "syn-recv",
)  # fmt: skip
_TYPES: Final = {
    int(one): word
    for one, word in (
        (socket.SOCK_STREAM, "stream"),
        (socket.SOCK_DGRAM, "dgram"),
        (socket.SOCK_RAW, "raw"),
        (socket.SOCK_RDM, "rdm"),
        (socket.SOCK_SEQPACKET, "seqpacket"),
        (10, "packet"),
    )
}
_FAMILIES: Final = {
    1: "unix",
    2: "inet",
    10: "inet6",
    15: "key",
    16: "netlink",
    17: "packet",
    29: "can",
    31: "bluetooth",
    38: "alg",
    40: "vsock",
    44: "xdp",
}
_PROTOCOLS: Final = {
    1: "icmp",
    6: "tcp",
    17: "udp",
    33: "dccp",
    58: "icmpv6",
    132: "sctp",
    136: "udplite",
    255: "raw",
    262: "mptcp",
}
_NETLINK: Final = (
    "route", "unused", "usersock", "firewall", "sock_diag", "nflog", "xfrm", "selinux", "iscsi",
    "audit", "fib_lookup", "connector", "netfilter", "ip6_fw", "dnrtmsg", "kobject_uevent",
    "generic", "dm", "scsitransport", "ecryptfs", "rdma", "crypto", "smc",
)  # fmt: skip


# include/uapi/linux/if_ether.h: as lsfd(1) writes them
_LINK_PROTOCOLS: Final = {
    0x0003: "ALL", 0x0800: "IP", 0x0806: "ARP", 0x8100: "8021Q", 0x86DD: "IPV6", 0x888E: "PAE",
    0x88CC: "LLDP",
}  # fmt: skip


class Endpoints(NamedTuple):
    """Internet sockets: addresses as 16 bytes (those of IPv4 mapped), ports; where they are read.

    The addresses are `S16` columns, without the NULs at their end.
    """

    local: npt.NDArray[np.bytes_]
    local_port: npt.NDArray[np.int64]
    remote: npt.NDArray[np.bytes_]
    remote_port: npt.NDArray[np.int64]
    ok: Mask


def endpoints(memory: Memory, socks: U64) -> Endpoints:
    """Return the addresses of internet sockets; of others nothing (`ok` is False)."""
    read = memory.gather(
        socks, "sock",
        {"family": "__sk_common.skc_family", "num": "__sk_common.skc_num",
         "port": "__sk_common.skc_dport", "to": "__sk_common.skc_daddr",
         "own": "__sk_common.skc_rcv_saddr"},
        {"to6": "__sk_common.skc_v6_daddr.in6_u.u6_addr8",
         "own6": "__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8"},
    )  # fmt: skip
    ok = read.ok & one_of(read["family"], (int(socket.AF_INET), int(socket.AF_INET6)))
    sides = []
    for short, long in (("own", "own6"), ("to", "to6")):
        value = _mapped(read[short])
        if long in read:
            value = np.where(read["family"] == int(socket.AF_INET6), read[long], value)
        sides.append(value)
    remote_port = read["port"].astype(">u2").view(np.uint8).reshape(-1, 2)[:, ::-1]
    remote = remote_port[:, 0].astype(np.int64) * 256 + remote_port[:, 1]
    return Endpoints(sides[0], read["num"].astype(np.int64), sides[1], remote, ok)


def _mapped(addresses: npt.NDArray[Any]) -> npt.NDArray[np.bytes_]:
    """Return IPv4 addresses as IPv6 has them (::ffff:a.b.c.d); 0.0.0.0 and :: are the same: any."""
    whole = np.zeros((len(addresses), 16), np.uint8)
    whole[:, 10:12] = 0xFF
    # A __be32 that was read as a little number.
    whole[:, 12:] = addresses.astype("<u4").view(np.uint8).reshape(-1, 4)
    whole[addresses == 0] = 0
    return whole.view("S16")[:, 0]


def said(address: bytes, port: int) -> str:
    """Return "10.0.0.1:80" or "[::1]:80"; the address that is any is "*"."""
    if not address:
        return f"*:{port}"
    from ipaddress import IPv6Address  # only such a socket needs it

    whole = address.ljust(16, b"\0")
    found = IPv6Address(whole)
    return f"{found.ipv4_mapped or f'[{found}]'}:{port}"


def paths(memory: Memory, socks: U64) -> Words:
    """Return the addresses of unix sockets as people write them; "" is none."""
    own = memory.gather(socks, "unix_sock", {"addr": "addr"})
    read = memory.gather(own["addr"], "unix_address", {"len": "len"})
    at = np.flatnonzero(own.ok & (own["addr"] != 0) & read.ok)
    first = own["addr"][at] + np.uint64(memory.offset("unix_address", "name"))
    data, good = memory.read(first & ~np.uint64(7), _LONGEST + 12)
    found = np.full(len(socks), "", object)
    for row, skip, size, raw, there in zip(
        at.tolist(),
        (first & np.uint64(7)).tolist(),
        read["len"][at].tolist(),
        data,
        good,
        strict=True,
    ):
        name = raw.tobytes()[skip + _FAMILY_SIZE : skip + min(size, _LONGEST + _FAMILY_SIZE)]
        found[row] = _path(name) if there else ""
    return found


def _path(name: bytes) -> str:
    abstract = name.startswith(b"\0")
    shown = b"@" + name[1:] if abstract else name.split(b"\0", 1)[0]
    return shown.replace(b"\0", b"@").decode("utf-8", "surrogateescape")


def _common(memory: Memory, socks: U64) -> dict[str, Any]:
    read = memory.gather(
        socks, "sock",
        {"family": "__sk_common.skc_family", "type": "sk_type", "state": "__sk_common.skc_state",
         "protocol": "sk_protocol", "net": "__sk_common.skc_net.net",
         "waiting": "sk_ack_backlog", "most": "sk_max_ack_backlog", "shut": "sk_shutdown"},
    )  # fmt: skip
    net = memory.gather(read["net"], "net", {"ino": "ns.inum"})
    families, states = read["family"].tolist(), read["state"].tolist()
    listens = read.ok & (read["state"] == _STATES.index("listening"))
    pairs = list(zip(families, read["protocol"].tolist(), strict=True))
    return {
        "socket.family": _of(read.ok, [_FAMILIES.get(one, str(one)) for one in families]),
        "socket.type": _of(read.ok, [type_word(one) for one in read["type"].tolist()]),
        "socket.state": _of(read.ok, list(map(state_word, families, states, read["type"]))),
        "socket.protocol": _of(read.ok, [_protocol(*pair) for pair in pairs]),
        "socket.shutdown": _of(read.ok, [shutdown_word(one) for one in read["shut"].tolist()]),
        "socket.netns": Known(net["ino"], read.ok & net.ok),
        "socket.waiting": Known(read["waiting"], listens),
        "socket.backlog": Known(read["most"], listens),
    }


def _of(ok: Mask, words: list[str]) -> Words:
    column: Words = np.where(ok, texts(words), "")
    return column


def state_word(family: int, state: int, kind: int) -> str:
    """Return the state of a socket of a family and type."""
    if family == int(socket.AF_UNIX):
        return _UNIX_STATES.get(state, str(state))
    if kind != int(socket.SOCK_STREAM) and _STATES.index("closed") == state:
        return "unconnected"
    return named(state, _STATES)


def _protocol(family: int, number: int) -> str:
    if family == int(socket.AF_NETLINK):
        return netlink_word(number)
    internet = family in (int(socket.AF_INET), int(socket.AF_INET6))
    return protocol_word(number) if internet else ""


def netlink_word(number: int) -> str:
    """Return what a protocol of netlink is called."""
    return named(number, _NETLINK)


def protocol_word(number: int) -> str:
    """Return what a protocol of the internet is called."""
    return _PROTOCOLS.get(number, str(number))


def shutdown_word(shut: int) -> str:
    """Return what of "rw", receiving and sending, goes on (RCV_SHUTDOWN, SEND_SHUTDOWN)."""
    return "".join("-" if shut >> bit & 1 else letter for bit, letter in enumerate("rw"))


def type_word(number: int) -> str:
    """Return what a type of sockets is called."""
    return _TYPES.get(number, str(number))


def _of_unix(memory: Memory, socks: U64) -> Told:
    peer = memory.gather(socks, "unix_sock", {"peer": "peer"})
    queue = memory.gather(
        socks, "sock", {"length": "sk_receive_queue.qlen", "state": "__sk_common.skc_state"}
    )
    listens = queue["state"] == _STATES.index("listening")  # its queue is of connections
    far = paths(memory, np.where(peer.ok, peer["peer"], np.uint64(0)))
    ino = inode_numbers(memory, peer["peer"])
    return {
        **_common(memory, socks),
        "socket.waiting": Known(queue["length"], queue.ok & listens),
        "socket.queued": Known(queue["length"], queue.ok & ~listens),
        "local": paths(memory, socks),
        "remote": far,
        "socket.peer": Known(ino, ino != 0),
        **_bound_on(memory, socks),
    }


def _bound_on(memory: Memory, socks: U64) -> Told:
    """Return the filesystem on which each unix socket is bound, which it keeps, and its inode."""
    bound = memory.gather(socks, "unix_sock", {"mount": "path.mnt", "dentry": "path.dentry"})
    shown = memory.gather(bound["mount"], "vfsmount", {"superblock": "mnt_sb"})
    known = bound.ok & shown.ok & (bound["mount"] != 0)
    device = device_of(memory, np.where(known, shown["superblock"], np.uint64(0)))
    entry = memory.gather(bound["dentry"], "dentry", {"inode": "d_inode"})
    inode = memory.gather(entry["inode"], "inode", {"ino": "i_ino"})
    there = known & entry.ok & inode.ok & (inode["ino"] != 0)
    return {
        "socket.device": Known(device.astype(np.int64), known),
        "socket.inode": Known(inode["ino"].astype(np.int64), there),
    }


def inode_numbers(memory: Memory, socks: U64) -> U64:
    """Return the inode numbers of the files of socks, 0 where there is none."""
    read = memory.gather(socks, "sock", {"socket": "sk_socket"})
    # struct socket lives in its inode (include/net/sock.h, SOCK_INODE()).
    inode = memory.gather(read["socket"], "socket_alloc", {"ino": "vfs_inode.i_ino"})
    return np.where(inode.ok, inode["ino"], 0).astype(np.uint64)


def _of_others(memory: Memory, socks: U64) -> Told:
    told = _common(memory, socks)
    local, remote = np.full(len(socks), "", object), np.full(len(socks), "", object)
    ends = endpoints(memory, socks)
    for row in np.flatnonzero(ends.ok).tolist():
        if ends.local_port[row] or ends.local[row]:
            local[row] = said(ends.local[row], int(ends.local_port[row]))
        if ends.remote_port[row] or ends.remote[row]:
            remote[row] = said(ends.remote[row], int(ends.remote_port[row]))
    for family, tell in _TOLD.items():
        at = np.flatnonzero(told["socket.family"] == family)
        if len(at):
            tell(memory, socks[at], at, local, remote)
    queued = told["socket.family"] == "netlink"
    queue = memory.gather(socks, "sock", {"length": "sk_receive_queue.qlen"})
    return {
        **told,
        "local": local,
        "remote": remote,
        "socket.queued": Known(queue["length"], queue.ok & queued & (queue["length"] > 0)),
        "socket.corked": _corked(memory, socks, one_of(told["socket.protocol"], _UDP)),
        **_heard(memory, socks, told["socket.family"] == "packet"),
    }


def _corked(memory: Memory, socks: U64, datagrams: Mask) -> Words:
    """Tell which UDP sockets hold back what they are to send (UDP_CORK, udp(7))."""
    at = np.flatnonzero(datagrams)
    found = np.full(len(socks), "", object)
    if len(at) and memory.has("udp_sock", ("udp_flags", "corkflag")):
        read = memory.gather(socks[at], "udp_sock", {"flags": ("udp_flags", "corkflag")})
        found[at[read.ok & (read["flags"] & _CORKED != 0)]] = "corked"
    return found


def _heard(memory: Memory, socks: U64, packets: Mask) -> Mapping[str, Words]:
    """Return what packet sockets hear: of which interface ("" of all), and which protocol."""
    at = np.flatnonzero(packets)
    interface, protocol = (np.full(len(socks), "", object) for _ in range(2))
    if len(at) and memory.has("packet_sock", "ifindex"):
        read = memory.gather(
            socks[at], "packet_sock", {"protocol": "num", "device": "prot_hook.dev"}
        )
        device = memory.gather(read["device"], "net_device", {"name": "name"})
        interface[at] = _of(read.ok & device.ok, [plain(one) for one in device["name"].tolist()])
        protocol[at] = _of(read.ok, [link_protocol(one) for one in read["protocol"].tolist()])
    return {"packet.interface": interface, "packet.protocol": protocol}


def link_protocol(number: int) -> str:
    """Return what a protocol in the order of bytes of the net is called, "" for none."""
    own = socket.ntohs(number)
    return _LINK_PROTOCOLS.get(own, f"0x{own:04x}" if own else "")


def _of_vsock(
    memory: Memory, socks: U64, at: npt.NDArray[np.intp], local: Words, remote: Words
) -> None:
    if not memory.has("vsock_sock", "local_addr.svm_cid"):
        return
    read = memory.gather(
        socks, "vsock_sock",
        {"own": "local_addr.svm_cid", "own_port": "local_addr.svm_port",
         "to": "remote_addr.svm_cid", "to_port": "remote_addr.svm_port"},
    )  # fmt: skip
    for cid, port, column in (("own", "own_port", local), ("to", "to_port", remote)):
        pairs = zip(read[cid].tolist(), read[port].tolist(), strict=True)
        column[at] = [_vsock_address(*pair) for pair in pairs]


def _vsock_address(cid: int, port: int) -> str:
    words = ["*" if number == _ANY_CID else str(number) for number in (cid, port)]
    return "" if words == ["*", "*"] else ":".join(words)


def _of_netlink(
    memory: Memory, socks: U64, at: npt.NDArray[np.intp], local: Words, _remote: Words
) -> None:
    read = memory.gather(socks, "netlink_sock", {"port": "portid"})
    local[at] = [str(port) for port in read["port"].tolist()]


def _of_packet(
    memory: Memory, socks: U64, at: npt.NDArray[np.intp], local: Words, _remote: Words
) -> None:
    if not memory.has("packet_sock", "ifindex"):
        return
    read = memory.gather(socks, "packet_sock", {"interface": "ifindex"})
    local[at] = [f"interface {n}" if n > 0 else "" for n in read["interface"].tolist()]


_TOLD: Final[Mapping[str, Callable[..., None]]] = {
    "vsock": _of_vsock,
    "netlink": _of_netlink,
    "packet": _of_packet,
}

_FACTS: Final = (
    Fact("socket.family", "text", "family of a socket: unix, inet, inet6, netlink, packet, ..."),
    Fact("socket.type", "text", "type of a socket: stream, dgram, seqpacket, raw"),
    Fact("socket.protocol", "text", "protocol of a socket of the internet or netlink"),
    Fact("socket.state", "text", "state of a socket: established, listening, unconnected, ..."),
    Fact(
        "socket.shutdown",
        "text",
        "what goes on after shutdown(2): rw, r-, -w, --",
        plain=True,
        aside=True,
    ),
    Fact("socket.netns", "number", "inode number of the network namespace of a socket"),
    Fact("socket.waiting", "number", "connections that a listener has not accepted yet"),
    Fact("socket.backlog", "number", "how many of them may wait"),
    Fact("local", "text", "address of a socket: address and port, a path, or an abstract name"),
    Fact("remote", "text", "address of what a socket is connected to"),
)

_DEVICE: Final = Fact(
    "socket.device", "number", "device of the filesystem that a unix socket is bound in", aside=True
)
_INODE: Final = Fact(
    "socket.inode", "number", "inode number of the file that a unix socket is bound to", aside=True
)
_QUEUED: Final = Fact("socket.queued", "number", "messages in its queue that were not received yet")

UNIX: Final = State(
    (
        *_FACTS,
        Fact("socket.peer", "number", "inode number of the other end of a unix socket"),
        _DEVICE,
        _INODE,
        _QUEUED,
    ),
    _of_unix,
)
OTHERS: Final = State(
    (
        *_FACTS,
        _QUEUED,
        Fact(
            "socket.corked",
            "text",
            "corked: it holds back what it is to send (UDP_CORK)",
            plain=True,
        ),
        Fact("packet.interface", "text", "interface that a packet socket is bound to", aside=True),
        Fact(
            "packet.protocol",
            "text",
            "protocol of the link that it hears: ALL, IP, ARP, ...",
            plain=True,
            aside=True,
        ),
    ),
    _of_others,
)
