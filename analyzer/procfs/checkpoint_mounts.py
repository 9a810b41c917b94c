"""Mounts in images of CRIU (images/mnt.proto), as /proc/PID/mountinfo shows them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from analyzer.procfs.protobuf import content, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from analyzer.procfs.protobuf import Fields

# enum fstype of images/mnt.proto; those that are 0 or 16 have their name beside it.
_TYPES: Final = {
    1: b"proc", 2: b"sysfs", 3: b"devtmpfs", 4: b"binfmt_misc", 5: b"tmpfs", 6: b"devpts",
    7: b"simfs", 8: b"pstore", 9: b"securityfs", 10: b"fusectl", 11: b"debugfs", 12: b"cgroup",
    13: b"aufs", 14: b"mqueue", 15: b"fuse", 17: b"overlay", 18: b"autofs", 19: b"tracefs",
    20: b"rpc_pipefs", 21: b"nfs", 22: b"nfs4", 23: b"cgroup2",
}  # fmt: skip
# MS_*, include/uapi/linux/mount.h, as show_mnt_opts() of fs/proc_namespace.c has them.
_RDONLY: Final = 1
_OPTIONS: Final = {
    1 << 1: b"nosuid", 1 << 2: b"nodev", 1 << 3: b"noexec", 1 << 10: b"noatime",
    1 << 11: b"nodiratime", 1 << 21: b"relatime", 1 << 8: b"nosymfollow",
}  # fmt: skip
_ESCAPED: Final = re.compile(rb"[ \t\n\\#]")
_SB_FLAGS: Final = 17  # of a mnt_entry; older ones have these in its flags
_MINORS: Final = 20  # bits of a dev_t in the kernel, include/linux/kdev_t.h


def mountinfo(mounts: Iterable[Fields]) -> bytes:
    """Return what mountinfo would show of the messages of an image."""
    return b"".join(map(_line, mounts))


def external(mounts: Iterable[Fields]) -> Iterator[str]:
    """Yield the mount points that whoever restores them has to bring, or to which others mount."""
    told = list(mounts)
    groups = {number(one, 10) for one in told}
    for one in told:
        follows = number(one, 11) and number(one, 11) not in groups
        if number(one, 13) or content(one, 18) or follows:  # ext_mount, ext_key, master_id
            yield content(one, 7).decode("utf-8", "surrogateescape")


def _line(one: Fields) -> bytes:
    device, flags = number(one, 3), number(one, 5)
    filesystem = number(one, _SB_FLAGS) if _SB_FLAGS in one else flags & _RDONLY
    tags = ((b"shared", number(one, 10)), (b"master", number(one, 11)))
    own = [_mode(flags), *(word for bit, word in _OPTIONS.items() if flags & bit)]
    super_options = [_mode(filesystem), *filter(None, [content(one, 9)])]
    return b" ".join([
        b"%d %d %d:%d" % (number(one, 2), number(one, 4), device >> _MINORS,
                          device & (1 << _MINORS) - 1),
        _escaped(content(one, 6)) or b"/", _escaped(content(one, 7)) or b"/", b",".join(own),
        *(b"%s:%d" % (word, group) for word, group in tags if group), b"-",
        _escaped(content(one, 14) or _TYPES.get(number(one, 1), b"unknown")),
        _escaped(content(one, 8)) or b"none", _escaped(b",".join(super_options)),
    ]) + b"\n"  # fmt: skip


def _mode(flags: int) -> bytes:
    return b"ro" if flags & _RDONLY else b"rw"


def _escaped(name: bytes) -> bytes:
    return _ESCAPED.sub(lambda match: b"\\%03o" % match[0][0], name)
