"""What holds open files beside descriptors: system calls, sockets' messages, io_urings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from analyzer.procfs import calls, in_use, keeping
from analyzer.procfs.fs import MemoryFs
from analyzer.procfs.gaps import GapLog
from analyzer.procfs.keeping import RING, Kept
from analyzer.procfs.tasks import read as read_tasks
from tests.unit.test_relations_shown import shown

if TYPE_CHECKING:
    from pathlib import Path

HEAD = b"pos:\t0\nflags:\t02000002\nmnt_id:\t10\nino:\t77\n"


def call(number: object, stack: int = 0x7FFE00000000) -> bytes:
    return f"{number} 0x3 0x1 0x0 0x0 0x0 0x0 {stack:#x} 0x7f0000000000\n".encode()


@pytest.mark.parametrize(
    ("data", "alone", "shared"),
    [
        (call(0), False, True),  # read
        (call(7), True, True),  # poll
        (call(202), False, False),  # futex
        (call(219), True, True),  # restart_syscall: of poll, perhaps
        (b"-1 0x7ffe00000000 0x7f0000000000\n", False, False),  # a page fault
        (call(7, stack=0xFFFFD000), None, None),  # waitpid of i386
        (call(0, stack=0), None, None),  # a worker of an io_uring
        (b"running\n", None, None),
        (b"", None, None),
        (b"x y z\n", None, None),
    ],
)
def test_a_call_holds_files(data: bytes, alone: bool | None, shared: bool | None) -> None:  # noqa: FBT001
    assert calls.holds(data, "x86_64", shared=False) is alone
    assert calls.holds(data, "x86_64", shared=True) is shared


def test_calls_have_numbers_of_their_machine() -> None:
    assert calls.holds(call(73), "aarch64", shared=False) is True  # ppoll
    assert calls.holds(call(7), "aarch64", shared=False) is False
    assert calls.holds(call(7), "riscv64", shared=False) is None


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (b"scm_fds: 0\n", Kept()),
        (b"scm_fds: 12\n", Kept(in_flight=True)),
        (b"", Kept()),
    ],
)
def test_a_socket_says_whether_files_are_in_its_messages(more: bytes, expected: Kept) -> None:
    assert keeping.parse("socket:[77]", HEAD + more) == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (b"", Kept(paths=None)),  # it is in use
        (b"UserFiles:\t0\nUserBufs:\t0\nPollList:\nCqOverflowList:\n", Kept()),
        (
            (
                b"UserFiles:\t4\n    0: /a\\040b\n    1: <none>\n    2: pipe:[9]\nUserBufs:\t1\n"
                b"    0: 0x7f00/4096\nPollList:\n  op=6, task_works=0\n"
            ),
            Kept(paths=("/a b", "pipe:[9]"), waiting=True),
        ),
        (b"UserFiles:\t1\n    0: name\nUserBufs:\t0\n", Kept(paths=None)),  # of an older kernel
    ],
)
def test_an_io_uring_says_what_is_registered(more: bytes, expected: Kept) -> None:
    assert keeping.parse(RING, HEAD + more) == expected


def test_what_is_open_as_a_path_keeps_nothing() -> None:
    data = HEAD.replace(b"02000002", b"012000000")
    assert keeping.parse(RING, data) == Kept()


def test_who_uses_a_table_is_counted_and_who_may_is_not_known(tmp_path: Path) -> None:
    stat = " ".join(["S", "1", *["0"] * 17, "5", *["0"] * 30])
    entries: dict[str, bytes | str] = {
        f"{pid}/stat": f"{pid} (x) {stat}\n".encode() for pid in (7, 8, 9)
    }
    entries |= {"7/syscall": call(7), "8/syscall": call(0)}
    fs = MemoryFs(entries, tmp_path)
    groups = [[task] for task in read_tasks(fs, GapLog())]
    seen = shown()
    told = in_use.of_tables(fs, "x86_64", groups, range(3), seen)
    assert told == {0: 1, 1: 0}
