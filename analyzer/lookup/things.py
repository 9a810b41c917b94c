"""All things of one sort on the whole machine, and who holds how much of it, worst first.

`who WORD` follows one thing up to its holders. Here it is many: the pairs of a thing and a process
are found for all of them at once, a step up at a time, over columns.
"""

from __future__ import annotations

import os
from functools import cache, partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.errors import BadInputError
from analyzer.core.model import TASK
from analyzer.core.values import dataclass, field, replace
from analyzer.kinds import facts, registry
from analyzer.kinds._overlay import SHOWN
from analyzer.kinds.file import SORTS
from analyzer.lookup.columns import Field
from analyzer.lookup.pairs import Hand, Pairs
from analyzer.lookup.recorded import people
from analyzer.lookup.release import releases
from analyzer.lookup.sorts import FILE
from analyzer.lookup.value import Answer
from analyzer.lookup.who import Graph, upward
from analyzer.lookup.words.base import of_now
from analyzer.memory.distinct import find, unique
from analyzer.procfs.people import person
from analyzer.procfs.places import mount_points
from analyzer.sources.tasks import proc_levels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from analyzer.lookup.sorts import Sort
    from analyzer.procfs.people import Person
    from analyzer.report.listing import Value
    from analyzer.snapshot.tables import Table
    from analyzer.snapshot.value import Snapshot

    Rows = npt.NDArray[np.intp]
    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

_TYPE: Final = 0o170000  # S_IFMT
_MOST_PEOPLE: Final = 5_000


@dataclass(frozen=True)
class Thing:
    """One thing: what it is, how much of the amount that is summed up, and who holds it.

    What no process holds is `kept` by something else ("loop device /dev/loop0"), and `release` says
    what would end that.
    """

    kind: str
    type: str
    objref: int
    name: str | None
    ino: int | None
    dev: int | None
    refcount: int | None
    files: int
    amount: int | None
    hands: tuple[Hand, ...]
    facts: Mapping[str, int | str] = field(default_factory=dict)
    people: tuple[Person, ...] = ()
    kept: tuple[str, ...] = ()
    release: tuple[str, ...] = ()


@dataclass(frozen=True)
class Total:
    """What one process, user, or unit holds: how many things, and how much."""

    who: str
    pids: tuple[int, ...]
    things: int
    amount: int


@dataclass(frozen=True)
class Listing:
    """The things of a sort, worst first, and the totals.

    `count` and `amount` are of all things; `things` may be the worst of them alone.
    """

    sort: Sort
    count: int
    amount: int
    processes: tuple[Total, ...]
    users: tuple[Total, ...]
    units: tuple[Total, ...]
    filesystems: tuple[Total, ...]
    things: tuple[Thing, ...]
    people: Mapping[int, Person]
    notes: tuple[str, ...] = ()
    """What else there is of the sort, that has no holder here."""

    def only(self, things: tuple[Thing, ...]) -> Listing:
        """Return the listing of some of its things; the totals stay those of all."""
        return replace(self, count=len(things), things=things)


