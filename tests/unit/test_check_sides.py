"""Who is inside and who is not, and what has no side to be taken for granted."""

from __future__ import annotations

from typing import Final

import pytest

from analyzer.check.leaks import BASES, VERDICTS, check
from analyzer.check.objhash import find_ref_leaks
from analyzer.check.subtree import INSIDE, OBSERVER, OUTSIDE, task_sides
from analyzer.core.errors import BadInputError, CranalyzeError, TargetVanishedError
from analyzer.core.model import Basis, Rules, Verdict
from tests.build import Machine, Obj

ROOT: Final = 100
OUTSIDER: Final = 50


@pytest.fixture
def machine() -> Machine:
    made = Machine()
    made.task(2, ppid=0, kthread=True)
    made.task(OUTSIDER, ppid=1)
    made.task(ROOT, ppid=OUTSIDER)
    return made


def sides(machine: Machine, pid: int = ROOT) -> dict[int, int]:
    tasks = machine.snapshot().tables["tasks"]
    return dict(zip(tasks["tid"].tolist(), task_sides(tasks, pid).tolist(), strict=True))


def verdict(machine: Machine, thing: Obj, rules: Rules = Rules.MODERN) -> tuple[Verdict, Basis]:
    """Check the subtree of ROOT by both implementations; return what they say of one object."""
    row = thing.objref - 1
    found = check(machine.snapshot(), ROOT, rules)
    said = find_ref_leaks(machine.snapshot(), ROOT, rules)[thing.objref]
    assert (said.users, said.outside, said.observer, said.unnamed) == (
        found.users[row],
        found.outside[row],
        found.observer[row],
        found.unnamed[row],
    )
    assert (said.verdict, said.basis) == (VERDICTS[found.verdict[row]], BASES[found.basis[row]])
    return said.verdict, said.basis


def test_threads_and_descendants_are_inside(machine: Machine) -> None:
    machine.task(101, tgid=ROOT, ppid=OUTSIDER)
    machine.task(90, ppid=ROOT)  # a pid that came round again: younger, but smaller
    machine.task(110, tgid=90, ppid=ROOT)
    machine.task(80, ppid=90, state="Z")
    machine.task(51, ppid=OUTSIDER)
    inside = {tid for tid, side in sides(machine).items() if side == INSIDE}
    assert inside == {ROOT, 101, 90, 110, 80}


def test_the_observer_is_on_neither_side_even_in_the_subtree(machine: Machine) -> None:
    machine.task(102, ppid=ROOT, observer=True)
    machine.task(103, tgid=102, ppid=ROOT, observer=True)
    found = sides(machine)
    assert (found[102], found[103], found[OUTSIDER]) == (OBSERVER, OBSERVER, OUTSIDE)


def test_a_chain_of_ten_thousand_generations(machine: Machine) -> None:
    for tid in range(1000, 11_000):
        machine.task(tid, ppid=ROOT if tid == 1000 else tid - 1)
    assert sum(side == INSIDE for side in sides(machine).values()) == 10_001


@pytest.mark.parametrize(
    ("pid", "error", "words"),
    [
        (101, BadInputError, "101 is a thread of process 100: give 100"),
        (2, BadInputError, "2 is a kernel thread"),
        (102, BadInputError, "102 is cranalyze itself"),
        (4711, TargetVanishedError, "no process 4711"),
        (0, TargetVanishedError, "no process 0"),
        (-1, TargetVanishedError, "no process -1"),
    ],
)
def test_what_cannot_be_the_root(
    machine: Machine, pid: int, error: type[CranalyzeError], words: str
) -> None:
    machine.task(-1, ppid=0, tgid=0, start_time=0, kthread=True)  # the idle task of a CPU
    machine.task(101, tgid=ROOT, ppid=OUTSIDER)
    machine.task(102, ppid=ROOT, observer=True)
    with pytest.raises(error, match=words):
        sides(machine, pid)


def test_a_host_wide_snapshot_needs_a_pid(machine: Machine) -> None:
    with pytest.raises(BadInputError, match="say which process"):
        check(machine.snapshot())


@pytest.mark.parametrize("words", ["task 777", "object 9", "object 8", "'by magic'"])
def test_a_snapshot_that_does_not_hang_together(machine: Machine, words: str) -> None:
    fs = machine.object("FS", 1, holders=[(ROOT, "fs")])
    match words:
        case "task 777":
            machine.reference(fs, 777, "fs")
        case "object 9":
            machine.reference(fs, Obj(9, "FILE"), "socket")
        case "object 8":
            machine.reference(Obj(8, "FS"), ROOT, "fs")
        case _:
            machine.reference(fs, ROOT, "by magic")
    with pytest.raises(BadInputError, match=words):
        check(machine.snapshot(), ROOT)


