"""/dev/pts/N, /dev/ttyN: a terminal: who has it open, and who has the other end of it."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from analyzer.lookup.words.base import At, Form, Meaning, Word, named

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPE: Final = 0o170000
_SLAVES: Final = range(136 << 8, 144 << 8)  # Documentation/admin-guide/devices.txt


def _of_path(at: At) -> Iterator[Meaning]:
    if at.found.mode & _TYPE == stat.S_IFCHR and at.absolute.startswith("/dev/"):
        slave = at.found.rdev & 0xFFFFF in _SLAVES
        what = "pseudo-terminal" if slave else ""
        yield Meaning(what, named(("TTY",), (at.absolute,)), there=True)


WORD: Final = Word(
    "terminal",
    "Terminals",
    (Form("/dev/pts/N", "a terminal: what is open on it, and the master of it"),),
    None,
    _of_path,
)
