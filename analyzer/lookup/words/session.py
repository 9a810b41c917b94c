"""session:N: a session (setsid(2)), by its number: its leader, members, and terminal."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.pattern import pattern
from analyzer.lookup.words.base import Form, Meaning, Places, Recorded, Word, people_of
from analyzer.procfs.places import session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.snapshot.value import Snapshot

_NUMBERED: Final = pattern(r"session:\[?([0-9]{1,10})\]?")


def _parse(asked: str) -> Iterator[Meaning]:
    match = _NUMBERED.fullmatch(asked)
    if match:
        number = int(match[1])
        yield Meaning(f"session {number}", places=partial(_members, number))


def _recorded(asked: str) -> Iterator[Meaning]:
    match = _NUMBERED.fullmatch(asked)
    if match:
        number = int(match[1])
        yield Meaning(f"session {number}", recorded=partial(_of_facts, number))


def _of_facts(number: int, snapshot: Snapshot) -> Recorded:
    facts, tasks = snapshot.tables["facts"], snapshot.tables["tasks"]
    told = facts["fact"] == facts.code("fact", "task.session")
    tids = facts["ref"][told & (facts["number"] == number)]
    places = people_of(snapshot, np.flatnonzero(np.isin(tasks["tid"], tids)), "is in the session")
    return Recorded(bool(places), places)


def _members(number: int) -> Places:
    return tuple(session(number)), ()


WORD: Final = Word(
    "session",
    "Sessions",
    (Form("session:N", "a session: its members, its leader, and its terminal"),),
    _parse,
    recorded=_recorded,
)
