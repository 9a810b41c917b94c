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
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.kinds._named_types import TUN as TUN_STATE
from analyzer.kinds.base import Association, Edges, FileType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

PROC_NET: Final = Association("proc.net", "is open in its /proc/net")
TUN: Final = Association("tun", "is a tun device of it")

_DEPTH: Final = 4  # /proc/net/stat/*, /proc/net/dev_snmp6/*, ...


def _open_proc() -> int:
    return os.open("/proc/self/net/unix", os.O_RDONLY | os.O_CLOEXEC)


def _open_tun() -> int:
    # Opening the device loads the module where there is none yet: that is not ours to do.
    with open("/proc/misc", "rb") as known:
        if not any(line.split()[1:] == [b"tun"] for line in known):
            raise FileNotFoundError
    return os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)


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
    FileType("proc.net", _open_proc, _of_proc, (PROC_NET,)),
    FileType("tun", _open_tun, _of_tun, (TUN,), state=TUN_STATE),
)
