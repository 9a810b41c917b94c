"""Each parser of a file of /proc: real text, hostile names, what is cut short or malformed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.core.errors import BadInputError
from analyzer.procfs import (
    cgroup,
    facts,
    fdinfo,
    identity,
    maps,
    mountinfo,
    nslink,
    refusals,
    stat,
    status,
)
from analyzer.procfs.gaps import Failure, GapLog, refusal
from analyzer.procfs.kcmp import What
from analyzer.procfs.parse import unescape
from analyzer.relations.shown import lines

if TYPE_CHECKING:
    from collections.abc import Callable

TAIL = b" S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 395922 1 2 18446744073709551615\n"
STAT = b"7 (sh)" + TAIL
STATUS = b"Name:\ta\\nTgid:\t1\nTgid:\t7\nPPid:\t1\nUid:\t4\t5\t6\t7\nNSpid:\t7\t1\n"
FDINFO = b"pos:\t12\nflags:\t02100001\nmnt_id:\t58\nino:\t3\n"
MAPS = (
    b"55d000-55e000 r-xp 00001000 fe:02 26723                /usr/bin/a b\\012c\n"
    b"7fff0000-7fff1000 rw-p 00000000 00:00 0                [stack]\n"
    b"7f0000-7f1000 rw-s 00000000 00:01 5                    /memfd:x (deleted)\n"
)
MOUNTINFO = (
    b"36 35 98:1 /root\\040x /mnt/y\\134z rw,noatime shared:1 master:2 - ext3 /dev/root rw,e=c\n"
    b"64 43 0:4 net:[4026532178] /run/netns/a rw - nsfs nsfs rw\n"
)


def test_stat_tells_who_a_task_is() -> None:
    got = stat.parse(STAT, "x")
    assert got == stat.Stat(7, "sh", "S", 1, 4194560, 3, 395922, 7, 7, 0, mourned=True)
    assert not stat.parse(STAT.replace(b"1 2 3 4 5 6 7 8", b"1 0 3 0 5 6 0 0"), "x").mourned
    assert not got.exiting
    assert not got.kthread


@pytest.mark.parametrize("comm", [b"(a) b\n)", b") S 1 2 3 (", b"\xff\xfe\n", b"", b"a\n7 (b) S"])
def test_stat_keeps_a_hostile_name_apart(comm: bytes) -> None:
    got = stat.parse(b"7 (" + comm + b")" + TAIL, "x")
    assert os.fsencode(got.comm) == comm
    assert (got.tid, got.ppid, got.start_ticks) == (7, 1, 395922)


def test_stat_knows_kernel_threads_and_the_dead() -> None:
    kthread = stat.parse(STAT.replace(b"4194560", b"2129984"), "x")
    assert kthread.kthread
    assert stat.parse(STAT.replace(b" S ", b" Z "), "x").exiting
    assert stat.parse(STAT.replace(b"4194560", b"4194308"), "x").exiting


def test_status_takes_the_innermost_id_last() -> None:
    assert status.parse(STATUS, "x") == status.Status(7, 1, (7, 1), 4, comm="a\nTgid:\t1")
    assert status.parse(STATUS.replace(b"NSpid:\t7\t1\n", b""), "x").nspid is None


@pytest.mark.parametrize(("mask", "told"), [(b"10000", True), (b"21000", False), (b"?", False)])
def test_status_tells_whose_children_leave_no_trace(mask: bytes, *, told: bool) -> None:
    assert status.parse(STATUS + b"SigIgn:\t00000000000" + mask + b"\n", "x").autoreaps is told


def test_status_tells_the_session_and_the_process_group() -> None:
    data = b"Tgid:\t7\nPPid:\t1\nUid:\t0\nNSpgid:\t5\t0\nNSsid:\t3\t1\n"
    told = stat.of_status(7, status.parse(b"Name:\tx\n" + data, "x"))
    assert (told.session, told.group) == (3, 5)
    assert status.parse(b"Name:\tx\n" + data, "x").hidden == (False, True)


def test_status_tells_the_name_the_state_and_kernel_threads() -> None:
    told = status.parse(b"Name:\tk\\\\n\nState:\tS (sleeping)\nThreads:\t3\n" + STATUS, "x")
    assert (told.comm, told.state, told.threads, told.kthread) == (r"k\n", "S", 3, False)
    child = STATUS.replace(b"PPid:\t1", b"PPid:\t2")
    assert status.parse(child, "x").kthread
    assert not status.parse(child + b"VmSize:\t9 kB\n", "x").kthread
    assert not status.parse(child + b"Kthread:\t0\n", "x").kthread
    assert status.parse(STATUS + b"Kthread:\t1\n", "x").kthread


def test_cgroup_prefers_the_unified_hierarchy() -> None:
    assert cgroup.parse(b"9:name=systemd:/s\n1:cpu:/c\n0::/u:v\n", "x") == "/u:v"
    assert cgroup.parse(b"9:name=systemd:/s\n1:cpu:/c\n", "x") == "/s"
    assert cgroup.parse(b"", "x") is None


def test_fdinfo_is_typed_and_old_kernels_say_less() -> None:
    assert fdinfo.parse(FDINFO, "x") == fdinfo.FdInfo(12, 0o100001, 58, 3, cloexec=True)
    more = FDINFO + b"eventfd-count:                0\n"
    told = fdinfo.parse(more, "x")
    assert told._replace(more=b"") == fdinfo.parse(FDINFO, "x")
    assert lines(told.more) == (("eventfd-count", "0"),)
    old = fdinfo.parse(b"pos:\t-1\nflags:\t02\n", "x")
    assert old == fdinfo.FdInfo(-1, 2, None, None, cloexec=False)


def test_maps_are_the_mappings_of_files() -> None:
    assert maps.parse(MAPS, "x") == [
        maps.Mapping(0x55D000, "r-xp", os.makedev(0xFE, 2), 26723, "/usr/bin/a b\nc"),
        maps.Mapping(0x7F0000, "rw-s", os.makedev(0, 1), 5, "/memfd:x (deleted)"),
    ]


def test_mountinfo_undoes_the_escapes() -> None:
    first, second = mountinfo.parse(MOUNTINFO, "x")
    assert first == mountinfo.Mount(
        36, os.makedev(98, 1), "/root x", "/mnt/y\\z", "ext3", "rw,e=c", "rw,noatime", 1, 2
    )
    assert (second.root, second.fstype) == ("net:[4026532178]", "nsfs")


def test_a_namespace_link_is_told_from_names_that_look_like_one() -> None:
    assert nslink.parse("net:[4026532178]") == nslink.NamespaceLink("net", 4026532178)
    for other in (
        "pipe:[12]",
        "/net:[12]",
        "net:[12]\n",
        "net:[]",
        "net:[12]x",
        "net:[99999999999]",
    ):
        assert nslink.parse(other) is None
    assert nslink.parse(nslink.text(nslink.NamespaceLink("pid", 1))) == ("pid", 1)


def test_facts_round_trip() -> None:
    known = facts.Facts("6.1", "aarch64", "a b", "id", "2026-01-01T00:00:00Z", 250, 5, 42)
    assert facts.parse(facts.text(known).encode(), "x") == known
    assert facts.parse(b"format 1\nunheard of\n", "x") == facts.Facts()
    assert known.nanoseconds(3) == 12_000_000


@pytest.mark.parametrize(
    ("parse", "data", "line"),
    [
        (stat.parse, STAT[:40], 1),
        (stat.parse, b"", 1),
        (stat.parse, b"7 (a\nb) S 1\n", 2),
        (stat.parse, STAT.replace(b"395922", b"3959x2"), 1),
        (stat.parse, STAT.replace(b"395922", b"9" * 30), 1),
        (stat.parse, STAT.replace(b"395922", b"9" * 5000), 1),
        (status.parse, STATUS[:25], 3),
        (status.parse, STATUS.replace(b"PPid:\t1", b"PPid:\tx"), 3),
        (status.parse, b"", 1),
        (cgroup.parse, b"1:cpu:/\nnonsense\n", 2),
        (fdinfo.parse, b"pos:\t0\n", 1),
        (fdinfo.parse, FDINFO.replace(b"58", b"x"), 4),
        (fdinfo.parse, FDINFO.replace(b"12", b"9" * 40), 4),
        (fdinfo.parse, FDINFO.replace(b"58", b"9999999999"), 4),
        (stat.parse, STAT.replace(b") S ", b") \xff "), 1),
        (stat.parse, STAT.replace(b") S ", b") SS "), 1),
        (status.parse, STATUS.replace(b"PPid:\t1", b"PPid:\t4294967296"), 3),
        (maps.parse, MAPS.replace(b"r-xp", b"r-x\xff"), 1),
        (fdinfo.parse, b"\x00" * 40, 1),
        (maps.parse, MAPS + b"55d000-55e000 r-xp 0000\n", 4),
        (maps.parse, MAPS.replace(b"fe:02", b"zz:02"), 1),
        (maps.parse, MAPS.replace(b"fe:02", b"fffffffff:02"), 1),
        (mountinfo.parse, MOUNTINFO + b"36 35 98:1 / / rw ext3\n", 3),
        (mountinfo.parse, MOUNTINFO[:60], 1),
        (mountinfo.parse, MOUNTINFO.replace(b"98:1", b"4294967295:1", 1), 1),
        (facts.parse, b"format 2\n", 1),
        (facts.parse, b"format 1\nclk_tck 0\n", 2),
        (facts.parse, b"format 1\nclk_tck " + b"9" * 40 + b"\n", 2),
        (identity.parse, b"FILES 1 2\nFILE 1\n", 2),
        (facts.parse, b"format 1\nclk_tck 1\n", 2),
        (identity.parse, b"SOCKS 1 2\n", 1),
        (identity.parse, b"FILES 1 error 4294967296\n", 1),
        (identity.parse, b"FILES 1 error 100000000000000000000\n", 1),
        (refusals.parse, b"4096 open 1/fd\n", 1),
        (refusals.parse, b"13 open 1/fd\nx open 1/fd\n", 2),
        (refusals.parse, b"13 open\n", 1),
    ],
)
def test_malformed_text_is_one_line_with_file_and_line(
    parse: Callable[[bytes, str], object], data: bytes, line: int
) -> None:
    with pytest.raises(BadInputError) as caught:
        parse(data, "DUMP/7/stat")
    assert str(caught.value).startswith(f"DUMP/7/stat: line {line}: ")
    assert "\n" not in str(caught.value)


PARSERS = (
    cgroup.parse, facts.parse, fdinfo.parse, identity.parse, maps.parse, mountinfo.parse,
    refusals.parse, stat.parse, status.parse,
)  # fmt: skip
SAMPLES = (STAT, STATUS, FDINFO, MAPS, MOUNTINFO, b"format 1\nclk_tck 100\n", b"FILE 1 2 3\n")


@given(st.sampled_from(PARSERS), st.sampled_from(SAMPLES), st.data())
def test_no_damage_is_worse_than_bad_input(
    parse: Callable[[bytes, str], object], sample: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(sample)))
    end = data.draw(st.integers(at, len(sample)))
    damaged = sample[:at] + data.draw(st.binary(max_size=40)) + sample[end:]
    try:
        parse(damaged, "x")
    except BadInputError as error:
        assert "x: line" in str(error)  # noqa: PT017 -- it may also succeed


@given(st.binary())
def test_unescape_undoes_what_the_kernel_escapes(name: bytes) -> None:
    special = {9, 10, 32, 92}
    escaped = b"".join(b"\\%03o" % c if c in special else bytes([c]) for c in name)
    assert unescape(escaped) == name


def test_identities_are_told_as_they_were_asked() -> None:
    told = identity.parse(b"FILE 1 0 7\nFILE 2 0 7\nFILE 3 0 8\nFILE 4 0 error 1\n", "x")
    members = [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0)]
    got = told.classes(What.FILE, members)
    assert got.number == [0, 0, 1, 2, 3]
    assert got.failed == {3: 1, 4: 61}
    assert told.classes(What.FILE, members[:1] + members[1:], 1).number == [0, 0, -1, -1, -1]


def test_gaps_are_grouped_by_what_happened() -> None:
    log = GapLog()
    refused = refusal("open files", "opendir", PermissionError(13, "no"), "unknown")
    for pid in (5, 5, 6, 7, 8, 9, 10):
        log.add(refused, pid)
    log.add(refusal("mappings", "read", 1, "unknown"), 5)
    assert log.touches({7})
    assert not log.touches({11})
    assert not GapLog().touches({7})
    table = log.table()
    assert [table.value("where", row) for row in range(len(table))] == [
        "6 processes (pid 5, 6, 7, 8, 9, ...): open files",
        "pid 5: mappings",
    ]
    assert table["errno"].tolist() == [13, 1]
    log.add(Failure("the dump", "read", None, "cut"))
    assert log.touches({11})
