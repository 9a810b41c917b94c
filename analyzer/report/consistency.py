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
    "what was handed over while it was read: among others, or by who is not connected to them",
)
"""Holders that nothing in /proc shows, or nothing for certain."""


ANSWER: Final = "consistent with containment (no refcounts: proof needs the kernel source)"


class Precondition(NamedTuple):
    """What has to hold of a reading: its name, and why it does not hold ("" where it does)."""

    name: str
    why: str


class Consistency(NamedTuple):
    """What speaks for or against *consistent*, of a reading and of all objects that decide.

    `but_for` are the kinds without which it were: those that no dump can decide.
    """

    preconditions: tuple[Precondition, ...]
    consistent: bool = False
    but_for: frozenset[str] = frozenset()

    @property
    def whole(self) -> bool:
        """Tell whether the reading shows all that /proc can show."""
        return bool(self.preconditions) and not any(one.why for one in self.preconditions)


def consistency_of(snapshot: Snapshot) -> Consistency | None:
    """Return what a snapshot says of its preconditions; None where its source has refcounts."""
    if source_of(snapshot).refcounts:
        return None
    told = snapshot.meta["source"].get("preconditions")
    return Consistency(tuple(_preconditions(told)))


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
    return said, *(f"not seen even so: {one}" for one in UNSEEN)


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
