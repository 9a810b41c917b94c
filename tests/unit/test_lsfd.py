"""What lsfd has a column of its own for is found under that name."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.report import lsfd
from analyzer.report.columns import COLUMNS, by_name
from analyzer.report.filters import parse
from analyzer.report.listing import listing
from tests.build import Machine
from tests.unit.test_report_terminal import leaking, reported


def told(**facts: str | int) -> dict[str, Any]:
    """Return what the columns say of an open file with facts (their names with _ for the dot)."""
    made = Machine()
    made.task(100, nspid=1)
    table = made.object("FILE_TABLE", 1, holders=[(100, "files")])
    file = made.object("FILE", 1, holders=[(table, "fd", 3)])
    for fact, value in facts.items():
        made.fact(file, fact.replace("_", ".", 1), value)
    rows = listing(reported(made, all=True), COLUMNS).rows
    (row,) = (row for row in rows if row.entry.kind == "FILE")
    values = {known.name: known.get(row.entry) for known in lsfd.COLUMNS}
    return {name: value for name, value in values.items() if value is not None}


@pytest.mark.parametrize(
    ("family", "local", "host", "said"),
    [
        ("inet", "10.0.0.1:80", "10.0.0.1", "10.0.0.1:80"),
        ("inet", "*:80", "0.0.0.0", "0.0.0.0:80"),  # noqa: S104 - it is told
        ("inet6", "[::1]:80", "::1", "[::1]:80"),
        ("inet6", "*:80", "::", "[::]:80"),
    ],
)
def test_a_listener_has_its_address_and_port(family: str, local: str, host: str, said: str) -> None:
    found = told(socket_family=family, socket_protocol="tcp",
                 socket_state="listening", local=local)  # fmt: skip
    assert found == {
        "SOCK.LISTENING": True, "SOCK.PROTONAME": "tcp", "SOCK.STATE": "listening",
        f"{family.upper()}.LADDR": host, "TCP.LADDR": said, "TCP.LPORT": 80,
    }  # fmt: skip


def test_a_connection_has_both_ends_by_its_protocol() -> None:
    found = told(socket_family="inet", socket_protocol="udp", socket_type="dgram",
                 local="*:53", remote="10.0.0.9:999")  # fmt: skip
    assert (found["UDP.LPORT"], found["UDP.RADDR"], found["UDP.RPORT"]) == (
        53, "10.0.0.9:999", 999,
    )  # fmt: skip
    assert not {name for name in found if name.startswith("TCP.")}


def test_others_have_what_they_are_called_by() -> None:
    assert told(socket_family="unix", local="@a:b")["UNIX.PATH"] == "@a:b"
    route = told(socket_family="netlink", socket_protocol="route", local="77")
    assert (route["NETLINK.LPORT"], route["NETLINK.PROTOCOL"]) == (77, "route")
    vsock = told(socket_family="vsock", local="2:9", remote="*:7")
    assert (vsock["VSOCK.LADDR"], vsock["VSOCK.LCID"], vsock["VSOCK.LPORT"]) == ("2:9", 2, 9)
    assert ("VSOCK.RCID" in vsock, vsock["VSOCK.RPORT"]) == (False, 7)
    packet = told(socket_family="packet", packet_interface="lo", packet_protocol="ARP")
    assert packet["PACKET.IFACE"] == "lo"
    assert told(socket_shutdown="r-") == {"SOCK.SHUTDOWN": "r-"}
    assert told(socket_peer=77) == {"UNIX.IPEER": 77}
    assert told(tty_driver="pty_master", tty_index=3) == {"PTMX.TTY-INDEX": 3}
    assert told(tty_driver="pty_slave", tty_index=3) == {}


def test_raw_and_ping_sockets_are_told_from_each_other() -> None:
    for family, protocol in (("inet", "icmp"), ("inet6", "icmpv6")):
        raw, ping = (
            told(socket_family=family, socket_protocol=protocol, socket_type=kind, local="*:7")
            for kind in ("raw", "dgram")
        )
        assert (raw.get("RAW.PROTOCOL"), raw.get("PING.ID")) == (protocol, None)
        assert (ping.get("RAW.PROTOCOL"), ping.get("PING.ID")) == (None, 7)
    route = told(socket_family="netlink", socket_protocol="route", socket_type="raw")
    assert "RAW.PROTOCOL" not in route


def test_bpf_maps_and_programs_have_columns_of_their_own() -> None:
    found = {kind: told(bpf_id=9, bpf_type="hash", open_type=f"bpf-{kind}")
             for kind in ("map", "prog", "link")}  # fmt: skip
    assert found == {
        "map": {"BPF-MAP.ID": 9, "BPF-MAP.TYPE": "hash"},
        "prog": {"BPF-PROG.ID": 9, "BPF-PROG.TYPE": "hash"},
        "link": {},
    }


def test_a_device_has_its_number_alone() -> None:
    made = Machine()
    made.task(100, nspid=1)
    table = made.object("FILE_TABLE", 1, holders=[(100, "files")])
    file = made.object("FILE", 1, name="/dev/null", holders=[(table, "fd", 3)])
    made.fact(file, "special", "character device 1:3")
    rows = listing(reported(made, all=True), COLUMNS).rows
    assert {by_name()["RDEV"].get(row) for row in rows if row.entry.kind == "FILE"} == {"1:3"}


def test_a_namespace_has_its_name_and_type() -> None:
    rows = listing(reported(leaking(), all=True), COLUMNS).rows
    found = {tuple(by_name()[name].get(row) for name in ("NS.NAME", "NS.TYPE")) for row in rows}
    assert found >= {("net:[4026531838]", "net"), (None, None)}


def test_a_filter_takes_them() -> None:
    parse('TCP.LPORT == 80 and SOCK.LISTENING and PTMX.TTY-INDEX != 3 or NS.TYPE == "net"')
    parse("BPF-MAP.ID > 3 or not BPF-PROG.TYPE")
