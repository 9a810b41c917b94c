"""The border: which tasks, objects and references are inside of a subtree, and which are not.

Inside are the roots (mostly one), their threads, and all descendants with their threads. Of what
descends from a process that was not read, and that may be a descendant of a root, the side is not
known: it is unplaced, and never a witness. (Such a process is none if all roots descend from it
too, and what is older than the roots does not descend from one.) An object is *collected* when it
is reached from an inside task over counted references that collect. A task has its own side; an
object that holds another takes its side from what leads to it:

- collected: inside. Of a derived kind only if nothing outside leads to it, and its count is
  explained by its references: what a bind mount also holds is not the subtree's alone.
- not collected, and nothing outside leads to it: inside too, if it is of a kind that only holds, or
  its count is explained by its references. (The credentials that a file of the subtree was opened
  with are its own, if nobody else has them; so is the pipe of an automount of its own.)
- not collected, and only the observer leads to it: the observer's.
- only tasks of unknown side lead to it: unplaced.
- otherwise outside. So is what no task leads to: whatever keeps it is not in the subtree.

Under linux-cr's rules what a collected socket is connected to is *met*: it is compared as if it
were collected, and is on the side on which it is.

The host's own namespaces are outside, whoever is in them: what is reached only through one is not
the subtree's. And what is inside may be led to from outside too (a set of namespaces that a process
outside has as well): what it holds is held from both sides, by one reference, that is `shared`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.check.links import kind_flags, links, reach, rows_of
from analyzer.core.errors import BadInputError, TargetVanishedError
from analyzer.core.values import dataclass
from analyzer.kinds.base import Judged
from analyzer.memory.distinct import unique

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.check.links import Codes, Integers, Links, Mask, Rows
    from analyzer.core.model import Rules
    from analyzer.snapshot.tables import Table
    from analyzer.snapshot.value import Snapshot

# Codes into tuple(model.Side).
INSIDE: Final = 0
OUTSIDE: Final = 1
OBSERVER: Final = 2
UNPLACED: Final = 3


@dataclass(frozen=True)
class Border:
    """The side of every row: codes INSIDE, OUTSIDE, OBSERVER, UNPLACED into `tuple(model.Side)`.

    A reference has the side of its holder, and is `counted` if the rules know its association.
    `holder_row` is a row of tasks where `by_task`, of objects elsewhere; `target_row` a row of
    objects. `shared` are references from the inside whose holder something outside leads to as
    well. `met` are the objects that are compared though they are not collected. `named` is, per
    row of objects, the weight of all references that the kernel knows, whatever the side.
    """

    task_side: Codes
    collected: Mask
    object_side: Codes
    reference_side: Codes
    counted: Mask
    by_task: Mask
    holder_row: Rows
    target_row: Rows
    shared: Mask
    met: Mask
    named: Integers


def require_root(tasks: Table, pid: int) -> None:
    """Raise an error unless process `pid` can be the root of a subtree.

    BadInputError for a thread, a kernel thread or cranalyze itself; TargetVanishedError when the
    snapshot has no such task.
    """
    at = np.flatnonzero((tasks["tid"] == pid) | (tasks["tgid"] == pid))
    if pid <= 0 or not len(at):
        raise TargetVanishedError(f"there is no process {pid} in the snapshot")
    tgid = int(tasks["tgid"][at[0]])
    if tgid != pid:
        raise BadInputError(f"{pid} is a thread of process {tgid}: give {tgid}")
    if tasks["kthread"][at].any():
        raise BadInputError(f"{pid} is a kernel thread: it is in no container")
    if tasks["observer"][at].any():
        raise BadInputError(f"{pid} is cranalyze itself, which is neither inside nor outside")


def task_sides(tasks: Table, pid: int, others: Sequence[int] = ()) -> Codes:
    """Return the side of each task (int8, per row of `tasks`) for the subtree of process `pid`.

    `others` are more roots: what descends from them is inside too. One that is not there (any
    more), or is a kernel thread, is none. Errors as `require_root`.
    """
    require_root(tasks, pid)
    processes, first, process = np.unique(tasks["tgid"], return_index=True, return_inverse=True)
    ppid = tasks["ppid"][first]
    roots = np.isin(processes, others) & ~tasks["kthread"][first]
    roots |= processes == pid
    inside, oldest = _descent(processes, ppid, roots)
    side = np.where(inside[process], INSIDE, OUTSIDE).astype(np.int8)
    lost = _lost(ppid[oldest], roots) & ~inside
    if lost.any():
        start = tasks["start_time"]
        first_root = start[roots[process]].min()
        side[lost[process] & ((start >= first_root) | (start == 0))] = UNPLACED
    side[tasks["observer"]] = OBSERVER
    return side


def other_roots(snapshot: Snapshot, pid: int) -> tuple[int, ...]:
    """Return the roots of a snapshot's subject besides `pid`, if it is of that."""
    subject = snapshot.meta.get("subject") or {}
    return tuple(subject.get("roots", ())) if subject.get("pid") == pid else ()


