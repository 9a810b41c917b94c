"""The tables of sockets in /proc/PID/net, and what a dump may hold in their place."""

from __future__ import annotations

import struct
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from analyzer.procfs import diag, sockets
from analyzer.procfs.fs import MemoryFs
from analyzer.relations.shown import Sock, Task

NET = "net:[4026531840]"
UNIX = (
    b"Num       RefCount Protocol Flags    Type St Inode Path\n"
    b"00000000df262ecb: 00000003 00000000 00000000 0001 03 125 \n"
    b"00000000df262ecc: 00000002 00000000 00010000 0005 01 126 /run/a b\n"
    b"00000000df262ecd: 00000002 00000000 00000000 0002 01 127 @abstract\n"
    b"a line of somebody else\n"
)
TCP = (
    b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout"
    b" inode\n"
    b"   0: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0"
    b" 1061 1 000000009c469adb 100 0 0 10 0\n"
    b"   1: 0100007F:8DFF 0100007F:07E8 01 00000000:00000001 00:00000000 00000000     0        0"
    b" 1062 2 000000009770dfb8 100 0 0 10 0\n"
)
TCP6 = (
    b"head\n   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A"
    b" 00000000:00000000 00:00000000 00000000     0        0 7 1 00000000f 100 0 0 10 0\n"
)
NETLINK = (
    b"sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"
    b"00000000c7cdd62e 0   4242       00000000 0        0        0     2        0        4       \n"
)
PACKET = (
    b"sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n"
    b"00000000c7cdd62e 3      3    0003   2     1 0      0      9\n"
)


def test_other_ends_are_read_from_an_answer_whatever_it_is_cut_to() -> None:
    def attribute(kind: int, *numbers: int) -> bytes:
        return struct.pack(f"=HH{len(numbers)}I", 4 + 4 * len(numbers), kind, *numbers)

    def message(inode: int, *attributes: bytes) -> bytes:
        body = struct.pack("=BBBBIII", 1, 1, 1, 0, inode, 0, 0) + b"".join(attributes)
        return struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body

    done = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)
    said = message(7, attribute(2, 8)) + message(9, attribute(3, 10, 11)) + message(12) + done
    assert diag.parse(said) == {
        7: diag.Ends(8, ()), 9: diag.Ends(0, (10, 11)), 12: diag.Ends(),
    }  # fmt: skip
    for cut in range(len(said)):
        assert diag.parse(said[:cut]).keys() <= {7, 9, 12}
    assert not diag.parse(bytes(100))


def test_listeners_are_read_from_an_answer_whatever_it_is_cut_to() -> None:
    def message(inode: int, interface: int) -> bytes:
        body = struct.pack("=40xI24xI", interface, inode)
        return struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body

    answer = message(7, 0) + message(9, 3)
    assert diag.parse_listeners(answer) == {7: 0, 9: 3}
    for cut in range(len(answer)):
        assert diag.parse_listeners(answer[:cut]).items() <= {(7, 0), (9, 3)}


def test_unix_sockets_are_told_apart() -> None:
    found = list(sockets.unix(UNIX, NET))
    assert [(one.ino, one.type, one.state, one.local) for one in found] == [
        (125, "stream", "connected", ""),
        (126, "seqpacket", "listening", "/run/a b"),
        (127, "dgram", "unconnected", "@abstract"),
    ]
    assert found[0].key == ("SOCKET", 125)


def test_both_ends_of_the_internet() -> None:
    listens, connected = sockets.internet(TCP, NET, 1, 6)
    assert (listens.local, listens.remote, listens.state) == ("*:2024", "", "listening")
    assert (connected.local, connected.remote) == ("127.0.0.1:36351", "127.0.0.1:2024")
    assert (connected.family, connected.protocol, connected.state) == ("inet", "tcp", "established")
    assert connected.key == ("NET_SOCKET", 1062)
    (six,) = sockets.internet(TCP6, NET, 1, 6)
    assert (six.family, six.local) == ("inet6", "[::1]:80")


def test_netlink_and_packet_sockets() -> None:
    (netlink,) = sockets.netlink(NETLINK, NET)
    assert (netlink.ino, netlink.protocol, netlink.local) == (4, "route", "4242")
    (packet,) = sockets.packet(PACKET, NET)
    assert (packet.ino, packet.type, packet.local) == (9, "raw", "interface 2")


def test_a_namespace_is_read_of_whoever_a_dump_has_it() -> None:
    fs = MemoryFs({"8/net/unix": UNIX}, Path("/dump"))
    tasks = [
        Task(pid, pid, 1, 0, "x", "S", kthread=False, exiting=False, inside=False,
             spaces={"net": NET})
        for pid in (7, 8)
    ]  # fmt: skip
    assert [one.ino for one in sockets.read(fs, tasks, None)] == [125, 126, 127]
    assert not sockets.read(fs, tasks, ["net:[1]"])


@given(st.binary(), st.sampled_from([UNIX, TCP, TCP6, NETLINK, PACKET]), st.integers(0, 200))
def test_what_is_no_such_line_is_left_out(noise: bytes, table: bytes, at: int) -> None:
    data = table[:at] + noise + table[at:]
    parsers = (sockets.unix, sockets.netlink, sockets.packet)
    found = [one for parse in parsers for one in parse(data, NET)]
    found += sockets.internet(data, NET, 1, 6)
    assert all(isinstance(one, Sock) for one in found)
