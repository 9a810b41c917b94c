"""The namespaces of a snapshot as a tree: who owns them, who is in them, what keeps empty ones."""

from __future__ import annotations

from collections import defaultdict
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Side, Verdict
from analyzer.core.values import NamedTuple
from analyzer.kinds import namespace_kinds, registry, title_of
from analyzer.plots._style import drawable
from analyzer.report.holders import Holder, holders
from analyzer.report.wording import number, plural, who

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from analyzer.report.value import Report

_LEADS: Final = ("nsproxy", "cred", "real_cred")  # of a task, to what holds its namespaces
_MEMBER: Final = ("pid", "cred.user_ns")
_OF_TREE: Final = ("owner", "parent")
_MOST_PINS: Final = 3


class State(IntEnum):
    """On which side a namespace is."""

    OWN = 0
    SHARED = 1
    UNDECIDED = 2
    OUTSIDE = 3


_STATES: Final = [
    {Verdict.CONTAINED: State.OWN, Verdict.USAGE_LEAK: State.SHARED}.get(verdict, State.UNDECIDED)
    for verdict in Verdict
]


class Namespace(NamedTuple):
    """One namespace, and the `processes` (pid and name) that are in it.

    The first of them, so many as `inside` says, are of the subtree.
    `owner` is the user namespace that owns it (of a user namespace: its parent), None where there
    is none, or it is not known; `within` is what the pid namespace around it is called, or "".
    """

    objref: int
    kind: str
    name: str
    state: State
    initial: bool
    owner: int | None
    within: str
    processes: tuple[tuple[int, str], ...]
    inside: int


def namespaces_of(report: Report) -> list[Namespace]:
    """Return the namespaces of the report's snapshot, in the order of kinds and numbers."""
    objects = report.snapshot.tables["objects"]
    codes = [objects.code("kind", kind.name) for kind in namespace_kinds().values()]
    rows = np.flatnonzero(np.isin(objects["kind"], codes)).tolist()
    kinds = {int(objects["objref"][row]): str(objects.value("kind", row)) for row in rows}
    names = {
        objref: drawable(objects.value("name", row) or title_of(kinds[objref], objref))
        for row, objref in zip(rows, kinds, strict=True)
    }
    owner, parent, members = _above(report, "owner"), _above(report, "parent"), _members(report)
    own = _subtree(report)
    found = [
        Namespace(
            objref,
            kind,
            names[objref],
            _state(report, row),
            bool(objects["initial"][row]),
            (parent if registry()[kind].owns else owner).get(objref),
            "" if registry()[kind].owns else names.get(parent.get(objref, 0), ""),
            # Idle tasks, of pid 0, come last.
            tuple(sorted(members[objref].items(), key=lambda p: (p[0] not in own, p[0] <= 0, p))),
            len(own & members[objref].keys()),
        )
        for row, (objref, kind) in zip(rows, kinds.items(), strict=True)
    ]
    order = {name: place for place, name in enumerate(registry())}
    return sorted(found, key=lambda namespace: (order[namespace.kind], namespace.objref))


def pins_of(report: Report, namespaces: Iterable[Namespace]) -> Mapping[int, tuple[str, ...]]:
    """Return what keeps those that no process is in, and what outside holds those that are shared.

    By objref, in words: "mount /run/netns/blue", "fd 3 of backup-job (30357)". The host's are left
    out: everything holds them.
    """
    asked = [
        n for n in namespaces if not n.processes or (n.state is State.SHARED and not n.initial)
    ]
    held = _held(report, [_row(report, namespace.objref) for namespace in asked])
    return {n.objref: _pins(report, n, by) for n, by in zip(asked, held, strict=True)}


def _state(report: Report, row: int) -> State:
    verdicts = report.verdicts
    return _STATES[verdicts.verdict[row]] if verdicts.judged[row] else State.OUTSIDE


def _subtree(report: Report) -> frozenset[int]:
    """Return the processes (by pid) inside."""
    inside = report.verdicts.border.task_side == tuple(Side).index(Side.INSIDE)
    return frozenset(report.snapshot.tables["tasks"]["tgid"][inside].tolist())


