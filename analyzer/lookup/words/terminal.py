"""/dev/pts/N, /dev/ttyN: a terminal: who has it open, and who has the other end of it."""

from __future__ import annotations

import stat
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.lookup.words.base import At, Form, Meaning, Word, named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.lookup.words.base import Rows
    from analyzer.snapshot.value import Snapshot

_TYPE: Final = 0o170000
_SLAVES: Final = range(136 << 8, 144 << 8)  # Documentation/admin-guide/devices.txt


def _of_path(at: At) -> Iterator[Meaning]:
    if at.found.mode & _TYPE == stat.S_IFCHR and at.absolute.startswith("/dev/"):
        slave = at.found.rdev & 0xFFFFF in _SLAVES
        what = "pseudo-terminal" if slave else ""
        yield Meaning(what, partial(_rows, at.absolute, at.found.dev), there=True)


def _rows(path: str, dev: int, snapshot: Snapshot) -> Rows:
    """Return the terminal: others are called so in other instances of devpts (a container's)."""
    references, objects = snapshot.tables["references"], snapshot.tables["objects"]
    rows = named(("TTY",), (path,))(snapshot)
    on = references["association"] == references.code("association", "tty.file")
    files, target = references["holder"][on] - 1, references["target"][on] - 1
    known = objects.known("dev")[files]
    elsewhere = target[known & (objects["dev"][files] != np.uint64(dev))]
    here = target[known & (objects["dev"][files] == np.uint64(dev))]
    others = rows[np.isin(rows, elsewhere) & ~np.isin(rows, here)]
    return rows[~np.isin(rows, others)] if np.isin(rows, here).any() else rows


WORD: Final = Word(
    "terminal",
    "Terminals",
    (Form("/dev/pts/N", "a terminal: what is open on it, and the master of it"),),
    None,
    _of_path,
)
