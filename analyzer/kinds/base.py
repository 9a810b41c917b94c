"""What a kind of kernel object is: data that a source interprets, and for a few kinds a walk.

A kind names the struct, where its reference count lives (newest kernel first), which of its
pointers are counted references to what, and how it is judged. The kernel source follows the
pointers of all objects of a kind at once; a kind whose references are not plain pointers (the slots
of a descriptor table, the mappings of an mm) brings a `walk`. A kind knows no source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from analyzer.core.model import Fact, Impact, Rules
from analyzer.core.values import NamedTuple, dataclass, field

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import numpy.typing as npt

    from analyzer.memory.reader import Memory

    U64 = npt.NDArray[np.uint64]
    I64 = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]
    Told = Mapping[str, npt.NDArray[Any] | "Known"]

ALL_RULES = frozenset(Rules)
SINCE_LINUX_CR = frozenset({Rules.LINUX_CR, Rules.MODERN})
MODERN_ONLY = frozenset({Rules.MODERN})
LINUX_CR_ONLY = frozenset({Rules.LINUX_CR})


class Judged(Enum):
    """How an object of a kind is judged."""

    ARITHMETIC = "users against refcount"
    STRUCTURAL = "the sides of its holders"
    NOT = "not at all: it only holds other objects"


class By(Enum):
    """Who has to hold an object from outside for that to mean what its kind says."""

    ANYBODY = "somebody who was seen"
    TASK = "a task itself"
    MEMBER = "a task, or what makes tasks its members"
    NOBODY = "nobody: it means that in any case"


@dataclass(frozen=True)
class Counter:
    """A reference count: its path in the struct, and what to add to the raw value."""

    path: str
    bias: int = 0


class Slot(Enum):
    """What the slot of a reference is."""

    NUMBER = "a number that says nothing beyond itself"
    DESCRIPTOR = "the number of a file descriptor"
    ADDRESS = "where a mapping starts"


@dataclass(frozen=True)
class Association:
    """A place in a holder that holds a reference.

    `words` says it to people ("fd {slot}"). A reference that does not collect is counted, but the
    subtree is not followed through it: a namespace pins the user namespace that owns it, and that
    does not make the owner a part of the container. One that does not lead keeps the object's
    memory and no more: who has one end of a connection does not stand behind what the other holds.
    What the rules of `meets` find at its end they compare, though it is not followed any further.
    `slot` says what its slots are; a reference that is `mapped` is of code or data in memory, one
    that is made `by_descriptor` by a system call on one. The patch of 2009 counted what is
    `per_task` once for each task that has the holder.

    One that the modern rules do not know is `historic`: the kernel holds nothing there, and it
    counts only for what is collected, as it did when linux-cr counted it.
    """

    name: str
    words: str
    rules: frozenset[Rules] = MODERN_ONLY
    collects: bool = True
    leads: bool = True
    meets: frozenset[Rules] = frozenset()
    slot: Slot = Slot.NUMBER
    mapped: bool = False
    by_descriptor: bool = False
    per_task: bool = False

    @property
    def historic(self) -> bool:
        """Tell whether it is none of the kernel's, but something that old rules counted."""
        return Rules.MODERN not in self.rules


@dataclass(frozen=True)
class Pointer:
    """A pointer field that is one counted reference: the paths (newest first) and what it holds."""

    paths: tuple[str, ...]
    target: str
    association: Association


class Details(NamedTuple):
    """What else is to be said row by row: the code of one of the `words`, -1 for nothing."""

    code: npt.NDArray[np.int16]
    words: tuple[str, ...]

    def take(self, rows: Mask | I64) -> Details:
        """Return those of the chosen rows."""
        return Details(self.code[rows], self.words)


@dataclass(frozen=True)
class Edges:
    """References found by a walk over n holders.

    `holder` are indices into the holders' addresses, `target` kernel addresses; `slot` and
    `detail` may be None. `torn` marks the holders that could not be read whole. `weight` is how
    many counts each accounts for; None means one.
    """

    association: Association
    target_kind: str
    holder: I64
    target: U64
    slot: I64 | None = None
    detail: Details | None = None
    torn: Mask | None = None
    weight: I64 | None = None


Walk = Callable[["Memory", "U64"], "Iterable[Edges]"]
Find = Callable[["Memory", Mapping[str, "U64"]], "U64"]
Describe = Callable[["Memory", "U64"], Mapping[str, "npt.NDArray[Any]"]]
Names = Callable[["Memory", "U64"], "npt.NDArray[np.object_]"]


class Known(NamedTuple):
    """A column of what is not known of all objects: the values, and where they are some."""

    values: npt.NDArray[Any]
    where: Mask


@dataclass(frozen=True)
class State:
    """What a kind, or a type of open file, can say of the state of an object.

    `read` is given n addresses and returns a column for each fact that this kernel knows: integers
    for a number, str objects for a text ("" is not known); or `Known`, where some lack it.
    """

    facts: tuple[Fact, ...]
    read: Callable[[Memory, U64], Told]