class Question:
    """Asks a snapshot for the things of a sort: what must be read and named, then the answer."""

    def __init__(
        self, sort: Sort, *, deleted: bool = False, larger: int = 0, most: int | None = None
    ) -> None:
        self.sort = sort
        self._deleted = deleted
        self._larger = larger
        self._most = most
        self._found: _Found | None = None

    @property
    def stated(self) -> tuple[str, ...]:
        """Return the facts that are needed to find the things."""
        typed = (self.sort.told,) if self.sort.types else ()
        summed = (self.sort.amount,) if self.sort.amount else ()
        numbered = (self.sort.number,) if self.sort.number else ()
        return (*typed, *summed, *numbered)

    @property
    def numbers(self) -> frozenset[int]:
        """Return the ids of all that was found, where a sort has such."""
        return frozenset() if self._found is None else self._found.numbers

    def wanted(self, snapshot: Snapshot) -> Mask:
        """Choose the objects that must be named; the order of things is kept for the answer."""
        if self.sort.kind == TASK:
            return np.zeros(len(snapshot.tables["objects"]), np.bool_)
        self._found = found = _Found(self, snapshot)
        return upward(snapshot, np.concatenate([*found.worst(self._most), found.none]).tolist())

    def chosen(self, snapshot: Snapshot) -> Rows:
        """Return the rows of the objects that are meant."""
        objects = snapshot.tables["objects"]
        mine = objects["kind"] == objects.code("kind", self.sort.kind)
        mine &= ~objects["initial"]  # the host's own are no user's
        if self._deleted:
            mine &= objects.known("deleted") & objects["deleted"]
        rows = np.flatnonzero(mine)
        if self.sort.merged:  # the file of a layer is not another file than the overlay's
            references = snapshot.tables["references"]
            shown = [references.code("association", name) for name in SHOWN]
            rows = rows[~np.isin(rows + 1, _targets(references, shown))]
        if self.sort.types:
            told = self._types(snapshot, rows)
            wanted = frozenset(self.sort.types)
            keep = (told.get(ref) in wanted for ref in (rows + 1).tolist())
            rows = rows[np.fromiter(keep, np.bool_, len(rows))]
        return rows

    def _types(self, snapshot: Snapshot, rows: Rows) -> Mapping[int, str]:
        """Return what sort of thing each object is: by its fact, or its name where /proc was read.

        Raises BadInputError where neither is known.
        """
        told = _texts(snapshot, self.sort.told)
        if told or not len(rows) or not snapshot.meta.get("kept"):
            return told
        if self.sort.kind != FILE:
            raise BadInputError(
                f"--kind {self.sort.word}: what was read does not tell which {self.sort.kind} "
                "objects are such"
            )
        objects = snapshot.tables["objects"]
        modes = np.where(objects.known("mode")[rows], objects["mode"][rows], 0).tolist()
        named = zip((rows + 1).tolist(), objects["name"][rows], modes, strict=True)
        return {ref: _by_name(name or "", mode) for ref, name, mode in named}

    @property
    def larger(self) -> int:
        """Return how large the least thing is that is listed."""
        return self._larger

    def answer(self, snapshot: Snapshot) -> Listing:
        """Return the things and totals; `snapshot` is the one that `wanted` led to."""
        if self.sort.kind == TASK:
            return _processes(self.sort, snapshot)
        found = self._found or _Found(self, snapshot)
        return found.listing(snapshot, self._most)


def _processes(sort: Sort, snapshot: Snapshot) -> Listing:
    """Return the processes, and who has how many of their threads."""
    tasks = snapshot.tables["tasks"]
    mine = (tasks["tid"] > 0) & ~tasks["observer"]
    comms = dict(zip(tasks["tid"].tolist(), tasks["comm"], strict=True))
    pids, threads = np.unique(tasks["tgid"][mine], return_counts=True)
    count = dict(zip(pids.tolist(), threads.tolist(), strict=True))
    people = _people(snapshot, pids)

    def totals(groups: Mapping[str, list[int]]) -> tuple[Total, ...]:
        made = [
            Total(who, tuple(some), len(some), sum(count[pid] for pid in some))
            for who, some in groups.items()
        ]
        return tuple(sorted(made, key=lambda one: (-one.amount, one.pids)))

    users: dict[str, list[int]] = {}
    units: dict[str, list[int]] = {}
    for pid, one in people.items():
        users.setdefault(one.user, []).append(pid)
        if one.unit:
            units.setdefault(one.unit, []).append(pid)
    own = {f"{comms.get(pid, '?')} ({pid})": [pid] for pid in count}
    return Listing(
        sort,
        len(count),
        sum(count.values()),
        totals(own),
        totals(users),
        totals(units),
        (),
        (),
        people,
    )


