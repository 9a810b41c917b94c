"""The report as a value: the answer, the exit code, who holds what, and what belongs together."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from analyzer.check.leaks import check
from analyzer.core.errors import BadInputError
from analyzer.core.model import Rules, Side, Status, Verdict
from analyzer.report.grouping import Bundle
from analyzer.report.make import checked_pid, make
from analyzer.report.messages import message
from analyzer.report.value import Report, ReportOptions
from tests.build import Holder, Machine, Obj

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analyzer.report.value import ReportObject

SHELL, ROOT, CHILD = 77, 100, 101


def machine() -> tuple[Machine, Obj, Obj]:
    """Return a machine with a shell outside and a container init with a child, and their tables."""
    made = Machine()
    made.task(SHELL, 1, comm="bash")
    made.task(ROOT, SHELL, comm="app", nspid=1)
    made.task(CHILD, ROOT, comm="worker", nspid=2)
    outside = made.object("FILE_TABLE", 1, holders=[(SHELL, "files")])
    inside = made.object("FILE_TABLE", 2, holders=[(ROOT, "files"), (CHILD, "files")])
    return made, outside, inside


def reported(
    made: Machine,
    rules: Rules = Rules.MODERN,
    *,
    meta: Mapping[str, object] = {},
    **options: Any,  # noqa: ANN401 - those of ReportOptions
) -> Report:
    snapshot = made.snapshot(ROOT, **meta)
    asked = replace(ReportOptions("check", gate=True), **options)
    return make(snapshot, check(snapshot, rules=rules), asked)


def the(report: Report, kind: str) -> ReportObject:
    (entry,) = [entry for entry in report.objects if entry.kind == kind]
    return entry


def bundles(report: Report) -> list[tuple[Bundle, int]]:
    return [(group.bundle, len(group.objects)) for group in report.groups]


# --- the answer


def test_nothing_outside_is_contained() -> None:
    report = reported(machine()[0])
    assert (report.status, report.exit_code, report.objects) == (Status.CONTAINED, 0, ())
    assert report.summary.checked == report.summary.contained == 1
    assert report.subject.container_init is True
    assert report.subject.tasks == 2


def test_a_file_held_outside_is_a_leak() -> None:
    made, outside, inside = machine()
    made.object("FILE", 2, name="/x", holders=[(inside, "fd", 3), (outside, "fd", 9)])
    report = reported(made)
    assert (report.status, report.exit_code) == (Status.LEAKS, 16)
    entry = the(report, "FILE")
    assert (entry.verdict, entry.users, entry.outside, entry.refcount) == ("usage_leak", 1, 1, 2)
    assert entry.message == "file: 2 users count 3"
    assert [holder.side for holder in entry.holders] == [Side.INSIDE, Side.OUTSIDE]
    assert [task.tid for task in entry.holders[0].tasks] == [ROOT, CHILD]
    assert (entry.holders[1].slot, entry.holders[1].detail) == (9, "fd 9")
    assert entry.holders[1].tasks[0][:3] == (SHELL, SHELL, "bash")


@pytest.mark.parametrize(
    ("refcount", "stable", "status", "code"),
    [
        (0, True, Status.LEAKS, 16),
        (3, True, Status.LEAKS, 16),
        (1, False, Status.UNDECIDED, 3),
        (None, True, Status.UNDECIDED, 3),
        (1, True, Status.CONTAINED, 0),
    ],
)
def test_the_worst_verdict_decides(
    refcount: int | None,
    stable: bool,  # noqa: FBT001 - a column
    status: Status,
    code: int,
) -> None:
    made, _, inside = machine()
    made.object("FILE", refcount, stable=stable, holders=[(inside, "fd", 3)])
    report = reported(made)
    assert (report.status, report.exit_code) == (status, code)


def test_a_part_that_could_not_be_read_leaves_it_undecided() -> None:
    report = reported(machine()[0], meta={"incomplete": True})
    assert (report.status, report.exit_code, report.incomplete) == (Status.UNDECIDED, 3, True)


def test_a_root_that_is_no_container_init_is_not_contained() -> None:
    made, _, _ = machine()
    made.rows["tasks"][1]["nspid"] = ROOT
    report = reported(made)
    assert (report.status, report.exit_code) == (Status.LEAKS, 16)
    assert [finding.message for finding in report.findings] == ["Not container init"]
    assert reported(made, ignore=frozenset({"CONTAINER_INIT"})).status is Status.CONTAINED
    assert reported(made, fail_on=frozenset({"FILE"})).status is Status.CONTAINED


def test_a_root_whose_pid_in_its_namespace_is_unknown_leaves_it_undecided() -> None:
    made, _, _ = machine()
    made.rows["tasks"][1]["nspid"] = None
    report = reported(made)
    assert (report.status, report.subject.container_init) == (Status.UNDECIDED, None)


def test_subtree_makes_leaks_advisory_and_drops_the_init_rule() -> None:
    made, outside, inside = machine()
    made.rows["tasks"][1]["nspid"] = ROOT
    assert reported(made, subtree=True).status is Status.CONTAINED
    made.object("FILE", 2, holders=[(inside, "fd", 3), (outside, "fd", 9)])
    report = reported(made, subtree=True)
    assert (report.status, report.exit_code, report.advisory) == (Status.LEAKS, 0, True)
    assert report.findings == ()


def test_kinds_choose_what_gates_and_the_numbers_stay_complete() -> None:
    made, outside, inside = machine()
    made.object("FILE", 2, holders=[(inside, "fd", 3), (outside, "fd", 9)])
    asked = (ReportOptions(ignore=frozenset({"FILE"})), ReportOptions(fail_on=frozenset({"MM"})))
    for options in asked:
        report = reported(made, ignore=options.ignore, fail_on=options.fail_on)
        assert (report.status, report.exit_code, report.leaks_ignored) == (Status.CONTAINED, 0, 1)
        assert report.summary.usage_leak == 1
        assert the(report, "FILE").gates is False
    assert reported(made, fail_on=frozenset({"FILE"})).exit_code == 16


def test_a_report_does_not_gate() -> None:
    made, outside, inside = machine()
    made.object("FILE", 2, holders=[(inside, "fd", 3), (outside, "fd", 9)])
    assert reported(made, gate=False).exit_code == 0


def test_everything_lists_what_is_contained_too() -> None:
    report = reported(machine()[0], all=True)
    assert [entry.verdict for entry in report.objects] == [Verdict.CONTAINED]


def test_the_worst_comes_first() -> None:
    made, outside, inside = machine()
    made.object("FILE", 9, stable=False, holders=[(inside, "fd", 5)])
    made.object("FILE", None, holders=[(inside, "fd", 6)])
    made.object("FILE", 0, holders=[(inside, "fd", 4)])
    made.object("FS", 2, holders=[(ROOT, "fs"), (SHELL, "fs")])
    made.object("FILE", 2, holders=[(inside, "fd", 3), (outside, "fd", 9)])
    found = [(entry.kind, entry.verdict.value) for entry in reported(made).objects]
    assert found == [
        ("FILE", "usage_leak"),
        ("FS", "usage_leak"),
        ("FILE", "overcount"),
        ("FILE", "unstable"),
        ("FILE", "unknown"),
    ]


# --- holders


def test_the_tasks_behind_a_chain_of_holders_are_named() -> None:
    made, outside, inside = machine()
    net = made.object("NET_NS", 9, name="net:[5]")
    for table, task in ((inside, ROOT), (outside, SHELL)):
        sets = made.object("NSPROXY", None, holders=[(task, "nsproxy")])
        made.reference(net, sets, "nsproxy.net")
        socket = made.object("FILE", 1, name="socket:[7]", holders=[(table, "fd", 8)])
        made.reference(net, socket, "socket")
    entry = the(reported(made, ignore=frozenset({"NSPROXY"})), "NET_NS")
    found = {(h.side, h.association, tuple(task.tid for task in h.tasks)) for h in entry.holders}
    assert found == {
        (Side.INSIDE, "nsproxy.net", (ROOT,)),
        (Side.INSIDE, "socket", (ROOT, CHILD)),
        (Side.OUTSIDE, "nsproxy.net", (SHELL,)),
        (Side.OUTSIDE, "socket", (SHELL,)),
    }


def test_a_holder_that_no_task_leads_to_has_none() -> None:
    made, _, inside = machine()
    file = made.object("FILE", 2, holders=[(inside, "fd", 3)])
    made.reference(file, made.object("FILE_TABLE", 1), "fd", 1)
    (lost,) = [h for h in the(reported(made), "FILE").holders if h.side is Side.OUTSIDE]
    assert lost.tasks == ()


def test_holders_that_hold_each_other_are_no_trouble() -> None:
    made, _, inside = machine()
    outer = made.object("USER_NS", 4)
    inner = made.object("USER_NS", 4, holders=[(outer, "parent")])
    made.reference(outer, inner, "parent")
    cred = made.object("CRED", 1, holders=[(ROOT, "cred")])
    made.reference(inner, cred, "cred.user_ns")
    made.object("FILE", 5, holders=[(inside, "fd", 3)])
    assert reported(made).summary.checked == 3


def test_the_seed_counts_a_descriptor_once_for_each_task() -> None:
    made, _, inside = machine()
    made.object("FILE", 1, name="/var/log/app.log", holders=[(inside, "fd", 3)])
    entry = the(reported(made, Rules.SEED), "FILE")
    assert (entry.verdict, entry.users, entry.holders[0].weight) == (Verdict.OVERCOUNT, 2, 2)
    assert entry.message == (
        "check_obj_isolated: file: 3 users count 2\n"
        "check_obj_isolated: filename is app.log (app.log)"
    )


# --- messages


@pytest.mark.parametrize(
    ("rules", "kind", "said"),
    [
        (Rules.MODERN, "UTS_NS", "uts: 2 users count 3"),
        (Rules.SEED, "UTS_NS", "check_obj_isolated: uts: 2 users count 3"),
        (Rules.SEED, "IPC_NS", "check_obj_isolated: ipc: 2 users count 3"),
        (Rules.SEED, "MM", "check_obj_isolated: mm: 2 users count 3"),
        (
            Rules.LINUX_CR,
            "FILE",
            "[err -16][pos 0][obj 7][ptr ffff8880000001c0][str FILE]Usage leak (3 != 2)",
        ),
    ],
)
def test_the_kernels_words_and_numbers(rules: Rules, kind: str, said: str) -> None:
    pointer = "ffff8880000001c0"
    assert message(rules, kind, 1, 2, objref=7, pointer=pointer, name=None) == said


@pytest.mark.parametrize(
    ("name", "deleted", "said"),
    [
        ("/var/log/app.log", False, "app.log (app.log)"),
        ("/srv/gone (deleted)", True, "gone (gone)"),
        ("/srv/odd (deleted)", False, "odd (deleted) (odd (deleted))"),
        ("pipe:[4711]", False, " ()"),
        ("socket:[4711]", False, " ()"),
        ("net:[4026532000]", False, " ()"),
        ("anon_inode:[eventfd]", False, "[eventfd] ([eventfd])"),
        ("anon_inode:inotify", False, "inotify (inotify)"),
        ("/", False, "/ (/)"),
        (f"/srv/{'x' * 36}", False, f" ({'x' * 36})"),
    ],
)
def test_the_seeds_line_of_a_name(name: str, said: str, *, deleted: bool) -> None:
    lines = message(
        Rules.SEED, "FILE", 1, 2, objref=7, pointer=None, name=name, deleted=deleted
    ).split("\n")
    assert lines[1] == f"check_obj_isolated: filename is {said}"


def test_linux_cr_calls_mount_namespaces_by_their_name() -> None:
    said = message(Rules.LINUX_CR, "MNT_NS", 1, 2, objref=7, pointer=None, name=None)
    assert "[str MOUNTS NS]Usage leak (3 != 2)" in said


def test_what_is_judged_by_its_holders_has_no_arithmetic_line() -> None:
    made, _, _ = machine()
    tids = (100, 500)
    made.task(500, 1)
    sets = [made.object("NSPROXY", 1, holders=[(tid, "nsproxy")]) for tid in tids]
    made.object("NET_NS", 2, holders=[(one, "nsproxy.net") for one in sets])
    entry = the(reported(made), "NET_NS")
    assert (entry.verdict, entry.message) == (Verdict.USAGE_LEAK, None)


def test_what_we_hold_ourselves_is_counted_as_the_kernels_context_was() -> None:
    made, outside, inside = machine()
    made.task(500, 1, observer=True)
    own = made.object("FILE_TABLE", 1, holders=[(500, "files")])
    made.object("FILE", 3, holders=[(inside, "fd", 3), (own, "fd", 1), (outside, "fd", 9)])
    entry = the(reported(made), "FILE")
    assert (entry.users, entry.observer, entry.message) == (1, 1, "file: 3 users count 4")


# --- what belongs together


def share(made: Machine, kind: str, refcount: int | None, *holders: Holder, **more: object) -> Obj:
    return made.object(kind, refcount, holders=holders, **more)


def test_stdio_of_the_launcher_is_recognised() -> None:
    made, outside, inside = machine()
    both = [(table, "fd", slot) for table in (inside, outside) for slot in range(3)]
    share(made, "FILE", 6, *both, name="/dev/pts/0")
    (group,) = reported(made).groups
    assert (group.bundle, group.origin) == (Bundle.STDIO, (SHELL, "bash"))


def test_another_descriptor_of_the_launcher_is_not_stdio() -> None:
    made, outside, inside = machine()
    share(made, "FILE", 2, (inside, "fd", 5), (outside, "fd", 5))
    assert bundles(reported(made)) == [(Bundle.SINGLE, 1)]


def mapped(made: Machine, *details: str, extra: int = 0) -> Machine:
    spaces = [made.object("MM", 1, holders=[(task, "mm")]) for task in (ROOT, SHELL)]
    for number, detail in enumerate(details):
        holders = [(space, "vma", 4096 * number, 1, detail) for space in spaces]
        share(made, "FILE", 2 + extra, *holders, name=f"/lib/{number}.so")
    return made


def test_libraries_mapped_by_both_sides_are_one_group() -> None:
    made = mapped(machine()[0], "r-xp", "r--p", "rw-p")
    assert bundles(reported(made)) == [(Bundle.CODE, 3)]
    assert reported(made).summary.usage_leak == 3


def test_shared_memory_is_not_a_library() -> None:
    assert bundles(reported(mapped(machine()[0], "rw-s"))) == [(Bundle.SINGLE, 1)]
    assert bundles(reported(mapped(machine()[0], "r--s"))) == [(Bundle.CODE, 1)]


def test_a_library_with_references_nobody_names_is_not_explained_by_fork() -> None:
    assert bundles(reported(mapped(machine()[0], "r-xp", extra=1))) == [(Bundle.SINGLE, 1)]


def namespaces(made: Machine, *, initial: bool) -> Machine:
    sets = share(made, "NSPROXY", 3, *[(task, "nsproxy") for task in (SHELL, ROOT, CHILD)])
    share(made, "UTS_NS", 2, (sets, "nsproxy.uts"), initial=True)
    share(made, "IPC_NS", 2, (sets, "nsproxy.ipc"), initial=initial)
    return made


def test_living_in_the_hosts_namespaces_is_one_group() -> None:
    assert bundles(reported(namespaces(machine()[0], initial=True))) == [(Bundle.HOST, 3)]


def test_a_set_that_shares_a_namespace_of_its_own_is_no_host_set() -> None:
    report = reported(namespaces(machine()[0], initial=False))
    assert bundles(report) == [(Bundle.SINGLE, 1), (Bundle.SINGLE, 1), (Bundle.HOST, 1)]


def test_every_object_is_in_exactly_one_group() -> None:
    made, outside, inside = machine()
    mapped(namespaces(made, initial=True), "r-xp")
    share(made, "FILE", 2, (inside, "fd", 0), (outside, "fd", 0))
    share(made, "FILE", 2, (inside, "fd", 5), (outside, "fd", 0))
    share(made, "FILE", None, (inside, "fd", 6))
    report = reported(made)
    grouped = [entry.objref for group in report.groups for entry in group.objects]
    assert sorted(grouped) == sorted(entry.objref for entry in report.objects)


# --- which root


def test_the_root_is_the_snapshots_subject_unless_it_is_of_the_host() -> None:
    made, _, _ = machine()
    assert checked_pid(made.snapshot(ROOT), None) == ROOT
    assert checked_pid(made.snapshot(ROOT, scope="host"), CHILD) == CHILD
    assert checked_pid(made.snapshot(None, scope="host"), CHILD) == CHILD


@pytest.mark.parametrize(("subject", "pid", "said"), [(None, None, "--pid N"), (ROOT, 5, "border")])
def test_a_root_that_the_snapshot_is_not_of_is_refused(
    subject: int | None, pid: int | None, said: str
) -> None:
    with pytest.raises(BadInputError, match=said):
        checked_pid(machine()[0].snapshot(subject), pid)


def many(count: int) -> Machine:
    made, outside, inside = machine()
    tables: Sequence[Obj] = (inside, outside)
    for number in range(count):
        holders = [(table, "fd", number + 3) for table in tables]
        made.object("FILE", 2, name=f"/srv/{number}", holders=holders)
    return made


def test_many_leaks_take_time_in_proportion() -> None:
    seconds = []
    for count in (1_000, 10_000):
        snapshot = many(count).snapshot(ROOT)
        verdicts = check(snapshot)
        start = time.process_time()
        report = make(snapshot, verdicts, ReportOptions())
        seconds.append(time.process_time() - start)
        assert len(report.objects) == count
    assert seconds[1] < 30 * max(seconds[0], 0.005)


def test_a_holder_is_told_by_the_descriptors_that_lead_to_it() -> None:
    made, outside, inside = machine()
    read = (SHELL, "syscall", 4)
    reader = made.object("FILE", 3, holders=[(outside, "fd", 4), (outside, "fd", 9), read])
    writer = made.object("FILE", 2, holders=[(inside, "fd", 5), (SHELL, "io_uring.ring")])
    made.object("PIPE", 2, holders=[(reader, "pipe.reader"), (writer, "pipe.writer")])
    by = {holder.objref: holder.via for holder in the(reported(made), "PIPE").holders}
    assert by == {reader.objref: ("fd 4", "fd 9"), writer.objref: ("fd 5",)}


def test_no_descriptor_is_told_where_something_else_leads_to_a_holder_too() -> None:
    made, outside, _ = machine()
    file = made.object("FILE", 2, holders=[(outside, "fd", 4), (SHELL, "io_uring.ring")])
    made.object("PIPE", 2, holders=[(file, "pipe.reader"), (ROOT, "ctty")])
    holders = the(reported(made), "PIPE").holders
    assert {holder.objref: holder.via for holder in holders} == {None: (), file.objref: ()}
