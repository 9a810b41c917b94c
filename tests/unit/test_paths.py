"""What holds something is said by the way that leads to it."""

from __future__ import annotations

from typing import Final

import pytest

from analyzer.check.leaks import check
from analyzer.core.model import Rules, Side
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.report.wording import counts, held, held_by
from tests.build import Machine, Obj

ROOT: Final = 100
OUTSIDER: Final = 50


@pytest.fixture
def machine() -> Machine:
    made = Machine()
    made.task(OUTSIDER, ppid=1, comm="app")
    made.task(ROOT, ppid=OUTSIDER, comm="worker")
    return made


def opened(machine: Machine, task: int, fd: int, **more: object) -> Obj:
    """Let a task have a file open, in a table of its own."""
    fds = machine.object("FILE_TABLE", 1, holders=[(task, "files")])
    return machine.object("FILE", 1, holders=[(fds, "fd", fd)], **more)


def said(machine: Machine, thing: Obj, side: Side, rules: Rules = Rules.MODERN) -> list[str]:
    snapshot = machine.snapshot(ROOT)
    report = make(snapshot, check(snapshot, ROOT, rules), ReportOptions(all=True))
    (entry,) = (one for one in report.objects if one.objref == thing.objref)
    return held_by(side, entry.holders)


def own_namespace(machine: Machine, kind: str, refcount: int) -> Obj:
    sets = machine.object("NSPROXY", 1, holders=[(ROOT, "nsproxy")])
    name = {"NET_NS": "net", "MNT_NS": "mnt", "PID_NS": "pid_for_children"}[kind]
    return machine.object(kind, refcount, holders=[(sets, f"nsproxy.{name}")])


def hosts_mounts(machine: Machine) -> Obj:
    sets = machine.object("NSPROXY", 1, holders=[(OUTSIDER, "nsproxy")])
    return machine.object("MNT_NS", 1, initial=True, holders=[(sets, "nsproxy.mnt")])


def test_a_bind_mount_is_said_by_its_place(machine: Machine) -> None:
    mounts = hosts_mounts(machine)
    bind = machine.object("MOUNT", None, name="/run/netns/x", holders=[(mounts, "mount")])
    nsfs = machine.object("NSFS", 1, holders=[(bind, "bind")])
    net = own_namespace(machine, "NET_NS", 2)
    machine.reference(net, nsfs, "nsfs")
    words = "bind mount /run/netns/x in the host's mount namespace"
    assert said(machine, net, Side.OUTSIDE) == [words]


def test_a_namespace_that_is_open_and_mounted_is_said_both_ways(machine: Machine) -> None:
    bind = machine.object("MOUNT", None, name="/x", holders=[(hosts_mounts(machine), "mount")])
    file = opened(machine, OUTSIDER, 7)
    nsfs = machine.object("NSFS", 2, holders=[(bind, "bind"), (file, "nsfs.file")])
    net = own_namespace(machine, "NET_NS", 2)
    machine.reference(net, nsfs, "nsfs")
    assert said(machine, net, Side.OUTSIDE) == [
        "fd 7 of app (50): is open on it",
        "bind mount /x in the host's mount namespace",
    ]


def test_a_proc_is_said_by_where_it_is_mounted_not_by_a_descriptor(machine: Machine) -> None:
    """Who has /proc/PID/mounts open reaches all that is mounted there."""
    mounts = hosts_mounts(machine)
    machine.reference(mounts, opened(machine, OUTSIDER, 39), "proc.mounts")
    proc = machine.object(
        "SUPERBLOCK", None, name="proc", holders=[(mounts, "superblock", None, 1, "/srv/proc")]
    )
    pids = own_namespace(machine, "PID_NS", 2)
    machine.reference(pids, proc, "superblock.pid_ns")
    words = "proc mounted at /srv/proc in the host's mount namespace"
    assert said(machine, pids, Side.OUTSIDE) == [words]


