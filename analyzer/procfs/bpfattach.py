"""BPF programs that are attached to cgroups without a link (BPF_PROG_ATTACH), by BPF_PROG_QUERY.

They go with the group, and do not keep it; it is the group that keeps them. See bpf(2) and
kernel/bpf/cgroup.c.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from functools import cache
from typing import Final

from analyzer.core import syscall
from analyzer.core.errors import NotPermittedError
from analyzer.core.values import NamedTuple
from analyzer.procfs import cgroupfs

_ATTR: Final = 128
_QUERY: Final = 16  # BPF_PROG_QUERY
_MOST_PROGRAMS: Final = 64
_MOST_GROUPS: Final = 2_000
# Those of enum bpf_attach_type that are of cgroups, as bpftool calls them: what others take for a
# group is no group.
_TYPES: Final = {
    0: "cgroup_inet_ingress", 1: "cgroup_inet_egress", 2: "cgroup_inet_sock_create",
    3: "cgroup_sock_ops", 6: "cgroup_device", 8: "cgroup_inet4_bind", 9: "cgroup_inet6_bind",
    10: "cgroup_inet4_connect", 11: "cgroup_inet6_connect", 12: "cgroup_inet4_post_bind",
    13: "cgroup_inet6_post_bind", 14: "cgroup_udp4_sendmsg", 15: "cgroup_udp6_sendmsg",
    18: "cgroup_sysctl", 19: "cgroup_udp4_recvmsg", 20: "cgroup_udp6_recvmsg",
    21: "cgroup_getsockopt", 22: "cgroup_setsockopt", 29: "cgroup_inet4_getpeername",
    30: "cgroup_inet6_getpeername", 31: "cgroup_inet4_getsockname",
    32: "cgroup_inet6_getsockname", 34: "cgroup_inet_sock_release", 43: "lsm_cgroup",
    49: "cgroup_unix_connect", 50: "cgroup_unix_sendmsg", 51: "cgroup_unix_recvmsg",
    52: "cgroup_unix_getpeername", 53: "cgroup_unix_getsockname",
}  # fmt: skip


class Attached(NamedTuple):
    """A program that is attached to a group (its folder), and as what, in bpftool's words."""

    program: int
    folder: str
    how: str


def call(command: int, data: bytes) -> tuple[int, bytes]:
    """Call bpf(2); return what it returns, and the attributes as it leaves them."""
    buffer = ctypes.create_string_buffer(data.ljust(_ATTR, b"\0"), _ATTR)
    got = syscall.call("bpf", command, ctypes.c_void_p(ctypes.addressof(buffer)), _ATTR)
    return got, buffer.raw


def attached(folder: str) -> tuple[Attached, ...] | None:
    """Return the programs that are attached to a group of cgroup2, None where we may not ask."""
    ids, found = (ctypes.c_uint32 * _MOST_PROGRAMS)(), []
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        for kind, how in _TYPES.items():
            asked = struct.pack("=IIIIQI", fd, kind, 0, 0, ctypes.addressof(ids), _MOST_PROGRAMS)
            try:
                _, said = call(_QUERY, asked)
            except NotPermittedError:
                return None
            except OSError as error:
                if error.errno in {errno.EPERM, errno.EACCES}:
                    return None
                continue  # of a type that this kernel does not have
            count = min(struct.unpack_from("=I", said, 24)[0], _MOST_PROGRAMS)
            found += [Attached(program, folder, how) for program in ids[:count]]
    finally:
        os.close(fd)
    return tuple(found)


@cache
def everywhere() -> dict[int, tuple[Attached, ...]]:
    """Return what is attached to any group, by program; what may not be asked for is not there."""
    found: dict[int, tuple[Attached, ...]] = {}
    for folder in cgroupfs.folders(_MOST_GROUPS):
        told = attached(folder)
        if told is None:
            break
        for one in told:
            found[one.program] = (*found.get(one.program, ()), one)
    return found
