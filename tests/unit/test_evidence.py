"""What tells two things apart, or that they are one, without kcmp(2)."""

from __future__ import annotations

import pytest

from analyzer.check.leaks import check
from analyzer.procfs import alike, evidence, fdinfo
from analyzer.procfs.evidence import Descriptor, Process
from analyzer.procfs.fdinfo import FdInfo
from analyzer.procfs.nslink import NamespaceLink
from analyzer.procfs.status import Status
from analyzer.relations.alike import LIKE, MOVED, STILL
from analyzer.report import possible
from tests.build import Machine


def told(text: str, link: str = "/x") -> Descriptor:
    head = "" if text.startswith("pos:") else "pos:\t0\nflags:\t0100002\nmnt_id:\t27\nino:\t9\n"
    return Descriptor(link, fdinfo.parse(f"{head}{text}".encode(), "fdinfo"))


BASE = FdInfo(0, 0o100002, 27, 9, cloexec=False)


@pytest.mark.parametrize(
    ("rule", "other"),
    [
        (evidence.inode, BASE._replace(ino=10)),
        (evidence.mount, BASE._replace(mnt_id=28)),
        (evidence.opened, BASE._replace(flags=0o100000)),
        (evidence.opened, BASE._replace(flags=0o10000000)),
        (evidence.made, BASE._replace(more=b"clockid: 1\n")),
        (evidence.offset, BASE._replace(pos=1)),
        (evidence.status, BASE._replace(flags=0o100002 | 0o4000)),
        (evidence.watched, BASE._replace(more=b"tfd:        5 events: 19 data: 5\n")),
        (evidence.locked, BASE._replace(more=b"lock: 1: FLOCK ADVISORY WRITE 7 fe:00:9 0 EOF\n")),
    ],
)  # fmt: skip
def test_a_rule_tells_two_files_apart_and_no_other_does(rule: evidence.Rule, other: FdInfo) -> None:
    one, two = Descriptor("/x", BASE), Descriptor("/x", other)
    rules = (*evidence.FIXED, *evidence.MOVING)
    assert [r for r in rules if r(one) != r(two)] == [rule]


def test_what_moves_by_itself_tells_nothing_apart() -> None:
    """The time that is left, a counter, the offset of what is watched, a process's own lock."""
    pairs = (
        ("it_value: (9, 1)\nticks: 3\n", "it_value: (8, 0)\nticks: 4\n"),
        ("eventfd-count: 1\n", "eventfd-count: 2\n"),
        ("tfd: 5 events: 19 data: 5  pos:0 ino:9 sdev:1\n",
         "tfd: 5 events: 19 data: 5  pos:7 ino:9 sdev:1\n"),
        ("lock:\t1: POSIX  ADVISORY  WRITE 7 fe:00:9 0 EOF\n", "scm_fds: 0\n"),
    )  # fmt: skip
    for one, two in pairs:
        values = [evidence.of_descriptor(told(text), None) for text in (one, two)]
        assert values[0] == values[1]


def test_sockets_and_eventfds_are_one_by_their_numbers() -> None:
    socket, other = told("", "socket:[77]"), told("", "socket:[78]")
    assert evidence.once(socket) == evidence.once(told("", "socket:[77]"))
    assert evidence.once(socket) != evidence.once(other)
    assert evidence.once(told("eventfd-id: 5\n")) == "eventfd 5"
    assert evidence.once(told("eventfd-id: -12\n")) is None
    faults = [
        Descriptor("anon_inode:[userfaultfd]", BASE._replace(ino=ino)) for ino in (7, 7, 8, None)
    ]
    first, same, another, unknown = map(evidence.once, faults)
    assert first == same != another
    assert unknown is None
    rings = [
        Descriptor("anon_inode:[io_uring]", BASE._replace(ino=ino, more=more))
        for ino, more in ((7, b"SqMask:\t0x7\n"), (7, b"SqMask:\t0x7\n"), (8, b"SqMask:\t0x7\n"))
    ]
    first, same, another = map(evidence.once, rings)
    assert first == same != another
    assert evidence.once(rings[0]._replace(info=BASE._replace(ino=7))) is None  # it is in use
    path = Descriptor("socket:[77]", BASE._replace(flags=0o10000000))
    assert evidence.once(path) is None
    assert evidence.once(told("sigmask: 1\n", "anon_inode:[signalfd]")) is None


def test_what_is_one_has_one_number() -> None:
    values = [
        evidence.of_descriptor(one, None)
        for one in (told("eventfd-id: 5\n"), told("eventfd-id: 6\n"), told("eventfd-id: 5\n"))
    ]
    assert evidence.same([*values, None, None]) == [0, 1, 0, 2, 3]


