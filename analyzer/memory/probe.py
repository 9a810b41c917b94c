"""Find out whether the kernel's memory can be read here, and if not why, and what would help.

Told apart: no BTF, no capability, a user namespace (capabilities count in the initial one only), a
seccomp filter, lockdown, an old kernel, an architecture without syscall numbers.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from analyzer.core import program
from analyzer.core.errors import NotPermittedError
from analyzer.core.values import dataclass
from analyzer.memory import capability
from analyzer.memory import fields as layouts
from analyzer.memory.bpf import Engine, LoadError
from analyzer.memory.fields import BtfError, running_kernel
from analyzer.memory.reader import Memory, MissingFieldError

_LOCKDOWN: Final = "/sys/kernel/security/lockdown"
_INITIAL_USER_NS: Final = "user:[4026531837]"  # PROC_USER_INIT_INO, include/uapi/linux/nsfs.h
_ENOTSUPP: Final = 524  # include/linux/errno.h; leaks to user space from old kernels' bpf(2)


@dataclass(frozen=True)
class Probe:
    """Whether the kernel source works here; `code` names the reason for programs."""

    ok: bool
    code: str = "ok"
    reason: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        """Say it in one line."""
        return "the kernel's memory can be read" if self.ok else f"{self.reason}; {self.remedy}"


class KernelSourceError(NotPermittedError):
    """The kernel source cannot be used here; `probe` says why."""

    def __init__(self, probe: Probe) -> None:
        """Say why, in one line."""
        super().__init__(f"cannot read the kernel's memory: {probe}")
        self.probe = probe


def open_memory() -> Memory:
    """Load the programs and return the kernel's memory. Raise KernelSourceError with the reason."""
    try:
        layout = running_kernel()
        # Ask for one field, so that damaged BTF is found here.
        if layout.field("task_struct", "tasks") is None:
            raise KernelSourceError(_unknown_types("its BTF does not describe task_struct"))
    except FileNotFoundError:
        raise KernelSourceError(_no_btf()) from None
    except (OSError, BtfError) as error:
        raise KernelSourceError(
            _unknown_types(f"cannot read {layouts.VMLINUX}: {error}")
        ) from error
    try:
        return Memory(Engine(), layout)
    except LoadError as error:
        raise KernelSourceError(explain(error)) from error
    except MissingFieldError as error:
        raise KernelSourceError(_unknown_types(str(error))) from error
    except NotPermittedError as error:  # an architecture without numbers
        remedy = "use --source procfs"
        raise KernelSourceError(
            Probe(ok=False, code="architecture", reason=str(error), remedy=remedy)
        ) from error


def probe() -> Probe:
    """Try it: load the programs, and unload them again."""
    try:
        open_memory().close()
    except KernelSourceError as error:
        return error.probe
    return Probe(ok=True)


def explain(error: LoadError) -> Probe:
    """Find out why bpf(2) refused."""
    if error.errno == errno.ENOSYS:
        return _no_bpf()
    if error.errno in (errno.EPERM, errno.EACCES):
        return _forbidden(error)
    if error.errno in (_ENOTSUPP, errno.EOPNOTSUPP):
        return _old_kernel(error)
    missing = capability.missing(("CAP_BPF", "CAP_PERFMON"))
    if missing:
        return _lacks(missing)
    if _lockdown() == "confidentiality":
        return Probe(
            ok=False,
            code="lockdown",
            reason="the kernel is locked down (confidentiality): BPF may not read its memory",
            remedy="boot with lockdown=integrity or less, or use --source procfs",
        )
    return _old_kernel(error)


def _forbidden(error: LoadError) -> Probe:
    missing = capability.missing(("CAP_BPF", "CAP_PERFMON"))
    if missing:
        return _lacks(missing)
    if _user_namespace() not in ("", _INITIAL_USER_NS):
        return Probe(
            ok=False,
            code="user-namespace",
            reason="this is a user namespace: its root has no BPF capabilities in the initial one",
            remedy="run cranalyze on the host, or use --source procfs",
        )
    if capability.seccomp_mode():
        return Probe(
            ok=False,
            code="seccomp",
            reason="a seccomp filter refuses bpf(2)",
            remedy="allow bpf in the container's seccomp profile (docker: --cap-add BPF,PERFMON)",
        )
    return Probe(
        ok=False,
        code="refused",
        reason=str(error),
        remedy="a security module may refuse bpf(2): see the kernel's log",
    )


def _lacks(missing: tuple[str, ...]) -> Probe:
    if _user_namespace() not in ("", _INITIAL_USER_NS):
        code, where = "user-namespace", "outside of this user namespace, "
    else:
        code, where = "capability", ""
    return Probe(
        ok=False,
        code=code,
        reason=f"{' and '.join(missing)} missing",
        remedy=f"{where}{program.remedy()}, or with CAP_BPF and CAP_PERFMON",
    )


def _no_btf() -> Probe:
    if not os.path.isdir("/sys/kernel"):
        return Probe(
            ok=False,
            code="sysfs",
            reason="/sys is not mounted",
            remedy="mount it: mount -t sysfs sysfs /sys",
        )
    return Probe(
        ok=False,
        code="btf",
        reason=f"there is no {layouts.VMLINUX}",
        remedy="it needs a kernel built with CONFIG_DEBUG_INFO_BTF=y, or use --source procfs",
    )


def _unknown_types(reason: str) -> Probe:
    return Probe(ok=False, code="btf", reason=reason, remedy="use --source procfs")


def _no_bpf() -> Probe:
    if capability.seccomp_mode():
        reason = "a seccomp filter hides bpf(2)"
        remedy = "allow bpf in the container's seccomp profile"
        return Probe(ok=False, code="seccomp", reason=reason, remedy=remedy)
    return Probe(
        ok=False,
        code="bpf",
        reason="this kernel has no bpf(2)",
        remedy="it needs CONFIG_BPF_SYSCALL=y, or use --source procfs",
    )


def _old_kernel(error: LoadError) -> Probe:
    return Probe(
        ok=False,
        code="kernel",
        reason=f"Linux {os.uname().release} refuses the programs ({error})",
        remedy="it needs Linux 5.10 or later, or use --source procfs",
    )


def _user_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/user")
    except OSError:
        return ""


def _lockdown() -> str:
    try:
        with open(_LOCKDOWN, encoding="ascii") as file:
            words = file.read().split()
    except OSError:
        return ""
    return next((word.strip("[]") for word in words if word.startswith("[")), "")