def test_credentials_are_said_by_the_file_that_was_opened_with_them(machine: Machine) -> None:
    cred = machine.object("CRED", 2, holders=[(ROOT, "cred")])
    user = machine.object("USER_NS", 1, holders=[(cred, "cred.user_ns")])
    machine.reference(cred, opened(machine, OUTSIDER, 5, name="/srv/log"), "f_cred")
    assert said(machine, user, Side.OUTSIDE) == [
        "fd 5 of app (50), /srv/log: was opened with credentials of it"
    ]
    assert said(machine, user, Side.INSIDE) == ["worker (100): its credentials are of it"]


def socketpair(machine: Machine) -> list[Obj]:
    ends = []
    for task in (ROOT, OUTSIDER):
        file = opened(machine, task, 4)
        ends.append(machine.object("SOCKET", 3, holders=[(file, "sock", None, 2)]))
    machine.reference(ends[0], ends[1], "peer")
    machine.reference(ends[1], ends[0], "peer")
    return ends


def test_the_other_end_of_a_socketpair_does_not_hold_what_ours_does(machine: Machine) -> None:
    ends = socketpair(machine)
    net = own_namespace(machine, "NET_NS", 2)
    machine.reference(net, ends[0], "socket")
    snapshot = machine.snapshot(ROOT)
    report = make(snapshot, check(snapshot, ROOT), ReportOptions(all=True))
    holders = next(one for one in report.objects if one.kind == "NET_NS").holders
    assert {task.tid for holder in holders for task in holder.tasks} == {ROOT}
    assert said(machine, ends[0], Side.OUTSIDE) == ["fd 4 of app (50): connected to it"]


@pytest.mark.parametrize("rules", [Rules.MODERN, Rules.LINUX_CR])
def test_a_connection_that_waits_is_its_listeners(machine: Machine, rules: Rules) -> None:
    """Whoever connected does not hold the other end, which holds him."""
    client = machine.object("SOCKET", 3, holders=[(opened(machine, ROOT, 4), "sock", None, 2)])
    server = machine.object("SOCKET", 2, holders=[(opened(machine, OUTSIDER, 9), "sock", None, 2)])
    waits = machine.object("SOCKET", 2, holders=[(client, "peer"), (server, "backlog")])
    machine.reference(client, waits, "peer")
    assert said(machine, client, Side.OUTSIDE, rules) == ["fd 9 of app (50): connected to it"]


def test_nothing_is_said_by_what_it_holds_itself(machine: Machine) -> None:
    """A socket in flight in its own queue."""
    file = opened(machine, ROOT, 3)
    sock = machine.object("SOCKET", 2, holders=[(file, "sock", None, 2)])
    machine.reference(file, sock, "scm")
    (holder,) = (line for line in said(machine, file, Side.INSIDE) if "in flight" in line)
    assert (
        holder == f"unix socket no. {sock.objref}, which no task leads to: in flight in its queue"
    )


@pytest.mark.parametrize("rules", [Rules.LINUX_CR, Rules.SEED])
def test_what_the_rules_do_not_count_is_named_all_the_same(machine: Machine, rules: Rules) -> None:
    ring = machine.object("IO_URING", None, holders=[(opened(machine, ROOT, 6), "io_uring")])
    file = opened(machine, ROOT, 3, name="/srv/log")
    machine.reference(file, ring, "io_uring.file")
    machine.rows["objects"][file.objref - 1]["refcount"] = 3
    snapshot = machine.snapshot(ROOT)
    report = make(snapshot, check(snapshot, ROOT, rules), ReportOptions())
    (entry,) = (one for one in report.objects if one.objref == file.objref)
    assert (entry.unnamed, entry.uncounted_weight, entry.unexplained) == (2, 1, 1)
    assert "1 not counted by these rules, 1 reference the kernel holds" in counts(entry)
    lines = [line for side in Side for line in held(entry, side)]
    assert sum(line.endswith("(not counted by these rules)") for line in lines) == 1
