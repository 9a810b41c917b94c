"""tcp:PORT, udp:[ADDRESS]:PORT: the sockets that are bound there, in every network namespace."""

from __future__ import annotations

import _socket as socket  # what `socket` is made of: that would import a good deal more
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.errors import BadInputError
from analyzer.core.pattern import pattern
from analyzer.lookup.words.base import Form, Meaning, Places, Word, stated, whole
from analyzer.procfs.netports import bound, leftovers
from analyzer.procfs.places import Place, quoted
from analyzer.procfs.rtnetlink import tunnels

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator, Mapping

    from analyzer.lookup.words.base import Rows
    from analyzer.snapshot.value import Snapshot

    Bound = Callable[[str], Mapping[int, str]]

_PORT: Final = pattern(r"(?:(\[[0-9A-Fa-f:.%\w]*\]|[^:\[\]]*):)?([0-9]{1,5})")
# As ss, fuser and error messages have it: :80, 127.0.0.1:80, [::1]:80, localhost:80, 80/tcp; and
# as netstat, lsof and Node.js have it: :::80, ::1:80.
_BARE: Final = pattern(r"(?:(|\*|localhost|[0-9]+(?:\.[0-9]+){3}|\[[^\]]*\]):)([0-9]{1,5})")
_OF_INTERFACE: Final = pattern(r"%[\w.-]+(?=\]?:[0-9])")  # 127.0.0.53%lo:53, as ss has it
_UNMARKED: Final = pattern(r"([0-9A-Fa-f:]*:[0-9A-Fa-f:]*):([0-9]{1,5})")
# tcp://127.0.0.1:80, http://127.0.0.1:80/x: of another scheme than these two the port is enough.
_URL: Final = pattern(r"(?:(tcp:|udp:)|\w+:)//([^/]*:[0-9]{1,5})(?:/.*)?")
_SERVICE: Final = pattern(r"([0-9]{1,5})/(tcp|udp)")
_MOST: Final = 0xFFFF
_PROTOCOLS: Final = ("tcp", "udp")
# As the kernel has them. Who listens by mptcp listens by tcp, too: Go's servers do since 1.24.
_NAMES: Final = {"tcp": {"tcp", "mptcp"}, "udp": {"udp"}}
_OLD: Final = {"tcp4": "tcp", "tcp6": "tcp", "udp4": "udp", "udp6": "udp"}  # netstat, Go
_UNSPECIFIED: Final = frozenset({"", "*", "0.0.0.0", "::"})  # noqa: S104 - nothing is bound
_WAIT: Final = "wait a minute, or have the server set SO_REUSEADDR before it binds"
_SERVED: Final = "end what serves there in the kernel: nfsd, ksmbd, an iSCSI target, a tunnel"
_LOCALHOST: Final = frozenset({"127.0.0.1", "::1"})


def _parse(asked: str, now: Bound = bound) -> Iterator[Meaning]:
    plain = _OF_INTERFACE.sub("", _URL.sub(r"\1\2", asked))
    bare, service = _BARE.fullmatch(plain) or _unmarked(plain), _SERVICE.fullmatch(asked)
    protocol, _, rest = plain.partition(":")
    protocol = _OLD.get(protocol, protocol)
    if bare:
        yield from (_meaning(one, bare[1], bare[2], asked, now) for one in _PROTOCOLS)
    elif service:
        yield _meaning(service[2], "", service[1], asked, now)
    elif protocol in _PROTOCOLS and rest:
        match = _PORT.fullmatch(rest)
        yield _meaning(protocol, *((match[1] or "", match[2]) if match else ("", "")), asked, now)


def _unmarked(asked: str) -> re.Match[str] | None:
    match = _UNMARKED.fullmatch(asked)
    try:
        socket.inet_pton(socket.AF_INET6, match[1] if match else "")
    except OSError:
        return None
    return match


def is_port(asked: str) -> bool:
    """Tell whether a word is a port, though there is a slash in it."""
    return _SERVICE.fullmatch(asked) is not None


def _meaning(protocol: str, said: str, number: str, asked: str, now: Bound) -> Meaning:
    if not number or int(number) > _MOST:
        raise BadInputError(f"{asked}: say {protocol}:PORT, or {protocol}:[ADDRESS]:PORT")
    address, port = said.strip("[]"), int(number)
    mine = _bound_to(address, port)
    return Meaning(
        f"{protocol.upper()} port {port}{f' of {address}' if address else ''}",
        partial(_rows, protocol, mine),
        state=("socket.protocol", "local"),
        places=partial(_kept, protocol, port),
        unopened=partial(_of_the_kernel, protocol, port, mine, now(protocol)),
    )


def _kept(protocol: str, port: int) -> Places:
    return tuple(Place(said, 0, "kernel", _WAIT) for said in leftovers(protocol, port)), ()


def _of_the_kernel(
    protocol: str,
    port: int,
    mine: Callable[[str], bool],
    before: Mapping[int, str],
    snapshot: Snapshot,
) -> tuple[Place, ...]:
    """Return the socket that is bound there and that no open file leads to, though all were read.

    Only what was bound `before` they were, and is so now, was bound meanwhile.
    """
    wanted = {inode for inode, local in before.items() if mine(local)}
    if not wanted or not whole(snapshot):
        return ()
    names = snapshot.tables["objects"]["name"][_rows(protocol, mine, snapshot)].tolist()
    if all(f"socket:[{inode}]" in names for inode in wanted & bound(protocol).keys()):
        return ()
    said = f"a {protocol.upper()} socket of the kernel's own, which no process has"
    makers = tunnels(port) if protocol == "udp" else []
    made = f": that of the tunnel {' and '.join(makers)}" if makers else ""
    end = "; ".join(f"ip link del {quoted(one)}" for one in makers) or _SERVED
    return (Place(f"{said}{made}", 0, "kernel", end),)


def _bound_to(address: str, port: int) -> Callable[[str], bool]:
    """Return what tells whether a socket that is bound somewhere is bound to an address, too."""
    # Who is bound to all addresses is so to each, and keeps others from all.
    mine = _LOCALHOST if address == "localhost" else frozenset({address})

    def test(local: str) -> bool:
        where, _, number = local.rpartition(":")
        own = where.strip("[]").removeprefix("::ffff:")
        unspecified = address in _UNSPECIFIED or own in _UNSPECIFIED
        return number == str(port) and (unspecified or own in mine)

    return test


def _rows(protocol: str, mine: Callable[[str], bool], snapshot: Snapshot) -> Rows:
    named = _NAMES[protocol]
    of_protocol = stated("socket.protocol", named.__contains__)
    at = np.intersect1d(stated("local", mine)(snapshot), of_protocol(snapshot))
    return at.astype(np.intp)


WORD: Final = Word(
    "port",
    "Ports",
    (
        Form("tcp:PORT", "what listens, or is connected, at a port, in any network namespace"),
        Form("udp:[ADDR]:PORT", "the same of UDP, at one address"),
        Form("ADDR:PORT", "both, as ss and error messages have it; so :PORT, :::PORT, PORT/tcp"),
    ),
    _parse,
    recorded=partial(_parse, now=lambda _: {}),
)
