"""Crossings that are alike are told as one: thirty shared mappings of the same two processes.

Each stays a finding of its own in the report, and in what machines read; people are told of them
once, with the first names, as of objects that the same processes hold in the same way. And
a connection, or a terminal, that the count of a leak shows with both of its ends is told as that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from analyzer.core.model import TASK, Side, Verdict
from analyzer.kinds import registry
from analyzer.relations import relations
from analyzer.report.grouping import FEWEST_ALIKE
from analyzer.report.impact import rank
from analyzer.report.value import NO_FACTS
from analyzer.report.wording import number, who

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from analyzer.report.crossed import Crossed, Tie
    from analyzer.report.value import Facts, Report, ReportObject

T = TypeVar("T")


def told(report: Report) -> tuple[Crossed, ...]:
    """Return the crossings that no count shows: none that a leak names both ends of already."""
    leaks: dict[int, list[ReportObject]] = {}
    for entry in report.objects:
        if entry.verdict is Verdict.USAGE_LEAK and entry.waived is None:
            others = (h.objref for h in entry.holders if h.holds_from(Side.OUTSIDE))
            for objref in {entry.objref, *filter(None, others)}:
                leaks.setdefault(objref, []).append(entry)
    return tuple(one for one in report.crossings if not _is_counted(one, leaks))


def _is_counted(one: Crossed, leaks: Mapping[int, Sequence[ReportObject]]) -> bool:
    """Tell whether a leak of what it leads to means as much, and names all that it names."""
    counted = relations()[one.relation].counted_as
    named = {task.tid for tie in one.ties for task in tie.tasks}
    ends = (*one.ties, *filter(None, [one.meeting]))
    return any(
        entry.kind == counted
        and rank(entry.impact) <= rank(one.impact)
        and named <= {task.tid for holder in entry.holders for task in holder.tasks}
        for end in ends
        for entry in leaks.get(end.objref or 0, ())
    )


def folded(crossings: Sequence[Crossed]) -> list[Crossed]:
    """Return what is told of crossings: many that are alike as one, in the place of the first."""
    groups: dict[object, list[Crossed]] = {}
    for one in crossings:
        groups.setdefault(_likeness(one), []).append(one)
    told = []
    for one in crossings:
        some = groups[_likeness(one)]
        if len(some) < FEWEST_ALIKE:
            told.append(one)
        elif one is some[0]:
            told.append(_as_one(some))
    return told


def names(one: Crossed) -> list[str]:
    """Return what the things are called that one crossing tells of in the place of many."""
    things = [each.thing for each in one.alike if each.thing.kind != TASK]
    return sorted(dict.fromkeys(thing.name or thing.words for thing in things))


def _likeness(one: Crossed) -> object:
    """Return what alike crossings have in common: what they mean, and processes of these names."""
    return (
        (one.relation, one.impact, one.stable, one.alone, one.gates, one.waived),
        one.thing.kind,
        frozenset(map(_part, one.ties)),
    )


def _part(tie: Tie) -> tuple[object, ...]:
    # A namespace is itself; what is said of tasks is one sentence, and has to hold for all.
    lone = tie.objref if tie.kind != TASK and registry()[tie.kind].namespace else None
    said = tie.detail if tie.kind == TASK else ""
    return tie.side, tie.right, tie.kind, tie.role, lone, said, frozenset(t.comm for t in tie.tasks)


def _as_one(some: Sequence[Crossed]) -> Crossed:
    first = some[0]
    parts: dict[object, list[Tie]] = {}
    for tie in (tie for one in some for tie in one.ties):
        parts.setdefault(_part(tie), []).append(tie)
    relation = relations()[first.relation]
    met = [one.meeting for one in some if one.meeting is not None]
    return first._replace(
        title=f"{_many(len(some), first.thing.kind)}: {relation.plural}",
        ties=tuple(map(_joined, parts.values())),
        meeting=_joined(met) if met else None,
        alike=tuple(some),
    )


def _joined(ties: Sequence[Tie]) -> Tie:
    """Return ends that are alike as one: what is said of it holds for all of them."""
    first = ties[0]
    tasks = _once(task for tie in ties for task in tie.tasks)
    led = all(tie.via for tie in ties)
    words = first.words
    if first.kind == TASK:
        words = who(tasks)
    elif len({tie.objref for tie in ties}) > 1:
        words = _many(len({tie.objref for tie in ties}), first.kind)
    return first._replace(
        words=words,
        tasks=tasks,
        via=tuple(sorted({word for tie in ties for word in tie.via}, key=_by_number))
        if led
        else (),
        things=_once(thing for tie in ties for thing in tie.things),
        detail=first.detail if len({tie.detail for tie in ties}) == 1 else "",
        facts=_common([tie.facts for tie in ties]),
    )


def _once(things: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(things))


def _by_number(descriptor: str) -> tuple[int, str]:
    return len(descriptor), descriptor


def _many(count: int, kind: str) -> str:
    return f"{number(count)} {'processes' if kind == TASK else registry()[kind].plural}"


def _common(known: Sequence[Facts]) -> Facts:
    """Return the facts that are the same of all."""
    first, *others = known
    shared = {k: v for k, v in first.items() if all(one.get(k) == v for one in others)}
    return shared or NO_FACTS
