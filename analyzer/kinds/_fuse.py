"""Open files of /dev/fuse: each is the door by which a daemon serves filesystems (fs/fuse/dev.c).

A connection (struct fuse_conn) has a list of what is mounted of it; it is kept by both sides, and
neither keeps the other: no reference is counted here. Who asks for the daemon's descriptor wants to
know what it serves.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.kinds.base import Association, Edges, FileType
from analyzer.memory.walk import rings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Memory

FUSE: Final = Association("fuse", "serves it", collects=False, leads=False)

_DEVICE: Final = (10 << 20) | 229  # Documentation/admin-guide/devices.txt, as the kernel's dev_t
_MAGIC: Final = 0x65735546  # FUSE_SUPER_MAGIC
_TYPE: Final = 0o170000  # S_IFMT
_FLAGS: Final = np.uint64(7)  # of private_data, before a connection is made


def _are_doors(memory: Memory, files: U64) -> Mask:
    read = memory.gather(files, "file", {"inode": "f_inode"})
    inode = memory.gather(read["inode"], "inode", {"mode": "i_mode", "device": "i_rdev"})
    is_device = inode["mode"].astype(np.int64) & _TYPE == stat.S_IFCHR
    mask: Mask = read.ok & inode.ok & is_device & (inode["device"] == _DEVICE)
    return mask


def _of_files(memory: Memory, files: U64) -> Iterator[Edges]:
    if not memory.has("fuse_mount", "fc_entry"):  # a module that is not loaded; before 5.10
        return
    own = memory.gather(files, "file", {"device": "private_data"})
    connection = _connections(memory, own["device"] & ~_FLAGS)
    at = np.flatnonzero(own.ok & (connection != 0))
    heads = connection[at] + np.uint64(memory.offset("fuse_conn", "mounts"))
    found = rings(memory, heads)
    mounts = found.value - np.uint64(memory.offset("fuse_mount", "fc_entry"))
    read = memory.gather(mounts, "fuse_mount", {"sb": "sb"})
    block = memory.gather(read["sb"], "super_block", {"magic": "s_magic"})
    good = np.flatnonzero(read.ok & block.ok & (block["magic"] == _MAGIC))
    holder = at[found.owner[good]]
    yield Edges(FUSE, "SUPERBLOCK", holder, read["sb"][good], weight=np.zeros(len(good), np.int64))


def _connections(memory: Memory, devices: U64) -> U64:
    """Return the connection of each struct fuse_dev, 0 where there is none (yet)."""
    if memory.has("fuse_dev", "fc"):
        read = memory.gather(devices, "fuse_dev", {"connection": "fc"})
    else:  # a channel is between them, as 7.2 has it
        channel = memory.gather(devices, "fuse_dev", {"channel": "chan"})["channel"]
        read = memory.gather(channel, "fuse_chan", {"connection": "conn"})
    return np.where(read.ok, read["connection"], np.uint64(0))


FILE_TYPE: Final = FileType("fuse", None, _of_files, (FUSE,), _are_doors)
