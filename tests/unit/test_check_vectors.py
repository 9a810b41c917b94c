"""The cases that the history of the check is made of, under each of its rules.

Counts are raw. The kernel's hash pinned every object once, and its messages show both numbers with
that pin (and with what the checkpoint itself held): `numbers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from analyzer.check.leaks import VERDICTS, check
from analyzer.check.objhash import find_ref_leaks
from analyzer.core.model import Rules, Verdict
from tests.build import Machine, Obj

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.check.objhash import Judgement

ROOT: Final = 100
CHILD: Final = 101
OUTSIDER: Final = 50
CHECKPOINTER: Final = 60

SEED, LINUX_CR, MODERN = Rules.SEED, Rules.LINUX_CR, Rules.MODERN
CONTAINED, USAGE_LEAK, OVERCOUNT = Verdict.CONTAINED, Verdict.USAGE_LEAK, Verdict.OVERCOUNT


@pytest.fixture(params=Rules)
def rules(request: pytest.FixtureRequest) -> Rules:
    found: Rules = request.param
    return found


@pytest.fixture
def machine() -> Machine:
    """A root, and an outsider that is its parent."""
    made = Machine()
    made.task(OUTSIDER, ppid=1)
    made.task(ROOT, ppid=OUTSIDER)
    return made


def judge(machine: Machine, rules: Rules) -> dict[int, Judgement]:
    """Check the subtree of ROOT by both implementations."""
    snapshot = machine.snapshot(ROOT)
    verdicts = check(snapshot, rules=rules)
    judged = find_ref_leaks(snapshot, ROOT, rules)
    rows = np.flatnonzero(verdicts.judged).tolist()
    assert sorted(judged) == [row + 1 for row in rows]
    for row in rows:
        one = judged[row + 1]
        assert one.verdict is VERDICTS[verdicts.verdict[row]]
        assert (one.users, one.outside, one.observer, one.unnamed) == (
            verdicts.users[row],
            verdicts.outside[row],
            verdicts.observer[row],
            verdicts.unnamed[row],
        )
    return judged


def numbers(machine: Machine, thing: Obj, rules: Rules) -> tuple[Verdict, int, int]:
    """Return the verdict on one object, and what the kernel would print: users, count."""
    one = judge(machine, rules)[thing.objref]
    held = one.users + one.observer
    return one.verdict, held + 1, held + one.outside + one.unnamed + 1


def table(machine: Machine, count: int, *tids: int) -> Obj:
    return machine.object("FILE_TABLE", count, holders=[(tid, "files") for tid in tids])


def nsproxy(machine: Machine, count: int, *tids: int) -> Obj:
    return machine.object("NSPROXY", count, holders=[(tid, "nsproxy") for tid in tids])


def mm(machine: Machine, count: int, *tids: int) -> Obj:
    return machine.object("MM", count, holders=[(tid, "mm") for tid in tids])


@pytest.mark.parametrize("kind", ["uts", "ipc"])
def test_1_a_namespace_of_one_task(machine: Machine, kind: str, rules: Rules) -> None:
    mine = nsproxy(machine, 1, ROOT)
    ns = machine.object(f"{kind.upper()}_NS", 1, holders=[(mine, f"nsproxy.{kind}")])
    assert numbers(machine, ns, rules) == (CONTAINED, 2, 2)


@pytest.mark.parametrize("kind", ["uts", "ipc"])
@pytest.mark.parametrize("named", [True, False])
def test_2_a_namespace_that_an_outsider_uses(
    machine: Machine, kind: str, rules: Rules, *, named: bool
) -> None:
    mine = nsproxy(machine, 1, ROOT)
    ns = machine.object(f"{kind.upper()}_NS", 2, holders=[(mine, f"nsproxy.{kind}")])
    if named:
        machine.reference(ns, nsproxy(machine, 1, OUTSIDER), f"nsproxy.{kind}")
    assert numbers(machine, ns, rules) == (USAGE_LEAK, 2, 3)
    one = judge(machine, rules)[ns.objref]
    assert (one.outside, one.unnamed) == ((1, 0) if named else (0, 1))


@pytest.mark.parametrize(("count", "expected"), [(2, (CONTAINED, 3, 3)), (3, (USAGE_LEAK, 3, 4))])
def test_3_a_file_and_its_dup(
    machine: Machine, rules: Rules, count: int, expected: tuple[Verdict, int, int]
) -> None:
    fds = table(machine, 1, ROOT)
    file = machine.object("FILE", count, holders=[(fds, "fd", 3), (fds, "fd", 4)])
    assert numbers(machine, file, rules) == expected


def test_4_a_file_inherited_inside(machine: Machine, rules: Rules) -> None:
    machine.task(CHILD, ppid=ROOT)
    tables = [table(machine, 1, ROOT), table(machine, 1, CHILD)]
    file = machine.object("FILE", 2, holders=[(fds, "fd", 3) for fds in tables])
    assert numbers(machine, file, rules) == (CONTAINED, 3, 3)


def test_4_a_file_shared_with_the_parent_outside(machine: Machine, rules: Rules) -> None:
    tables = [table(machine, 1, ROOT), table(machine, 1, OUTSIDER)]
    file = machine.object("FILE", 2, holders=[(fds, "fd", 3) for fds in tables])
    assert numbers(machine, file, rules) == (USAGE_LEAK, 2, 3)


def test_5_the_image_file_of_a_self_checkpoint(machine: Machine, rules: Rules) -> None:
    machine.task(CHECKPOINTER, observer=True)
    tables = [table(machine, 1, ROOT), table(machine, 1, CHECKPOINTER)]
    file = machine.object("FILE", 2, holders=[(fds, "fd", 3) for fds in tables])
    assert numbers(machine, file, rules) == (CONTAINED, 3, 3)


def test_5_the_image_file_shared_with_an_outside_checkpointer(
    machine: Machine, rules: Rules
) -> None:
    machine.task(CHECKPOINTER, observer=True)
    tables = [table(machine, 1, tid) for tid in (ROOT, CHECKPOINTER, OUTSIDER)]
    file = machine.object("FILE", 3, holders=[(fds, "fd", 3) for fds in tables])
    assert numbers(machine, file, rules) == (USAGE_LEAK, 3, 4)


def test_5_an_outside_checkpointer_whose_own_descriptor_is_the_image_file(
    machine: Machine, rules: Rules
) -> None:
    """Its descriptor and its fget(): the seed added one for ctx->file, and no more."""
    machine.task(CHECKPOINTER, observer=True)
    fds, own = table(machine, 1, ROOT), table(machine, 1, CHECKPOINTER)
    file = machine.object("FILE", 3, holders=[(fds, "fd", 3), (own, "fd", 3), (own, "fd", 4)])
    verdict, _, count = numbers(machine, file, rules)
    assert (verdict, count) == (USAGE_LEAK if rules is SEED else CONTAINED, 4)


def test_5_a_namespace_that_the_checkpointer_is_in(machine: Machine, rules: Rules) -> None:
    """The seed's context had an image file, and nothing else."""
    machine.task(CHECKPOINTER, observer=True)
    sets = [nsproxy(machine, 1, tid) for tid in (ROOT, CHECKPOINTER)]
    uts = machine.object("UTS_NS", 2, holders=[(one, "nsproxy.uts") for one in sets])
    expected = USAGE_LEAK if rules is SEED else CONTAINED
    assert judge(machine, rules)[uts.objref].verdict is expected


