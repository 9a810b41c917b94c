"""What a kind of relation is: data, and how it is found in a reading of the kernel's memory.

A relation is what two things have to do with each other without one holding a counted reference to
the other: a lock on a file that somebody else reads, a session whose leader is outside, a working
directory on a mount of another mount namespace. It has two ends, each a task or an object. It is
never counted, it never collects, and no verdict of the check depends on it.

A relation with one end inside and one outside of a subtree is a *crossing*. Where many can meet at
one thing (the open files of one inode, the processes of one session), the thing is the right end
of each, the relation is `shared`, and what crosses are left ends of both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from analyzer.core.values import dataclass, field
from analyzer.memory.distinct import member, unique

if TYPE_CHECKING:
    import numpy.typing as npt

    from analyzer.core.model import Impact
    from analyzer.kinds.base import I64, U64, Association, Details, Mask
    from analyzer.memory.reader import Memory
    from analyzer.relations.shown import Find as Shows

    Words = npt.NDArray[np.object_]

T = TypeVar("T")
V = TypeVar("V")

_NOBODY = np.empty(0, np.uint64)


class Block(Protocol):
    """References of one association, as a source reads them: addresses of holders and targets."""

    @property
    def association(self) -> Association:
        """Return the place in the holder."""

    @property
    def holder_kind(self) -> str:
        """Return the kind of the holders."""

    @property
    def holder(self) -> U64:
        """Return the holders."""

    @property
    def target_kind(self) -> str:
        """Return the kind of what they hold."""

    @property
    def target(self) -> U64:
        """Return what each holds."""

    @property
    def slot(self) -> I64 | None:
        """Return where in the holder, if the association has slots."""

    @property
    def detail(self) -> Details | None:
        """Return what else is known of each reference: "rw-s" of a mapping."""


class ByKind(Mapping[str, V]):
    """A value for each of some kinds, made when somebody asks for it."""

    def __init__(self, kinds: Iterable[str], make: Callable[[str], V]) -> None:
        """Take the kinds, and what makes the value of one."""
        self._kinds = dict.fromkeys(kinds)
        self._make = cache(make)

    def __getitem__(self, kind: str) -> V:
        """Return the value of a kind."""
        if kind not in self._kinds:
            raise KeyError(kind)
        return self._make(kind)

    def __iter__(self) -> Iterator[str]:
        """Yield the kinds."""
        return iter(self._kinds)

    def __len__(self) -> int:
        """Return how many kinds there are."""
        return len(self._kinds)


@dataclass(frozen=True)
class World:
    """What a reading met: addresses by kind (sorted), and the references between them.

    `inside` are those that the subtree owns. In a reading of the whole machine there are none. With
    `host`, what is outside alone is to be told too. `collected` tells which of those met are what
    tasks of the subtree collect: but for namespaces and mounts these are those inside.
    """

    memory: Memory
    met: Mapping[str, U64]
    inside: Mapping[str, U64]
    collected: Mapping[str, Mask]
    blocks: Sequence[Block]
    host: bool = False
    _made: dict[object, Any] = field(default_factory=dict)

    def all(self, kind: str) -> U64:
        """Return every object of a kind (tasks too, as TASK), sorted."""
        return self.met.get(kind, _NOBODY)

    def held(self, *associations: str) -> tuple[U64, U64, I64]:
        """Return holders, targets and slots (-1 is none) of all references of associations."""
        blocks = [b for b in self.blocks if b.association.name in associations]
        if not blocks:
            return _NOBODY, _NOBODY, np.empty(0, np.int64)
        slots = [np.full(len(b.target), -1) if b.slot is None else b.slot for b in blocks]
        return (
            np.concatenate([b.holder for b in blocks]),
            np.concatenate([b.target for b in blocks]),
            np.concatenate(slots),
        )

    def once(self, make: Callable[[World], T]) -> T:
        """Return what `make` makes of this world: made once, for all relations that ask."""
        if make not in self._made:
            self._made[make] = make(self)
        found: T = self._made[make]
        return found


@dataclass(frozen=True)
class Related:
    """Relations found: n left ends of one kind, n right ends of another, by address.

    `slot` (int64, -1 is none), `detail` and `role` of the left end (str objects, "" is none) say
    more; `impact` is one of Impact where it differs from the relation's own.
    """

    left_kind: str
    left: U64
    right_kind: str
    right: U64
    slot: I64 | None = None
    detail: Words | None = None
    role: Words | None = None
    impact: Words | None = None


Find = Callable[[World], Iterable[Related]]


@dataclass(frozen=True)
class Relation:
    """One kind of relation.

    `title` is what a crossing is called ("on a mount of another mount namespace"), `back` what it
    is if the right end is the one inside and the title is not true of that; `left` and `right` are
    what each end is in it ("leads it"), `impact` what it means for who asks, `next` what closes it
    (of the process {pid} that was asked for, of {path}, of {other} outside), `instead` of an end
    with a role that this is no help for, or, without a role, of such an impact. One that is told
    `alone` is a finding also where all ends are inside: a checkpoint has to know of it. One that is
    not `told` is never a crossing: it is known of whole machines, to who asks; of a border too
    where it is `asked` (`Request.thorough`).
    `brief` says all of one between tasks in a sentence: of {left}, {right}, what is known of it
    ({detail}) and where the right one is ({side}). What it `leads_to` are the kinds of right ends
    that no counted reference may lead to: who asks for one of these has to ask for it. What it is
    can be a leak too, of the kind that it is `counted_as`: people are told of that one then.
    `kernel` finds it in the kernel's memory, `from_proc` in what /proc shows, and `unseen` is what
    of it nobody can see. `hidden` is what of it /proc does not show, though it shows the rest.
    """

    name: str
    title: str
    plural: str
    left: str
    right: str
    impact: Impact
    next: str
    instead: Mapping[str, str] = field(default_factory=dict)
    shared: bool = False
    alone: bool = False
    told: bool = True
    asked: bool = False
    back: str = ""
    brief: str = ""
    leads_to: tuple[str, ...] = ()
    counted_as: str = ""
    kernel: Find | None = None
    from_proc: Shows | None = None
    unseen: str = ""
    hidden: str = ""

    def called(self, *, right: bool) -> str:
        """Return the title of one that is told of its right end, or of the left one."""
        return self.back if right and self.back else self.title

    def mend(self, role: str = "", **known: object) -> str:
        """Return what closes one of them; what is not `known` of it (see `next`) has no value."""
        said = self.instead.get(role, self.next)  # a file's, maybe: it may have any braces
        for name, value in {"pid": "PID", "path": "PATH", "other": "PID", **known}.items():
            said = said.replace(f"{{{name}}}", str(value))
        return said


def words(count: int, text: str = "") -> Words:
    """Return a column of `count` equal texts."""
    column = np.empty(count, object)
    column[:] = text
    return column


def meet(thing: U64, mine: Mask, theirs: Mask) -> Mask:
    """Tell at which things both one of `mine` and one of `theirs` are (masks over the rows)."""
    return member(thing, unique(thing[mine])) & member(thing, unique(thing[theirs]))
