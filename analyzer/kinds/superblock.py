"""SUPERBLOCK: struct super_block, a mounted filesystem.

It holds the user namespace that it was mounted in (fs/super.c, alloc_super()); a proc filesystem
the pid namespace that it shows (fs/proc/root.c, proc_fill_super()); one on a block device the file
by which it has the device open (`s_bdev_file`, since 6.9; it held the device itself before). The
internal filesystem of message queues does not hold its IPC namespace (ipc/mqueue.c). An autofs
holds the pipe through which it asks its daemon, though that may have closed its own end, and the
process group of the daemon (fs/autofs/inode.c, autofs_fill_super()). The initial namespaces are
left out: they are the host's whoever holds them.

All of them are in the kernel's list of superblocks, entered at one that cannot die: the root of the
initial mount namespace. Each is on the side of the mount namespaces that show it. Mounts that are
in none (of the kernel's own, detached ones) are not seen, so its count, `s_active`, is not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.kinds._initial import initial
from analyzer.kinds.base import Association, Edges, Finder, Judged, Kind, Pointer
from analyzer.kinds.pid import remains
from analyzer.memory.walk import rings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import I64, U64
    from analyzer.memory.reader import Memory
    from analyzer.memory.walk import Elements

SHOWN: Final = Association("superblock", "has it mounted")
DEVICE: Final = Association("superblock.bdev", "is on it", collects=False)
OWNER: Final = Association("superblock.user_ns", "was mounted in it", collects=False)
PIDS: Final = Association("superblock.pid_ns", "is a proc that shows it", collects=False)
ASKS: Final = Association("superblock.autofs", "asks its daemon through it", collects=False)
DAEMON: Final = Association("superblock.autofs.pgrp", "is an automount of it", collects=False)

_PROC_MAGIC: Final = 0x9FA0  # include/uapi/linux/magic.h
_AUTOFS_MAGIC: Final = 0x0187
_LONGEST: Final = 40  # names of types are shorter


def shown(memory: Memory, mounts: Elements) -> Edges:
    """Return the superblocks that mount namespaces show, given their mounts by namespace."""
    read = memory.gather(mounts.value, "mount", {"superblock": "mnt.mnt_sb"})
    owner, superblock = mounts.owner[read.ok], read["superblock"][read.ok]
    pairs = np.stack((owner.astype(np.uint64), superblock), axis=1)
    distinct, weight = np.unique(pairs, axis=0, return_counts=True)
    holder = distinct[:, 0].astype(np.int64)
    return Edges(SHOWN, "SUPERBLOCK", holder, distinct[:, 1].copy(), weight=weight.astype(np.int64))


def _find(memory: Memory, _: Mapping[str, U64]) -> U64:
    first = _root(memory)
    link = np.uint64(memory.offset("super_block", "s_list"))
    listed = np.concatenate((first, rings(memory, first + link).value - link))
    # The head of the list is no superblock, and one that is being made or unmade has no root.
    read = memory.gather(listed, "super_block", {"root": "s_root"})
    root = memory.gather(read["root"], "dentry", {"superblock": "d_sb"})
    found: U64 = listed[read.ok & root.ok & (root["superblock"] == listed)]
    return found


def _root(memory: Memory) -> U64:
    namespace = np.array([initial(memory, "mnt")], np.uint64)
    mount = memory.gather(namespace, "mnt_namespace", {"root": "root"})
    read = memory.gather(mount["root"], "mount", {"superblock": "mnt.mnt_sb"})
    found: U64 = read["superblock"][read.ok]
    return found


def _walk(memory: Memory, addresses: U64) -> Iterator[Edges]:
    read = memory.gather(
        addresses, "super_block", {"magic": "s_magic", "info": "s_fs_info", "user": "s_user_ns"}
    )
    owned = np.flatnonzero(read.ok & (read["user"] != initial(memory, "user")))
    yield Edges(OWNER, "USER_NS", owned, read["user"][owned])
    proc = np.flatnonzero(read.ok & (read["magic"] == _PROC_MAGIC))
    info = memory.gather(read["info"][proc], "proc_fs_info", {"pids": "pid_ns"})
    counted = info.ok & (info["pids"] != initial(memory, "pid"))
    yield Edges(PIDS, "PID_NS", proc[counted], info["pids"][counted])
    autofs = np.flatnonzero(read.ok & (read["magic"] == _AUTOFS_MAGIC))
    yield from _of_autofs(memory, autofs, addresses[autofs], read["info"][autofs])


def _of_autofs(memory: Memory, holder: I64, superblocks: U64, info: U64) -> Iterator[Edges]:
    if not memory.has("autofs_sb_info", "pipe"):
        return
    read = memory.gather(info, "autofs_sb_info", {"sb": "sb", "pipe": "pipe", "pgrp": "oz_pgrp"})
    ours = read.ok & (read["sb"] == superblocks)
    at = np.flatnonzero(ours & (read["pipe"] != 0))  # none when the daemon is gone
    yield Edges(ASKS, "FILE", holder[at], read["pipe"][at])
    left = remains(memory, DAEMON, np.where(ours, read["pgrp"], np.uint64(0)))
    yield Edges(DAEMON, "PID", holder[left.holder], left.target)


def _names(memory: Memory, addresses: U64) -> npt.NDArray[np.object_]:
    """Return the types, and the devices where there are some: "proc", "ext4 (vda)"."""
    read = memory.gather(addresses, "super_block", {"id": "s_id", "type": "s_type"})
    kind = memory.gather(read["type"], "file_system_type", {"name": "name"})
    types = _texts(memory, kind["name"])
    names = [
        word if not own or own == word else f"{word} ({own})"
        for word, own in zip(types, map(_text, read["id"].tolist()), strict=True)
    ]
    return np.array(names, object)


def _texts(memory: Memory, addresses: U64) -> list[str]:
    # Reads are of whole words; a string may start within one.
    data, _ = memory.engine.read(addresses & ~np.uint64(7), _LONGEST)
    starts = (addresses & np.uint64(7)).tolist()
    return [_text(row.tobytes()[start:]) for row, start in zip(data, starts, strict=True)]


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


KIND: Final = Kind(
    name="SUPERBLOCK",
    struct="super_block",
    title="mounted filesystem",
    plural="mounted filesystems",
    message="superblock",
    order=115,
    rank=92,
    counters=(),
    judged=Judged.NOT,
    pointers=(Pointer(("s_bdev_file",), "FILE", DEVICE),),
    walk=_walk,
    walk_associations=(OWNER, PIDS, ASKS, DAEMON),
    names=_names,
    finder=Finder(after=("TASK",), find=_find),
    derived=True,
)