def own_uts_open_on_nsfs(machine: Machine, *, dentry: int | None) -> tuple[Obj, Obj, Obj]:
    """Let the root have a UTS namespace of its own, and a descriptor on its nsfs inode."""
    fds = machine.object("FILE_TABLE", 1, holders=[(ROOT, "files")])
    sets = machine.object("NSPROXY", 1, holders=[(ROOT, "nsproxy")])
    file = machine.object("FILE", 1, holders=[(fds, "fd", 3)])
    nsfs = machine.object("NSFS", dentry, holders=[(file, "nsfs.file")])
    uts = machine.object("UTS_NS", 2, holders=[(sets, "nsproxy.uts"), (nsfs, "nsfs")])
    return uts, nsfs, file


def test_an_nsfs_descriptor_of_ones_own_is_inside(machine: Machine) -> None:
    uts, *_ = own_uts_open_on_nsfs(machine, dentry=1)
    assert verdict(machine, uts) == (Verdict.CONTAINED, Basis.PROVEN)


@pytest.mark.parametrize("rules", [Rules.LINUX_CR, Rules.SEED])
def test_the_old_rules_do_not_know_nsfs(machine: Machine, rules: Rules) -> None:
    uts, *_ = own_uts_open_on_nsfs(machine, dentry=1)
    assert verdict(machine, uts, rules) == (Verdict.USAGE_LEAK, Basis.PROVEN)


def shared_set(machine: Machine) -> dict[str, Obj]:
    """Let the root and an outsider have one set of namespaces, none of the host's."""
    sets = machine.object("NSPROXY", 2, holders=[(ROOT, "nsproxy"), (OUTSIDER, "nsproxy")])
    return {
        kind: machine.object(kind, 1, holders=[(sets, f"nsproxy.{name}")])
        for kind, name in (("UTS_NS", "uts"), ("NET_NS", "net"), ("PID_NS", "pid_for_children"))
    }


@pytest.mark.parametrize("kind", ["NET_NS", "PID_NS"])
def test_a_shared_set_of_namespaces_hides_no_outsider(machine: Machine, kind: str) -> None:
    """What is judged by its holders is judged by all tasks behind them."""
    made = shared_set(machine)
    assert verdict(machine, made[kind]) == (Verdict.USAGE_LEAK, Basis.STRUCTURAL)
    found = check(machine.snapshot(), ROOT)
    row = made[kind].objref - 1
    assert (found.users[row], found.outside[row], found.shared[row]) == (1, 0, 1)


def test_by_the_letter_a_shared_set_is_one_user(machine: Machine) -> None:
    made = shared_set(machine)
    assert verdict(machine, made["UTS_NS"]) == (Verdict.CONTAINED, Basis.PROVEN)
    assert check(machine.snapshot(), ROOT).shared[made["UTS_NS"].objref - 1] == 1


def test_the_other_end_of_a_connection_does_not_stand_behind_ours(machine: Machine) -> None:
    sets = machine.object("NSPROXY", 1, holders=[(ROOT, "nsproxy")])
    ends = []
    for task in (ROOT, OUTSIDER):
        fds = machine.object("FILE_TABLE", 1, holders=[(task, "files")])
        file = machine.object("FILE", 1, holders=[(fds, "fd", 3)])
        ends.append(machine.object("SOCKET", 3, holders=[(file, "sock", None, 2)]))
    for end, other in (ends, ends[::-1]):
        machine.reference(end, other, "peer")
    holders = [(sets, "nsproxy.net"), (ends[0], "socket")]
    net = machine.object("NET_NS", 2, holders=holders)
    assert verdict(machine, net) == (Verdict.CONTAINED, Basis.STRUCTURAL)
    assert verdict(machine, ends[0])[0] is Verdict.USAGE_LEAK


@pytest.mark.parametrize("hosts", [False, True])
def test_what_is_reached_only_through_the_hosts_namespace_is_not_inside(
    machine: Machine, *, hosts: bool
) -> None:
    sets = machine.object("NSPROXY", 1, holders=[(ROOT, "nsproxy")])
    ipc = machine.object("IPC_NS", 1, initial=hosts, holders=[(sets, "nsproxy.ipc")])
    segment = machine.object("SHM", None, holders=[(ipc, "shm", 7)])
    pages = machine.object("FILE", 1, holders=[(segment, "shm.file")])
    judged = find_ref_leaks(machine.snapshot(), ROOT, Rules.MODERN)
    assert (pages.objref in judged) is not hosts
    assert bool(check(machine.snapshot(), ROOT).judged[pages.objref - 1]) is not hosts


def test_a_bind_mount_of_the_namespace_is_outside(machine: Machine) -> None:
    uts, *_ = own_uts_open_on_nsfs(machine, dentry=2)
    assert verdict(machine, uts) == (Verdict.USAGE_LEAK, Basis.PROVEN)


