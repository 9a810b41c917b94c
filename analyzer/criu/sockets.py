"""What CRIU does with sockets: connections, what waits in them, families, their namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.criu.base import (
    Crosses,
    Having,
    Hit,
    Outcome,
    Rule,
    one_of,
    other_than,
    over,
)
from analyzer.criu.view import inside, outside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.check.crossings import Crossing
    from analyzer.criu.view import View

_INTERNET: Final = one_of("inet", "inet6")
_CONNECTED: Final = (
    "established", "syn-sent", "fin-wait-1", "fin-wait-2", "close-wait", "last-ack", "closing",
)  # fmt: skip
_WAITS: Final = "not accepted yet"
_QUEUED: Final = "not yet received"


def _foreign(kind: str, view: View) -> Iterator[Hit]:
    """Yield the sockets of network namespaces that no task inside is in."""
    spaces = view.spaces.get("net", {}).values()
    numbers = {view.number("ino", space - 1) for space in spaces}
    for row in view.rows(kind) if numbers and None not in numbers else ():
        number = view.facts(kind, row).get("socket.netns")
        if number is not None and number not in numbers:
            yield Hit(kind, row, f"net:[{number}]", {"net": str(number)})


def _of_unix(view: View) -> Iterator[Hit]:
    yield from _foreign("SOCKET", view)


def _of_others(view: View) -> Iterator[Hit]:
    yield from _foreign("NET_SOCKET", view)


def _backlog(view: View) -> Iterator[tuple[int, int, bool, bool]]:
    """Yield who listens, who is to be accepted, whether its other end is gone, or is inside."""
    sockets = {row + 1 for row in view.rows("SOCKET")}
    gone = {holder for holder, _, _ in view.held("peer.closed")}
    peers = {holder: target for holder, target, _ in view.held("peer")}
    for listener, waiting, _ in view.held("backlog"):
        if listener in sockets:
            yield listener, waiting, waiting in gone, peers.get(waiting) in sockets


def _sent(view: View) -> Iterator[Hit]:
    for listener, waiting, gone, ours in _backlog(view):
        if not gone and ours and view.facts("SOCKET", waiting - 1).get("socket.queued"):
            yield Hit("SOCKET", listener - 1)


def _closed(view: View) -> Iterator[Hit]:
    for listener, _, gone, _ in _backlog(view):
        if gone:
            yield Hit("SOCKET", listener - 1)


def _peer(how: str, view: View) -> Iterator[Hit]:
    """Yield unix sockets that are connected to one outside; their own number is what names them."""
    for one in view.crossings:
        if one.relation != "unix-peer" or _ends_in(one, _WAITS) or _ends_in(one, _QUEUED):
            continue
        mine, theirs = inside(one)[0].row, outside(one)[0].row
        facts = view.facts("SOCKET", mine)
        back = view.facts("SOCKET", theirs).get("socket.peer") == view.number("ino", mine)
        forth = facts.get("socket.peer") == view.number("ino", theirs)
        named = bool(view.facts("SOCKET", theirs).get("local"))
        datagram = facts.get("socket.type") == "dgram"
        is_how = "incoming" if not forth else "named" if datagram and named else "pair"
        if is_how == how and (forth or back):
            values = {"ino": str(view.number("ino", mine))}
            yield Hit("SOCKET", mine, one.ends[0].detail, values, one)


def _named_peer(view: View) -> Iterator[Hit]:
    yield from _peer("named", view)


def _other_peer(view: View) -> Iterator[Hit]:
    yield from _peer("pair", view)


def _incoming(view: View) -> Iterator[Hit]:
    yield from _peer("incoming", view)


def _ends_in(one: Crossing, words: str) -> bool:
    return any(words in end.detail for end in one.ends)


def _shared(view: View) -> Iterator[Hit]:
    """Yield internet sockets that are bound, and whose open file the outside has as well."""
    kind = "NET_SOCKET"
    for row in view.leaks("FILE"):
        facts = view.facts("FILE", row)
        if facts.get("socket.family") in {"inet", "inet6"} and facts.get("local"):
            thing = view.on.get(row + 1)
            if thing is not None:
                yield Hit(kind, thing - 1, str(facts["local"]))


def _not_received(one: Crossing) -> bool:
    return _ends_in(one, _QUEUED)


def _waits(one: Crossing) -> bool:
    return _ends_in(one, _WAITS)


RULES: Final = (
    Rule(
        "tcp-connection", "a TCP socket that is connected, to whomever", Outcome.REFUSES,
        Having("NET_SOCKET", {"socket.family": _INTERNET, "socket.protocol": one_of("tcp"),
                              "socket.state": one_of(*_CONNECTED)}, "socket.state remote"),
        message="Connected TCP socket, consider using --tcp-established option",
        where="sk-inet.c can_dump_inet_sk",
        option="--tcp-established", restore="--tcp-established",
        then="the connection goes on if the other end has not noticed; --tcp-close closes it",
    ),
    Rule(
        "tcp-waiting", "a TCP connection that nobody has accepted yet", Outcome.REFUSES,
        Having("NET_SOCKET", {"socket.family": _INTERNET, "socket.state": one_of("listening"),
                              "socket.waiting": over(0)}, "local"),
        message="In-flight connection (l)", where="sk-inet.c can_dump_inet_sk",
        option="--skip-in-flight", then="connections that were not accepted are dropped",
    ),
    Rule(
        "tcp-handshake", "a TCP socket in the middle of its handshake", Outcome.REFUSES,
        Having("NET_SOCKET", {"socket.family": _INTERNET, "socket.state": one_of("syn-recv")}),
        message="Unknown inet socket state", where="sk-inet.c can_dump_inet_sk",
        remove="wait until it is connected",
    ),
    Rule(
        "udp-corked",
        "a UDP socket that is corked (UDP_CORK), whether it holds anything back or not",
        Outcome.REFUSES,
        Having("NET_SOCKET", {"socket.corked": one_of("corked")}, "local"),
        message="Can't dump corked dgram socket", where="sk-inet.c can_dump_inet_sk",
        remove="uncork it",
    ),
    Rule(
        "inet-protocol", "an internet socket of another protocol than TCP, UDP, UDP-Lite or raw",
        Outcome.REFUSES,
        Having("NET_SOCKET", {"socket.family": _INTERNET, "socket.type": other_than("raw"),
                              "socket.protocol": other_than("tcp", "udp", "udplite", "0")},
               "socket.protocol"),
        message="Unsupported proto for socket", where="sk-inet.c can_dump_ipproto",
        remove="close it",
    ),
    Rule(
        "socket-family", "a socket of a family that CRIU does not know (AF_VSOCK, AF_ALG, ...)",
        Outcome.REFUSES,
        Having("NET_SOCKET", {"socket.family": other_than(
            "unix", "inet", "inet6", "netlink", "packet")}, "socket.family"),
        message="BUG! Unknown socket collected (family)", where="sockets.c dump_socket",
        remove="close it",
    ),
    Rule(
        "netlink-queue", "a netlink socket with messages that were not read", Outcome.REFUSES,
        Having("NET_SOCKET", {"socket.family": one_of("netlink"), "socket.queued": over(0)},
               "socket.protocol"),
        message="The socket has data to read", where="sk-netlink.c can_dump_netlink_sk",
        remove="read what is in it",
    ),
    Rule(
        "unix-stream-peer",
        "a unix socket whose other end is outside: a stream, or a datagram peer without a name",
        Outcome.REFUSES, _other_peer, about="unix-peer",
        message="External socket is used. Consider using --ext-unix-sk",
        where="sk-unix.c __dump_external_socket",
        option="--external unix[{ino}]", restore="--inherit-fd fd[N]:socket:[{ino}]",
        then="the restore takes a new socket from who restores; without one it fails, and of a "
        "datagram pair it crashes",
    ),
    Rule(
        "unix-datagram-peer",
        "a unix datagram socket that is connected to a named one outside (/dev/log)",
        Outcome.REFUSES, _named_peer, about="unix-peer",
        message="External socket is used. Consider using --ext-unix-sk",
        where="sk-unix.c __dump_external_socket",
        option="--ext-unix-sk", restore="--ext-unix-sk",
        then="it is connected anew to whoever has that name",
    ),
    Rule(
        "unix-incoming", "a unix socket that one outside is connected to", Outcome.SILENT,
        _incoming, about="unix-peer",
        then="who is connected to it outside is connected to nobody",
    ),
    Rule(
        "unix-message", "messages in a unix socket, across the border", Outcome.SILENT,
        Crosses("unix-peer", _not_received), about="unix-peer",
        then="what was sent and not received is lost, or is there twice",
    ),
    Rule(
        "unix-waiting", "a unix connection across the border that nobody has accepted yet",
        Outcome.SILENT, Crosses("unix-peer", _waits), about="unix-peer",
        then="who waits for it to be accepted waits for nobody",
    ),
    Rule(
        "unix-backlog",
        "a unix connection that is not accepted yet, and on which data was sent already",
        Outcome.REFUSES, _sent,
        message="Non-empty write queue on an in-flight socket", where="sk-unix.c dump_one_unix_fd",
        remove="accept it",
    ),
    Rule(
        "unix-closed", "a unix connection that was closed before anybody accepted it",
        Outcome.REFUSES, _closed,
        message="Found a closed in-flight socket", where="sk-unix.c dump_one_unix_fd",
        remove="accept it",
    ),
    Rule(
        "unix-netns", "a unix socket of a network namespace that no task inside is in",
        Outcome.REFUSES, _of_unix, about="foreign-net",
        message="Unix socket not found", where="sk-unix.c dump_one_unix_fd", remove="close it",
    ),
    Rule(
        "inet-netns", "a socket of a network namespace that no task inside is in",
        Outcome.REFUSES, _of_others, about="foreign-net",
        message="Unable to dump a socket from an external network namespace",
        where="net.c get_socket_ns",
        option="--external net[{net}]:netns", restore="--inherit-fd fd[N]:netns",
        then="the restore takes that network namespace from who restores",
    ),
    Rule(
        "inet-shared", "a bound internet socket that the outside has open as well", Outcome.FAILS,
        _shared, message="Address already in use", where="sk-inet.c at the restore",
        remove="close it on one side: as long as the outside has it, its address is taken",
    ),
    Rule(
        "inet-peer", "an internet connection with both ends on this machine, one outside",
        Outcome.SILENT, Crosses("internet-peer"), about="internet-peer",
        then="the other end has to be restored at the same time, or is reset",
    ),
    Rule(
        "reuseport", "a port that is shared with sockets outside (SO_REUSEPORT)", Outcome.SILENT,
        Crosses("reuseport"), about="reuseport",
        then="meanwhile all connections go to the sockets outside",
    ),
)  # fmt: skip
