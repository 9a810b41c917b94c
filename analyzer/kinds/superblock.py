"""SUPERBLOCK: struct super_block, a mounted filesystem.

It holds the user namespace that it was mounted in (fs/super.c, alloc_super()); a proc filesystem
the pid namespace that it shows (fs/proc/root.c, proc_fill_super()); one on a block device the file
by which it has the device open (`s_bdev_file`, since 6.9; it held the device itself before). The
internal filesystem of message queues does not hold its IPC namespace (ipc/mqueue.c). An autofs
holds the pipe through which it asks its daemon, though that may have closed its own end, and the
process group of the daemon (fs/autofs/inode.c, autofs_fill_super()). The initial namespaces are
left out: they are the host's whoever holds them.

All of them are in the kernel's list of superblocks, entered at one that cannot die: the root of the
initial mount namespace. Each is on the side of the mounts that show it. The kernel's own mounts are
not looked at, so its count, `s_active`, is not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import Fact
from analyzer.kinds._fuse import FILE_TYPE as FUSE
from analyzer.kinds._initial import initial
from analyzer.kinds._paths import paths
from analyzer.kinds.base import Association, Edges, Finder, Judged, Kind, Known, Pointer, State
from analyzer.kinds.pid import remains
from analyzer.memory.walk import rings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import I64, U64, Told
    from analyzer.memory.reader import Memory

SHOWN: Final = Association("superblock", "is a mount of it")
DEVICE: Final = Association("superblock.bdev", "is on it", collects=False)
OWNER: Final = Association("superblock.user_ns", "was mounted in it", collects=False)
PIDS: Final = Association("superblock.pid_ns", "is a proc that shows it", collects=False)
ASKS: Final = Association("superblock.autofs", "asks its daemon through it", collects=False)
DAEMON: Final = Association("superblock.autofs.pgrp", "is an automount of it", collects=False)

_PROC_MAGIC: Final = 0x9FA0  # include/uapi/linux/magic.h
_AUTOFS_MAGIC: Final = 0x0187
_LONGEST: Final = 40  # names of types are shorter
_MINOR_BITS: Final = 20  # include/linux/kdev_t.h
_FS_REQUIRES_DEV: Final = 1  # include/linux/fs.h
_SB_RDONLY: Final = 1
_LOOP_MAJOR: Final = 7  # Documentation/admin-guide/devices.txt


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
    names = [
        word if not own or own == word else f"{word} ({own})"
        for word, own in zip(
            _type_names(memory, read["type"]), map(_text, read["id"].tolist()), strict=True
        )
    ]
    return np.array(names, object)


def types(memory: Memory, addresses: U64) -> npt.NDArray[np.object_]:
    """Return the type of each filesystem ("ext4"), "" where it cannot be read."""
    read = memory.gather(addresses, "super_block", {"type": "s_type"})
    return np.array(_type_names(memory, read["type"]), object)


def _type_names(memory: Memory, file_system_types: U64) -> list[str]:
    read = memory.gather(file_system_types, "file_system_type", {"name": "name"})
    return texts(memory, read["name"])


def _describe(memory: Memory, addresses: U64) -> Mapping[str, npt.NDArray[Any]]:
    return {"dev": device_of(memory, addresses)}


def device_of(memory: Memory, superblocks: U64) -> U64:
    """Return the device of each filesystem, as stat(2) gives it."""
    read = memory.gather(superblocks, "super_block", {"dev": "s_dev"})
    device = read["dev"].astype(np.uint64)
    return makedev(device >> np.uint64(_MINOR_BITS), device & np.uint64(0xFFFFF))


def makedev(major: U64, minor: U64) -> U64:
    """Encode device numbers as user space does (glibc's gnu_dev_makedev, for stat(2)'s st_dev)."""
    low = (minor & np.uint64(0xFF)) | ((major & np.uint64(0xFFF)) << np.uint64(8))
    high = (minor & np.uint64(0xFFFFFF00)) << np.uint64(12)
    result: U64 = low | high | ((major & np.uint64(0xFFFFF000)) << np.uint64(32))
    return result


def _state(memory: Memory, addresses: U64) -> Told:
    read = memory.gather(
        addresses,
        "super_block",
        {"dev": "s_dev", "flags": "s_flags", "type": "s_type", "id": "s_id", "bdev": "s_bdev"},
    )
    # btrfs, which may be on several devices, has none of its own, and is called as one of them.
    kind = memory.gather(read["type"], "file_system_type", {"flags": "fs_flags"})
    needs = kind.ok & (kind["flags"] & _FS_REQUIRES_DEV != 0)
    on_device = read.ok & (needs | (read["bdev"] != 0))
    return {
        "filesystem": np.array(_type_names(memory, read["type"]), object),
        "device": numbers(read["dev"].astype(np.int64)),
        "on": np.where(on_device, np.array([*map(_text, read["id"].tolist())], object), ""),
        "backing": backing_files(memory, np.where(on_device, read["bdev"], np.uint64(0))),
        "read_only": Known(read["flags"].astype(np.int64) & _SB_RDONLY, read.ok),
    }


def numbers(devices: I64) -> npt.NDArray[np.object_]:
    """Return devices (dev_t, include/linux/kdev_t.h) as people write them: "8:1"."""
    pairs = zip((devices >> _MINOR_BITS).tolist(), (devices & 0xFFFFF).tolist(), strict=True)
    found = np.empty(len(devices), object)
    found[:] = [f"{major}:{minor}" for major, minor in pairs]
    return found


def backing_files(memory: Memory, devices: U64) -> npt.NDArray[np.object_]:
    """Return the file that is each block device (struct block_device), if it is a loop device."""
    found = np.full(len(devices), "", object)
    if not memory.has("loop_device", "lo_backing_file"):
        return found
    disk = memory.gather(devices, "block_device", {"disk": "bd_disk"})
    read = memory.gather(disk["disk"], "gendisk", {"major": "major", "own": "private_data"})
    at = np.flatnonzero(disk.ok & read.ok & (read["major"] == _LOOP_MAJOR))
    loop = memory.gather(read["own"][at], "loop_device", {"file": "lo_backing_file"})
    path = memory.gather(loop["file"], "file", {"mnt": "f_path.mnt", "dentry": "f_path.dentry"})
    good = np.flatnonzero(loop.ok & path.ok & (loop["file"] != 0))
    mount = path["mnt"][good] - np.uint64(memory.offset("mount", "mnt"))
    found[at[good]] = paths(memory, mount, path["dentry"][good])
    return found


def texts(memory: Memory, addresses: U64, longest: int = _LONGEST) -> list[str]:
    """Return the strings at addresses, up to their end or so many bytes; "" for what is none."""
    # Reads are of whole words; a string may start within one.
    data, _ = memory.read(addresses & ~np.uint64(7), longest)
    starts = (addresses & np.uint64(7)).tolist()
    return [_text(row.tobytes()[start:]) for row, start in zip(data, starts, strict=True)]


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


READ_ONLY: Final = Fact("read_only", "number", "1 if nothing can be written through it")
FILESYSTEM: Final = Fact("filesystem", "text", "the type of a mounted filesystem")
NUMBER: Final = Fact("device", "text", "its number, as in /proc/PID/mountinfo: major:minor")

_FACTS: Final = (
    FILESYSTEM,
    NUMBER,
    Fact("on", "text", "the block device that it is on"),
    Fact("backing", "text", "the file that a loop device is, as its mount namespace sees it"),
    READ_ONLY,
)

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
    describe=_describe,
    state=State(_FACTS, _state),
    finder=Finder(after=("TASK",), find=_find),
    file_types=(FUSE,),
    derived=True,
    mounted=True,
)
