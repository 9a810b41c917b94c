"""What keeps the struct pid of a process that is gone: its folder in /proc, and owners of files.

Every inode in /proc/PID holds the struct pid that it is about (fs/proc/base.c,
proc_pid_make_inode()) until it is dropped, and a directory entry holds those above it: who has
/proc/PID/task/TID/stat open holds both ids, though the process be long gone. Who stands in such a
folder (the root or the working directory of a task) does so too.

The one that is to be signalled about a file (F_SETOWN) is held by the file: in a `fown_struct` of
its own since 6.12 (1934b212615d "file: reclaim 24 bytes from f_owner"), within the file before.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.kinds.base import Association, Edges, FileType
from analyzer.kinds.pid import remains

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Memory

PROC_FILE: Final = Association("proc.pid", "is open in its folder in /proc")
FILE_OWNER: Final = Association("file.owner", "is to be signalled about it")
PWD: Final = Association("fs.pwd.pid", "has its working directory in its folder in /proc")
ROOT: Final = Association("fs.root.pid", "has its root in its folder in /proc")

_MAGIC: Final = 0x9FA0  # include/uapi/linux/magic.h
_FMODE_PATH: Final = 1 << 14  # include/linux/fs.h
_DEPTH: Final = 8  # /proc/PID/task/TID/net/dev_snmp6/eth0 is 7 deep


def _open_path() -> int:
    return os.open("/", os.O_PATH | os.O_CLOEXEC)


def _in_proc(memory: Memory, dentries: U64) -> Mask:
    block = memory.gather(dentries, "dentry", {"superblock": "d_sb"})
    magic = memory.gather(block["superblock"], "super_block", {"magic": "s_magic"})
    result: Mask = block.ok & magic.ok & (magic["magic"] == _MAGIC)
    return result


def _recognise(memory: Memory, files: U64) -> Mask:
    """Recognise all operations of files in /proc; paths (O_PATH) have the same ones everywhere."""
    read = memory.gather(files, "file", {"dentry": "f_path.dentry", "mode": "f_mode"})
    result: Mask = read.ok & (read["mode"] & _FMODE_PATH == 0) & _in_proc(memory, read["dentry"])
    return result


def kept_by(memory: Memory, dentries: U64, association: Association) -> Iterator[Edges]:
    """Yield the dead whose folder in /proc the `dentries` (0: none) are, or are in."""
    at = np.flatnonzero(_in_proc(memory, dentries))
    entry, last = dentries[at], np.zeros(len(at), np.uint64)
    embedded = np.uint64(memory.offset("proc_inode", "vfs_inode"))
    for _ in range(_DEPTH):
        if not len(at):
            return
        read = memory.gather(entry, "dentry", {"inode": "d_inode", "parent": "d_parent"})
        inode = memory.gather(read["inode"] - embedded, "proc_inode", {"pid": "pid"})
        pid = np.where(read.ok & inode.ok & (read["inode"] != 0), inode["pid"], np.uint64(0))
        # All in one folder is about one process: it is held once by all of them together.
        found = remains(memory, association, np.where(pid != last, pid, np.uint64(0)))
        yield Edges(association, "PID", at[found.holder], found.target)
        last = np.where(pid != 0, pid, last)
        up = read.ok & (read["parent"] != entry)
        at, entry, last = at[up], read["parent"][up], last[up]


def _of_files(memory: Memory, files: U64) -> Iterator[Edges]:
    read = memory.gather(files, "file", {"dentry": "f_path.dentry"})
    yield from kept_by(memory, np.where(read.ok, read["dentry"], np.uint64(0)), PROC_FILE)


def owners(memory: Memory, owner: U64) -> Edges:
    """Return the dead that are to be signalled about files: `owner` is the struct pid of each.

    Since 6.12 it is a struct of its own, a `fown_struct`; 0 is none.
    """
    if memory.has("file", "f_owner.pid"):
        return remains(memory, FILE_OWNER, owner)
    some = np.flatnonzero(owner)
    read = memory.gather(owner[some], "fown_struct", {"pid": "pid"})
    found = remains(memory, FILE_OWNER, np.where(read.ok, read["pid"], np.uint64(0)))
    return Edges(FILE_OWNER, "PID", some[found.holder], found.target)


FILE_TYPES: Final = (
    FileType("proc.pid", None, _of_files, (PROC_FILE,), _recognise),
    FileType("proc.path", _open_path, _of_files, (), symbols=("empty_fops",)),
)
