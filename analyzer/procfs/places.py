"""Places that hold a file or a filesystem without opening it: directories, roots, mounts.

A working directory or root pins a path, not an open file, so neither has a struct file; a mount
point holds a whole filesystem in every mount namespace that has it. See proc_pid_cwd(5),
proc_pid_root(5), proc_pid_mountinfo(5).
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from analyzer.procfs import mountinfo
from analyzer.procfs.glance import look
from analyzer.procfs.parse import unescape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.procfs.glance import Inode

_DIRECTORIES: Final = (("cwd", "working directory"), ("root", "root directory"))


@dataclass(frozen=True)
class Place:
    """`what` (a working directory, a root, a mount at a point) of a process, or of one for many.

    A mount is that of a mount namespace, which `pid` is in.
    """

    what: str
    pid: int
    comm: str


def directories(dev: int, ino: int | None) -> tuple[list[Place], list[int]]:
    """Return whose working directory or root is that inode; with no `ino`, is on that device.

    The second are the processes with one on a filesystem that does not answer.
    """
    asked = [(pid, link, what) for pid in _pids() for link, what in _DIRECTORIES]
    found: list[Place] = []
    silent: dict[int, None] = {}
    answers = look([f"/proc/{pid}/{link}" for pid, link, _ in asked])
    for (pid, _, what), at in zip(asked, answers, strict=True):
        if at == errno.ETIMEDOUT:
            silent[pid] = None
        elif _is(at, dev, ino):
            found.append(Place(what, pid, _comm(pid)))
    return found, list(silent)


def _is(at: Inode | int, dev: int, ino: int | None) -> bool:
    return not isinstance(at, int) and at.dev == dev and ino in {None, at.ino}


def swaps(dev: int, ino: int | None) -> Iterator[Place]:
    """Yield the swap file that an inode is (proc_swaps(5)); the kernel itself has it open."""
    try:
        with open("/proc/swaps", "rb") as file:
            lines = file.read().splitlines()[1:]
    except OSError:
        return
    paths = [os.fsdecode(unescape(line.split()[0])) for line in lines if line.split()]
    for path, at in zip(paths, look(paths), strict=True):
        if _is(at, dev, ino):
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


def mounted_at(path: str) -> int | None:
    """Return the device that is mounted at a path in our mount namespace; it is not asked itself.

    None when nothing is, or when /proc does not say.
    """
    where = "/proc/self/mountinfo"
    try:
        with open(where, "rb") as file:
            mounts_here = mountinfo.parse(file.read(), where)
        point = os.path.abspath(path)
    except OSError:
        return None
    return next((m.dev for m in reversed(mounts_here) if m.point == point), None)


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return []


def _comm(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return os.fsdecode(file.read().rstrip(b"\n"))
    except OSError:
        return "?"
