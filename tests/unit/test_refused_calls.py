"""What a kernel, a seccomp filter or a moment without memory refuses: said, or tried again."""

from __future__ import annotations

import ctypes
import errno
from typing import TYPE_CHECKING

import numpy as np
import pytest

from analyzer import sources
from analyzer.core import syscall
from analyzer.core.errors import NotPermittedError
from analyzer.memory import bpf, capability, programs
from analyzer.procfs import tasks
from analyzer.procfs.fs import ProcFs
from analyzer.procfs.gaps import GapLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def failing(*codes: int) -> Callable[..., int]:
    """Return a system call that fails with these, and then works."""
    left: Iterator[int] = iter(codes)

    def call(*_: object) -> int:
        code = next(left, 0)
        ctypes.set_errno(code)
        return -1 if code else 0

    return call


def program(*codes: int, monkeypatch: pytest.MonkeyPatch) -> bpf.Program:
    made = bpf.Program(-1)
    monkeypatch.setattr(made, "_call", failing(*codes))
    return made


def test_a_run_that_a_signal_or_want_of_memory_ends_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passing = (errno.EINTR, errno.EAGAIN, errno.ENOMEM)
    assert program(*passing, monkeypatch=monkeypatch).run(1, 2) == 0
    with pytest.raises(bpf.LoadError, match=r"BPF_PROG_TEST_RUN.*Cannot allocate") as caught:
        program(*[errno.ENOMEM] * 99, monkeypatch=monkeypatch).run()
    assert caught.value.errno == errno.ENOMEM
    with pytest.raises(bpf.LoadError, match="not permitted"):
        program(errno.EPERM, monkeypatch=monkeypatch).run()


@pytest.mark.parametrize("refused", ["capset", "prctl"])
def test_privileges_that_cannot_be_given_up_are_said(
    refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(name: str, *_: object) -> int:
        if name == refused:
            raise OSError(errno.EPERM, "Operation not permitted", name)
        return 0

    monkeypatch.setattr(syscall, "call", call)
    monkeypatch.setattr(capability, "_capabilities", lambda: (1, 1))
    assert sources._dropped(lambda: True) == f"{refused}: Operation not permitted"


def test_a_proc_without_processes_is_said(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(NotPermittedError, match="mount -t proc"):
            tasks.read(ProcFs(folder), GapLog())


def test_a_32_bit_program_has_other_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert syscall.number("bpf") == 321
    monkeypatch.setattr(ctypes, "sizeof", lambda _: 4)
    with pytest.raises(NotPermittedError, match="32-bit"):
        syscall.number("bpf")


def test_a_tag_in_the_top_byte_is_part_of_an_address_where_there_are_tags() -> None:
    addresses = np.array(
        [
            0xFFFF_8000_1234_5678,
            0xF4FF_8000_1234_5678,
            0x0000_7FFF_1234_5678,
            0xFFFF_FFFF_FFFF_FFF8,
        ],
        np.uint64,
    )
    assert programs.in_kernel_half(addresses, 0xFF << 56).tolist() == [True, True, False, False]
    if not programs._TAG:
        assert programs.plausible(addresses).tolist() == [True, False, False, False]
