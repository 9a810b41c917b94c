"""Which processes lead to which things, and by what: for many things at once, over columns.

The pairs are found a step up at a time: who holds a thing, who holds that, up to tasks.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.check.links import links
from analyzer.core.model import TASK, Rules
from analyzer.core.values import dataclass
from analyzer.memory.distinct import find, unique

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from analyzer.check.links import Links
    from analyzer.snapshot.value import Snapshot

    Rows = npt.NDArray[np.intp]
    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

_MOST_DEEP: Final = 12
_NO_SLOT: Final = -1
_MAPPED: Final = -2


@dataclass(frozen=True)
class Hand:
    """A process that holds a thing: by these descriptors, and perhaps by something else."""

    pid: int
    comm: str
    fds: tuple[int, ...] = ()
    mapped: bool = False

    @property
    def words(self) -> str:
        """Return it as people say it: "code (811): fd 20, 31"."""
        how = [f"fd {', '.join(_runs(self.fds))}"] if self.fds else []
        how += ["maps it"] if self.mapped else []
        return f"{self.comm} ({self.pid})" + (f": {', '.join(how)}" if how else "")


def _runs(numbers: Sequence[int]) -> Iterator[str]:
    """Yield numbers in order, with those that follow one another as "3 to 7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    for run in runs:
        few = len(run) <= 2  # noqa: PLR2004 - "3 and 4" are no range
        yield ", ".join(map(str, run)) if few else f"{run[0]} to {run[-1]}"


class Pairs:
    """Which processes lead to which things, and by which descriptors: a row a pair."""

    def __init__(
        self,
        thing: Rows,
        tgid: Integers,
        slot: Integers,
        ours: Mask,
        comms: Mapping[int, str],
    ) -> None:
        self.thing, self.tgid, self.slot, self.ours = thing, tgid, slot, ours
        self.comms = comms

    @classmethod
    def found(cls, snapshot: Snapshot, rows: Rows, number: Rows) -> Pairs:
        """Return the pairs of things: their `rows` of objects, and the `number` of each."""
        tasks = snapshot.tables["tasks"]
        thing, task, slot = _up(snapshot, *_with_users(snapshot, rows, number))
        leads = np.flatnonzero(tasks["tid"] == tasks["tgid"])
        names = zip(tasks["tgid"][leads].tolist(), tasks["comm"][leads], strict=True)
        comms = {pid: comm.removesuffix("\n") for pid, comm in names}
        return cls(thing, tasks["tgid"][task], slot, tasks["observer"][task], comms)

    def of(self, listed: Mask) -> Pairs:
        """Return the pairs of the listed things, without our own."""
        mine = listed[self.thing] & ~self.ours & (self.tgid > 0)
        thing, tgid, slot = self.thing[mine], self.tgid[mine], self.slot[mine]
        return Pairs(thing, tgid, slot, self.ours[mine], self.comms)

    @cached_property
    def _first(self) -> Rows:
        return np.argsort(self.thing, kind="stable")

    @cached_property
    def _sorted(self) -> Rows:
        return self.thing[self._first]

    def hands(self, number: int) -> Iterator[Hand]:
        """Yield who holds a thing."""
        at = self._first[slice(*np.searchsorted(self._sorted, [number, number + 1]))]
        found: dict[int, tuple[set[int], bool]] = {}
        for one in at[~self.ours[at]].tolist():
            fds, mapped = found.get(int(self.tgid[one]), (set(), False))
            slot = int(self.slot[one])
            fds |= {slot} if slot >= 0 else set()
            found[int(self.tgid[one])] = (fds, mapped or slot == _MAPPED)
        for pid, (fds, mapped) in sorted(found.items()):
            if pid > 0:
                yield Hand(pid, self.comms.get(pid, "?"), tuple(sorted(fds)), mapped)