def test_a_descriptor_of_the_namespace_outside_is_outside(machine: Machine) -> None:
    uts, nsfs, _ = own_uts_open_on_nsfs(machine, dentry=2)
    fds = machine.object("FILE_TABLE", 1, holders=[(OUTSIDER, "files")])
    machine.reference(nsfs, machine.object("FILE", 1, holders=[(fds, "fd", 5)]), "nsfs.file")
    assert verdict(machine, uts) == (Verdict.USAGE_LEAK, Basis.PROVEN)
    assert check(machine.snapshot(), ROOT).outside[uts.objref - 1] == 1


def test_an_nsfs_descriptor_shared_with_an_outsider_is_outside(machine: Machine) -> None:
    uts, _, file = own_uts_open_on_nsfs(machine, dentry=1)
    fds = machine.object("FILE_TABLE", 1, holders=[(OUTSIDER, "files")])
    machine.reference(file, fds, "fd", 5)
    assert verdict(machine, uts) == (Verdict.USAGE_LEAK, Basis.PROVEN)


def test_what_the_observer_holds_is_no_leak(machine: Machine) -> None:
    machine.task(60, observer=True)
    uts, nsfs, _ = own_uts_open_on_nsfs(machine, dentry=2)
    fds = machine.object("FILE_TABLE", 1, holders=[(60, "files")])
    machine.reference(nsfs, machine.object("FILE", 1, holders=[(fds, "fd", 5)]), "nsfs.file")
    assert verdict(machine, uts) == (Verdict.CONTAINED, Basis.PROVEN)


def test_what_the_observer_shares_with_an_outsider_is_outside(machine: Machine) -> None:
    machine.task(60, observer=True)
    mine = machine.object("FILE_TABLE", 1, holders=[(ROOT, "files")])
    shared = machine.object("FILE_TABLE", 2, holders=[(60, "files"), (OUTSIDER, "files")])
    file = machine.object("FILE", 2, holders=[(mine, "fd", 0), (shared, "fd", 0)])
    assert verdict(machine, file) == (Verdict.USAGE_LEAK, Basis.PROVEN)
    found = check(machine.snapshot(), ROOT)
    assert (found.outside[file.objref - 1], found.observer[file.objref - 1]) == (1, 0)


def test_an_nsfs_inode_without_a_count_is_judged_by_its_holders(machine: Machine) -> None:
    own_uts_open_on_nsfs(machine, dentry=None)
    assert check(machine.snapshot(), ROOT).users.tolist()[-1] == 2


def test_a_holder_that_no_task_leads_to_is_outside(machine: Machine) -> None:
    sets = machine.object("NSPROXY", 1, holders=[(ROOT, "nsproxy")])
    net = machine.object("NET_NS", 2, holders=[(sets, "nsproxy.net")])
    assert verdict(machine, net) == (Verdict.CONTAINED, Basis.STRUCTURAL)
    machine.reference(net, machine.object("FILE", 1), "socket")
    assert verdict(machine, net) == (Verdict.USAGE_LEAK, Basis.STRUCTURAL)


def test_the_owner_of_a_namespace_is_not_collected(machine: Machine) -> None:
    sets = machine.object("NSPROXY", 1, holders=[(ROOT, "nsproxy")])
    uts = machine.object("UTS_NS", 1, holders=[(sets, "nsproxy.uts")])
    host = machine.object("USER_NS", 40, holders=[(uts, "owner")])
    assert not check(machine.snapshot(), ROOT).judged[host.objref - 1]


def test_a_namespace_owned_by_the_subtrees_and_used_outside(machine: Machine) -> None:
    cred = machine.object("CRED", 2, holders=[(ROOT, "cred"), (ROOT, "real_cred")])
    user = machine.object("USER_NS", 2, holders=[(cred, "cred.user_ns")])
    assert verdict(machine, user) == (Verdict.CONTAINED, Basis.STRUCTURAL)
    sets = machine.object("NSPROXY", 1, holders=[(OUTSIDER, "nsproxy")])
    uts = machine.object("UTS_NS", 1, holders=[(sets, "nsproxy.uts")])
    machine.reference(user, uts, "owner")
    assert verdict(machine, user) == (Verdict.USAGE_LEAK, Basis.STRUCTURAL)


def own_user_namespace_and_a_file(machine: Machine) -> tuple[Obj, Obj]:
    """Let the root be in a user namespace, and a file of its have credentials of it of its own."""
    fds = machine.object("FILE_TABLE", 1, holders=[(ROOT, "files")])
    file = machine.object("FILE", 1, holders=[(fds, "fd", 3)])
    cred = machine.object("CRED", 2, holders=[(ROOT, "cred"), (ROOT, "real_cred")])
    older = machine.object("CRED", 1, holders=[(file, "f_cred")])
    holders = [(cred, "cred.user_ns"), (older, "cred.user_ns")]
    return machine.object("USER_NS", 2, holders=holders), older


