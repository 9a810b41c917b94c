"""What this host lets us see, why not, and what to do: `cranalyze doctor`.

Each capability is tried, not guessed from privileges, wherever trying leaves nothing behind.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from analyzer.core import program, syscall
from analyzer.core.errors import NotPermittedError
from analyzer.core.values import dataclass
from analyzer.memory import capability
from analyzer.memory.features import missing
from analyzer.memory.fields import BtfError, running_kernel
from analyzer.memory.probe import probe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_KCMP_FILE: Final = 0  # include/uapi/linux/kcmp.h
_INITIAL_PID_NS: Final = "pid:[4026531836]"  # PROC_PID_INIT_INO, include/uapi/linux/nsfs.h
_INITIAL_USER_NS: Final = "user:[4026531837]"
_WANTED: Final = ("CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH")


@dataclass(frozen=True)
class Capability:
    """One thing that the host lets us do or not: what it gives, why not, what would help."""

    name: str
    gives: str
    ok: bool
    reason: str = ""
    remedy: str = ""


def capabilities() -> tuple[Capability, ...]:
    """Try everything that the sources use, most important first."""
    return (*(look() for look in _LOOKS), *_features())


def _features() -> Iterator[Capability]:
    """Yield what this kernel's structures cannot tell, if its memory can be read at all."""
    try:
        layout = running_kernel()
        lacking = missing(layout)
    except (OSError, BtfError):
        return
    layout.save()
    for one in lacking:
        yield Capability(
            one.name,
            one.effect,
            ok=False,
            reason="this kernel does not tell",
            remedy=f"it needs {one.needs}",
        )


def _kernel_memory() -> Capability:
    found = probe()
    return Capability(
        "kernel-memory",
        "refcounts, every holder, proof (the kernel source)",
        found.ok,
        found.reason,
        found.remedy,
    )


def _privileges() -> Capability:
    lacking = capability.missing(_WANTED)
    if not lacking and not _may_trace():
        lacking = ("CAP_SYS_PTRACE",)  # CAP_SYS_ADMIN does not stand in for this one
    return Capability(
        "privileges",
        "what the kernel source and other users' processes need",
        not lacking,
        f"missing: {', '.join(lacking)}" if lacking else "",
        f"{program.remedy()}, or give cranalyze these capabilities" if lacking else "",
    )


def _kcmp() -> Capability:
    pid, reason, remedy = os.getpid(), "", ""
    try:
        syscall.call("kcmp", pid, pid, _KCMP_FILE, 0, 0)
    except NotPermittedError as error:
        reason, remedy = str(error), "nothing: /proc alone cannot tell files apart here"
    except OSError as error:
        reason = f"kcmp(2): {error.strerror}"
        remedy = "a kernel with CONFIG_KCMP, and a seccomp profile that allows kcmp"
    return Capability(
        "kcmp",
        "telling shared files from equal ones (the /proc source)",
        not reason,
        reason,
        remedy,
    )


def _others() -> Capability:
    name, gives = "other-users", "holders in processes of other users"
    try:
        pids = [name for name in os.listdir("/proc") if name.isdecimal()]
    except OSError as error:
        pids = []
        reason = f"cannot list /proc: {error.strerror}"
    else:
        reason = "/proc lists no process"
    if not pids:
        remedy = "mount -t proc proc /proc"
        return Capability(name, gives, ok=False, reason=reason, remedy=remedy)
    refused = sum(_refuses(f"/proc/{pid}/ns/net") for pid in pids)
    remedy = f"{program.remedy()}, or with CAP_SYS_PTRACE"
    if _may_trace():
        remedy = "they have capabilities that cranalyze lacks, or a security module refuses"
    return Capability(
        name,
        gives,
        not refused,
        f"{refused} of {len(pids)} processes: {os.strerror(errno.EACCES)}" if refused else "",
        remedy if refused else "",
    )


def _refuses(link: str) -> bool:
    try:
        os.readlink(link)
    except PermissionError:
        return True
    except OSError:  # it ended, or is a kernel thread
        return False
    return False


def _may_trace() -> bool:
    return bool(capability.effective() >> capability.NUMBERS["CAP_SYS_PTRACE"] & 1)


def _ptrace_scope() -> Capability:
    scope = _first_line("/proc/sys/kernel/yama/ptrace_scope")
    # Yama looks at attaching only (its scopes 1 to 3); reading by PTRACE_MODE_READ it lets pass.
    strict = scope == "3" or (scope in {"1", "2"} and not _may_trace())
    return Capability(
        "ptrace",
        "stopping the subtree while it is read",
        not strict,
        f"Yama's ptrace_scope is {scope}" if strict else "",
        "nothing until the next boot" if scope == "3" else program.remedy() if strict else "",
    )


def _proc_mount() -> Capability:
    hide = _hidepid()
    hidden = hide not in {"", "0", "off"} and not _may_trace()
    return Capability(
        "proc",
        "seeing that other users' processes exist",
        not hidden,
        f"/proc is mounted with hidepid={hide}" if hidden else "",
        f"{program.remedy()}, or join the group of its gid= option" if hidden else "",
    )


def _host_namespaces() -> Capability:
    places = (("pid", _INITIAL_PID_NS), ("user", _INITIAL_USER_NS))
    foreign = [name for name, initial in places if _link(f"/proc/self/ns/{name}") != initial]
    return Capability(
        "host",
        "the whole machine, not one container's part of it",
        not foreign,
        f"this is not the host's {' and '.join(foreign)} namespace" if foreign else "",
        "run cranalyze on the host (docker: --pid=host)" if foreign else "",
    )


def _hidepid() -> str:
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            lines = [line.split() for line in file]
    except OSError:
        return ""
    # proc_pid_mountinfo(5): field 5 is the mount point; the last one has the superblock's options.
    options = next((line[-1] for line in reversed(lines) if line[4] == b"/proc"), b"")
    found = [part[8:] for part in options.split(b",") if part.startswith(b"hidepid=")]
    return os.fsdecode(found[0]) if found else ""


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


_LOOKS: Final[tuple[Callable[[], Capability], ...]] = (
    _kernel_memory,
    _privileges,
    _others,
    _kcmp,
    _ptrace_scope,
    _proc_mount,
    _host_namespaces,
)
