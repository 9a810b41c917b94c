"""The census: the whole machine, kind by kind, its references counted and named.

It is the tool's own honesty check. For each kind of object that the check judges: how many there
are, how many references the kernel counts, how many of these were found in a holder. What differs
is listed object by object. The initial namespaces are counted apart from the rest: the kernel keeps
references to them that are in no structure, and no equality is claimed for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.check.links import association_flags
from analyzer.core.errors import EXIT_OK, EXIT_UNDECIDED
from analyzer.core.values import dataclass
from analyzer.kinds import registry
from analyzer.kinds.base import Judged
from analyzer.lookup.recorded import limits

if TYPE_CHECKING:
    import numpy.typing as npt

    from analyzer.snapshot.value import Snapshot


@dataclass(frozen=True)
class KindCount:
    """One kind: objects, the sum of their refcounts, references named, and what is left.

    `refcount` and what follows from it are None where a snapshot that was kept cannot tell.
    `unnamed` sums the references that the kernel counts and no holder was found for, `overnamed`
    the opposite (an object that changed while it was read, or a defect); `unstable` is the number
    of objects that moved between two readings, which are in neither.
    """

    kind: str
    objects: int
    refcount: int | None
    named: int
    unnamed: int | None
    overnamed: int | None
    unstable: int


@dataclass(frozen=True)
class Residual:
    """An object whose refcount is not the number of its named references."""

    kind: str
    objref: int
    name: str | None
    refcount: int
    named: int
    initial: bool
    stable: bool


@dataclass(frozen=True)
class Census:
    """The counts by kind, in order of collection, and what did not come out even.

    `limits` say why a snapshot that was kept cannot tell whether all references are named.
    """

    kinds: tuple[KindCount, ...]
    residual: tuple[Residual, ...]
    gaps: tuple[str, ...]
    tasks: int
    references: int
    limits: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """Return what the program exits with: 3 where it cannot be told whether all is named."""
        return EXIT_UNDECIDED if self.limits else EXIT_OK

    @property
    def exact(self) -> bool:
        """Tell whether every reference to a stable object that is not the host's is named."""
        return not self.limits and all(r.initial or not r.stable for r in self.residual)


def take(snapshot: Snapshot) -> Census:
    """Count a whole machine (of scope "host", with refcounts), or what there is of one."""
    unknown = limits(snapshot)
    objects = snapshot.tables["objects"]
    named = _named(snapshot)
    known = objects.known("refcount")
    kinds = [
        _some(kind.name, snapshot, named)
        if unknown
        else _count(kind.name, snapshot, named, known & _of(snapshot, kind.name))
        for kind in registry().values()
        if kind.judged is not Judged.NOT and kind.counters
    ]
    gaps = snapshot.tables["gaps"]
    left = np.flatnonzero(uneven(snapshot)).tolist() if not unknown else []
    return Census(
        tuple(count for count in kinds if count.objects),
        tuple(_residual(snapshot, named, row) for row in left),
        tuple(f"{gaps['where'][row]}: {gaps['effect'][row]}" for row in range(len(gaps))),
        len(snapshot.tables["tasks"]),
        len(snapshot.tables["references"]),
        unknown,
    )


def uneven(snapshot: Snapshot) -> npt.NDArray[np.bool_]:
    """Return the mask of the objects whose references do not add up to their refcount."""
    objects = snapshot.tables["objects"]
    counted = np.zeros(len(objects), np.bool_)
    for kind in registry().values():
        if kind.judged is not Judged.NOT:
            counted |= _of(snapshot, kind.name)
    wrong: npt.NDArray[np.bool_] = objects["refcount"] != _named(snapshot)
    return counted & objects.known("refcount") & wrong


def _of(snapshot: Snapshot, kind: str) -> npt.NDArray[np.bool_]:
    objects = snapshot.tables["objects"]
    mine: npt.NDArray[np.bool_] = objects["kind"] == objects.code("kind", kind)
    return mine


def _named(snapshot: Snapshot) -> npt.NDArray[np.int64]:
    references, objects = snapshot.tables["references"], snapshot.tables["objects"]
    weight = references["weight"] * association_flags(references, lambda a: not a.historic)
    sums = np.bincount(references["target"], weight, len(objects) + 1)
    return sums[1:].astype(np.int64)


def _some(kind: str, snapshot: Snapshot, named: npt.NDArray[np.int64]) -> KindCount:
    mine = _of(snapshot, kind)
    return KindCount(
        kind=kind,
        objects=int(mine.sum()),
        refcount=None,
        named=int(named[mine].sum()),
        unnamed=None,
        overnamed=None,
        unstable=int((mine & ~snapshot.tables["objects"]["stable"]).sum()),
    )


def _count(
    kind: str, snapshot: Snapshot, named: npt.NDArray[np.int64], mine: npt.NDArray[np.bool_]
) -> KindCount:
    objects = snapshot.tables["objects"]
    settled = mine & objects["stable"] & ~objects["initial"]
    left = (objects["refcount"] - named)[settled]
    return KindCount(
        kind=kind,
        objects=int(mine.sum()),
        refcount=int(objects["refcount"][mine].sum()),
        named=int(named[mine].sum()),
        unnamed=int(left[left > 0].sum()),
        overnamed=int(-left[left < 0].sum()),
        unstable=int((mine & ~objects["stable"]).sum()),
    )


def _residual(snapshot: Snapshot, named: npt.NDArray[np.int64], row: int) -> Residual:
    objects = snapshot.tables["objects"]
    return Residual(
        kind=objects.value("kind", row),
        objref=int(objects["objref"][row]),
        name=objects.value("name", row),
        refcount=int(objects["refcount"][row]),
        named=int(named[row]),
        initial=bool(objects["initial"][row]),
        stable=bool(objects["stable"][row]),
    )
