"""shm:[N], sem:[N]: System V segments and sets of semaphores, by the id that ipcs shows."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.lookup.words.base import Form, Meaning, Word
from analyzer.relations import leading_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.lookup.words.base import Rows
    from analyzer.snapshot.value import Snapshot

_NUMBERED: Final = re.compile(r"(shm|sem|msg):\[?([0-9]{1,10})\]?")

_UNRECORDED: Final = "what nobody used, and all of it where /proc was read: it shows no holder"
_WHAT: Final = {"sem": "set of semaphores", "msg": "message queue"}


def _parse(asked: str) -> Iterator[Meaning]:
    match = _NUMBERED.fullmatch(asked)
    if match is None:
        return
    word, number = match[1], int(match[2])
    if word == "shm":
        yield Meaning(
            "shared memory segment", partial(_segments, number), there=_listed("shm", number)
        )
    else:
        rows = partial(_in_namespaces, word.upper(), number)
        ties = leading_to(word.upper())
        yield Meaning(_WHAT[word], rows, there=_listed(word, number), ties=ties)


def _recorded(asked: str) -> Iterator[Meaning]:
    match = _NUMBERED.fullmatch(asked)
    if match is not None and match[1] == "shm":
        yield Meaning("shared memory segment", partial(_segments, int(match[2])))
    elif match is not None:
        rows = partial(_in_namespaces, match[1].upper(), int(match[2]))
        yield Meaning(_WHAT[match[1]], rows, unseen=_UNRECORDED)


def _segments(number: int, snapshot: Snapshot) -> Rows:
    references = snapshot.tables["references"]
    own = references["association"] == references.code("association", "shm")
    segments = references["target"][own & (references["slot"] == number)]
    # Who has it attached has a file of its own, which holds that of the segment.
    paged = references["association"] == references.code("association", "shm.file")
    files = references["target"][paged & np.isin(references["holder"], segments)]
    return np.unique(np.concatenate([segments, files]) - 1).astype(np.intp)


def _in_namespaces(kind: str, number: int, snapshot: Snapshot) -> Rows:
    relations = snapshot.tables["relations"]
    here = relations["relation"] == relations.code("relation", "in-ipc-namespace")
    here &= relations["right_kind"] == relations.code("right_kind", kind)
    return np.unique(relations["right"][here & (relations["slot"] == number)] - 1)


def _listed(table: str, number: int) -> bool:
    """Tell whether our IPC namespace has it (proc_sysvipc(5): the second field is the id)."""
    try:
        with open(f"/proc/sysvipc/{table}", "rb") as file:
            return any(line.split()[1:2] == [b"%d" % number] for line in file)
    except OSError:
        return False


WORD: Final = Word(
    "sysv",
    "System V",
    (
        Form("shm:[N]", "a shared memory segment, by its id, in every IPC namespace"),
        Form("sem:[N]", "a set of semaphores, so; msg:[N] is a message queue"),
    ),
    _parse,
    recorded=_recorded,
)
