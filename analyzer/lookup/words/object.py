"""KIND:N, 0xADDRESS: an object as the other outputs of cranalyze print it.

An address is the one in `--json`: a salted hash that is the same for all readings of one boot, or
the raw one (`--raw-addresses`). KIND:N is what the column HOLDER has: a number counts the objects
of one reading, so it is of a snapshot that was kept.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.errors import BadInputError
from analyzer.core.pattern import pattern
from analyzer.kinds import registry
from analyzer.lookup.words.base import Form, Meaning, Word
from analyzer.snapshot.addresses import boot_key, siphash

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.lookup.words.base import Rows
    from analyzer.snapshot.value import Snapshot

_ADDRESS: Final = pattern(r"0x([0-9a-f]{1,16})")
_NUMBERED: Final = pattern(r"([A-Z_]+):([0-9]{1,15})")


def _parse(asked: str) -> Iterator[Meaning]:
    yield from _by_address(asked)
    numbered = _NUMBERED.fullmatch(asked)
    if numbered and numbered[1] in registry():
        raise BadInputError(
            f"{asked}: numbers of objects are those of one reading: ask that (--from FILE), or "
            "name what is here and now by its address, its path, its descriptor"
        )


def _recorded(asked: str) -> Iterator[Meaning]:
    yield from _by_address(asked)
    numbered = _NUMBERED.fullmatch(asked)
    if numbered and numbered[1] in registry():
        yield Meaning("", partial(_row, numbered[1], int(numbered[2])))


def _by_address(asked: str) -> Iterator[Meaning]:
    address = _ADDRESS.fullmatch(asked)
    if address:
        yield Meaning("", partial(_at, np.uint64(int(address[1], 16))), ties=None)


def _at(address: np.uint64, snapshot: Snapshot) -> Rows:
    objects = snapshot.tables["objects"]
    known = objects.known("address")
    hit = known & (objects["address"] == address)
    if snapshot.meta["addresses"] == "raw":
        key = boot_key(snapshot.meta["boot_id"])
        if key is not None:
            hit |= known & (siphash(objects["address"], key) == address)
    return np.flatnonzero(hit)


def _row(kind: str, number: int, snapshot: Snapshot) -> Rows:
    objects = snapshot.tables["objects"]
    mine = objects["kind"] == objects.code("kind", kind)
    return np.flatnonzero(mine & (objects["objref"] == number))


WORD: Final = Word(
    "object",
    "Objects of other outputs",
    (
        Form("0xADDRESS", "the object with this address, as --json prints it (hashed, or raw)"),
        Form("KIND:N", "of a snapshot: the object with this number, as the column HOLDER has it"),
    ),
    _parse,
    recorded=_recorded,
)
