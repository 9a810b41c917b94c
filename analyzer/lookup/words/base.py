"""What a word is: how it is written, and which things it can stand for.

A word is parsed to meanings. A meaning chooses rows of the objects table of a detailed snapshot of
the whole machine, and knows what else holds the thing that is no reference there (a swap file, a
working directory, a mount): its places, which are asked of /proc and /sys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.values import NamedTuple, dataclass, replace
from analyzer.memory.distinct import unique
from analyzer.procfs.glance import kept
from analyzer.procfs.places import Place, filesystem
from analyzer.snapshot.source import source_of
from analyzer.sources.meta import boot_id

if TYPE_CHECKING:
    import numpy.typing as npt

    from analyzer.procfs.glance import Inode
    from analyzer.snapshot.tables import Table
    from analyzer.snapshot.value import Snapshot

    Rows = npt.NDArray[np.intp]

Places = tuple[tuple[Place, ...], tuple[int, ...]]


def no_rows(_: Snapshot) -> Rows:
    """Return no rows: nothing in the tables is meant."""
    return np.empty(0, np.intp)


def nowhere() -> Places:
    """Return no places, and nobody that was silent."""
    return (), ()


def _all_open(_: Snapshot) -> tuple[Place, ...]:
    return ()


def _nothing() -> tuple[str, ...]:
    return ()


def gaps(snapshot: Snapshot) -> bool:
    """Tell whether something could not be read."""
    return bool(len(snapshot.tables["gaps"]))


def of_host(snapshot: Snapshot) -> bool:
    """Tell whether a snapshot is of all processes."""
    return snapshot.meta["scope"] == "host" or snapshot.meta["subject"]["pid"] is None


def whole(snapshot: Snapshot) -> bool:
    """Tell whether all references of a machine are in a snapshot, as the kernel has them."""
    return of_host(snapshot) and source_of(snapshot).nsproxy and not gaps(snapshot)


class Recorded(NamedTuple):
    """What the other tables of a snapshot tell of a thing: that it is there, and by whom."""

    there: bool = False
    places: tuple[Place, ...] = ()
    notes: tuple[str, ...] = ()


NOT_RECORDED: Final = Recorded()


def _not_recorded(_: Snapshot) -> Recorded:
    return NOT_RECORDED


def of_now(snapshot: Snapshot) -> bool:
    """Tell whether /proc can be asked about a snapshot: of this boot, and not from a file."""
    recorded = bool(snapshot.meta.get("kept", False))
    return not recorded and snapshot.meta["boot_id"] == kept("boot id", boot_id)


@dataclass(frozen=True)
class Meaning:
    """One thing that a word stands for.

    `what` says what it is, "" where the objects say so themselves. `there` tells that it exists
    whoever holds it; else it does if there are rows or places. `missed` tells whether an object
    that was not found may be there all the same. `described` tells that the rows are found by what
    objects say of themselves, as their inodes and names: else only those found are asked for that.
    `unseen` says which holders of it cannot be seen, and what would show them. `pid` is the process
    that it is of, as we call it. `state` are the facts that are needed to find the rows. `notes`
    are asked for when the answer is made. What is only a `guess` counts where nothing else holds
    anything; a `wide` one looks at many objects, and is not made where many words are asked for. Of
    a snapshot that was kept, `recorded` tells what its tables of tasks, facts and relations say.
    `unopened` are places that only a snapshot of now leads to: what is there and nobody has open.
    `ties` are the relations that an answer takes, None for all there are. `removal` is what removes
    the thing where nobody holds it, and `remedy` what helps whoever does. `awaited` are the open
    files by which others could let a process go on that waits for them.
    """

    what: str = ""
    rows: Callable[[Snapshot], Rows] = no_rows
    places: Callable[[], Places] = nowhere
    there: bool = False
    missed: Callable[[Snapshot], bool] = gaps
    described: bool = True
    unseen: str = ""
    pid: int | None = None
    state: tuple[str, ...] = ()
    notes: Callable[[], tuple[str, ...]] = _nothing
    guess: bool = False
    wide: bool = False
    recorded: Callable[[Snapshot], Recorded] = _not_recorded
    unopened: Callable[[Snapshot], tuple[Place, ...]] = _all_open
    ties: tuple[str, ...] | None = ()
    removal: str = ""
    remedy: str = ""
    awaited: Callable[[Snapshot], Rows] = no_rows


@dataclass(frozen=True)
class At:
    """A path that leads somewhere: as it was said, absolute, and the inode (statx(2)).

    `inode` is an errno where it leads nowhere, or does not answer.
    """

    path: str
    absolute: str
    inode: Inode | int
    mounted: bool = False
    """Whether another filesystem begins here."""

    @property
    def found(self) -> Inode:
        """Return the inode of a path that leads somewhere."""
        assert not isinstance(self.inode, int)  # noqa: S101 - families are asked of no others
        return self.inode

    @property
    def known(self) -> Inode:
        """Return the same with the device that the kernel calls its filesystem by."""
        return self.found._replace(dev=filesystem(self.found))


@dataclass(frozen=True)
class Form:
    """One way to write a word: with its variable parts in capitals, and what it means."""

    written: str
    meaning: str


Parse = Callable[[str], Iterable[Meaning]]
OfPath = Callable[[At], Iterable[Meaning]]


@dataclass(frozen=True)
class Word:
    """One family of words: its forms, how one is understood, and what paths of this family are.

    `parse` returns nothing for what is no word of the family, and raises BadInputError for what is
    one and cannot be. `of_path` adds what a path stands for. `recorded` understands the word where
    a snapshot is asked and the machine that it is of cannot be: as `parse` does, if that is None.
    """

    name: str
    title: str
    forms: tuple[Form, ...]
    parse: Parse | None = None
    of_path: OfPath | None = None
    recorded: Parse | None = None

    def understood(self, asked: str) -> Iterable[Meaning]:
        """Return what a word means to a snapshot: nothing that this machine is asked for."""
        if self.recorded is not None:
            return [_of_tables(meaning) for meaning in self.recorded(asked)]
        return [_of_tables(meaning) for meaning in self.parse(asked)] if self.parse else []


def _of_tables(meaning: Meaning) -> Meaning:
    return replace(
        meaning,
        places=nowhere,
        there=False,
        missed=lambda snapshot: bool(meaning.unseen) or not whole(snapshot),
        notes=_nothing,
    )


OF_FILES: Final = ("file-lock",)
"""The relations that tell something of open files beside their holders."""


def alike(kinds: Iterable[str], **columns: int) -> Callable[[Snapshot], Rows]:
    """Return what chooses the objects of `kinds` whose columns have these values."""
    wanted = tuple(kinds)

    def rows(snapshot: Snapshot) -> Rows:
        objects = snapshot.tables["objects"]
        kinds = [objects.code("kind", kind) for kind in wanted]
        if not columns:
            return objects.where("kind", kinds)
        first, *others = sorted(columns, key=lambda name: name != "ino")  # the fewest have that
        at: Rows = objects.where(first, [np.uint64(columns[first])])
        for name in others:
            at = at[objects[name][at] == np.uint64(columns[name])]
        known = [~objects.missing[name][at] for name in columns if name in objects.missing]
        found: Rows = at[np.logical_and.reduce([np.isin(objects["kind"][at], kinds), *known])]
        return found

    return rows


def named(kinds: Iterable[str], names: Iterable[str]) -> Callable[[Snapshot], Rows]:
    """Return what chooses the objects of `kinds` that are called one of `names`."""
    wanted, known = tuple(kinds), frozenset(names)

    def rows(snapshot: Snapshot) -> Rows:
        objects = snapshot.tables["objects"]
        at: Rows = objects.where("name", known)
        codes = [objects.code("kind", kind) for kind in wanted]
        return at[np.isin(objects["kind"][at], codes)]

    return rows


def stated(fact: str, test: Callable[[Any], bool]) -> Callable[[Snapshot], Rows]:
    """Return what chooses the objects of which a fact is told that passes the test."""

    def rows(snapshot: Snapshot) -> Rows:
        values, refs = _told(snapshot.tables["facts"], fact)
        chosen = [ref for value, ref in zip(values, refs, strict=True) if test(value)]
        return unique(np.array(chosen, np.intp) - 1)

    return rows


_KNOWN: Final[list[tuple[Table, dict[str, tuple[list[Any], list[int]]]]]] = []


def _told(facts: Table, fact: str) -> tuple[list[Any], list[int]]:
    """Return a fact of objects, and of which; what was asked of a table last is remembered."""
    if not _KNOWN or _KNOWN[0][0] is not facts:
        _KNOWN[:] = [(facts, {})]
    known = _KNOWN[0][1]
    if fact not in known:
        at = np.flatnonzero(facts["fact"] == facts.code("fact", fact))
        at = at[facts["kind"][at] != facts.code("kind", "TASK")]
        known[fact] = [_value(facts, row) for row in at.tolist()], facts["ref"][at].tolist()
    return known[fact]


def _value(facts: Any, row: int) -> Any:  # noqa: ANN401 - a number or a text
    text = facts.value("text", row)
    return facts.value("number", row) if text is None else text


def called(names: Iterable[str]) -> Callable[[Snapshot], Rows]:
    """Return what chooses all that is called one of `names`, of whatever kind."""
    known = frozenset(names)

    def rows(snapshot: Snapshot) -> Rows:
        found: Rows = snapshot.tables["objects"].where("name", known)
        return found

    return rows


def people_of(snapshot: Snapshot, rows: Rows, what: str) -> tuple[Place, ...]:
    """Return the processes of rows of the table of tasks, each once, and `what` each is."""
    tasks = snapshot.tables["tasks"]
    found = {}
    for row in rows.tolist():
        pid = int(tasks["tgid"][row])
        leads = np.flatnonzero(tasks["tid"] == pid)
        comm = tasks["comm"][leads[0] if len(leads) else row]
        found[pid] = Place(what, pid, comm.removesuffix("\n"))
    return tuple(found.values())


def joined(*choices: Callable[[Snapshot], Rows]) -> Callable[[Snapshot], Rows]:
    """Return what chooses all that one of several does."""
    return lambda snapshot: unique(*(choose(snapshot) for choose in choices))
