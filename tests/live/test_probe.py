"""Why the kernel's memory cannot be read: each reason made for real, in a child of the test."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

from analyzer.core import syscall
from analyzer.memory import fields as layout
from analyzer.memory import probe
from analyzer.memory.bpf import LoadError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.live

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_CLONE_NEWUSER = 0x10000000


def code_in_child(prepare: Callable[[], None]) -> str:
    """Probe in a child that first does `prepare`; return the code of what it says."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            prepare()
            os.write(write, probe.probe().code.encode())
        except BaseException as error:  # noqa: BLE001 - we are a forked child of pytest
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    said = os.read(read, 1000).decode()
    os.close(read)
    return said


def become_nobody() -> None:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)


def refuse_bpf(error: int) -> None:
    """Install a seccomp filter (seccomp(2)) that makes bpf(2) fail with `error`."""
    filters = b"".join(
        struct.pack("<HBBI", *instruction)
        for instruction in (
            (0x20, 0, 0, 0),  # load the system call's number
            (0x15, 0, 1, syscall.number("bpf")),  # is it bpf?
            (0x06, 0, 0, 0x00050000 | error),  # SECCOMP_RET_ERRNO
            (0x06, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
        )
    )
    code = ctypes.create_string_buffer(filters)
    program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", 4, ctypes.addressof(code)))
    syscall.call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    where = ctypes.c_void_p(ctypes.addressof(program))
    syscall.call("prctl", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, where, 0, 0)


def new_user_namespace() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "unshare")


@pytest.mark.bpf
def test_it_works_here() -> None:
    assert code_in_child(lambda: None) == "ok"


@pytest.mark.needs("root")
def test_without_capabilities_they_are_named() -> None:
    assert code_in_child(become_nobody) == "capability"


@pytest.mark.bpf
def test_a_user_namespace_is_told_from_a_lack_of_capabilities() -> None:
    assert code_in_child(new_user_namespace) == "user-namespace"


@pytest.mark.bpf
@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS])
def test_a_seccomp_filter_is_recognised(error: int) -> None:
    assert code_in_child(lambda: refuse_bpf(error)) == "seccomp"


def test_a_kernel_without_btf_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(layout, "VMLINUX", tmp_path / "vmlinux")
    said = probe.probe()
    assert (said.ok, said.code) == (False, "btf")
    assert "CONFIG_DEBUG_INFO_BTF" in str(said)


def test_damaged_btf_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_bytes(b"not BTF at all, for sure, no, really not")
    monkeypatch.setattr(layout, "VMLINUX", tmp_path / "vmlinux")
    monkeypatch.setattr(layout, "build_id", lambda: "")
    assert probe.probe().code == "btf"


@pytest.mark.bpf
def test_an_old_kernel_is_told() -> None:
    said = probe.explain(LoadError("bpf(BPF_PROG_TEST_RUN)", 524))
    assert said.code == "kernel"
    assert "5.10" in str(said)


@pytest.mark.bpf
def test_the_verifier_is_quoted_when_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    from analyzer.memory import bpf, programs

    endless = programs._insn(0x05, off=-1)  # a jump to itself
    monkeypatch.setattr(programs, "gather", lambda *_, **__: endless)
    with pytest.raises(LoadError, match=r"verifier says.*(infinite loop|back-edge)"):
        bpf.Engine()


@pytest.mark.bpf
@pytest.mark.parametrize("known", [True, False])
def test_all_is_read_whether_or_not_a_loop_may_be_long(
    monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    """Kernels from before 6.9 do not know the instruction; the first and last of many are here."""
    from analyzer.memory import bpf, programs

    if not known:
        monkeypatch.setattr(programs, "_MAY_GOTO", 0xF5)  # no kernel's
    stack = layout.running_kernel().field("task_struct", "stack")  # which stays as it is
    assert stack is not None
    with bpf.Engine() as engine:
        addresses = np.full(1000, engine.current_task() + stack.offset, np.uint64)
        addresses[1:-1:2] = 8, 1 << 63, (1 << 64) - 8, int(addresses[0]) + 1, *[0] * 495
        data, ok = engine.read(addresses, 8)
    assert ok.tolist() == [at % 2 == 0 or at == len(addresses) - 1 for at in range(len(addresses))]
    assert not data[~ok].any()
    assert (data[ok] == data[0]).all()
