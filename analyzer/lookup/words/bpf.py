"""bpf-map:[ID], bpf-prog:[ID], bpf-link:[ID]: BPF objects, and the pins of them in a bpffs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.pattern import pattern
from analyzer.lookup.words.base import At, Form, Meaning, Places, Word, joined, stated
from analyzer.procfs import bpfobj

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from analyzer.lookup.words.base import Rows
    from analyzer.procfs.bpfobj import Objects
    from analyzer.procfs.places import Place
    from analyzer.snapshot.value import Snapshot

_NUMBERED: Final = pattern(r"bpf-(map|prog|link):\[?([0-9]{1,10})\]?")

_UNRECORDED: Final = "pins of it: a snapshot has none of that"


def _parse(asked: str) -> Iterator[Meaning]:
    match = _NUMBERED.fullmatch(asked)
    if match:
        yield _meaning(bpfobj.all_objects(), match[1], int(match[2]))


def _recorded(asked: str) -> Iterator[Meaning]:
    match = _NUMBERED.fullmatch(asked)
    if match:
        kind, number = match[1], int(match[2])
        rows = opened(kind, number)
        yield Meaning(f"BPF {bpfobj.WORDS[kind]} {number}", rows, unseen=_UNRECORDED)


def _meaning(known: Objects, kind: str, number: int) -> Meaning:
    called = known.name(kind, number)
    places: tuple[Place, ...] = tuple(bpfobj.keepers(known, kind, number))

    def held() -> Places:
        return places, ()

    return Meaning(
        f"BPF {bpfobj.WORDS[kind]} {number}{f' ({called})' if called else ''}",
        joined(*(opened(*one) for one in _leading(known, kind, number))),
        held,
        there=known.has(kind, number),
        state=("bpf.id",),
        unseen=bpfobj.UNSEEN[kind],
    )


def _leading(known: Objects, kind: str, number: int) -> Iterator[tuple[str, int]]:
    """Yield an object, and all that keep it: who has one of these open does."""
    yield kind, number
    for one in bpfobj.users(known, kind, number):
        yield from _leading(known, *one)


def opened(kind: str, number: int) -> Callable[[Snapshot], Rows]:
    """Return what chooses the open files of an object; it needs the fact `bpf.id`."""
    return partial(_rows, kind, number)


def _rows(kind: str, number: int, snapshot: Snapshot) -> Rows:
    """Return the open files of an object; until they have names, of others of its number, too."""
    rows = stated("bpf.id", lambda one: one == number)(snapshot)
    names = snapshot.tables["objects"]["name"][rows]
    ends = (f"bpf-{kind}", f"bpf_{kind}")
    mine = [name is None or name.endswith(ends) for name in names]
    return rows[np.array(mine, np.bool_)]


def _of_path(at: At) -> Iterator[Meaning]:
    pinned = bpfobj.pin(at.path, at.found.dev)
    if pinned is not None:
        yield _meaning(bpfobj.all_objects(), *pinned)


WORD: Final = Word(
    "bpf",
    "BPF objects",
    (
        Form("bpf-map:[ID]", "a BPF map: who has it open, its pins, the programs that use it"),
        Form("bpf-prog:[ID]", "a BPF program: who has it open, its pins, the links that run it"),
        Form("bpf-link:[ID]", "a BPF link: who has it open, its pins, what it is attached to"),
    ),
    _parse,
    _of_path,
    _recorded,
)
