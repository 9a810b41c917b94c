"""What crosses the border without being a counted reference, with both ends named.

Each `Crossed` says what the ends are, on which side, and which tasks and descriptors lead to them.
Worst impact first; what has nobody outside (`alone`) comes last. Whether one gates is decided here:
under the rules `modern` what reaches out and what is shared state does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.check.crossings import crossings
from analyzer.check.subtree import border
from analyzer.core.model import TASK, Impact, Rules, Side
from analyzer.core.values import NamedTuple
from analyzer.kinds import registry, title_of
from analyzer.relations import relations
from analyzer.report.facts import of_objects, of_tasks
from analyzer.report.holders import Leaders
from analyzer.report.value import NO_FACTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.check.crossings import Crossing, End
    from analyzer.check.leaks import Verdicts
    from analyzer.check.subtree import Border
    from analyzer.report.holders import TaskRef
    from analyzer.report.value import Facts
    from analyzer.report.waive import Waived
    from analyzer.snapshot.value import Snapshot

GATING: Final = frozenset({Impact.REACHES_OUT, Impact.SHARED_STATE})
_ROLES: Final = {"cwd": "working directory", "root": "root directory"}


class Tie(NamedTuple):
    """One end: an object (`objref`) or a task (`tid`), its part in the relation, who leads to it.

    `via` are the descriptors that lead to it, `things` what keeps it without a task; `words` what
    it is ("open file /x", "sleep (7)"). `facts` is what is known of its state. At a `right` one
    the left ones end: it is the other half of the relation.
    """

    side: Side
    kind: str
    objref: int | None
    tid: int | None
    name: str | None
    role: str
    slot: int | None
    detail: str
    words: str
    tasks: tuple[TaskRef, ...]
    via: tuple[str, ...]
    things: tuple[str, ...]
    facts: Facts = NO_FACTS
    right: bool = False


class Crossed(NamedTuple):
    """One crossing: its relation, what it means, and its ends; `meeting` is what they share.

    `alike` are the crossings that one is told in the place of (`report.alike`).
    """

    relation: str
    impact: Impact
    title: str
    ties: tuple[Tie, ...]
    meeting: Tie | None
    stable: bool
    alone: bool
    gates: bool
    waived: Waived | None = None
    identities: tuple[str, ...] = ()
    alike: tuple[Crossed, ...] = ()

    @property
    def thing(self) -> Tie:
        """Return what it is told of: an end inside, or what is shared, unless by open files."""
        first = next((tie for tie in self.ties if tie.side is Side.INSIDE), self.ties[0])
        return self.meeting if self.meeting is not None and first.kind != "FILE" else first

    def titled(self) -> Crossed:
        """Return it with the title of what it is told of."""
        return self._replace(title=f"{self.thing.words}: {self.called}")

    @property
    def called(self) -> str:
        """Return what the relation is called of the end that it is told of."""
        return relations()[self.relation].called(right=self.thing.right)

    def of(self, side: Side) -> tuple[Tie, ...]:
        """Return the ends of a side."""
        return tuple(tie for tie in self.ties if tie.side is side)


def crossed(
    snapshot: Snapshot,
    verdicts: Verdicts,
    *,
    fail_on: frozenset[str],
    ignore: frozenset[str],
) -> tuple[Crossed, ...]:
    """Return what crosses the border of a checked snapshot, worst first."""
    if not len(snapshot.tables["relations"]):
        return ()
    sides = verdicts.border
    if verdicts.rules is not Rules.MODERN:  # the historic rules do not know all that is inside
        sides = border(snapshot, verdicts.pid, Rules.MODERN)
    found = crossings(snapshot, sides)
    ends = [end for one in found for end in (*one.ends, one.meeting) if end is not None]
    ties = Ties(snapshot, sides, ends)
    return tuple(
        ties.crossed(one, gates=_gates(one, verdicts.rules, fail_on, ignore)) for one in found
    )


def _gates(one: Crossing, rules: Rules, fail_on: frozenset[str], ignore: frozenset[str]) -> bool:
    names = {one.relation, one.impact.word}
    foreign = one.relation not in relations()  # known from a newer version's file: never judged
    if foreign or one.alone or rules is not Rules.MODERN or names & ignore:
        return False
    return bool(names & fail_on) if fail_on else one.impact in GATING


class Ties:
    """Says of ends what they are, and which tasks and descriptors lead to them."""

    def __init__(self, snapshot: Snapshot, sides: Border, ends: Sequence[End]) -> None:
        """Index what leads to the ends."""
        self._objects, self._tasks = snapshot.tables["objects"], snapshot.tables["tasks"]
        wanted = np.zeros(len(self._objects), np.bool_)
        wanted[[end.row for end in ends if end.kind != TASK]] = True
        self._leaders = Leaders(snapshot, sides, wanted)
        self._facts = of_objects(snapshot, self._objects["objref"][wanted].tolist())
        tasks = np.array([end.row for end in ends if end.kind == TASK], np.intp)
        self._of_tasks = of_tasks(snapshot, self._tasks["tid"][tasks].tolist())

    def crossed(self, one: Crossing, *, gates: bool) -> Crossed:
        """Return a crossing with its ends in words."""
        *others, last = map(self.tie, one.ends)
        # What is open can be closed: it comes before what is only mapped.
        ties = [*sorted(others, key=lambda tie: not tie.via), last]
        meeting = None if one.meeting is None else self.tie(one.meeting)._replace(right=True)
        if meeting is None:
            ties[-1] = ties[-1]._replace(right=True)
        return Crossed(
            one.relation, one.impact, "", tuple(ties), meeting, one.stable, one.alone, gates
        ).titled()

    def tie(self, end: End) -> Tie:
        """Return an end in words."""
        if end.kind == TASK:
            task = self._leaders.task(end.row)
            return Tie(
                end.side, TASK, None, task.tid, task.comm, end.role, end.slot, end.detail,
                f"{task.comm} ({task.tgid})", (task,), (), (),
                self._of_tasks.get(task.tid, NO_FACTS),
            )  # fmt: skip
        name = self._objects.value("name", end.row)
        objref = int(self._objects["objref"][end.row])
        kind = registry()[end.kind]
        title = _ROLES.get(end.role) or kind.title
        if kind.namespace and self._objects["initial"][end.row]:
            title = f"the host's {title}"
        called = end.detail if end.role in _ROLES else name
        words = f"{title} {called}" if called else title_of(end.kind, objref)
        routes = self._leaders.routes(end.row, end.row)
        # A mount is kept by its mount namespace, and its own words say which.
        kept = end.kind != "MOUNT"
        things = tuple(r.thing for r in routes if kept and r.thing and not r.tasks)
        # What things keep on its side is not of those on the other who lead to it as well.
        every = self._leaders.joined(routes)
        own = tuple(task for task in every if task.side is end.side)
        tasks = own if own or things else every
        # A namespace is what tasks are in, however else they come to it.
        via = tuple(dict.fromkeys(word for route in routes for word in route.via))
        via = () if kind.namespace or not tasks else via
        return Tie(
            end.side, end.kind, objref, None, name, end.role, end.slot, end.detail,
            words, tasks, via, things, self._facts.get(objref, NO_FACTS),
        )  # fmt: skip


def doubtful(found: Sequence[Crossed]) -> bool:
    """Tell whether one that would gate moved while it was read."""
    return any(one.gates and not one.stable for one in found)