def executable(machine: Machine, space: Obj) -> Obj:
    mapped = [(space, "vma", start << 12) for start in (1, 2, 3)]
    return machine.object("FILE", 4, holders=[(space, "exe"), *mapped])


def test_6_an_executable_and_its_mappings(machine: Machine, rules: Rules) -> None:
    exe = executable(machine, mm(machine, 1, ROOT))
    assert numbers(machine, exe, rules) == (CONTAINED, 5, 5)


def test_6_an_executable_of_two_tasks_in_one_mm(machine: Machine, rules: Rules) -> None:
    machine.task(CHILD, ppid=ROOT)
    space = mm(machine, 2, ROOT, CHILD)
    exe = executable(machine, space)
    assert numbers(machine, space, rules) == (CONTAINED, 3, 3)
    expected = (OVERCOUNT, 6, 5) if rules is SEED else (CONTAINED, 5, 5)
    assert numbers(machine, exe, rules) == expected


@pytest.mark.parametrize("thread", [True, False])
def test_7_two_tasks_with_one_file_table(machine: Machine, rules: Rules, *, thread: bool) -> None:
    machine.task(CHILD, **({"tgid": ROOT, "ppid": OUTSIDER} if thread else {"ppid": ROOT}))
    fds = table(machine, 2, ROOT, CHILD)
    file = machine.object("FILE", 1, holders=[(fds, "fd", 3)])
    expected = (OVERCOUNT, 3, 2) if rules is SEED else (CONTAINED, 2, 2)
    assert numbers(machine, file, rules) == expected
    if rules is not SEED:
        assert numbers(machine, fds, rules) == (CONTAINED, 3, 3)