def _descent(processes: Integers, ppid: Integers, roots: Mask) -> tuple[Mask, Rows]:
    """Return which processes descend from a root or are one, and the first ancestor of each."""
    # Pointer jumping: n generations take log2(n) steps. The row -1, the last, is "no parent".
    ancestor = np.append(rows_of(processes, ppid), -1)
    oldest = np.arange(len(processes) + 1)
    inside = np.append(roots, [False])
    for _ in range(len(processes).bit_length()):
        inside |= inside[ancestor]
        oldest = np.where(ancestor == -1, oldest, oldest[ancestor])
        ancestor = ancestor[ancestor]
    return inside[:-1], oldest[:-1]


def _lost(above: Integers, roots: Mask) -> Mask:
    """Return whose first ancestor has a parent (`above`) that not all roots descend from.

    An unknown parent is nobody's other child: it may be another one for each.
    """
    own = unique(above[roots])
    lost: Mask = above != 0
    return lost & ((above != own[0]) | (above < 0)) if len(own) == 1 else lost


def border(snapshot: Snapshot, pid: int, rules: Rules) -> Border:
    """Return the sides of everything for the subtree of process `pid`.

    Errors as `require_root` and `links`.
    """
    task_side = task_sides(snapshot.tables["tasks"], pid, other_roots(snapshot, pid))
    edges = links(snapshot, rules)
    own = reach(_nodes(edges, task_side == INSIDE), edges.along(edges.collects))
    collected = own[edges.tasks :]
    counted = edges.counted & (~edges.historic | own[edges.node])
    met = np.zeros(edges.objects, np.bool_)
    met[edges.target[edges.meets & own[edges.node]]] = True
    led = _led(edges, task_side)
    named = _named(snapshot, edges)
    object_side = _object_sides(snapshot, edges, led, collected, named)
    reference_side = np.concatenate([task_side, object_side])[edges.node]
    return Border(
        task_side=task_side,
        collected=collected,
        object_side=object_side,
        reference_side=reference_side,
        counted=counted,
        by_task=edges.by_task,
        holder_row=np.where(edges.by_task, edges.node, edges.node - edges.tasks),
        target_row=edges.target,
        shared=counted & (reference_side == INSIDE) & led[OUTSIDE][edges.node],
        met=met & ~collected,
        named=named,
    )


def _led(edges: Links, task_side: Codes) -> list[Mask]:
    """Return by side which nodes its tasks lead to; outside also what no task leads to."""
    ways = edges.along(edges.leads)
    led = [reach(_nodes(edges, task_side == side), ways) for side in range(4)]
    others = ~(led[INSIDE] | led[OUTSIDE] | led[OBSERVER] | led[UNPLACED])
    others[: edges.tasks] = False
    others[edges.tasks :] |= edges.hosts
    led[OUTSIDE] |= reach(others, ways)
    return led


def _object_sides(
    snapshot: Snapshot, edges: Links, led: list[Mask], collected: Mask, named: Integers
) -> Codes:
    objects, outside = snapshot.tables["objects"], led[OUTSIDE][edges.tasks :]
    derived = kind_flags(objects, lambda kind: kind.derived)
    # A count that references do not explain: somebody unseen holds it.
    unseen = objects.known("refcount") & (objects["refcount"] != named)
    outside = outside | (derived & unseen)
    only_holds = kind_flags(objects, lambda kind: kind.judged is Judged.NOT)
    alone = (only_holds | ~unseen) & led[INSIDE][edges.tasks :] & ~outside
    inside = (collected & ~edges.hosts & ~(derived & outside)) | alone
    observer = led[OBSERVER][edges.tasks :] & ~outside
    unplaced = led[UNPLACED][edges.tasks :] & ~outside
    sides = [inside, observer, unplaced]
    return np.select(sides, [INSIDE, OBSERVER, UNPLACED], OUTSIDE).astype(np.int8)


def _named(snapshot: Snapshot, edges: Links) -> Integers:
    """Return the weight of all references to each object that the kernel knows."""
    real = edges.counted & ~edges.historic
    named = np.zeros(edges.objects, np.int64)
    weight = snapshot.tables["references"]["weight"]
    np.add.at(named, edges.target, np.where(real, weight, 0))
    return named


def _nodes(edges: Links, tasks: Mask) -> Mask:
    return np.append(tasks, np.zeros(edges.objects, np.bool_))
