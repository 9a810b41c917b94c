"""Places that hold a file or a filesystem without opening it: directories, roots, mounts.

A working directory or root pins a path, not an open file, so neither has a struct file; a mount
point holds a whole filesystem in every mount namespace that has it. See proc_pid_cwd(5),
proc_pid_root(5), proc_pid_mountinfo(5).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analyzer.procfs import mountinfo
from analyzer.procfs.parse import unescape

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Place:
    """`what` (a working directory, a root, a mount at a point) of a process, or of one for many.

    A mount is that of a mount namespace, which `pid` is in.
    """

    what: str
    pid: int
    comm: str


def directories(dev: int, ino: int | None) -> Iterator[Place]:
    """Yield whose working directory or root is that inode; with no `ino`, is on that device."""
    for pid in _pids():
        for link, what in (("cwd", "working directory"), ("root", "root directory")):
            status = _stat(f"/proc/{pid}/{link}")
            if status and status.st_dev == dev and ino in {None, status.st_ino}:
                yield Place(what, pid, _comm(pid))


def swaps(dev: int, ino: int | None) -> Iterator[Place]:
    """Yield the swap file that an inode is (proc_swaps(5)); the kernel itself has it open."""
    try:
        with open("/proc/swaps", "rb") as file:
            lines = file.read().splitlines()[1:]
    except OSError:
        return
    for line in lines:
        path = os.fsdecode(unescape(line.split()[0]))
        status = _stat(path)
        if status and status.st_dev == dev and ino in {None, status.st_ino}:
            yield Place(f"swap file {path}", 0, "kernel")


def mounts(dev: int) -> Iterator[Place]:
    """Yield where a device is mounted, once for each mount namespace that a process is in."""
    seen: set[str] = set()
    for pid in _pids():
        try:
            namespace = os.readlink(f"/proc/{pid}/ns/mnt")
            if namespace in seen:
                continue
            with open(f"/proc/{pid}/mountinfo", "rb") as file:
                text = file.read()
        except OSError:
            continue
        seen.add(namespace)
        for mount in mountinfo.parse(text, f"/proc/{pid}/mountinfo"):
            if mount.dev == dev:
                yield Place(f"mounted at {mount.point} in {namespace}", pid, _comm(pid))


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdecimal())


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _comm(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return os.fsdecode(file.read().rstrip(b"\n"))
    except OSError:
        return "?"
