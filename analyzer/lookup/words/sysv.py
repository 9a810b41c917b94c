"""shm:[N], sem:[N]: System V segments and sets of semaphores, by the id that ipcs shows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.pattern import pattern
from analyzer.lookup.words.base import Form, Meaning, Word
from analyzer.memory.distinct import unique
from analyzer.procfs.people import called
from analyzer.relations import leading_to
from analyzer.sources.tasks import exists

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.lookup.words.base import Rows
    from analyzer.snapshot.value import Snapshot

_NUMBERED: Final = pattern(r"(shm|sem|msg):\[?([0-9]{1,10})\]?")

_UNRECORDED: Final = "what nobody used, and all of it where /proc was read: it shows no holder"
_SHM_DEST: Final = 0o1000  # include/uapi/linux/shm.h
_WHAT: Final = {"sem": "set of semaphores", "msg": "message queue"}


DESTROYED: Final = "marked to be destroyed: it goes when nobody has it attached any more"


def _parse(asked: str) -> Iterator[Meaning]:
    match = _NUMBERED.fullmatch(asked)
    if match is None:
        return
    word, number = match[1], int(match[2])
    if word == "shm":
        yield Meaning(
            "shared memory segment",
            partial(_segments, number),
            there=_listed("shm", number),
            notes=partial(_made, number),
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
    attached = references["association"] == references.code("association", "shm.attach")
    used = files[np.isin(files, references["target"][attached])]
    return (unique(segments, used) - 1).astype(np.intp)


def _in_namespaces(kind: str, number: int, snapshot: Snapshot) -> Rows:
    relations = snapshot.tables["relations"]
    here = relations["relation"] == relations.code("relation", "in-ipc-namespace")
    here &= relations["right_kind"] == relations.code("right_kind", kind)
    return unique(relations["right"][here & (relations["slot"] == number)] - 1)


def _listed(table: str, number: int) -> bool:
    """Tell whether our IPC namespace has it."""
    return _line(table, number) is not None


def _line(table: str, number: int) -> list[bytes] | None:
    """Return what our IPC namespace tells of it (proc_sysvipc(5): the second field is the id)."""
    try:
        with open(f"/proc/sysvipc/{table}", "rb") as file:
            lines = (line.split() for line in file)
            return next((words for words in lines if words[1:2] == [b"%d" % number]), None)
    except OSError:
        return None


def _made(number: int) -> tuple[str, ...]:
    """Return who made a segment, and whether it goes when nobody has it attached any more."""
    words = _line("shm", number)
    if words is None:
        return ()
    maker = int(words[4])
    made = called(maker) if exists(maker) else f"process {maker}, which is gone"
    doomed = int(words[2], 8) & _SHM_DEST
    return (f"made by {made}", *([DESTROYED] if doomed else []))


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
