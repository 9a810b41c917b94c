"""What an answer to "who still holds this?" is made of: objects, holders, places, processes."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from analyzer.core.model import TASK
from analyzer.core.notebook import display
from analyzer.core.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas as pd

    from analyzer.procfs.people import Person
    from analyzer.procfs.places import Place

ITSELF: Final = ""
OTHER_END: Final = "other end"
BESIDE: Final = "filesystem"
PERHAPS: Final = "perhaps"
AWAITED: Final = "awaited"

PLAIN: Final = frozenset({TASK, "FILE_TABLE", "MM", "FS", "SIGHAND", "NSPROXY", "CRED", "PID"})
"""Holders of which goes without saying what they are: they are the process's own."""


class Outcome(StrEnum):
    """How a question ended."""

    HELD = "held"
    FREE = "nobody holds it"
    UNSEEN = "holders cannot be seen"
    ABSENT = "no such thing"


@dataclass(frozen=True)
class Node:
    """A holder and its place, and what holds it in turn (nothing for a task).

    `kind` is TASK for a task, with its `tid`, and the `tgid` and `process` (name) of the process
    that it is a thread of; else `objref` is the holding object. `initial` is one of the host's own
    namespaces, an `observer` cranalyze itself; `members` are the processes that live in a
    namespace, and are not followed. A `kthread` is one of the kernel's threads.
    """

    kind: str
    tid: int | None
    objref: int | None
    name: str | None
    association: str
    slot: int | None
    weight: int
    words: str
    by: tuple[Node, ...] = ()
    tgid: int | None = None
    process: str | None = None
    initial: bool = False
    members: tuple[int, ...] = ()
    observer: bool = False
    kthread: bool = False


def everyone(nodes: Iterable[Node]) -> Iterator[Node]:
    """Yield all holders of all chains."""
    for node in nodes:
        yield node
        yield from everyone(node.by)


def ends(nodes: Iterable[Node]) -> Iterator[Node]:
    """Yield the tasks, and what nothing is known to hold, at the ends of all chains."""
    return (node for node in everyone(nodes) if not node.by)


@dataclass(frozen=True)
class Held:
    """One object with all that holds it; `refcount` is None when it is not known.

    `part` says what it is of what was asked for: ITSELF, the OTHER_END of it, or BESIDE it: the
    filesystem that a file keeps, or serves, and what else is open there; PERHAPS it, a guess;
    AWAITED by the process that was asked for: who has that could let it go on.
    `role` is which end it is, or how it is open; `facts` are what is known of its state, in words.
    """

    objref: int
    kind: str
    name: str | None
    initial: bool
    refcount: int | None
    named: int
    by: tuple[Node, ...]
    part: str = ITSELF
    role: str = ""
    facts: tuple[str, ...] = ()

    @property
    def unnamed(self) -> int:
        """Return how many references the kernel counts that no holder was found for."""
        return 0 if self.refcount is None or self.initial else self.refcount - self.named


@dataclass(frozen=True, repr=False)
class Answer:
    """What was asked, what that is, and who holds it.

    `what` says what the word stands for, `notes` what else is known. `places` hold it without a
    reference that is looked at. `silent` are the processes whose directories are on a filesystem
    that does not answer. `pid` is the process that was asked for, in the initial pid namespace:
    another number than was said where cranalyze is in one of its own. It is `unsure` that there is
    no such object where something could not be read that may hold it, or /proc shows it. `there`
    tells that the thing exists, whoever holds it; `unseen` which holders of it cannot be seen here,
    and what would show them. `people` are the processes that are named. `following` are the mount
    namespaces in which a mount goes with that of the host: the point of each, and the namespace.
    """

    asked: str
    held: tuple[Held, ...]
    places: tuple[Place, ...] = ()
    silent: tuple[int, ...] = ()
    pid: int | None = None
    unsure: bool = False
    what: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    there: bool = False
    unseen: str = ""
    people: tuple[Person, ...] = ()
    next: tuple[str, ...] = ()
    following: tuple[tuple[str, str], ...] = ()

    @property
    def found(self) -> bool:
        """Tell whether there is such an object, or something else that holds what was asked for."""
        return bool(self.held or self.places or self.there)

    @property
    def outcome(self) -> Outcome:
        """Return how the question ended."""
        sure = [held for held in self.held if held.part not in {PERHAPS, AWAITED}]
        if any(held.by or held.initial for held in sure) or self.places:
            return Outcome.HELD
        if not self.found:
            return Outcome.UNSEEN if self.unsure else Outcome.ABSENT
        return Outcome.UNSEEN if self.unseen or self.silent or self.unsure else Outcome.FREE

    @property
    def accounted(self) -> bool:
        """Tell whether one thing was meant, and all that the kernel counts of it has a holder.

        Then what could not be read elsewhere holds nothing of it; so with what there is not.
        """
        known = (held.refcount is not None and held.unnamed <= 0 for held in self.held)
        counted = bool(self.held) and not self.there and all(known)
        return counted or self.outcome is Outcome.ABSENT

    @property
    def holders(self) -> pd.DataFrame:
        """Return who holds what was asked for, as a pandas frame: a row for each and each way.

        `part`, `kind`, `object` and `objref` are what is held (none for what is held without being
        open), `how` and `slot` the place ("fd 3", 3), `pid`, `comm` and `threads` the process (none
        where it is no process: then `thing` is what does), `via` what is between the two.
        """
        from analyzer.lookup.frames import holders

        return holders(self)

    def __str__(self) -> str:
        """Return the answer as `cranalyze who` prints it."""
        text: str = display("answer_text", self)
        return text

    def __repr__(self) -> str:
        """Say in one line how the question ended."""
        return f"<Answer to {self.asked!r}: {self.outcome.value}, {len(self.held)} objects>"

    def _repr_html_(self) -> str:
        html: str = display("answer", self)
        return html