def test_what_only_holds_is_inside_where_the_subtree_alone_leads_to_it(machine: Machine) -> None:
    user, _ = own_user_namespace_and_a_file(machine)
    assert verdict(machine, user) == (Verdict.CONTAINED, Basis.STRUCTURAL)
    assert check(machine.snapshot(), ROOT).users[user.objref - 1] == 2


def test_what_only_holds_is_outside_where_an_outsider_leads_to_it(machine: Machine) -> None:
    user, older = own_user_namespace_and_a_file(machine)
    fds = machine.object("FILE_TABLE", 1, holders=[(OUTSIDER, "files")])
    machine.reference(older, machine.object("FILE", 1, holders=[(fds, "fd", 5)]), "f_cred")
    assert verdict(machine, user) == (Verdict.USAGE_LEAK, Basis.STRUCTURAL)


def test_whose_mount_of_it_is_inside_depends_on_whose_mounts_they_are(machine: Machine) -> None:
    sets = machine.object("NSPROXY", 1, holders=[(ROOT, "nsproxy")])
    mounts = machine.object("MNT_NS", 1, holders=[(sets, "nsproxy.mnt")])
    mount = machine.object("MOUNT", None, holders=[(mounts, "mount")])
    nsfs = machine.object("NSFS", 1, holders=[(mount, "bind")])
    uts = machine.object("UTS_NS", 2, holders=[(sets, "nsproxy.uts"), (nsfs, "nsfs")])
    assert verdict(machine, uts) == (Verdict.CONTAINED, Basis.PROVEN)
    theirs = machine.object("NSPROXY", 1, holders=[(OUTSIDER, "nsproxy")])
    machine.reference(mounts, theirs, "nsproxy.mnt")
    assert verdict(machine, uts) == (Verdict.USAGE_LEAK, Basis.PROVEN)


@pytest.mark.parametrize("kind", ["FS", "PID_NS"])
@pytest.mark.parametrize("outside", [True, False])
def test_without_a_refcount_a_leak_can_only_be_witnessed(
    machine: Machine, kind: str, *, outside: bool
) -> None:
    association = {"FS": "fs", "PID_NS": "pid"}[kind]
    tids = [ROOT, OUTSIDER] if outside else [ROOT]
    thing = machine.object(kind, None, holders=[(tid, association) for tid in tids])
    expected = Verdict.USAGE_LEAK if outside else Verdict.UNKNOWN
    assert verdict(machine, thing) == (expected, Basis.WITNESSED)
    assert check(machine.snapshot(), ROOT).unnamed[0] == 0


@pytest.mark.parametrize(
    ("kind", "outside", "expected"),
    [
        ("FS", False, (Verdict.UNSTABLE, Basis.PROVEN)),
        ("FS", True, (Verdict.USAGE_LEAK, Basis.WITNESSED)),
        ("PID_NS", False, (Verdict.UNSTABLE, Basis.STRUCTURAL)),
        ("PID_NS", True, (Verdict.USAGE_LEAK, Basis.STRUCTURAL)),
    ],
)
def test_what_moved_is_unstable_unless_its_holder_is_what_counts(
    machine: Machine, kind: str, expected: tuple[Verdict, Basis], *, outside: bool
) -> None:
    association = {"FS": "fs", "PID_NS": "pid"}[kind]
    tids = [ROOT, OUTSIDER] if outside else [ROOT]
    thing = machine.object(kind, 7, stable=False, holders=[(tid, association) for tid in tids])
    assert verdict(machine, thing) == expected


@pytest.mark.parametrize("kind", ["FS", "PID_NS"])
@pytest.mark.parametrize(("count", "stable"), [(1, True), (2, True), (1, False), (None, False)])
def test_more_holders_than_counts_or_a_dead_count_are_unstable(
    machine: Machine, kind: str, count: int | None, *, stable: bool
) -> None:
    association = {"FS": "fs", "PID_NS": "pid"}[kind]
    holders = [(tid, association) for tid in (ROOT, ROOT, OUTSIDER)]
    thing = machine.object(kind, count, stable=stable, holders=holders)
    assert verdict(machine, thing)[0] is Verdict.UNSTABLE


def test_the_count_of_what_is_the_hosts_is_not_held_against_its_holders(machine: Machine) -> None:
    holders = [(tid, "pid") for tid in (ROOT, OUTSIDER)]
    thing = machine.object("PID_NS", 1, initial=True, holders=holders)
    assert verdict(machine, thing) == (Verdict.USAGE_LEAK, Basis.STRUCTURAL)
