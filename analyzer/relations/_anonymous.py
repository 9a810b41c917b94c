"""Open files that are of no place: what they are by the name that the kernel gave them.

All of them lie in the kernel's own filesystem of anonymous inodes (fs/anon_inodes.c), in which
nobody else can make a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.memory.distinct import member, unique
from analyzer.relations._files import files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.kinds.base import U64
    from analyzer.relations.base import World

PERF: Final = b"[perf_event]"
SECCOMP: Final = b"seccomp notify"
USERFAULTFD: Final = b"[userfaultfd]"
IO_URING: Final = b"[io_uring]"
BPF_MAP: Final = b"bpf-map"
BPF_PROG: Final = b"bpf-prog"
BPF_LINK: Final = b"bpf_link"

_MAGIC: Final = 0x09041934  # ANON_INODE_FS_MAGIC, include/uapi/linux/magic.h
_LONGEST: Final = 16


def anonymous(world: World) -> Mapping[bytes, U64]:
    """Return the addresses of anonymous open files by the first bytes of their name."""
    found = world.once(files)
    at = np.flatnonzero(found.good & member(found.inode, on(world, _MAGIC)))
    read = world.memory.gather(found.dentry[at], "dentry", {"name": "d_name.name"})
    address = np.where(read.ok, read["name"], np.uint64(0))
    data, good = world.memory.engine.read(address, _LONGEST)
    names = np.array([row.tobytes().split(b"\0", 1)[0] for row in data], object)
    return {name: found.address[at[good & (names == name)]] for name in set(names[good])}


def on(world: World, magic: int) -> U64:
    """Return the inodes of open files that are on a filesystem of a type, sorted."""
    inodes, blocks = world.once(_superblocks)
    known = unique(blocks)
    read = world.memory.gather(known, "super_block", {"magic": "s_magic"})
    return inodes[member(blocks, known[read.ok & (read["magic"] == magic)])]


def _superblocks(world: World) -> tuple[U64, U64]:
    found = world.once(files)
    inodes = unique(found.inode[found.good])
    read = world.memory.gather(inodes, "inode", {"sb": "i_sb"})
    return inodes[read.ok], read["sb"][read.ok]


def data_of(world: World, addresses: U64) -> U64:
    """Return what each file's `private_data` points to, 0 where it could not be read."""
    read = world.memory.gather(addresses, "file", {"data": "private_data"})
    return np.where(read.ok, read["data"], np.uint64(0))
