"""The vocabulary of cranalyze as types, and the schema of its tables.

An **object** is a counted kernel object of some **kind** (FILE, MM, UTS_NS, ...). A **holder**
(a task, or another object) holds a **reference** to it at some place, the **association** (`fd`,
`exe`, `vma`, `nsproxy.uts`, ...), perhaps at a **slot** (the fd number, the start of a mapping).
The check compares an object's **users**, the weight of the references held from inside the
subtree, with its own **refcount**.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import Final, Literal

from analyzer.core.errors import no_such
from analyzer.core.values import dataclass

SNAPSHOT_FORMAT: Final = 2
JSON_FORMAT: Final = 1

TASK: Final = "TASK"  # the holder kind of a task; everything else in holder_kind is an object kind


class Side(StrEnum):
    """Where a holder stands: in the subtree, outside of it, or in cranalyze itself.

    One is unplaced where a process that was not read may be of the subtree: its side is not known.
    """

    INSIDE = "inside"
    OUTSIDE = "outside"
    OBSERVER = "observer"
    UNPLACED = "unplaced"


class Verdict(StrEnum):
    """What the check says of one object."""

    USAGE_LEAK = "usage_leak"
    OVERCOUNT = "overcount"
    UNSTABLE = "unstable"
    UNKNOWN = "unknown"
    CONTAINED = "contained"


class Conclusion(StrEnum):
    """What is concluded of one object where no refcount is known, from what could be read."""

    WITNESSED = "witnessed"  # somebody outside holds it
    POSSIBLE = "possible"  # somebody outside has what looks like it
    CONSISTENT = "consistent"  # nobody outside whom a whole reading shows
    UNKNOWN = "unknown"


class Basis(StrEnum):
    """What a verdict rests on."""

    PROVEN = "proven"  # the kernel's own refcount
    WITNESSED = "witnessed"  # an outside holder was seen; no refcount, or one that moved
    STRUCTURAL = "structural"  # the sides of the holders; arithmetic alone misleads
    RECONSTRUCTED = "reconstructed"  # all holders that a whole reading without refcounts has


class Counted(StrEnum):
    """Where a refcount is from."""

    KERNEL = "kernel"  # it is the kernel's own
    RECONSTRUCTED = "reconstructed"  # so many hold it in a whole reading


class Rules(StrEnum):
    """Whose check: the patch of April 2009, the last linux-cr, or a 6.x kernel's."""

    MODERN = "modern"
    LINUX_CR = "linux-cr"
    SEED = "seed"

    @classmethod
    def _missing_(cls, value: object) -> Rules:
        raise no_such("no rules", str(value), cls)


class Impact(StrEnum):
    """What it means that something crosses the border, worst first."""

    REACHES_OUT = "reaches out"  # the subtree can act on the host's tree, tasks or network
    SHARED_STATE = "shared state"  # both sides can change it
    LOST = "lost on checkpoint"
    PINS = "pins"  # keeps something alive, or from being unmounted, reused
    WATCHES = "watches"
    BY_DESIGN = "by design"  # what every container has

    @property
    def word(self) -> str:
        """Return it as --fail-on and --ignore spell it: "reaches-out"."""
        return self.value.replace(" ", "-")


class Status(StrEnum):
    """The answer to "is this subtree contained?"."""

    CONTAINED = "contained"
    LEAKS = "leaks"
    UNDECIDED = "undecided"
    ERROR = "error"


RulesName = Literal["modern", "linux-cr", "seed"]
"""The values of Rules."""

SourceName = Literal["auto", "kernel", "procfs"]
"""What a snapshot may be asked of: the keys of `analyzer.sources.SOURCES`."""

MEMBERS: Final = ("descent", "cgroup", "pidns")
"""What makes a process a member: that it descends from a root, its cgroup, its pid namespace."""

Kept = Literal["border", "host"]
"""How much of a machine a snapshot keeps."""

Drawn = Literal["border", "subtree", "host"]
"""How much of a snapshot is in a graph: the values of `analyzer.graph.build.Scope`."""

PlotName = Literal["border", "diff", "dumbbell", "heatmap", "life", "namespaces", "sets"]
"""The names of `analyzer.plots.registry`."""

