"""Whether nothing speaks against containment, where no refcount is known.

Without refcounts nothing is proven. But where a reading is whole (its preconditions), and every
other holder that it shows is known to hold something else, what is left are holders that /proc does
not show: then an object is *consistent with containment*, and these are named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from analyzer.core.model import Conclusion, Verdict
from analyzer.core.text import printable
from analyzer.core.values import NamedTuple
from analyzer.kinds import registry
from analyzer.report.wording import few
from analyzer.snapshot.source import source_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from analyzer.report.value import ReportObject
    from analyzer.snapshot.value import Snapshot

UNSEEN: Final = (
    "a descriptor that was given to the kernel: to KVM, vhost, nbd, ublk, FUSE",
    "who entered a pid namespace, and ended there without a trace: his number may keep it",
    "a datagram socket of a network namespace that nobody is in: it keeps what it is connected to",
    "a file that others map as they do, from a descriptor that they were given and closed",
    "a request that is under way (io_submit(2), io_uring), for a file that who made it has closed",
    "a mount in a mount namespace that nobody is in, or outside of the root of who is",
    "a network filesystem that was mounted in a network namespace: NFS, SMB, Ceph",
)
"""Holders that nothing in /proc shows, or nothing for certain."""

HANDED: Final = (
    "what was handed over while it was read by who is not connected to others, or by pidfd_getfd(2)"
)
AMONG: Final = "what others handed over to each other while it was read"
"""The same, where some of those that can do so ran meanwhile, or may have."""


ANSWER: Final = "consistent with containment (no refcounts: proof needs the kernel source)"


class Precondition(NamedTuple):
    """What has to hold of a reading: its name, and why it does not hold ("" where it does)."""

    name: str
    why: str


class Consistency(NamedTuple):
    """What speaks for or against *consistent*, of a reading and of all objects that decide.

    `ran` are the others that ran meanwhile and can hand something over, None where it is not known.
    `but_for` are the kinds without which it were: those that no dump can decide.
    """

    preconditions: tuple[Precondition, ...]
    ran: tuple[str, ...] | None = None
    consistent: bool = False
    but_for: frozenset[str] = frozenset()

    @property
    def unseen(self) -> tuple[str, ...]:
        """Return the holders that it does not show, as far as there may be such.

        Who gives something away, and has it no more, runs.
        """
        if self.ran is None:
            return *UNSEEN, HANDED, AMONG
        who = (f"{AMONG}: {few(self.ran)} ran, or may have",) if self.ran else ()
        return *UNSEEN, HANDED, *who

    @property
    def whole(self) -> bool:
        """Tell whether the reading shows all that /proc can show."""
        return bool(self.preconditions) and not any(one.why for one in self.preconditions)


def consistency_of(snapshot: Snapshot) -> Consistency | None:
    """Return what a snapshot says of its preconditions; None where its source has refcounts."""
    if source_of(snapshot).refcounts:
        return None
    source = snapshot.meta["source"]
    return Consistency(tuple(_preconditions(source.get("preconditions"))), _named(snapshot))


def _named(snapshot: Snapshot) -> tuple[str, ...] | None:
    """Return who of others ran meanwhile, as far as that is told."""
    ran, tasks = snapshot.meta["source"].get("ran"), snapshot.tables["tasks"]
    if not isinstance(ran, list):
        return None
    names = dict(zip(tasks["tid"].tolist(), tasks["comm"].tolist(), strict=True))
    return tuple(f"{names.get(pid, '?')} ({pid})" for pid in ran if isinstance(pid, int))


def _preconditions(told: object) -> Iterator[Precondition]:
    for name, why in told.items() if isinstance(told, Mapping) else ():
        if isinstance(name, str) and isinstance(why, str):
            yield Precondition(name, why)


def words(found: Consistency | None) -> tuple[str, ...]:
    """Return what a reading is worth, in a sentence and points; one that is empty for nothing."""
    if found is None or not found.preconditions:
        return ("",)
    held = ", ".join(one.name for one in found.preconditions if not one.why)
    lacks = [printable(f"{one.name}: no, {one.why}") for one in found.preconditions if one.why]
    if lacks:
        said = "nothing is consistent with containment: a holder may be missing in what was read"
        return said, *lacks, *([f"{held}: yes"] if held else [])
    said = f"checked before anything is consistent with containment: {held}"
    return said, *(printable(f"not seen even so: {one}") for one in found.unseen)


def decided(found: Consistency, objects: Iterable[ReportObject], *, unsure: bool) -> Consistency:
    """Return what is concluded of all objects that decide; `unsure` is what else is not known."""
    left = frozenset(
        entry.kind
        for entry in objects
        if entry.gates
        and entry.verdict is not Verdict.CONTAINED
        and entry.conclusion is not Conclusion.CONSISTENT
    )
    if unsure or not found.whole or not all(registry()[kind].remembered for kind in left):
        return found
    return found._replace(consistent=not left, but_for=left)
