"""The references of a snapshot as links between rows, and what can be reached over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.errors import BadInputError
from analyzer.core.model import TASK
from analyzer.core.values import dataclass
from analyzer.kinds import associations, file_types, registry
from analyzer.memory.distinct import find

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from analyzer.core.model import Rules
    from analyzer.kinds.base import Association, Kind
    from analyzer.snapshot.tables import Table
    from analyzer.snapshot.value import Snapshot

    Codes = npt.NDArray[np.int8]
    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]
    Rows = npt.NDArray[np.intp]

_SPREAD: Final = 8  # numbers spread thinner than one in this many are searched for, not indexed


@dataclass(frozen=True)
class Links:
    """Who holds what, by row of the references table.

    `node` numbers all holders: the rows of tasks, then those of objects. `target` is a row of
    objects. `counted` marks the references that the rules know, `collects` those of them through
    which the subtree is followed, `meets` those at whose end something is compared all the same,
    `leads` those by which one stands behind what their target holds. `historic` are those that the
    kernel knows nothing of.
    `hosts` marks the objects that are an initial namespace.
    """

    tasks: int
    objects: int
    by_task: Mask
    node: Rows
    target: Rows
    counted: Mask
    collects: Mask
    leads: Mask
    hosts: Mask
    meets: Mask
    historic: Mask

    def reach(self, start: Mask, over: Mask) -> Mask:
        """Return which nodes (tasks, then objects) are in `start` or led to from there.

        `over` marks the references that are followed.
        """
        rows = np.flatnonzero(over)
        return reach(start, self.node[rows], self.target[rows] + self.tasks)


def reach(start: Mask, source: Rows, target: Rows) -> Mask:
    """Return which nodes are in `start`, or reached from there over edges from source to target."""
    reached = start.copy()
    while len(source):
        fires = reached[source]
        found = target[fires]
        if reached[found].all():
            break
        reached[found] = True
        source, target = source[~fires], target[~fires]
    return reached


def links(snapshot: Snapshot, rules: Rules) -> Links:
    """Return the references of a snapshot as links between rows.

    BadInputError for a reference to a row that the snapshot lacks, or a word that neither this
    version nor the snapshot's file knows.
    """
    tasks, objects, references = (snapshot.tables[n] for n in ("tasks", "objects", "references"))
    by_task = references["holder_kind"] == references.code("holder_kind", TASK)
    node = np.empty(len(references), np.intp)
    node[by_task] = _found(tasks["tid"], references["holder"][by_task], "task")
    node[~by_task] = _found(objects["objref"], references["holder"][~by_task], "object")
    node[~by_task] += len(tasks)
    counted = association_flags(references, lambda a: rules in a.rules)
    hosts = objects["initial"] & kind_flags(objects, lambda kind: bool(kind.namespace))
    own = ~np.append(np.zeros(len(tasks), np.bool_), hosts)[node]
    return Links(
        tasks=len(tasks),
        objects=len(objects),
        by_task=by_task,
        node=node,
        target=_found(objects["objref"], references["target"], "object"),
        counted=counted,
        collects=counted & own & association_flags(references, lambda a: a.collects),
        leads=counted & association_flags(references, lambda a: a.leads),
        hosts=hosts,
        meets=counted & own & association_flags(references, lambda a: rules in a.meets),
        historic=association_flags(references, lambda a: a.historic),
    )


def opened(snapshot: Snapshot) -> tuple[Integers, Integers]:
    """Return open files and what each is open on (pipes, sockets, ...), by objref.

    What a file only watches is another file, and not told.
    """
    objects, references = snapshot.tables["objects"], snapshot.tables["references"]
    names = [a.name for file_type in file_types() for a in file_type.associations if not a.historic]
    codes = [references.code("association", name) for name in dict.fromkeys(names)]
    file = next(kind.name for kind in registry().values() if kind.file_types and kind.path)
    by_file = references["holder_kind"] == references.code("holder_kind", file)
    rows = np.flatnonzero(by_file & np.isin(references["association"], codes))
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
    known = associations()
    flags = [test(known[word]) for word in references.vocabulary["association"]]
    return _spread(flags, references["association"])


def kind_flags(objects: Table, test: Callable[[Kind], bool]) -> Mask:
    """Return where the kind of an object passes `test`."""
    known = registry()
    flags = [test(known[word]) for word in objects.vocabulary["kind"]]
    return _spread(flags, objects["kind"])


def rows_of(keys: Integers, wanted: Integers) -> Rows:
    """Return the row in `keys` (distinct) of each wanted number, -1 where it is not there."""
    if not len(keys) or not len(wanted):
        return np.full(len(wanted), -1, np.intp)
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
    if (rows < 0).any():
        lost = int(wanted[np.argmax(rows < 0)])
        raise BadInputError(f"the snapshot refers to {what} {lost}, which is not in it")
    return rows


def _spread(flags: list[bool], codes: npt.NDArray[np.int16]) -> Mask:
    # The code of a missing word is -1: the last.
    spread: Mask = np.array([*flags, False], np.bool_)[codes]
    return spread
