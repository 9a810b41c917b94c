"""When nothing speaks against containment: preconditions, who came, who may hold something."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from analyzer.changes.between import Answer, between
from analyzer.changes.trend import Trends
from analyzer.changes.watching import Watch
from analyzer.check.leaks import check
from analyzer.core.model import Basis, Conclusion, Counted, Status
from analyzer.procfs import moved, preconditions, tasks
from analyzer.procfs.fs import AGAIN, MemoryFs, ProcFs
from analyzer.procfs.gaps import Failure, GapLog
from analyzer.procfs.identity import Recording, parse
from analyzer.procfs.kcmp import Classes, What
from analyzer.procfs.record import Recorder
from analyzer.report.grouping import Bundle
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.writers import terminal
from tests.build import Machine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from analyzer.report.value import Report
    from tests.build import Obj

SOURCE = {
    "name": "replay", "notes": [],
    "capabilities": {"refcounts": False, "identity": True, "nsproxy": False},
}  # fmt: skip
HELD = {"initial pid namespace": "", "complete": "", "nobody came meanwhile": ""}


def stat(pid: int, parent: int, start: int = 5, *, kthread: bool = False) -> bytes:
    flags = 0x200000 if kthread else 0
    rest = " ".join(["0"] * 4 + [str(flags)] + ["0"] * 10 + ["1", "0", str(start)] + ["0"] * 30)
    return f"{pid} (x) S {parent} {rest}\n".encode()


def dump(tmp_path: Path, first: dict[int, bytes], again: dict[int, bytes]) -> MemoryFs:
    entries: dict[str, bytes | str] = {f"{pid}/stat": data for pid, data in first.items()}
    entries |= {f"{AGAIN}{pid}/stat": data for pid, data in again.items()}
    return MemoryFs(entries, tmp_path)


def test_who_came_is_who_is_in_the_second_listing_alone(tmp_path: Path) -> None:
    first = {2: stat(2, 0, kthread=True), 7: stat(7, 1), 8: stat(8, 1), 9: stat(9, 1)}
    again = {
        2: stat(2, 0, kthread=True), 7: stat(7, 1), 8: stat(8, 1, start=6), 10: stat(10, 7),
        11: stat(11, 2, kthread=True), 12: stat(12, 9), 13: stat(13, 12),
    }  # fmt: skip
    fs, log = dump(tmp_path, first, again), GapLog()
    read = tasks.read(fs, log)
    # 9 has ended, 8 is another one, 11 has no files; 12 and 13 are of the tools of a script.
    assert moved.arrived(fs, read, observer=9) == {8: 1, 10: 7}


def test_who_came_and_has_ended_is_not_in_a_new_end(tmp_path: Path) -> None:
    def at_work(pid: int, start: int) -> None:
        (tmp_path / str(pid)).mkdir(exist_ok=True)
        (tmp_path / str(pid) / "stat").write_bytes(stat(pid, 1, start=start))
        (tmp_path / str(pid) / "status").write_bytes(status(pid, 1))

    at_work(7, start=5)
    fs = Recorder(ProcFs(tmp_path))
    read = tasks.read(fs, GapLog())
    at_work(8, start=6)
    assert moved.arrived(fs, read, observer=9) == {8: 1}
    shutil.rmtree(tmp_path / "8")
    fs.read_end()
    assert not moved.arrived(fs, read, observer=9)
    again = {path for path in fs.entries if path.startswith(AGAIN)}
    assert again == {f"{AGAIN}7/stat"}
    at_work(7, start=7)
    fs.read_end()
    assert moved.arrived(fs, read, observer=9) == {7: 1}


def test_a_dump_without_a_second_listing_does_not_say_who_came(tmp_path: Path) -> None:
    fs, log = dump(tmp_path, {7: stat(7, 1)}, {}), GapLog()
    assert moved.arrived(fs, tasks.read(fs, log), observer=0) is None


def status(pid: int, switches: int, state: str = "S (sleeping)") -> bytes:
    counts = f"voluntary_ctxt_switches:\t{switches}\nnonvoluntary_ctxt_switches:\t0\n"
    return f"Name:\tx\nState:\t{state}\nTgid:\t{pid}\nPPid:\t1\nUid:\t0\n{counts}".encode()


def test_who_was_not_switched_to_rests(tmp_path: Path) -> None:
    entries: dict[str, bytes | str] = {f"{pid}/stat": stat(pid, 1) for pid in range(7, 11)}
    entries |= {f"{pid}/status": status(pid, 5) for pid in range(7, 11)}
    later = {7: status(7, 5), 8: status(8, 6), 9: status(9, 5, "R (running)")}
    entries |= {f"{AGAIN}{pid}/task/{pid}/status": data for pid, data in later.items()}
    fs = MemoryFs(entries, tmp_path)
    read = tasks.read(fs, GapLog())
    assert moved.ran(fs, read, {7, 8, 9, 10}) == {8, 9, 10}  # of 10 it is not known
    assert moved.ran(fs, read, {7}) == set()
    assert moved.counted(fs, read, {7, 10})
    assert not moved.counted(fs, read, {10})


def test_the_preconditions_hold_of_a_whole_reading_alone(tmp_path: Path) -> None:
    fs = dump(tmp_path, {1: stat(1, 0), 2: stat(2, 0, kthread=True), 7: stat(7, 1)}, {})
    some, log = tasks.read(fs, GapLog()), GapLog()
    assert not any(preconditions.of_reading(some, log, {}, whole=True).values())
    lacks = preconditions.of_reading(some[2:], log, None, whole=None)
    assert [name for name, why in lacks.items() if why] == [
        "initial pid namespace", "complete", "all parents", "nobody came meanwhile",
    ]  # fmt: skip
    log.add(Failure("open files", "opendir", 13, ""), 7)
    log.add(Failure("maps: no maps in the dump", "", None, ""), 7)
    lacks = preconditions.of_reading(some, log, {9: 1}, whole=False)
    assert [name for name, why in lacks.items() if why] == [
        "nothing refused", "nothing missing", "complete", "nobody came meanwhile",
    ]  # fmt: skip


class _Answers:
    certain = True

    def __init__(self, *numbers: Sequence[int]) -> None:
        self._numbers = iter(numbers)

    def classes(self, what: What, members: object, pivots: int | None = None) -> Classes:
        del what, members, pivots
        return Classes(list(next(self._numbers)))


def test_a_recorded_member_keeps_its_number() -> None:
    """Threads are compared within their process first, then one of each with other processes."""
    recording = Recording(_Answers([0, 0], [0, 0], [0, 0, 1]))
    recording.classes(What.FILES, [(7, 0), (8, 0)])
    recording.classes(What.FILES, [(9, 0), (10, 0)])
    recording.classes(What.FILES, [(7, 0), (9, 0), (11, 0)])
    replayed = parse(recording.text().encode(), "identities")
    everybody = [(pid, 0) for pid in (7, 8, 9, 10, 11)]
    assert replayed.classes(What.FILES, everybody).number == [0, 0, 0, 0, 1]


def machine() -> tuple[Machine, Obj]:
    """Return a container with one file, and that."""
    made = Machine()
    made.task(1, 0)
    made.task(100, 1, nspid=1)
    table = made.object("FILE_TABLE", None, holders=[(100, "files")])
    made.fact(table, "files.in_use", 0)
    return made, made.object("FILE", None, holders=[(table, "fd", 3)], name="/a")


def reported(
    made: Machine, held: Mapping[str, str] | None = HELD, *, accept: bool = False
) -> Report:
    source = {**SOURCE, **({} if held is None else {"preconditions": held})}
    snapshot = made.snapshot(source=source)
    return make(
        snapshot, check(snapshot, 100), ReportOptions("check", gate=True, accept_consistent=accept)
    )


def text(report: Report) -> str:
    return " ".join(terminal.to_text(terminal.render(report, 200)).split())


def test_consistent_is_undecided_but_for_who_accepts_it() -> None:
    report = reported(machine()[0])
    assert (report.status, report.exit_code) == (Status.UNDECIDED, 3)
    assert report.consistent
    assert {one.conclusion for one in report.objects} == {Conclusion.CONSISTENT}
    assert text(report).startswith("consistent with containment (no refcounts: proof needs")
    assert "initial pid namespace, complete, nobody came meanwhile" in text(report)
    assert reported(machine()[0], accept=True).exit_code == 0


@pytest.mark.parametrize("name", HELD)
def test_one_precondition_that_does_not_hold_is_enough(name: str) -> None:
    held = {**HELD, name: "why it does not"}
    report = reported(machine()[0], held, accept=True)
    assert (report.exit_code, report.consistent) == (3, False)
    assert {one.conclusion for one in report.objects} == {Conclusion.UNKNOWN}
    assert f"{name}: no, why it does not" in text(report)


@pytest.mark.parametrize(
    ("accept", "answer"), [(False, Answer.UNDECIDED), (True, Answer.NOTHING_NEW)]
)
def test_what_is_new_and_consistent_is_nothing_new_to_who_accepts_it(
    *, accept: bool, answer: Answer
) -> None:
    made, _ = machine()
    before = reported(made, accept=accept)
    made.object("MM", None, holders=[(100, "mm")])
    after = reported(made, accept=accept)
    assert after.consistent
    assert between(before, after).answer is answer
    watch = Watch(Trends(3))
    watch.see(after)
    assert watch.contained is accept


def test_what_may_hold_an_object_leaves_it_open() -> None:
    made, file = machine()
    made.relation("may-hold", file, file, detail="loop0 is backed by it")
    report = reported(made, accept=True)
    assert report.exit_code == 3
    found = {one.kind: one.conclusion for one in report.objects}
    assert found == {"FILE": Conclusion.UNKNOWN, "FILE_TABLE": Conclusion.CONSISTENT}
    assert "1 open file: loop0 is backed by it" in text(report)
    assert "1 of 2 objects could not be decided; 1 is consistent with containment" in text(report)


@pytest.mark.parametrize(("kind", "advised"), [("PID_NS", True), ("NET_NS", False)])
def test_a_kind_that_no_dump_decides_can_be_left_out(kind: str, *, advised: bool) -> None:
    """A pid namespace of which a member ended: the report says how, where it says so."""
    made, _ = machine()
    space = made.object(kind, None, holders=[(100, "nsproxy.net")])
    made.relation("may-hold", space, space, detail="members of it ended")
    report = reported(made)
    assert report.consistency is not None
    assert report.consistency.but_for == ({kind} if advised else set())
    said = text(report)
    assert ("next: --accept consistent --ignore PID_NS, or" in said) is advised
    assert ("- --ignore PID_NS leaves out what no dump can tell" in said) is advised


def test_who_may_hold_it_is_named() -> None:
    made, _ = machine()
    for tid in (1, 7, 8, 9, 100):
        if tid not in {1, 100}:
            made.task(tid, 1)
        made.relation("may-hold", tid, tid, left_role="FILE", detail="files are in flight")
    (entry,) = (one for one in reported(made).objects if one.kind == "FILE")
    assert len(entry.doubt.others) == 1
    assert "(1), " in entry.doubt.others[0]
    assert entry.doubt.others[0].endswith("(8) and 1 more: files are in flight")


def test_what_may_hold_any_of_a_kind_is_no_doubt_where_it_is_inside() -> None:
    for owner, expected in ((100, Conclusion.CONSISTENT), (1, Conclusion.UNKNOWN)):
        made, _ = machine()
        made.relation("may-hold", owner, owner, left_role="FILE", detail="files are in flight")
        found = {one.kind: one.conclusion for one in reported(made).objects}
        assert found["FILE"] is expected


@pytest.mark.parametrize(
    ("ran", "said"),
    [
        (None, "while it was read"),
        ([], ""),
        ([1, 7], "while it was read: task1 (1) and ? (7) ran"),
    ],
)
def test_who_of_others_may_have_handed_something_over_is_named(
    ran: list[int] | None, said: str
) -> None:
    made, _ = machine()
    snapshot = made.snapshot(source={**SOURCE, "preconditions": HELD, "ran": ran})
    report = make(snapshot, check(snapshot, 100), ReportOptions("check"))
    others = "not seen even so: what others handed over to each other "
    assert (others in text(report)) is bool(said)
    assert f"{others}{said}" in text(report) or not said


def test_an_older_dump_says_nothing_of_preconditions() -> None:
    report = reported(machine()[0], None)
    assert not report.consistent
    assert "consistent" not in text(report)


def counted(report: Report) -> dict[str, tuple[int | None, Counted | None, Basis]]:
    return {
        one.name or one.kind: (one.refcount, one.refcount_source, one.basis)
        for one in report.objects
    }


def shared() -> tuple[Machine, Obj, Obj]:
    """Return a container with one file, that, and the table outside that has it too."""
    made, file = machine()
    table = made.object("FILE_TABLE", None, holders=[(1, "files")])
    made.reference(file, table, "fd", 5)
    return made, file, table


def test_the_count_of_a_whole_dump_is_that_of_all_its_holders() -> None:
    made, _, table = shared()
    made.fact(table, "files.in_use", 0)
    whole = Basis.RECONSTRUCTED
    report = reported(made)
    told = counted(report)
    assert told["/a"] == (2, Counted.RECONSTRUCTED, whole)
    assert told["FILE_TABLE"] == (1, Counted.RECONSTRUCTED, whole)
    assert "1 user inside, refcount 2 (reconstructed): 1 held from outside" in text(report)
    assert (report.status, report.exit_code) == (Status.LEAKS, 16)
    # Where a process came meanwhile, it may hold it too.
    told = counted(reported(made, {**HELD, "nobody came meanwhile": "there is one"}))
    assert told["/a"] == (None, None, Basis.WITNESSED)


@pytest.mark.parametrize("in_use", [None, 1])
def test_files_that_a_system_call_may_hold_have_no_count(in_use: int | None) -> None:
    made, _, table = shared()
    if in_use is not None:
        made.fact(table, "files.in_use", in_use)
    assert counted(reported(made))["/a"] == (None, None, Basis.WITNESSED)


@pytest.mark.parametrize(("mode", "count"), [("both", None), ("read", None), ("write", 1)])
def test_what_is_mapped_too_has_no_count_but_what_cannot_be_mapped(
    mode: str, count: int | None
) -> None:
    made, file = machine()
    memory = made.object("MM", None, holders=[(100, "mm")])
    made.object("FILE", None, holders=[(memory, "vma", 0x1000)], name="/a")
    made.fact(file, "open.mode", mode)
    told = [one for one in reported(made).objects if one.facts.get("open.mode") == mode]
    assert [one.refcount for one in told] == [count]


def test_what_may_be_held_otherwise_has_no_count() -> None:
    made, file = machine()
    made.relation("may-hold", file, file, detail="loop0 is backed by it")
    assert counted(reported(made))["/a"][0] is None


def test_a_pipe_has_as_many_references_as_open_files() -> None:
    made, file = machine()
    made.object("PIPE", None, holders=[(file, "pipe.reader")], name="pipe:[1]")
    assert counted(reported(made))["pipe:[1]"][0] == 1


def mapped(names: Sequence[str], *, exe: bool = False, inode: int = 7) -> list[int | None]:
    """Return the counts of files of one inode: each name is mapped as often as it is there."""
    made, _ = machine()
    memory = made.object("MM", None, holders=[(100, "mm")])
    for number, name in enumerate(dict.fromkeys(names)):
        file = made.object("FILE", None, name=name, dev=2049, ino=inode + number // 2)
        for start in range(names.count(name)):
            made.reference(file, memory, "vma", 0x1000 * (start + 1))
        if exe:
            made.reference(file, memory, "exe")
    return [one.refcount for one in reported(made).objects if one.name in names]


def test_of_what_is_only_mapped_one_mapping_alone_is_one_reference() -> None:
    assert mapped(["/lib/x"]) == [1]
    assert mapped(["/lib/x", "/lib/x"]) == [None]  # of one opening, or of two
    assert mapped(["/lib/x", "/lib/y"]) == [None, None]  # a hard link
    assert mapped(["/lib/x"], exe=True) == [None]
    for name in ("/drm mm object (deleted)", "/[aio] (deleted)", "/dev/fb0", "anon_inode:[x]"):
        assert mapped([name]) == [None]
    for name in ("/srv/a (deleted)", "/memfd:a (deleted)", "/dev/shm/a"):  # noqa: S108
        assert mapped([name]) == [1]


def talking(*, type_: str = "stream", busy: int = 0, **facts: str) -> dict[str, int | None]:
    """Return the counts of two unix sockets that are connected, one of them outside."""
    made, _, table = shared()
    made.fact(table, "files.in_use", busy)
    socks = [made.object("SOCKET", None, name=name) for name in ("mine", "theirs")]
    tables = [made.object("FILE_TABLE", None, holders=[(100, "files")]), table]
    made.fact(tables[0], "files.in_use", 1)  # who reads from it does not hold it
    for sock, its in zip(socks, tables, strict=True):
        file = made.object("FILE", None, holders=[(its, "fd", 9)])
        made.reference(sock, file, "sock", weight=2)
        told = {"socket.type": type_, "socket.state": "connected", **facts}
        for fact, value in told.items():
            made.fact(sock, fact.replace("_", "."), value)
    made.reference(socks[0], socks[1], "peer")
    return {one.name or "": one.refcount for one in reported(made).objects}


def test_a_unix_socket_is_held_by_its_file_and_who_is_connected_to_it() -> None:
    assert talking()["mine"] == 3
    assert talking(busy=1)["mine"] is None  # it may wait until there is room
    assert talking(type_="dgram")["mine"] == 3
    assert talking(type_="dgram", local="/run/x")["mine"] is None  # anybody may send to it
    assert talking(socket_state="listening")["mine"] is None


def test_a_terminal_is_counted_by_its_open_files_and_its_other_end() -> None:
    made, file = machine()
    master = made.object("TTY", None, holders=[(file, "tty.file")], name="/dev/ptm0")
    slave = made.object("TTY", None, holders=[(master, "tty.master")], name="/dev/pts/0")
    made.reference(slave, file, "tty.file")
    told = counted(reported(made))
    assert (told["/dev/ptm0"][0], told["/dev/pts/0"][0]) == (1, 2)


def spaces(*sets: tuple[int, tuple[int, ...]]) -> dict[str, int | None]:
    """Return the counts of uts (1) and ipc namespaces that tasks have: each task, and which."""
    made = Machine()
    made.task(1, 0)
    made.task(100, 1, nspid=1)
    names = {number: f"{kind}:[{number}]" for number, kind in ((1, "uts"), (2, "ipc"), (3, "ipc"))}
    of = {
        number: made.object(f"{name[:3].upper()}_NS", None, name=name)
        for number, name in names.items()
    }
    for tid, some in sets:
        if tid not in {1, 100}:
            made.task(tid, 100)
        for number in some:
            made.reference(of[number], tid, f"nsproxy.{names[number][:3]}")
    file = made.object("NSFS", None, name="uts:[1]")
    made.reference(of[1], file, "nsfs")
    return {one.name or "": one.refcount for one in reported(made).objects}


def test_a_namespace_has_a_reference_of_each_set_and_one_of_its_file() -> None:
    assert spaces((100, (1, 2))) == {"uts:[1]": 2, "ipc:[2]": 1}
    assert spaces((100, (1, 2)), (1, (1,))) == {"uts:[1]": 3, "ipc:[2]": 1}


def test_tasks_of_the_same_namespaces_may_have_one_set_or_two() -> None:
    assert spaces((100, (1, 2)), (101, (1, 2))) == {"uts:[1]": None, "ipc:[2]": None}
    some = spaces((100, (1, 2)), (101, (1, 3)), (102, (1, 3)))
    assert some == {"uts:[1]": None, "ipc:[2]": 1, "ipc:[3]": None}


@pytest.mark.parametrize(("sockets", "count"), [(None, None), (3, 4)])
def test_a_network_has_a_reference_of_each_socket(sockets: int | None, count: int | None) -> None:
    made, _ = machine()
    space = made.object("NET_NS", None, holders=[(100, "nsproxy.net")], name="net:[1]")
    if sockets is not None:
        made.fact(space, "netns.sockets", sockets)
    assert counted(reported(made))["net:[1]"][0] == count


def test_what_numbers_and_credentials_hold_has_no_count() -> None:
    made, _ = machine()
    made.object("PID_NS", None, holders=[(100, "pid")], name="pid:[1]")
    made.object("USER_NS", None, holders=[(100, "cred.user_ns")], name="user:[1]")
    told = counted(reported(made))
    assert {told["pid:[1]"][0], told["user:[1]"][0]} == {None}


def test_a_set_of_namespaces_has_a_count_where_nobody_else_may_have_it() -> None:
    for other, count in ((2, 1), (1, None)):
        made, _ = machine()
        made.task(101, 100)
        made.object("NSPROXY", None, holders=[(100, "nsproxy")], name="own")
        spaces = [made.object("UTS_NS", None, name=f"uts:[{number}]") for number in (1, 2)]
        made.reference(spaces[0], 100, "nsproxy.uts")
        made.reference(spaces[other - 1], 101, "nsproxy.uts")
        assert counted(reported(made))["own"][0] == count


@pytest.mark.parametrize(("initial", "bundle"), [(True, Bundle.HOST), (False, Bundle.POSSIBLE)])
def test_the_hosts_set_of_namespaces_is_told_with_what_is_in_it(
    initial: bool,  # noqa: FBT001 -- a parameter
    bundle: Bundle,
) -> None:
    made, _ = machine()
    made.task(2, 0)
    sets = [made.object("NSPROXY", None, holders=[(tid, "nsproxy")]) for tid in (100, 2)]
    for one in sets:
        made.relation("alike", one, sets[0], left_role="like", detail="their namespaces are one")
    both = [(100, "nsproxy.uts"), (2, "nsproxy.uts")]
    made.object("UTS_NS", None, holders=both, name="uts:[1]", initial=initial)
    groups = reported(made).groups
    assert {g.bundle for g in groups if {one.kind for one in g.objects} & {"NSPROXY"}} == {bundle}
