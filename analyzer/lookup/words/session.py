"""session:N: a session (setsid(2)), by its number: its leader, members, and terminal."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

from analyzer.lookup.words.base import Form, Meaning, Places, Word
from analyzer.procfs.places import session

if TYPE_CHECKING:
    from collections.abc import Iterator

_NUMBERED: Final = re.compile(r"session:\[?([0-9]{1,10})\]?")


def _parse(asked: str) -> Iterator[Meaning]:
    match = _NUMBERED.fullmatch(asked)
    if match:
        number = int(match[1])
        yield Meaning(f"session {number}", places=partial(_members, number))


def _members(number: int) -> Places:
    return tuple(session(number)), ()


WORD: Final = Word(
    "session",
    "Sessions",
    (Form("session:N", "a session: its members, its leader, and its terminal"),),
    _parse,
)