def _with_users(snapshot: Snapshot, rows: Rows, number: Rows) -> tuple[Rows, Rows, Rows, Rows]:
    """Return nodes to start from, and tasks: of what nothing counts, who has to do with it.

    No reference leads to a keyring, a set of semaphores or a BPF map here, but relations do.
    """
    relations, tasks = snapshot.tables["relations"], snapshot.tables["tasks"]
    referred = np.isin(rows + 1, snapshot.tables["references"]["target"])
    alone = np.flatnonzero(~referred)
    if not len(alone) or not len(relations):
        return rows, number, number[:0], rows[:0]
    order = np.argsort(rows[alone])
    at, there = find(rows[alone] + 1, relations["right"], sorter=order)
    there &= relations["right_kind"] != relations.code("right_kind", TASK)
    # Who is in the namespace that a thing is in has nothing of it by that.
    there &= relations["relation"] != relations.code("relation", "in-ipc-namespace")
    by_task = relations["left_kind"] == relations.code("left_kind", TASK)
    thing = number[alone[at]]
    left = relations["left"]
    mine, theirs = there & ~by_task, there & by_task
    who, known = find(tasks["tid"], left[theirs], sorter=np.argsort(tasks["tid"]))
    return (
        np.concatenate([rows, left[mine] - 1]).astype(np.intp),
        np.concatenate([number, thing[mine]]).astype(np.intp),
        thing[theirs][known].astype(np.intp),
        who[known].astype(np.intp),
    )


def _up(
    snapshot: Snapshot, rows: Rows, number: Rows, thing_of: Rows, task: Rows
) -> tuple[Rows, Rows, Integers]:
    """Return pairs of a thing and a task (row) that leads to it; with the descriptor, if by one.

    Pairs that are known already (`thing_of`, `task`) are among them. The host's own namespaces are
    not followed: who is in them does not hold what they have.
    """
    over = links(snapshot, Rules.MODERN)
    good = np.flatnonzero(over.counted & over.leads & ~_hosts(over))
    good = good[np.argsort(over.target[good], kind="stable")]
    target, node = over.target[good], over.node[good]
    slots = _slots(snapshot, good)
    size = over.tasks + over.objects
    thing, at, slot = number.astype(np.int64), rows, np.full(len(rows), _NO_SLOT, np.int64)
    seen = np.empty(0, np.int64)
    none = np.full(len(task), _NO_SLOT, np.int64)
    ends: list[tuple[Any, Any, Any]] = [(thing_of.astype(np.int64), task, none)]
    for _ in range(_MOST_DEEP):
        first, last = np.searchsorted(target, at), np.searchsorted(target, at, "right")
        many = last - first
        edge = np.repeat(first - np.cumsum(many) + many, many) + np.arange(int(many.sum()))
        thing, slot = np.repeat(thing, many), np.repeat(slot, many)
        above = node[edge]
        slot = np.where(slots[edge] != _NO_SLOT, slots[edge], slot)
        done = above < over.tasks
        ends.append((thing[done], above[done], slot[done]))
        thing, at, slot = thing[~done], above[~done] - over.tasks, slot[~done]
        key = (thing * size + at) * 4 + np.minimum(slot, 0) + 2
        # By another descriptor it is another way; what was met by none is not met again.
        _, fresh = np.unique(np.stack((key, slot)), axis=1, return_index=True)
        fresh = fresh[~np.isin(key[fresh], seen)]
        thing, at, slot, key = thing[fresh], at[fresh], slot[fresh], key[fresh]
        seen = unique(seen, key[slot < 0])
        if not len(at):
            break
    parts = [np.concatenate(part) for part in zip(*ends, strict=True)]
    return parts[0], parts[1], parts[2]


def _hosts(over: Links) -> Mask:
    return np.append(np.zeros(over.tasks, np.bool_), over.hosts)[over.node]


def _slots(snapshot: Snapshot, good: Rows) -> Integers:
    references = snapshot.tables["references"]
    by_fd = references["association"][good] == references.code("association", "fd")
    mapped = references["association"][good] == references.code("association", "vma")
    slot = np.where(by_fd, references["slot"][good], _NO_SLOT)
    found: Integers = np.where(mapped, _MAPPED, slot)
    return found