def rows(*members: tuple[str, bool, FdInfo | None, FdInfo | None]) -> set[tuple[object, str]]:
    keys = [alike.Member(("FILE", name), "", inside) for name, inside, _, _ in members]
    values = [alike.value("/x", first, again) for _, _, first, again in members]
    return {(row.left[1], row.role) for row in alike.rows(keys, values, host=False)}


def test_equal_ones_are_alike_and_only_across_the_border() -> None:
    assert rows(("a", True, BASE, None), ("b", False, BASE, None)) == {("a", LIKE), ("b", LIKE)}
    assert rows(("a", True, BASE, None), ("b", True, BASE, None)) == set()
    assert rows(("a", True, BASE, None), ("b", False, None, None)) == set()
    assert rows(("a", True, BASE, None), ("b", False, BASE._replace(ino=3), None)) == set()


def test_an_offset_proves_two_only_where_both_were_read_twice() -> None:
    other = BASE._replace(pos=7)
    once = rows(("a", True, BASE, BASE), ("b", False, other, None))
    assert once == {("a", STILL), ("b", MOVED)}
    assert rows(("a", True, BASE, BASE), ("b", False, other, other)) == set()
    assert rows(("a", True, BASE, BASE), ("b", False, other, BASE)) == {("a", STILL), ("b", MOVED)}


STATUS = Status(1, 0, None, 0, handlers=(b"0", b"1"), table_size=b"64", umask=b"0022")
PROCESS = Process((1, 2, 3), STATUS, ("mnt:[1]", "user:[1]"), frozenset({("0", "/x")}), "/", "/")


@pytest.mark.parametrize(
    ("kind", "same", "fixed", "moves"),
    [
        ("MM", {"cwd": "/a"}, {"layout": (1, 2, 4)}, {}),
        ("FILE_TABLE", {"cwd": "/a"}, {"layout": (1, 2, 4)}, {"descriptors": frozenset()}),
        ("SIGHAND", {"cwd": "/a"}, {"layout": (1, 2, 4)},
         {"status": STATUS._replace(handlers=(b"0", b"3"))}),
        ("FS", {"layout": (9,)}, {"spaces": ("mnt:[2]", "user:[1]")}, {"cwd": "/a"}),
    ],
)  # fmt: skip
def test_what_tells_processes_apart(
    kind: str, same: dict[str, object], fixed: dict[str, object], moves: dict[str, object]
) -> None:
    def value(changed: dict[str, object]) -> evidence.Value:
        one = PROCESS._replace(**changed)  # type: ignore[arg-type]
        told = evidence.of_process(kind, one, one)
        assert told is not None
        return told

    assert value(same) == value({})
    assert value(fixed).fixed != value({}).fixed
    if moves:
        assert value(moves).fixed == value({}).fixed
        assert value(moves).moving != value({}).moving
    assert value({}).still


def test_what_is_not_known_proves_nothing() -> None:
    assert evidence.of_process("MM", PROCESS._replace(layout=None), None) is None
    assert evidence.of_process("FS", PROCESS._replace(spaces=(None, "user:[1]")), None) is None
    half = evidence.of_process("FS", PROCESS._replace(cwd=None), PROCESS._replace(cwd=None))
    assert half is not None
    assert not half.still


def test_forks_of_one_process_have_their_doubt_in_common() -> None:
    made = Machine()
    first = made.object("MM", None, holders=[(made.task(2, 1), "mm")])
    forks = [made.object("MM", None, holders=[(made.task(100, 2), "mm")])]
    for pid in range(3, 40):
        forks.append(made.object("MM", None, holders=[(made.task(pid, 2), "mm")]))
        forks.append(made.object("MM", None, holders=[(made.task(100 + pid, 100), "mm")]))
    for fork in (first, *forks):
        made.relation("alike", fork, first, left_role=LIKE, detail="laid out alike")
    snapshot = made.snapshot(pid=100)
    found = possible.doubts(snapshot, check(snapshot))
    assert len(found) == 38
    (candidates,) = {id(one.candidates): one.candidates for one in found.values()}.values()
    assert len(candidates) == possible.MOST  # one list for all: they are many
    assert {one.more for one in found.values()} == {38 - possible.MOST}


def test_a_set_of_namespaces_is_told_by_what_is_in_it() -> None:
    links = {name: NamespaceLink(name, 1) for name in ("uts", "ipc", "time_for_children")}
    more = {name: NamespaceLink("pid", 9) for name in ("user", "pid", "pid_for_children")}
    assert evidence.spaces(links) == evidence.spaces({**links, **more})
    assert evidence.spaces(links) != evidence.spaces({**links, "uts": NamespaceLink("uts", 2)})
    assert not evidence.spaces({})
