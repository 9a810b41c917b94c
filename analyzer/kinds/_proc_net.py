"""What holds a network namespace beside sockets: open files of /proc/net, and tun devices.

An open file of /proc/net holds its namespace if it was made by proc_create_net() or
proc_create_net_single() (fs/proc/proc_net.c): the first keep it in the seq_file's private data, the
others have it there itself. All files of /proc share an `f_op`, and their `proc_dir_entry` tells
which namespace's folder they are in: the two must agree.

Who opens /dev/net/tun has a socket that is no file of its own (drivers/net/tun.c, tun_chr_open()),
in the namespace in which it was opened, wherever the device goes.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.kinds._named_types import TUN as TUN_STATE
from analyzer.kinds.base import Association, Edges, FileType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Memory

PROC_NET: Final = Association("proc.net", "is open in its /proc/net")
TUN: Final = Association("tun", "is a tun device of it")

_TYPE: Final = 0o170000  # S_IFMT
_FMODE_PATH: Final = 1 << 14  # include/linux/fs.h
# MISC_MAJOR and TUN_MINOR (include/uapi/linux/major.h, include/linux/miscdevice.h) as a dev_t.
_DEV_TUN: Final = 10 << 20 | 200
_DEPTH: Final = 4  # /proc/net/stat/*, /proc/net/dev_snmp6/*, ...


def _open_proc() -> int:
    return os.open("/proc/self/net/unix", os.O_RDONLY | os.O_CLOEXEC)


def _of_proc(memory: Memory, files: U64) -> Iterator[Edges]:
    data = memory.gather(files, "file", {"seq": "private_data", "inode": "f_inode"})
    folder = _folder_of(memory, data["inode"])
    at = np.flatnonzero(data.ok & (folder != 0))
    private = memory.gather(data["seq"][at], "seq_file", {"private": "private"})["private"]
    kept, ok = memory.pointers(private)
    net = folder[at]
    holds = (private == net) | (ok & (kept == net))
    yield Edges(PROC_NET, "NET_NS", at[holds], net[holds])


def _folder_of(memory: Memory, inodes: U64) -> U64:
    """Return the namespace whose /proc/net an inode of /proc is in, 0 for all other inodes."""
    embedded = np.uint64(memory.offset("proc_inode", "vfs_inode"))
    entry = memory.gather(inodes - embedded, "proc_inode", {"entry": "pde"})["entry"]
    net = np.zeros(len(inodes), np.uint64)
    for _ in range(_DEPTH):
        read = memory.gather(entry, "proc_dir_entry", {"parent": "parent", "data": "data"})
        owner = memory.gather(read["data"], "net", {"folder": "proc_net"})
        net = np.where(read.ok & owner.ok & (owner["folder"] == entry), read["data"], net)
        entry = np.where(read.ok & (read["parent"] != entry), read["parent"], np.uint64(0))
    return net


def _are_tuns(memory: Memory, files: U64) -> Mask:
    """Recognise open files of /dev/net/tun, wherever the device lies."""
    read = memory.gather(files, "file", {"inode": "f_inode", "mode": "f_mode"})
    inode = memory.gather(read["inode"], "inode", {"mode": "i_mode", "device": "i_rdev"})
    device = inode.ok & (inode["mode"] & _TYPE == stat.S_IFCHR) & (inode["device"] == _DEV_TUN)
    mask: Mask = read.ok & device & (read["mode"] & _FMODE_PATH == 0)
    return mask


def _of_tun(memory: Memory, files: U64) -> Iterator[Edges]:
    # struct tun_file starts with its struct sock.
    data = memory.gather(files, "file", {"sock": "private_data"})
    read = memory.gather(
        data["sock"],
        "sock",
        {"net": "__sk_common.skc_net.net", "counted": "__sk_common.skc_net_refcnt"},
    )
    at = np.flatnonzero(read.ok & (read["counted"] == 1))
    yield Edges(TUN, "NET_NS", at, read["net"][at])


FILE_TYPES: Final = (
    FileType("proc.net", _open_proc, _of_proc, (PROC_NET,), symbols=("proc_reg_file_ops",)),
    FileType("tun", None, _of_tun, (TUN,), _are_tuns, TUN_STATE),
)
