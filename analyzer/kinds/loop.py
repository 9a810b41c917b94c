"""LOOP: struct loop_device, a block device that is a file: /dev/loopN.

It holds its backing file (drivers/block/loop.c, loop_configure()), the very file that was open when
it was set up. Loop devices are found as the block devices of their major number, through the inodes
of the kernel's filesystem of block devices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Fact, Impact
from analyzer.kinds._paths import paths
from analyzer.kinds.base import Association, Finder, Judged, Kind, Pointer, State
from analyzer.memory.distinct import unique
from analyzer.memory.walk import rings

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Told
    from analyzer.memory.reader import Memory

LOOP: Final = Association("loop", "is backed by it")

_LOOP_MAJOR: Final = 7  # Documentation/admin-guide/devices.txt
_BDEV_MAGIC: Final = 0x62646576  # BDEVFS_MAGIC


def _find(memory: Memory, met: Mapping[str, U64]) -> U64:
    superblocks = met["SUPERBLOCK"]
    if not memory.has("loop_device", "lo_backing_file"):
        return superblocks[:0]
    magic = memory.gather(superblocks, "super_block", {"magic": "s_magic"})
    devices = superblocks[magic.ok & (magic["magic"] == _BDEV_MAGIC)]
    disks = _disks(memory, devices)
    read = memory.gather(disks, "gendisk", {"major": "major", "own": "private_data"})
    loops, disk = (
        column[read.ok & (read["major"] == _LOOP_MAJOR)] for column in (read["own"], disks)
    )
    back = memory.gather(loops, "loop_device", {"disk": "lo_disk"})
    found: U64 = loops[back.ok & (back["disk"] == disk)]
    return found


def _disks(memory: Memory, superblocks: U64) -> U64:
    heads = superblocks + np.uint64(memory.offset("super_block", "s_inodes"))
    inodes = rings(memory, heads).value - np.uint64(memory.offset("inode", "i_sb_list"))
    device = inodes - np.uint64(memory.offset("bdev_inode", "vfs_inode"))
    read = memory.gather(device, "bdev_inode", {"disk": "bdev.bd_disk"})
    return unique(read["disk"][read.ok])


def _names(memory: Memory, addresses: U64) -> npt.NDArray[np.object_]:
    read = memory.gather(addresses, "loop_device", {"number": "lo_number"})
    return np.array([f"/dev/loop{number}" for number in read["number"].tolist()], object)


def _state(memory: Memory, addresses: U64) -> Told:
    read = memory.gather(addresses, "loop_device", {"file": "lo_backing_file"})
    file = memory.gather(read["file"], "file", {"mnt": "f_path.mnt", "dentry": "f_path.dentry"})
    mount = file["mnt"] - np.uint64(memory.offset("mount", "mnt"))
    return {"loop.file": np.where(file.ok, paths(memory, mount, file["dentry"]), "")}


_BACKING: Final = Fact("loop.file", "text", "file that backs a loop device")

KIND: Final = Kind(
    name="LOOP",
    struct="loop_device",
    title="loop device",
    plural="loop devices",
    message="loop",
    order=116,
    rank=94,
    counters=(),
    judged=Judged.NOT,
    pointers=(Pointer(("lo_backing_file",), "FILE", LOOP),),
    names=_names,
    finder=Finder(after=("SUPERBLOCK",), find=_find),
    derived=True,
    state=State((_BACKING,), _state),
    leaked=Impact.SHARED_STATE,
)
