"""Objects that are not contained, bundled the way people think of them.

A forked tree shares every library with its parent, a shell's child its terminal, and a tree that
is no container nine namespaces with the whole host; a pool of connections is a hundred files that
the same two processes hold. By the letter each object is a leak, and each is counted; a report to
people says each of those things once, and the rest one by one. Where even that is too much, the
least is left out (`cut`, `fitting`), and never a namespace.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from analyzer.core.model import TASK, Conclusion, Side, Verdict
from analyzer.core.values import dataclass
from analyzer.kinds import registry
from analyzer.report import impact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.report.holders import Holder
    from analyzer.report.value import ReportObject

FEWEST_ALIKE: Final = 5
"""So many objects that are alike are told as one."""

_STDIO: Final = range(3)
_EACH: Final = 50  # of a group, before more of one that is told already


class Bundle(StrEnum):
    """What the objects of a group have in common; in the order of the report, for one impact."""

    SINGLE = "single"
    ALIKE = "alike"
    STDIO = "stdio"
    HOST = "host"
    CODE = "code"
    POSSIBLE = "possible"
    UNSTABLE = "unstable"
    UNKNOWN = "unknown"
    CONSISTENT = "consistent"
    CONTAINED = "contained"


_BY_VERDICT: Final = {
    Verdict.OVERCOUNT: Bundle.SINGLE,
    Verdict.UNSTABLE: Bundle.UNSTABLE,
    Verdict.UNKNOWN: Bundle.UNKNOWN,
    Verdict.CONTAINED: Bundle.CONTAINED,
}


@dataclass(frozen=True)
class Group:
    """Objects that one line or paragraph speaks of; a SINGLE has one, STDIO those of one holder.

    ALIKE are many of one kind and verdict that the same processes hold, in the same way.

    `origin` is the ancestor that stdio was inherited from: (pid, name), None when it is not one.
    `of_container` tells of namespaces of the host's whether the root is a container's init (None:
    not known).
    """

    bundle: Bundle
    objects: tuple[ReportObject, ...]
    origin: tuple[int, str] | None = None
    of_container: bool | None = None


@dataclass(frozen=True)
class Surroundings:
    """What grouping needs to know besides the objects.

    The root, its ancestors (nearest first), the NSPROXYs that hold the host's namespaces only, and
    whether the root is the init of a container.
    """

    pid: int
    ancestors: tuple[int, ...]
    host_sets: frozenset[int]
    container_init: bool | None = None


def groups(objects: Sequence[ReportObject], around: Surroundings) -> tuple[Group, ...]:
    """Return the groups of `objects` (worst first), worst first; every object is in one.

    What a leak means comes before what it is of.
    """
    found: dict[tuple[Bundle, object], list[ReportObject]] = {}
    origins: dict[tuple[Bundle, object], tuple[int, str] | None] = {}
    for entry in objects:
        bundle, origin = _bundle(entry, around)
        apart = _sort(entry) if bundle is Bundle.SINGLE else origin
        found.setdefault((bundle, apart), []).append(entry)
        origins[bundle, apart] = origin
    for key in [key for key in found if key[0] is Bundle.SINGLE]:
        members = found.pop(key)
        if len(members) < FEWEST_ALIKE:
            found |= {(Bundle.SINGLE, entry.objref): [entry] for entry in members}
        else:
            found[Bundle.ALIKE, key[1]] = members
    origins = {key: origins.get(key) for key in found}
    place = {entry.objref: at for at, entry in enumerate(objects)}
    order = {bundle: max(index, 1) for index, bundle in enumerate(Bundle)}
    made = [
        Group(key[0], tuple(members), origins[key], around.container_init)
        for key, members in found.items()
    ]
    return tuple(
        sorted(
            made,
            key=lambda group: (
                impact.rank(impact.worst(group.objects)),
                order[group.bundle],
                place[group.objects[0].objref],
            ),
        )
    )


def cut(
    told: Sequence[Group], most: int | None
) -> tuple[tuple[Group, ...], tuple[ReportObject, ...]]:
    """Return the groups that have room, and the objects of those that have not.

    At most `most` (None: all) that need a paragraph of their own: the first, and all namespaces.
    """
    own = [at for at, group in enumerate(told) if group.bundle in {Bundle.SINGLE, Bundle.ALIKE}]
    first = sorted(own, key=lambda at: (not is_namespace(told[at].objects[0]), at))
    left = set() if most is None else {at for at in first[most:] if not _spared(told[at])}
    kept = tuple(group for at, group in enumerate(told) if at not in left)
    return kept, tuple(entry for at in sorted(left) for entry in told[at].objects)


def fitting(
    objects: Sequence[ReportObject], told: Sequence[Group], most: int
) -> list[ReportObject]:
    """Return at most about `most` of the objects, in their order.

    All namespaces, then some of every group before more of any, then the first.
    """
    if len(objects) <= most:
        return list(objects)
    place = {entry.objref: at for group in told for at, entry in enumerate(group.objects)}
    rank = [
        (not is_namespace(entry), place.get(entry.objref, 0) >= _EACH, at)
        for at, entry in enumerate(objects)
    ]
    spared = sum(is_namespace(entry) for entry in objects)
    kept = sorted(sorted(range(len(objects)), key=rank.__getitem__)[: max(most, spared)])
    return [objects[at] for at in kept]


def is_namespace(entry: ReportObject) -> bool:
    """Return whether an object is a namespace, or a set of them."""
    return registry()[entry.kind].is_space


def _spared(group: Group) -> bool:
    return is_namespace(group.objects[0])


# What the same processes hold in the same way is alike, whatever their descriptors of it are.
def _sort(entry: ReportObject) -> object:
    if is_namespace(entry):
        return entry.objref
    held = frozenset(
        (holder.side, holder.shared, holder.association, holder.kind if not holder.tasks else "",
         frozenset(task.tgid for task in holder.led_by(holder.side)))
        for holder in entry.holders
    )  # fmt: skip
    return (
        entry.kind,
        entry.verdict,
        entry.initial,
        entry.unexplained > 0,
        entry.impact,
        bool(entry.uncounted),
        held,
    )


def _bundle(entry: ReportObject, around: Surroundings) -> tuple[Bundle, tuple[int, str] | None]:
    if entry.conclusion is Conclusion.POSSIBLE:
        return (Bundle.HOST if entry.objref in around.host_sets else Bundle.POSSIBLE), None
    if entry.conclusion is Conclusion.CONSISTENT:
        return Bundle.CONSISTENT, None
    if entry.verdict is not Verdict.USAGE_LEAK:
        return _BY_VERDICT[entry.verdict], None
    if _is_hosts(entry, around):
        return Bundle.HOST, None
    if _is_stdio(entry, around):
        return Bundle.STDIO, _origin(entry, around)
    return (Bundle.CODE if _is_shared_code(entry) else Bundle.SINGLE), None


def _is_hosts(entry: ReportObject, around: Surroundings) -> bool:
    if registry()[entry.kind].set_of_namespaces:
        return entry.objref in around.host_sets and entry.outside > 0
    # A descriptor of it, or a socket there, is told as that: nothing of the subtree is in it.
    return entry.initial and bool(registry()[entry.kind].namespace) and _has_members(entry)


def _has_members(entry: ReportObject) -> bool:
    """Tell whether tasks inside are in a namespace, or only hold it: those are listed always."""
    inside = (holder for holder in entry.holders if holder.side is Side.INSIDE)
    member = (holder.kind == TASK or registry()[holder.kind].member for holder in inside)
    return not entry.holders or any(member)


def _is_stdio(entry: ReportObject, around: Surroundings) -> bool:
    inside = [holder for holder in entry.holders if holder.side is Side.INSIDE]
    outside = [holder for holder in entry.holders if holder.side is Side.OUTSIDE]
    if not any(_is_standard(holder) for holder in inside):
        return False
    return _origin(entry, around) is not None or any(map(_is_standard, outside))


def _is_standard(holder: Holder) -> bool:
    return holder.descriptor in _STDIO


def _origin(entry: ReportObject, around: Surroundings) -> tuple[int, str] | None:
    near = {pid: distance for distance, pid in enumerate(around.ancestors)}
    held = {
        (near[task.tgid], task.tgid, task.comm)
        for holder in entry.holders
        if holder.side is Side.OUTSIDE
        for task in holder.tasks
        if task.tgid in near
    }
    return min(held)[1:] if held else None


def _is_shared_code(entry: ReportObject) -> bool:
    both = [holder for holder in entry.holders if holder.side is not Side.OBSERVER]
    return entry.unnamed == 0 and entry.outside > 0 and all(_is_no_channel(h) for h in both)


def _is_no_channel(holder: Holder) -> bool:
    # What one can write to is a channel, whatever file is behind it.
    return holder.mapped and not holder.writes
