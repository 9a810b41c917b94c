"""What holds of the check on every machine."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analyzer.check import subtree
from analyzer.check.leaks import BASES, VERDICTS, check
from analyzer.check.objhash import Judgement, find_ref_leaks
from analyzer.core.model import TASK, Basis, Rules, Verdict
from analyzer.kinds import associations, registry
from tests.strategies import (
    PLACES,
    AnObject,
    ATask,
    Graph,
    counted_graphs,
    graphs,
    half_as_often,
    settle,
)

if TYPE_CHECKING:
    from random import Random

    from analyzer.check.leaks import Verdicts

ANY_RULES = st.sampled_from(Rules)
# The old ones count some things more often than they are held: their known false alarms.
EXACT_RULES = st.just(Rules.MODERN)
NEW_TID = 900


def judgements(graph: Graph, verdicts: Verdicts) -> dict[int, Judgement]:
    return {
        graph.objects[row].objref: Judgement(
            int(verdicts.users[row]),
            int(verdicts.outside[row]),
            int(verdicts.observer[row]),
            int(verdicts.unnamed[row]),
            int(verdicts.shared[row]),
            VERDICTS[verdicts.verdict[row]],
            BASES[verdicts.basis[row]],
        )
        for row in np.flatnonzero(verdicts.judged)
    }


def judged(graph: Graph, rules: Rules) -> dict[int, Judgement]:
    return judgements(graph, check(graph.snapshot(), graph.root, rules))


def test_the_strategy_knows_every_place_that_a_kind_has() -> None:
    places = {(k.name, a.name) for k in registry().values() for a in k.associations}
    assert places <= PLACES.keys()


@given(counted_graphs(), ANY_RULES)
def test_columns_say_what_the_reference_says(graph: Graph, rules: Rules) -> None:
    assert judged(graph, rules) == find_ref_leaks(graph.snapshot(), graph.root, rules)


def unread(graph: Graph, above: list[int]) -> Graph:
    """Give processes that descend from none a parent that is not in the snapshot."""
    first = sorted({task.tgid for task in graph.tasks if not task.ppid})
    parents = dict(zip(first, above, strict=False))
    tasks = [replace(task, ppid=parents.get(task.tgid, task.ppid)) for task in graph.tasks]
    return Graph(tasks, graph.objects, graph.references, graph.root)


@given(counted_graphs(), ANY_RULES, st.lists(st.sampled_from([0, 5, 6]), max_size=7))
def test_they_say_the_same_of_what_is_perhaps_inside(
    graph: Graph, rules: Rules, above: list[int]
) -> None:
    lost = unread(graph, above)
    said = judged(lost, rules)
    assert said == find_ref_leaks(lost.snapshot(), lost.root, rules)
    assert leaks(lost, rules) <= leaks(graph, rules)


@half_as_often
@given(counted_graphs(), EXACT_RULES)
def test_users_are_the_weight_held_from_inside(graph: Graph, rules: Rules) -> None:
    verdicts = check(graph.snapshot(), graph.root, rules)
    sides = object_sides(graph, verdicts) | task_sides(graph)
    held: Counter[tuple[int, int]] = Counter()
    for reference in graph.references:
        if rules in associations()[reference.association].rules:
            side = sides[reference.holder_kind, reference.holder]
            held[reference.target, side] += reference.weight
    for number, judgement in judgements(graph, verdicts).items():
        counts = (judgement.users, judgement.outside, judgement.observer)
        assert counts == tuple(held[number, side] for side in range(3))


@half_as_often
@given(counted_graphs(), ANY_RULES)
def test_what_a_reference_counts_for_adds_up(graph: Graph, rules: Rules) -> None:
    verdicts = check(graph.snapshot(), graph.root, rules)
    totals = verdicts.users + verdicts.outside + verdicts.observer
    expected = np.zeros(len(graph.objects), np.int64)
    np.add.at(expected, verdicts.border.target_row, verdicts.weight)
    assert (totals == expected).all()
    for row, thing in enumerate(graph.objects):
        known = thing.refcount is not None
        assert verdicts.unnamed[row] == (thing.refcount - totals[row] if known else 0)
        assert thing.refcount == thing.count_linux_cr


@half_as_often
@given(counted_graphs(), ANY_RULES, st.data())
def test_one_more_holder_outside_hides_no_leak(
    graph: Graph, rules: Rules, data: st.DataObject
) -> None:
    before = leaks(graph, rules)
    held = set().union(*PLACES.values())  # nothing holds what is only found
    targets = [thing.objref for thing in graph.objects if thing.kind in held]
    target = data.draw(st.sampled_from(targets or [0]))
    graph.tasks.append(ATask(NEW_TID, NEW_TID))
    if target:
        hold_from_outside(graph, target, data.draw(st.integers(1, 3)))
    assert before <= leaks(graph, rules)


@half_as_often
@given(counted_graphs(), ANY_RULES, st.randoms(use_true_random=False))
def test_numbers_and_the_order_of_rows_mean_nothing(
    graph: Graph, rules: Rules, random: Random
) -> None:
    before = judged(graph, rules)
    other = renumbered(graph)
    for rows in (other.tasks, other.objects, other.references):
        random.shuffle(rows)
    assert judged(other, rules) == {objref(n): judgement for n, judgement in before.items()}


@half_as_often
@given(graphs(outsiders=False), EXACT_RULES)
def test_a_machine_that_is_all_inside_is_contained(graph: Graph, rules: Rules) -> None:
    drop_what_nobody_reaches(graph, rules)
    settle(graph, rules)
    assert {j.verdict for j in judged(graph, rules).values()} <= {Verdict.CONTAINED}


@half_as_often
@given(graphs(), EXACT_RULES)
def test_without_its_outside_holders_an_object_is_contained(graph: Graph, rules: Rules) -> None:
    settle(graph, rules)
    verdicts = check(graph.snapshot(), graph.root, rules)
    outside = verdicts.border.counted & (verdicts.border.reference_side == subtree.OUTSIDE)
    for number, judgement in judgements(graph, verdicts).items():
        structural = judgement.basis is Basis.STRUCTURAL
        others = judgement.outside + (judgement.shared if structural else 0)
        assert (judgement.verdict is Verdict.USAGE_LEAK) == (others > 0)
        theirs = outside | verdicts.border.shared if structural else outside
        ended = {row for row in np.flatnonzero(theirs) if graph.references[row].target == number}
        without = graph.copy()
        without.references = [r for row, r in enumerate(graph.references) if row not in ended]
        recount(without, number, -others)
        # What only a descriptor shared with the outside led to is no more the subtree's at all.
        after = judged(without, rules).get(number)
        assert after is None or after.verdict is Verdict.CONTAINED


def leaks(graph: Graph, rules: Rules) -> set[int]:
    found = judged(graph, rules)
    return {number for number, j in found.items() if j.verdict is Verdict.USAGE_LEAK}


def task_sides(graph: Graph) -> dict[tuple[str, int], int]:
    parent = {task.tgid: task.ppid for task in graph.tasks}
    sides = {}
    for task in graph.tasks:
        process = task.tgid
        while process not in {graph.root, 0}:
            process = parent.get(process, 0)
        side = subtree.INSIDE if process else subtree.OUTSIDE
        sides[TASK, task.tid] = subtree.OBSERVER if task.observer else side
    return sides


def object_sides(graph: Graph, verdicts: Verdicts) -> dict[tuple[str, int], int]:
    sides = verdicts.border.object_side.tolist()
    return {(t.kind, t.objref): side for t, side in zip(graph.objects, sides, strict=True)}


def hold_from_outside(graph: Graph, target: int, weight: int) -> None:
    """Let the task NEW_TID hold an object: itself, or by new objects of its own."""
    recount(graph, target, weight)
    wanted = next(thing.kind for thing in graph.objects if thing.objref == target)
    places = [place for place, targets in PLACES.items() if wanted in targets]
    kind, association = min(places, key=lambda place: registry()[place[0]].order)
    if kind == TASK:
        graph.hold((TASK, NEW_TID), target, association, weight)
        return
    holder = AnObject(max(t.objref for t in graph.objects) + 1, kind, refcount=0)
    graph.objects.append(holder)
    graph.hold((kind, holder.objref), target, association, weight)
    hold_from_outside(graph, holder.objref, 1)


def recount(graph: Graph, target: int, by: int) -> None:
    graph.objects = [
        replace(thing, refcount=thing.refcount + by, count_linux_cr=thing.refcount + by)
        if thing.objref == target and thing.refcount is not None
        else thing
        for thing in graph.objects
    ]


def tid(number: int) -> int:
    return 4_000_000 - 977 * number if number else 0


def objref(number: int) -> int:
    return 1_000_003 * number


def renumbered(graph: Graph) -> Graph:
    return Graph(
        [replace(t, tid=tid(t.tid), tgid=tid(t.tgid), ppid=tid(t.ppid)) for t in graph.tasks],
        [replace(thing, objref=objref(thing.objref)) for thing in graph.objects],
        [
            replace(
                r,
                holder=(tid if r.holder_kind == TASK else objref)(r.holder),
                target=objref(r.target),
            )
            for r in graph.references
        ],
        tid(graph.root),
    )


def drop_what_nobody_reaches(graph: Graph, rules: Rules) -> None:
    reached = check(graph.snapshot(), graph.root, rules).border.collected.tolist()
    kept = {(t.kind, t.objref) for t, r in zip(graph.objects, reached, strict=True) if r}
    graph.references = [
        r for r in graph.references if r.holder_kind == TASK or (r.holder_kind, r.holder) in kept
    ]