def test_8_a_file_table_shared_with_an_outsider(machine: Machine, rules: Rules) -> None:
    fds = table(machine, 2, ROOT, OUTSIDER)
    file = machine.object("FILE", 1, holders=[(fds, "fd", 3)])
    assert numbers(machine, file, rules) == (CONTAINED, 2, 2)
    if rules is SEED:
        assert fds.objref not in judge(machine, rules)
    else:
        assert numbers(machine, fds, rules) == (USAGE_LEAK, 2, 3)


def test_9_an_mm_without_an_executable(machine: Machine, rules: Rules) -> None:
    space = mm(machine, 1, ROOT)
    machine.object("FILE", 1, holders=[(mm(machine, 1, OUTSIDER), "exe")])
    assert judge(machine, rules).keys() == {space.objref}


def test_10_an_mm_of_two_threads(machine: Machine, rules: Rules) -> None:
    machine.task(CHILD, tgid=ROOT, ppid=OUTSIDER)
    assert numbers(machine, mm(machine, 2, ROOT, CHILD), rules) == (CONTAINED, 3, 3)


def test_10_an_mm_shared_with_a_vfork_parent_outside(machine: Machine, rules: Rules) -> None:
    assert numbers(machine, mm(machine, 2, ROOT, OUTSIDER), rules) == (USAGE_LEAK, 2, 3)


def one_of_each(machine: Machine, count: int) -> Iterator[tuple[Obj, frozenset[Rules]]]:
    """Yield an object of each kind that is compared, held once from inside, and by which rules."""
    all_rules, later = frozenset(Rules), frozenset({LINUX_CR, MODERN})
    sets, fds = nsproxy(machine, count, ROOT), table(machine, count, ROOT)
    yield sets, later
    yield fds, later
    yield mm(machine, count, ROOT), all_rules
    for kind in ("FS", "SIGHAND"):
        yield machine.object(kind, count, holders=[(ROOT, kind.lower())]), later
    yield machine.object("FILE", count, holders=[(fds, "fd", 0)]), all_rules
    since = {"uts": all_rules, "ipc": all_rules, "mnt": later}
    for ns in ("uts", "ipc", "mnt", "cgroup", "time"):
        made = machine.object(f"{ns.upper()}_NS", count, holders=[(sets, f"nsproxy.{ns}")])
        yield made, since.get(ns, frozenset({MODERN}))


@pytest.mark.parametrize(("count", "verdict"), [(0, OVERCOUNT), (1, CONTAINED), (2, USAGE_LEAK)])
def test_11_a_count_that_differs_is_a_leak_either_way(
    machine: Machine, rules: Rules, count: int, verdict: Verdict
) -> None:
    compared = [thing for thing, by in one_of_each(machine, count) if rules in by]
    expected = {thing.objref: (verdict, 2, count + 1) for thing in compared}
    found = judge(machine, rules)
    assert {n: numbers(machine, Obj(n, ""), rules) for n in found} == expected


def test_12_three_tasks_with_one_nsproxy(machine: Machine, rules: Rules) -> None:
    tids = [machine.task(tid, ppid=OUTSIDER if tid == ROOT else ROOT) for tid in (CHILD, 102)]
    proxy = nsproxy(machine, 3, ROOT, *tids)
    uts = machine.object("UTS_NS", 1, holders=[(proxy, "nsproxy.uts")])
    expected = (OVERCOUNT, 4, 2) if rules is SEED else (CONTAINED, 2, 2)
    assert numbers(machine, uts, rules) == expected
    if rules is not SEED:
        assert numbers(machine, proxy, rules) == (CONTAINED, 4, 4)