def _above(report: Report, association: str) -> Mapping[int, int]:
    """Return what each namespace says is its owner, or its parent."""
    return dict(_pairs(report, _is(report, (association,))))


def _members(report: Report) -> Mapping[int, Mapping[int, str]]:
    """Return the processes (pid and name) that are in each namespace."""
    tasks, table = report.snapshot.tables["tasks"], report.snapshot.tables["references"]
    pids = dict(zip(tasks["tid"].tolist(), tasks["tgid"].tolist(), strict=True))
    names = dict(zip(tasks["tid"].tolist(), tasks["comm"].tolist(), strict=True))
    words = table.vocabulary["association"]
    places = [w for w in words if w in _MEMBER or w.startswith("nsproxy.")]
    places = [w for w in places if not w.endswith("_for_children")]
    by_task = table["holder_kind"] == table.code("holder_kind", TASK)
    using: dict[int, set[int]] = defaultdict(set)
    for tid, target in _pairs(report, by_task & _is(report, _LEADS)):
        using[target].add(pids[tid])
    found: dict[int, dict[int, str]] = defaultdict(dict)
    for tid, target in _pairs(report, by_task & _is(report, places)):
        found[target][pids[tid]] = ""
    for holder, target in _pairs(report, ~by_task & _is(report, places)):
        found[target] |= dict.fromkeys(using[holder], "")
    return defaultdict(
        dict,
        {
            target: {pid: drawable(names.get(pid, "?")) for pid in members}
            for target, members in found.items()
        },
    )


def _is(report: Report, words: Iterable[str]) -> np.ndarray:
    table = report.snapshot.tables["references"]
    return np.isin(table["association"], [table.code("association", word) for word in words])


def _pairs(report: Report, chosen: np.ndarray) -> Iterator[tuple[int, int]]:
    table = report.snapshot.tables["references"]
    rows = np.flatnonzero(chosen)
    return zip(table["holder"][rows].tolist(), table["target"][rows].tolist(), strict=True)


def _pins(report: Report, namespace: Namespace, by: Sequence[Holder]) -> tuple[str, ...]:
    held = [h for h in by if not namespace.processes or h.side is Side.OUTSIDE]
    direct = [holder for holder in held if holder.association not in _OF_TREE]
    said = list(dict.fromkeys(word for holder in direct for word in _pin(report, holder)))
    if not said and held:
        said = [f"{number(len(held))} {plural(len(held), 'namespace')} of it"]
    if len(said) > _MOST_PINS:
        said = [*said[:_MOST_PINS], f"{number(len(said) - _MOST_PINS)} more"]
    return tuple(drawable(word) for word in said)


def _held(report: Report, rows: Sequence[int]) -> Iterator[tuple[Holder, ...]]:
    verdicts = report.verdicts
    order = np.array(rows, np.intp)
    return holders(report.snapshot, verdicts.border, verdicts.weight, order)


def _pin(report: Report, holder: Holder) -> Iterator[str]:
    """Say what a reference to a namespace is: a mount, a descriptor, a socket, of whom."""
    if holder.kind in {"NSFS", "FILE"} and holder.objref is not None:
        for above in next(_held(report, [_row(report, holder.objref)])):
            yield from _pin(report, above) if above.kind == "FILE" else [_step(report, above)]
        return
    yield _step(report, holder)


def _step(report: Report, holder: Holder) -> str:
    if registry()[holder.kind].keeps and holder.objref is not None:
        objects = report.snapshot.tables["objects"]
        return f"mount {objects.value('name', _row(report, holder.objref)) or holder.objref}"
    led = holder.led_by(holder.side)
    if registry()[holder.kind].of_process and holder.descriptor is None and led:
        return who(led)
    whose = f" of {who(led)}" if led else ""
    if holder.descriptor is not None:
        return f"{holder.detail}{whose}"
    if holder.association == "socket":
        return f"a socket{whose or ' without a task'}"
    return f"{title_of(holder.kind, holder.objref)}{whose}"


def _row(report: Report, objref: int) -> int:
    return int(np.flatnonzero(report.snapshot.tables["objects"]["objref"] == objref)[0])
