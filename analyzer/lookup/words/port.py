"""tcp:PORT, udp:[ADDRESS]:PORT: the sockets that are bound there, in every network namespace."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.errors import BadInputError
from analyzer.lookup.words.base import Form, Meaning, Places, Word, stated
from analyzer.procfs.netports import leftovers
from analyzer.procfs.places import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.lookup.words.base import Rows
    from analyzer.snapshot.value import Snapshot

_PORT: Final = re.compile(r"(?:(\[[0-9A-Fa-f:.%\w]*\]|[^:\[\]]*):)?([0-9]{1,5})")
_MOST: Final = 0xFFFF


def _parse(asked: str) -> Iterator[Meaning]:
    protocol, _, rest = asked.partition(":")
    if protocol not in {"tcp", "udp"} or not rest:
        return
    match = _PORT.fullmatch(rest)
    if match is None or int(match[2]) > _MOST:
        raise BadInputError(f"{asked}: say {protocol}:PORT, or {protocol}:[ADDRESS]:PORT")
    address, port = (match[1] or "").strip("[]"), int(match[2])
    yield Meaning(
        f"{protocol.upper()} port {port}{f' of {address}' if address else ''}",
        partial(_rows, protocol, address, port),
        state=("socket.protocol", "local"),
        places=partial(_kept, protocol, port),
    )


def _kept(protocol: str, port: int) -> Places:
    return tuple(Place(said, 0, "kernel") for said in leftovers(protocol, port)), ()


def _rows(protocol: str, address: str, port: int, snapshot: Snapshot) -> Rows:
    def bound(local: str) -> bool:
        where, _, number = local.rpartition(":")
        return number == str(port) and (not address or where.strip("[]") == address)

    of_protocol = stated("socket.protocol", lambda one: one in {protocol, f"{protocol}6"})
    at = np.intersect1d(stated("local", bound)(snapshot), of_protocol(snapshot))
    return at.astype(np.intp)


WORD: Final = Word(
    "port",
    "Ports",
    (
        Form("tcp:PORT", "what listens, or is connected, at a port, in any network namespace"),
        Form("udp:[ADDR]:PORT", "the same of UDP, at one address"),
    ),
    _parse,
)