@dataclass(frozen=True)
class FileType:
    """Open files that hold an object: recognised by their `f_op`, and asked by `walk`.

    Which `f_op` it is we learn from a file of our own: `sample` opens one and returns its
    descriptor (OSError where this kernel or user cannot have one). On another machine its name in
    the kernel's source tells it: one of `symbols`, newest first. A type that we cannot just open
    has neither: `recognise` is then shown one file of each `f_op` that was met, and tells which
    are of the type. `walk` is given the addresses of the files of this type and yields their
    references; the holder is the file. A type without a walk holds nothing, and has only its
    state to tell.
    """

    name: str
    sample: Callable[[], int] | None
    walk: Walk | None
    associations: tuple[Association, ...]
    recognise: Callable[[Memory, U64], Mask] | None = None
    state: State | None = None
    symbols: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finder:
    """Finds objects of a kind that no reference leads to: in a table, or a list, of the kernel's.

    `find` is given the objects newly met of the kinds in `after`, by kind, and returns addresses.
    """

    after: tuple[str, ...]
    find: Find


@dataclass(frozen=True)
class Kind:
    """One kind of kernel object.

    `message` is its word in the kernel's leak message, `title` what people call it. `rank` orders
    the report (worst first), `order` the collection (linux-cr: ns, file_table, mm, fs, sighand).
    `names` returns what people call objects (str), where the memory tells it; "" is none. An object
    that is `named_by_files` is called what a file that holds it is called, and one that is
    `numbered` by its inode's number, which says nothing of what it leads to. `unseen` says what
    else can hold one, and is not looked at.
    Where linux-cr compared another count, `old_counters` has it. One that `lingers` can be there
    when its count is 0.
    `derived` kinds take their side from what holds them. `initial` names an object that is the
    host's by its inode number (include/uapi/linux/nsfs.h). `state` reads what it can say of itself.

    What is `of_process` is of one process for people: its tasks have what it holds, and that goes
    without saying. `through` says of another holder how it is held, by the association that leads
    to it ("" is any other). What `keeps` has something without a task, and shows what is `mounted`.
    Of a `path` the name says where it is. A `set_of_namespaces` is told as they are; one that is
    `anybodys` may be the host's in a container, and one that `owns` has others. For linux-cr:
    `cr_name` is its name there, and all tasks had to have the same by the place `one_for_all`. The
    observer may hold what is `observed` once (Rules.SEED). What is `remembered` is held by whoever
    remembers who was in it and ended, which no dump of /proc shows.

    That one is referenced from outside means `leaked` where it is held so by `leaked_by`, and else
    that it is kept alive; that it is the host's means `hosts`. What is a `member` has tasks be in
    what it holds. It changes no verdict.
    """

    name: str
    struct: str
    title: str
    plural: str
    message: str
    order: int
    rank: int
    counters: tuple[Counter, ...]
    judged: Judged = Judged.ARITHMETIC
    rules: frozenset[Rules] = MODERN_ONLY
    pointers: tuple[Pointer, ...] = ()
    walk: Walk | None = None
    walk_associations: tuple[Association, ...] = ()
    describe: Describe | None = None
    names: Names | None = None
    finder: Finder | None = None
    file_types: tuple[FileType, ...] = ()
    derived: bool = False
    namespace: str = ""
    initial_ino: int = 0
    named_by_files: bool = False
    numbered: bool = False
    unseen: str = ""
    of_process: bool = False
    through: Mapping[str, str] = field(default_factory=dict)
    keeps: bool = False
    mounted: bool = False
    path: bool = False
    set_of_namespaces: bool = False
    anybodys: bool = False
    owns: bool = False
    cr_name: str = ""
    one_for_all: str = ""
    observed: bool = False
    state: State | None = None
    old_counters: tuple[Counter, ...] = ()
    lingers: bool = False
    leaked: Impact = Impact.PINS
    leaked_by: By = By.ANYBODY
    hosts: Impact = Impact.BY_DESIGN
    member: bool = False
    remembered: bool = False

    def judged_by(self, rules: Rules) -> Judged:
        """Return how objects of this kind are judged under `rules`."""
        if rules not in self.rules:
            return Judged.NOT
        return Judged.ARITHMETIC if self.has_old_count(rules) else self.judged

    def has_old_count(self, rules: Rules) -> bool:
        """Tell whether `rules` compare another count than the object's references."""
        return rules is Rules.LINUX_CR and bool(self.old_counters)

    @property
    def is_space(self) -> bool:
        """Tell whether it is a namespace, or a set of them."""
        return bool(self.namespace) or self.set_of_namespaces

    @property
    def associations(self) -> Sequence[Association]:
        """Every place in an object of this kind that can hold a reference."""
        return (*(p.association for p in self.pointers), *self.walk_associations)
