"""Open files that are of no place: what they are by the name that the kernel gave them.

All of them lie in the kernel's own filesystem of anonymous inodes (fs/anon_inodes.c), in which
nobody else can make a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.kinds._recognise import of_one
from analyzer.memory.distinct import find, groups, member, unique
from analyzer.relations._files import files, mounted

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Memory
    from analyzer.relations.base import Words, World

    Rows = npt.NDArray[np.intp]

PERF: Final = b"[perf_event]"
SECCOMP: Final = b"seccomp notify"
USERFAULTFD: Final = b"[userfaultfd]"
IO_URING: Final = b"[io_uring]"
BPF_MAP: Final = b"bpf-map"
WATCHERS: Final = (b"inotify", b"[fanotify]")
BPF_PROG: Final = b"bpf-prog"
BPF_LINK: Final = b"bpf_link"
EVENTFD: Final = b"[eventfd]"
KVM_VM: Final = b"kvm-vm"

_MAGIC: Final = 0x09041934  # ANON_INODE_FS_MAGIC, include/uapi/linux/magic.h
_LONGEST: Final = 16
_ASKED: Final = 4


def anonymous(world: World) -> Mapping[bytes, U64]:
    """Return the addresses of anonymous open files by the first bytes of their name."""
    found = world.once(files)
    rows = groups(found.ops, world.once(unnamed))
    # What has one `f_op` has one name: a few of each are asked, some may be closed by now.
    asked = np.concatenate([np.empty(0, np.intp), *(at[:_ASKED] for at in rows.values())])
    names, good = _names(world.memory, found.dentry[asked])
    told = {name: found.ops[asked[good & (names == name)]] for name in set(names[good])}
    return {name: found.address[of_one(rows, set(ops.tolist()))] for name, ops in told.items()}


def unnamed(world: World) -> Rows:
    """Return the rows of the anonymous open files (`world.once(unnamed)`)."""
    return np.flatnonzero(on(world, _MAGIC))


def _names(memory: Memory, dentries: U64) -> tuple[Words, Mask]:
    read = memory.gather(dentries, "dentry", {"name": "d_name.name"})
    data, good = memory.read(np.where(read.ok, read["name"], np.uint64(0)), _LONGEST)
    return np.array([row.tobytes().split(b"\0", 1)[0] for row in data], object), good


def on(world: World, magic: int) -> Mask:
    """Tell which open files are on a filesystem of a type."""
    found = world.once(files)
    mounts = world.once(_types).get(magic, found.mount[:0])
    result: Mask = found.good & member(found.mount, mounts)
    return result


def _types(world: World) -> Mapping[int, U64]:
    """Return the mounts that open files are on by the number of their filesystem's type."""
    mounts = world.once(mounted)
    read = world.memory.gather(mounts, "mount", {"superblock": "mnt.mnt_sb"})
    block = world.memory.gather(read["superblock"], "super_block", {"magic": "s_magic"})
    magic = np.where(block.ok, block["magic"], 0)
    return {int(one): mounts[magic == one] for one in unique(magic)}


def data_of(world: World, addresses: U64) -> U64:
    """Return what each open file's `private_data` points to, 0 where it could not be read."""
    found = world.once(files)
    row, known = find(found.address, addresses)
    data = np.where(known & found.good[row], found.data[row], np.uint64(0))
    result: U64 = data
    return result