class _Found:
    """The things of a sort by number, worst first, with what leads to them."""

    none: Rows = np.empty(0, np.intp)

    def __init__(self, question: Question, snapshot: Snapshot) -> None:
        self._sort = question.sort
        rows = question.chosen(snapshot)
        number = _merged(snapshot, rows) if self._sort.merged else np.arange(len(rows))
        amounts = self._told(snapshot, rows, self._sort.amount)
        self.numbers = frozenset(self._told(snapshot, rows, self._sort.number).tolist())
        pairs = Pairs.found(snapshot, *_with_pages(snapshot, rows, number))
        count = int(number.max()) + 1 if len(number) else 0
        # Those of one inode have it in common; what nobody but we have is our own.
        most = np.zeros(count, np.int64)
        np.maximum.at(most, number, amounts)
        alive = np.ones(count, np.bool_)
        alive[pairs.thing] = False
        alive[pairs.thing[~pairs.ours]] = True
        alive &= most >= question.larger
        held = np.bincount(pairs.thing, minlength=count)
        order = np.lexsort((np.arange(count), -held, -most))
        self._order = order[alive[order]]
        self._amount, self._pairs = most, pairs
        by = np.argsort(number, kind="stable")
        self._rows = np.split(rows[by], np.cumsum(np.bincount(number, minlength=count))[:-1])

    def _told(self, snapshot: Snapshot, rows: Rows, fact: str) -> Integers:
        """Return a number that is known of each object, 0 where it is not."""
        if not fact:
            return np.zeros(len(rows), np.int64)
        table = snapshot.tables["facts"]
        at = np.flatnonzero(table["fact"] == table.code("fact", fact))
        at = at[table["kind"][at] == table.code("kind", self._sort.kind)]
        by_ref = np.zeros(len(snapshot.tables["objects"]) + 1, np.int64)
        by_ref[table["ref"][at]] = table["number"][at]
        found: Integers = by_ref[rows + 1]
        return found

    def worst(self, most: int | None) -> list[Rows]:
        """Return the rows of the worst things, of all of them where `most` is None."""
        return [self._rows[one] for one in self._order[:most].tolist()]

    def listing(self, snapshot: Snapshot, most: int | None) -> Listing:
        order = self._order
        listed = np.zeros(len(self._amount), np.bool_)
        listed[order] = True
        pairs = self._pairs.of(listed)
        people = _people(snapshot, pairs.tgid)
        return Listing(
            self._sort,
            len(order),
            int(self._amount[order].sum()),
            tuple(self._totals(pairs, pairs.comms)),
            tuple(self._totals(pairs, {p: one.user for p, one in people.items()})),
            tuple(self._totals(pairs, {p: one.unit for p, one in people.items()})),
            tuple(self._filesystems(snapshot, pairs)),
            tuple(self._things(snapshot, order[:most], people)),
            people,
        )

    def _totals(self, pairs: Pairs, called: Mapping[int, str]) -> Iterator[Total]:
        """Yield what each holds, by what its processes are called; worst first."""
        by_process = called is pairs.comms
        names: dict[str | int, list[int]] = {}
        for pid in unique(pairs.tgid).tolist():
            name = called.get(pid, "")
            if name:
                names.setdefault(pid if by_process else name, []).append(pid)
        found = []
        at = np.argsort(pairs.tgid, kind="stable")
        tgid, thing = pairs.tgid[at], pairs.thing[at]
        for key, pids in names.items():
            parts = [thing[slice(*np.searchsorted(tgid, [pid, pid + 1]))] for pid in pids]
            mine = unique(*parts)
            who = f"{called[pids[0]]} ({pids[0]})" if by_process else str(key)
            found.append(Total(who, tuple(pids), len(mine), int(self._amount[mine].sum())))
        yield from sorted(found, key=lambda one: (-one.amount, -one.things, one.pids))

    def _filesystems(self, snapshot: Snapshot, pairs: Pairs) -> Iterator[Total]:
        """Yield what merged things take of each filesystem, by its device and where it is ours."""
        if not self._sort.merged or not len(self._order):
            return
        objects = snapshot.tables["objects"]
        first = np.array([self._rows[one][0] for one in self._order.tolist()], np.intp)
        known = objects.known("dev")[first]
        points = mount_points() if of_now(snapshot) else {}
        found = []
        for dev in unique(objects["dev"][first[known]]).tolist():
            mine = self._order[known & (objects["dev"][first] == dev)]
            holding = unique(pairs.tgid[np.isin(pairs.thing, mine)])
            where = f" {points[dev]}" if dev in points else ""
            who = f"{os.major(dev)}:{os.minor(dev)}{where}"
            amount = int(self._amount[mine].sum())
            found.append(Total(who, tuple(holding.tolist()), len(mine), amount))
        yield from sorted(found, key=lambda one: (-one.amount, one.who))

    def _things(
        self, snapshot: Snapshot, order: Rows, people: Mapping[int, Person]
    ) -> Iterator[Thing]:
        objects = snapshot.tables["objects"]
        known = _facts(snapshot, np.concatenate([*(self._rows[n] for n in order), self.none]))
        graph = cache(partial(Graph, snapshot))
        for number in order.tolist():
            rows = self._rows[number]
            first = int(rows[0])
            told = known.get(first + 1, {})
            hands = tuple(self._pairs.hands(number))
            kept, release = ((), ()) if hands else _kept(graph(), rows)
            yield Thing(
                kind=objects.value("kind", first),
                type=str(told.get("open.type", "")) if self._sort.kind == FILE else "",
                objref=int(objects["objref"][first]),
                name=objects.value("name", first),
                ino=objects.value("ino", first),
                dev=objects.value("dev", first),
                refcount=objects.value("refcount", first),
                files=len(rows),
                amount=int(self._amount[number]) if self._sort.amount else None,
                hands=hands,
                facts=told,
                people=tuple(people[hand.pid] for hand in hands if hand.pid in people),
                kept=kept,
                release=release,
            )


