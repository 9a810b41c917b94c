"""The references of a snapshot as links between rows, and what can be reached over them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.errors import BadInputError
from analyzer.core.model import TASK
from analyzer.core.values import NamedTuple, dataclass
from analyzer.kinds import associations, file_types, registry
from analyzer.memory.distinct import find, runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    from analyzer.core.model import Rules
    from analyzer.kinds.base import Association, Kind
    from analyzer.snapshot.tables import Table
    from analyzer.snapshot.value import Snapshot

    Codes = npt.NDArray[np.int8]
    Groups = npt.NDArray[np.int16]
    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]
    Rows = npt.NDArray[np.intp]

_LONG: Final = 16  # rows of a run that is worth while
_SPREAD: Final = 8  # numbers spread thinner than one in this many are searched for, not indexed


class Way(NamedTuple):
    """Ways from nodes to nodes, row by row."""

    start: Rows
    end: Rows

    def take(self, rows: Mask) -> Way:
        """Return the chosen ones."""
        at = np.flatnonzero(rows)
        return Way(self.start[at], self.end[at])

    def back(self) -> Way:
        """Return the ways back."""
        return Way(self.end, self.start)


@dataclass(frozen=True)
class Links:
    """Who holds what, by row of the references table.

    `node` numbers all holders: the rows of tasks, then those of objects; `end` is the number of
    what is held. `target` is a row of objects, `association` the code of one. `counted` marks the
    references that the rules know, `collects` those of them through which the subtree is followed,
    `meets` those at whose end something is compared all the same, `leads` those by which one stands
    behind what their target holds. `historic` are those that the kernel knows nothing of. `hosts`
    marks the objects that are an initial namespace.
    """

    tasks: int
    objects: int
    by_task: Mask
    node: Rows
    end: Rows
    target: Rows
    association: Groups
    counted: Mask
    collects: Mask
    leads: Mask
    hosts: Mask
    meets: Mask
    historic: Mask

    def along(self, over: Mask) -> list[Way]:
        """Return the ways of the marked references between nodes (tasks, then objects)."""
        return ways(self.association, Way(self.node, self.end), over)


def ways(group: Groups, way: Way, over: Mask) -> list[Way]:
    """Return the marked ones of some ways, as one for each group that they are cut into."""
    ends = runs(group)
    if len(ends) * _LONG > len(group):
        rows = np.flatnonzero(over)
        rows = rows[np.argsort(group[rows], kind="stable")]
        cuts = runs(group[rows])[:-1]
        return [*map(Way, np.split(way.start[rows], cuts), np.split(way.end[rows], cuts))]
    parts = [slice(*part) for part in pairwise([0, *ends.tolist()])]
    cut = [(Way(way.start[part], way.end[part]), over[part]) for part in parts]
    return [one if marked.all() else one.take(marked) for one, marked in cut if marked.any()]


def reach(start: Mask, over: Iterable[Way]) -> Mask:
    """Return which nodes are in `start`, or reached from there over ways from source to target.

    One pass is enough for ways that come in the order in which they lead on, forth or back.
    """
    reached = start.copy()
    left = [way for way in over if len(way.start)]
    found, before = int(np.count_nonzero(reached)), 0
    while found != before:
        rest = []
        for way in left:
            fires = reached[way.start]
            if fires.all():
                reached[way.end] = True
            else:
                reached[way.end[fires]] = True
                rest.append(way)
        left = rest[::-1]
        found, before = int(np.count_nonzero(reached)), found
    return reached


def links(snapshot: Snapshot, rules: Rules) -> Links:
    """Return the references of a snapshot as links between rows.

    BadInputError for a reference to a row that the snapshot lacks, or a word that neither this
    version nor the snapshot's file knows.
    """
    tasks, objects, references = (snapshot.tables[n] for n in ("tasks", "objects", "references"))
    by_task = references["holder_kind"] == references.code("holder_kind", TASK)
    target = _found(objects["objref"], references["target"], "object")
    counted, collects, leads, meets, historic = association_masks(
        references,
        lambda a: rules in a.rules,
        lambda a: a.collects,
        lambda a: a.leads,
        lambda a: rules in a.meets,
        lambda a: a.historic,
    )
    hosts = objects["initial"] & kind_flags(objects, lambda kind: bool(kind.namespace))
    node = _holders(tasks, objects, references, by_task)
    own = ~np.append(np.zeros(len(tasks), np.bool_), hosts)[node]
    return Links(
        tasks=len(tasks),
        objects=len(objects),
        by_task=by_task,
        node=node,
        end=target + len(tasks),
        target=target,
        association=references["association"],
        counted=counted,
        collects=counted & own & collects,
        leads=counted & leads,
        hosts=hosts,
        meets=counted & own & meets,
        historic=historic,
    )


def _holders(tasks: Table, objects: Table, references: Table, by_task: Mask) -> Rows:
    """Return the nodes of the holders."""
    holder, at = references["holder"], np.flatnonzero(by_task)
    node = rows_of(objects["objref"], holder)
    node[at] = 0
    _require(node, holder, "object")
    node += len(tasks)
    node[at] = _found(tasks["tid"], holder[at], "task")
    return node


def opened(snapshot: Snapshot, among: Mask | None = None) -> tuple[Integers, Integers]:
    """Return open files and what each is open on (pipes, sockets, ...), by objref.

    What a file only watches is another file, and not told. With `among`, a mask of objects, only
    those files.
    """
    objects, references = snapshot.tables["objects"], snapshot.tables["references"]
    names = {a.name for file_type in file_types() for a in file_type.associations if not a.historic}
    file = next(kind.name for kind in registry().values() if kind.file_types and kind.path)
    if among is not None and file not in objects.words_of("kind", among):
        return references["holder"][:0], references["target"][:0]
    rows = references.rows("association", *names)
    rows = rows[references["holder_kind"][rows] == references.code("holder_kind", file)]
    if among is not None:
        rows = rows[among[rows_of(objects["objref"], references["holder"][rows])]]
    held = rows_of(objects["objref"], references["target"][rows])
    rows = rows[objects["kind"][held] != objects.code("kind", file)]
    return references["holder"][rows], references["target"][rows]


def compared_counts(objects: Table, rules: Rules) -> tuple[Integers, Mask, Mask]:
    """Return what `rules` compare: the counts, where they are known, and where they are old ones.

    An old count is another than that of the object's references.
    """
    old = kind_flags(objects, lambda kind: kind.has_old_count(rules))
    count = np.where(old, objects["count_linux_cr"], objects["refcount"])
    known = np.where(old, objects.known("count_linux_cr"), objects.known("refcount"))
    return count, known, old


def association_flags(references: Table, test: Callable[[Association], bool]) -> Mask:
    """Return where the association of a reference passes `test`."""
    return association_masks(references, test)[0]


def association_masks(references: Table, *tests: Callable[[Association], bool]) -> list[Mask]:
    """Return for each test where the association of a reference passes it."""
    known = [associations()[word] for word in references.vocabulary["association"]]
    return _spread([[*map(test, known)] for test in tests], references, "association")


def kind_flags(objects: Table, test: Callable[[Kind], bool]) -> Mask:
    """Return where the kind of an object passes `test`."""
    return _spread([kinds_by_code(objects, test)], objects, "kind")[0]


def kinds_by_code(objects: Table, test: Callable[[Kind], bool]) -> list[bool]:
    """Return which kinds pass `test`, by their codes in the table."""
    known = registry()
    return [test(known[word]) for word in objects.vocabulary["kind"]]


def rows_of(keys: Integers, wanted: Integers) -> Rows:
    """Return the row in `keys` (distinct) of each wanted number, -1 where it is not there."""
    if not len(keys) or not len(wanted):
        return np.full(len(wanted), -1, np.intp)
    if keys[-1] - keys[0] == len(keys) - 1 and (keys[1:] > keys[:-1]).all():  # one after the other
        rows: Rows = wanted - keys[0]
        rows[(rows < 0) | (rows >= len(keys))] = -1
        return rows
    low, high = int(keys.min()), int(keys.max())
    if high - low < _SPREAD * (len(keys) + len(wanted)):
        row = np.full(high - low + 2, -1, np.intp)
        row[keys - low] = np.arange(len(keys))
        inside = (wanted >= low) & (wanted <= high)
        return row[np.where(inside, wanted - low, -1)]
    at, there = find(keys, wanted, sorter=np.argsort(keys))
    return np.where(there, at, -1)


def _found(keys: Integers, wanted: Integers, what: str) -> Rows:
    rows = rows_of(keys, wanted)
    _require(rows, wanted, what)
    return rows


def _require(rows: Rows, wanted: Integers, what: str) -> None:
    lost = rows < 0
    if lost.any():
        number = int(wanted[np.argmax(lost)])
        raise BadInputError(f"the snapshot refers to {what} {number}, which is not in it")


def _spread(flags: Iterable[list[bool]], table: Table, name: str) -> list[Mask]:
    # The code of a missing word is -1: the last.
    known = [np.array([*some, False], np.bool_) for some in flags]
    codes, ends = table[name], table.ends(name)
    if len(ends) * _LONG > len(codes):
        return [one[codes] for one in known]
    # A source reads one kind after the other.
    run, long = codes[ends - 1], np.diff(ends, prepend=0)
    return [np.repeat(one[run], long) for one in known]