ColumnType = Literal["i64", "u64", "bool", "category", "text"]
_OF_TYPE: Final = {"i64": (-(1 << 63), (1 << 63) - 1), "u64": (0, (1 << 64) - 1), "bool": (0, 1)}


@dataclass(frozen=True)
class ColumnSpec:
    """One column of a table: its type, whether values may be missing, and what it means.

    `category` is a small vocabulary (kept as codes), `text` are bytes from strangers, held as
    str with surrogateescape so that nothing is lost. `least` and `most` are what a number can be,
    by default what its type can hold; what comes from outside is held to them where it enters.
    """

    name: str
    type: ColumnType
    meaning: str
    nullable: bool = False
    unit: str = ""
    least: int | None = None
    most: int | None = None

    @cached_property
    def limits(self) -> tuple[int, int]:
        """Return the least and the most that a number of this column can be."""
        least, most = _OF_TYPE.get(self.type, (0, 0))
        return (
            least if self.least is None else self.least,
            most if self.most is None else self.most,
        )

    def holds(self, number: int | None) -> bool:
        """Tell whether a number (or that there is none) fits into this column."""
        if number is None:
            return self.nullable
        least, most = self.limits
        return least <= number <= most


@dataclass(frozen=True)
class Schema:
    """The columns of one table, in order."""

    name: str
    columns: tuple[ColumnSpec, ...]

    def column(self, name: str) -> ColumnSpec:
        """Return the column `name`; KeyError when the table has none."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, ColumnSpec]:
        return {column.name: column for column in self.columns}


@dataclass(frozen=True)
class Fact:
    """One thing that is known of the state of an object: its name, type and meaning.

    The words of a `plain` text are the kernel's own ("stream", "listening"): nobody chose them, so
    that they stay where names are hashed. An `aside` is for lists: of the thing itself it goes
    without saying.
    """

    name: str
    type: Literal["number", "text"]
    meaning: str
    unit: str = ""
    plain: bool = False
    aside: bool = False


_C = ColumnSpec
_I32: Final = (1 << 31) - 1
_U32: Final = (1 << 32) - 1
_EXACT: Final = 1 << 53  # what every reader of JSON keeps exact (RFC 8259, section 6)
_HALF: Final = 1 << 62  # the difference of two such does not wrap
_MOST_WEIGHT: Final = 1 << 32  # a table of as many rows as may be does not wrap 64 bits
MAX_ERRNO: Final = 4095  # include/linux/err.h

UNKNOWN_PARENT: Final = -1

TASKS: Final = Schema(
    "tasks",
    (
        _C(
            "tid",
            "i64",
            "thread id in the initial pid namespace; -N is the idle task of CPU N",
            least=-_I32,
            most=_I32,
        ),
        _C("tgid", "i64", "thread group (process) id", least=-_I32, most=_I32),
        _C(
            "ppid",
            "i64",
            "process id of the real parent, 0 when there is none, -1 when it is not known",
            least=-_I32,
            most=_I32,
        ),
        _C("start_time", "u64", "start, guards against a reused tid", unit="ns since boot"),
        _C("comm", "text", "name of the thread, as it calls itself"),
        _C("kthread", "bool", "a kernel thread"),
        _C(
            "state",
            "category",
            "state letter as in proc_pid_stat(5): R S D T t Z X I ..., ? where not known",
        ),
        _C(
            "nspid",
            "i64",
            "thread id in its innermost pid namespace",
            nullable=True,
            least=-_I32,
            most=_I32,
        ),
        _C(
            "cgroup",
            "text",
            "path of its cgroup: of the hierarchy that tells most, else of the unified one",
            nullable=True,
        ),
        _C(
            "exe",
            "text",
            "path of the program of the process, as this machine has it",
            nullable=True,
        ),
        _C("uid", "i64", "real user id of the process", nullable=True, least=0, most=_U32),
        _C("address", "u64", "task_struct", nullable=True),
        _C("observer", "bool", "cranalyze itself, or something that it started"),
    ),
)

OBJECTS: Final = Schema(
    "objects",
    (
        _C(
            "objref",
            "i64",
            "number of the object: its row, from 1, in order of first encounter",
            least=1,
            most=_EXACT,
        ),
        _C("kind", "category", "kind of object: FILE, MM, UTS_NS, ..."),
        _C(
            "address",
            "u64",
            "kernel address (a salted hash unless raw ones were asked for)",
            nullable=True,
        ),
        _C(
            "refcount",
            "i64",
            "the object's own count; missing when unknown",
            nullable=True,
            least=-_HALF,
            most=_HALF,
        ),
        _C(
            "count_linux_cr",
            "i64",
            "what linux-cr compared, where that is another count; missing where it moved",
            nullable=True,
            least=-_HALF,
            most=_HALF,
        ),
        _C("name", "text", "what people call it: a path, pipe:[N], net:[N], ...", nullable=True),
        _C("initial", "bool", "an initial namespace (or one's creation): the host's"),
        _C(
            "stable",
            "bool",
            "the readings of its count and of who holds it agreed, and left no doubt",
        ),
        _C("ino", "u64", "inode number; of a namespace its nsfs inode", nullable=True),
        _C("dev", "u64", "device of the inode's filesystem, as makedev(3)", nullable=True),
        _C("mode", "i64", "st_mode of the inode", nullable=True, least=0, most=0xFFFF),
        _C("flags", "i64", "open(2) flags of a file", nullable=True, least=0, most=(1 << 32) - 1),
        _C("pos", "i64", "file offset", nullable=True, unit="bytes"),
        _C("mnt_id", "i64", "mount id of a file", nullable=True, least=-_I32, most=_I32),
        _C("deleted", "bool", "a file whose name is gone, as /proc says", nullable=True),
    ),
)

REFERENCES: Final = Schema(
    "references",
    (
        _C("holder_kind", "category", "TASK or the kind of the holding object"),
        _C("holder", "i64", "tid, or objref of the holding object"),
        _C("target", "i64", "objref of the object held"),
        _C("association", "category", "the place in the holder: fd, exe, vma, nsproxy.uts, ..."),
        _C("slot", "i64", "fd number, start of the mapping, ...", nullable=True),
        _C(
            "weight",
            "i64",
            "how many counts of the target this reference accounts for",
            least=0,
            most=_MOST_WEIGHT,
        ),
        _C(
            "detail",
            "category",
            "what else is known: r-xp of a mapping, cloexec of an fd",
            nullable=True,
        ),
    ),
)

GAPS: Final = Schema(
    "gaps",
    (
        _C("where", "text", "what could not be read"),
        _C("syscall", "text", "the call or read that failed"),
        _C("errno", "i64", "its error number", nullable=True, least=0, most=MAX_ERRNO),
        _C("effect", "text", "what that does to the result"),
    ),
)

RELATIONS: Final = Schema(
    "relations",
    (
        _C("relation", "category", "what the two ends have to do with each other: posix-lock, ..."),
        _C("left_kind", "category", "TASK or the kind of the left end"),
        _C("left", "i64", "tid, or objref of the left end"),
        _C("left_role", "category", "what the left end is in it: cwd, owner, ...", nullable=True),
        _C("right_kind", "category", "TASK or the kind of the right end"),
        _C("right", "i64", "tid, or objref of the right end"),
        _C("slot", "i64", "fd number, signal, ...", nullable=True),
        _C("impact", "category", "where it is not the relation's own", nullable=True),
        _C("stable", "bool", "two readings agreed on it"),
        _C("detail", "text", "what else is known of it", nullable=True),
    ),
)

FACTS: Final = Schema(
    "facts",
    (
        _C("kind", "category", "TASK or the kind of the object"),
        _C("ref", "i64", "tid, or objref of the object"),
        _C("fact", "category", "which fact: see docs/facts.md"),
        _C("number", "i64", "its value, of a number", nullable=True),
        _C("text", "text", "its value, of a word", nullable=True),
    ),
)

SCHEMAS: Final = {
    schema.name: schema for schema in (TASKS, OBJECTS, REFERENCES, GAPS, RELATIONS, FACTS)
}

SINCE: Final = {"relations": 2, "facts": 2}
"""The schema version of a snapshot file in which a table first was; 1 for all others."""