def _kept(graph: Graph, rows: Rows) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what keeps a thing that no process holds, and what would end that."""
    held = tuple(graph.held(row, state=False) for row in rows.tolist())
    kinds = registry()
    said = (
        " ".join(filter(None, (kinds[node.kind].title, node.name)))
        for one in held
        for node in one.by
        if node.kind != TASK
    )
    return tuple(dict.fromkeys(said)), releases(Answer("", held)).next


def _merged(snapshot: Snapshot, rows: Rows) -> Rows:
    """Return a number for each object, the same for those of one inode, as they are met."""
    objects = snapshot.tables["objects"]
    known = objects.known("ino")[rows] & objects.known("dev")[rows]
    keys = [
        (dev, ino) if good else (-1, row)
        for dev, ino, good, row in zip(
            objects["dev"][rows].tolist(), objects["ino"][rows].tolist(), known.tolist(),
            rows.tolist(), strict=True,
        )
    ]  # fmt: skip
    numbers: dict[tuple[int, int], int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.intp)


def _with_pages(snapshot: Snapshot, rows: Rows, number: Rows) -> tuple[Rows, Rows]:
    """Return things with the files that segments have their pages in: those are attached."""
    references = snapshot.tables["references"]
    at = np.flatnonzero(references["association"] == references.code("association", "shm.file"))
    order = np.argsort(rows)
    where, there = find(rows + 1, references["holder"][at], sorter=order)
    pages = references["target"][at[there]] - 1
    return np.append(rows, pages).astype(np.intp), np.append(number, number[where[there]])


def _targets(references: Table, codes: Sequence[int]) -> Integers:
    found: Integers = references["target"][np.isin(references["association"], codes)]
    return found


def _by_name(name: str, mode: int) -> str:
    """Return the type of an open file by what /proc calls it."""
    if name.startswith("anon_inode:"):
        word = name.removeprefix("anon_inode:").strip("[]").replace(" ", "-")
        return {"eventpoll": "epoll", "bpf_link": "bpf-link"}.get(word, word)
    if name.startswith("/memfd:"):
        return "memfd"
    if name.startswith(("/SYSV", "/dev/zero (deleted)")):
        return "shared-memory"
    return SORTS.get(mode & _TYPE, "")


def _texts(snapshot: Snapshot, fact: str) -> Mapping[int, str]:
    """Return the texts of a fact by objref."""
    table = snapshot.tables["facts"]
    told = table.take(np.flatnonzero(table["fact"] == table.code("fact", fact)))
    return dict(zip(told["ref"].tolist(), told["text"].tolist(), strict=True))


def _facts(snapshot: Snapshot, rows: Rows) -> Mapping[int, dict[str, int | str]]:
    table = snapshot.tables["facts"]
    by_object = table["kind"] != table.code("kind", TASK)
    found: dict[int, dict[str, int | str]] = {}
    for at in np.flatnonzero(by_object & np.isin(table["ref"], rows + 1)).tolist():
        text = table.value("text", at)
        value = table.value("number", at) if text is None else text
        found.setdefault(int(table["ref"][at]), {})[table.value("fact", at)] = value
    return found


def _people(snapshot: Snapshot, pids: Integers) -> Mapping[int, Person]:
    """Return who the processes are, where /proc calls them as the tables do."""
    some = unique(pids)[:_MOST_PEOPLE].tolist()
    if not of_now(snapshot):
        return {one.pid: one for one in people(snapshot, some)}
    if proc_levels() != 0:
        return {}
    found = (person(pid) for pid in some)
    return {one.pid: one for one in found if one is not None}


def holders(thing: Thing) -> str:
    """Return who holds a thing, in words."""
    return "; ".join(hand.words for hand in thing.hands)


def _dev(thing: Thing) -> str | None:
    return None if thing.dev is None else f"{os.major(thing.dev)}:{os.minor(thing.dev)}"


def _joined(words: Iterable[str]) -> str | None:
    return ",".join(dict.fromkeys(word for word in words if word)) or None


def _fields() -> Iterator[Field[Thing]]:
    yield Field("KIND", "string", "kind of object", lambda one: one.kind)
    yield Field(
        "TYPE",
        "string",
        "of an open file: eventfd, inotify, memfd, pipe, file, ...",
        lambda one: one.type or None,
    )
    yield Field("NAME", "string", "what it is called: a path, pipe:[N], ...", lambda one: one.name)
    yield Field(
        "AMOUNT",
        "number",
        "what is summed up of this kind: watches, bytes, messages",
        lambda one: one.amount,
    )
    yield Field("NPROCS", "number", "processes that hold it", lambda one: len(one.hands))
    yield Field(
        "PID", "number", "the first of them", lambda one: one.hands[0].pid if one.hands else None
    )
    yield Field(
        "COMMAND", "string", "its name", lambda one: one.hands[0].comm if one.hands else None
    )
    yield Field(
        "HOLDERS", "string", "all of them: code (811): fd 20, 31", lambda one: holders(one) or None
    )
    yield Field("USER", "string", "their users", lambda one: _joined(p.user for p in one.people))
    yield Field(
        "UNIT",
        "string",
        "their units and containers",
        lambda one: _joined(p.unit for p in one.people),
    )
    yield Field("REFCOUNT", "number", "references that the kernel counts", lambda one: one.refcount)
    yield Field(
        "FILES",
        "number",
        "open files of it, where those of one inode are one thing",
        lambda one: one.files,
    )
    yield Field("INODE", "number", "inode number", lambda one: one.ino)
    yield Field("DEV", "string", "device of its filesystem, MAJ:MIN", _dev)
    yield Field("OBJREF", "number", "number of the object in this reading", lambda one: one.objref)


def _fact(name: str) -> Field[Thing]:
    fact = facts()[name]
    unit = f" ({fact.unit})" if fact.unit else ""

    def get(one: Thing) -> Value:
        return one.facts.get(name)

    kind = "string" if fact.type == "text" else "number"
    return Field(name.upper(), kind, fact.meaning + unit, get)  # type: ignore[arg-type]


FIELDS: Final[Mapping[str, Field[Thing]]] = {
    **{one.name: one for one in _fields()},
    **{one.name: one for one in map(_fact, facts())},
}
"""The columns of a list of things: our own, then a fact each (see docs/facts.md)."""

USUAL: Final[Sequence[str]] = ("AMOUNT", "NPROCS", "PID", "COMMAND", "NAME")
"""Those of `-o +...`, before those that are named."""
