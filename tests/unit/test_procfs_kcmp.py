"""Classes out of an ordering: right, cheap, and unmoved by members that go away."""

from __future__ import annotations

import errno
import math
import os
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.procfs.identity import ByKcmp, Presumed, Recording, parse
from analyzer.procfs.kcmp import UNORDERED, Classes, Member, What, classify

if TYPE_CHECKING:
    from collections.abc import Sequence

Partition = st.lists(st.integers(0, 6), max_size=40)


class Oracle:
    """Compares members by the object each one has; the order of objects is arbitrary, but fixed."""

    def __init__(self, objects: list[int], seed: int = 0) -> None:
        self.objects = objects
        self.calls = 0
        self.gone: dict[int, int] = {}
        self.vanish: dict[int, int] = {}
        ranks = list(range(max(objects, default=0) + 1))
        random.Random(seed).shuffle(ranks)  # noqa: S311 -- an order, not a secret
        self.rank = ranks

    def __call__(self, one: int, other: int) -> int:
        self.calls += 1
        for member in (one, other):
            if self.vanish.get(member, self.calls + 1) <= self.calls:
                self.gone[member] = errno.ESRCH
            if member in self.gone:
                raise OSError(self.gone[member], os.strerror(self.gone[member]))
        a, b = self.rank[self.objects[one]], self.rank[self.objects[other]]
        return (a > b) * 2 + (a < b)


def expected(objects: list[int]) -> list[int]:
    seen: dict[int, int] = {}
    return [seen.setdefault(item, len(seen)) for item in objects]


@given(Partition, st.integers(0, 99))
def test_equal_members_share_a_class(objects: list[int], seed: int) -> None:
    got = classify(Oracle(objects, seed), range(len(objects)))
    assert got.number == expected(objects)
    assert not got.failed


@given(Partition, st.integers(0, 40))
def test_others_are_only_looked_up_among_the_pivots(objects: list[int], pivots: int) -> None:
    pivots = min(pivots, len(objects))
    got = classify(Oracle(objects), range(len(objects)), pivots)
    first = expected(objects[:pivots])
    known = dict(zip(objects[:pivots], first, strict=True))
    assert got.number == first + [known.get(item, -1) for item in objects[pivots:]]


def test_it_asks_n_log_n_times() -> None:
    count = 2_000
    oracle = Oracle(list(range(count)))
    classify(oracle, range(count))
    assert oracle.calls <= count * math.ceil(math.log2(count))


@given(Partition, st.sets(st.integers(0, 39)))
def test_a_member_that_is_refused_stands_alone(objects: list[int], refused: set[int]) -> None:
    oracle = Oracle(objects)
    oracle.gone = {i: errno.EPERM for i in refused if i < len(objects)}
    got = classify(oracle, range(len(objects)))
    asked = [i for i in range(len(objects)) if i not in refused]
    assert expected([got.number[i] for i in asked]) == expected([objects[i] for i in asked])
    assert len(set(got.number)) == len({objects[i] for i in asked}) + len(oracle.gone)
    # A refusal is of a pair: whose it is shows when everybody else can be compared.
    assert set(got.failed) <= set(oracle.gone)
    if len(oracle.gone) == 1 and len(objects) > 1:
        assert set(got.failed) | {0} >= set(oracle.gone)
    assert set(got.failed.values()) <= {errno.EPERM}


@given(Partition, st.dictionaries(st.integers(0, 39), st.integers(1, 200), max_size=8))
def test_members_that_vanish_meanwhile_spoil_nobody_else(
    objects: list[int], vanish: dict[int, int]
) -> None:
    oracle = Oracle(objects)
    oracle.vanish = vanish
    got = classify(oracle, range(len(objects)))
    for i, mine in enumerate(got.number):
        for j, theirs in enumerate(got.number):
            if i not in vanish and j not in vanish:
                assert (mine == theirs) == (objects[i] == objects[j])
            if mine == theirs:  # never a false witness
                assert objects[i] == objects[j]


@given(Partition)
def test_no_order_at_all_is_still_right(objects: list[int]) -> None:
    oracle = Oracle(objects)

    def unordered(one: int, other: int) -> int:
        return UNORDERED if oracle(one, other) else 0

    assert classify(unordered, range(len(objects))).number == expected(objects)


class Told:
    """Answers from an oracle, as the kernel's would come."""

    certain = True

    def __init__(self, objects: list[int]) -> None:
        self.oracle = Oracle(objects)

    def classes(self, what: What, members: Sequence[Member], pivots: int | None = None) -> Classes:
        assert what is What.FILES
        return classify(lambda a, b: self.oracle(a[0], b[0]), members, pivots)


@given(Partition, st.integers(0, 40))
def test_a_record_gives_the_same_answers(objects: list[int], pivots: int) -> None:
    members = [(i, 0) for i in range(len(objects))]
    pivots = min(pivots, len(objects))
    recording = Recording(Told([*objects, 7]))
    told = recording.classes(What.FILES, members, pivots)
    recording.classes(What.FILES, [(len(objects), 0)])
    again = parse(recording.text().encode(), "x")
    assert again.classes(What.FILES, members, pivots) == told


def test_nothing_is_presumed_to_be_shared() -> None:
    got = Presumed().classes(What.FILE, [(1, 0), (1, 0), (2, 0)], 2)
    assert got.number == [0, 1, -1]


@pytest.mark.needs("kcmp")
def test_the_kernel_knows_a_duplicate_from_a_second_opening() -> None:
    first = os.open("/dev/null", os.O_RDONLY)
    copy, second = os.dup(first), os.open("/dev/null", os.O_RDONLY)
    try:
        own = os.getpid()
        members = [(own, first), (own, second), (own, copy), (own, 10_000)]
        got = ByKcmp().classes(What.FILE, members)
    finally:
        for fd in (first, copy, second):
            os.close(fd)
    assert got.number == [0, 1, 0, 2]
    assert got.failed == {3: errno.EBADF}
