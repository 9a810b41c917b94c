"""pipe:[N], socket:[N]: what has a number and no name, as /proc/PID/fd shows it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.pattern import pattern
from analyzer.lookup.ends import PEERS
from analyzer.lookup.words.base import Form, Meaning, Word, alike, gaps, of_now
from analyzer.lookup.words.namespace import linked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.lookup.words.base import Rows
    from analyzer.snapshot.value import Snapshot

_NUMBERED: Final = pattern(r"(pipe|socket):\[?([0-9]{1,19})\]?")
_TYPE: Final = 0o170000  # S_IFMT
_TYPES: Final = {"pipe": 0o010000, "socket": 0o140000}


def _parse(asked: str) -> Iterator[Meaning]:
    match = _NUMBERED.fullmatch(asked)
    if match:
        called = f"{match[1]}:[{match[2]}]"
        rows = partial(_rows, int(match[2]), _TYPES[match[1]])
        yield Meaning(
            "",
            rows,
            missed=lambda s: gaps(s) or (of_now(s) and linked(called, "fd/*")),
            ties=(PEERS,),
        )


def _rows(ino: int, file_type: int, snapshot: Snapshot) -> Rows:
    objects = snapshot.tables["objects"]
    rows = alike(("FILE",), ino=ino)(snapshot)
    mode = np.where(objects.known("mode")[rows], objects["mode"][rows], 0)
    found: Rows = rows[mode & _TYPE == file_type]
    return found


WORD: Final = Word(
    "numbered",
    "Pipes and sockets",
    (
        Form("pipe:[N]", "a pipe: both its ends"),
        Form("socket:[N]", "a socket, and its other end if that is here"),
    ),
    _parse,
)
