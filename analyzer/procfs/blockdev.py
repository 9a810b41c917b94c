"""Block devices as /sys/dev/block, /proc/swaps and device nodes tell of them.

See Documentation/ABI/stable/sysfs-block, testing/sysfs-block-loop. `dev` is as makedev(3) makes it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from analyzer.procfs.glance import look
from analyzer.procfs.places import Place, quoted, swap, swapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.procfs.glance import Inode

_SYS: Final = "/sys/dev/block"
_CLASS: Final = "/sys/class/block"
_MOST: Final = 64  # devices on each other: more is a loop of our own


def said(dev: int) -> str:
    """Return "7:0"."""
    return f"{os.major(dev)}:{os.minor(dev)}"


def exists(numbers: str) -> bool:
    """Tell whether there is a block device with these numbers."""
    return os.path.exists(f"{_SYS}/{numbers}")


def numbered(name: str) -> int | None:
    """Return the device that is called so, None if there is none."""
    major, _, minor = _read(f"{_CLASS}/{name}/dev").partition(":")
    return os.makedev(int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else None


def name(dev: int) -> str:
    """Return what a device is called ("loop0"), "" where it is not there."""
    try:
        return os.path.basename(os.path.realpath(f"{_SYS}/{said(dev)}", strict=True))
    except OSError:
        return ""


def below(dev: int) -> tuple[str, ...]:
    """Return what a device is made of: a file, other devices."""
    folder = f"{_SYS}/{said(dev)}"
    found = [f"is the file {path}"] if (path := _read(f"{folder}/loop/backing_file")) else []
    found += [f"is made of {one}" for one in _listed(f"{folder}/slaves")]
    return tuple(found)


def users(dev: int) -> Iterator[Place]:
    """Yield who uses a device without a file or a filesystem: swap, and the devices above it."""
    for at in above(dev):
        through = "" if at == dev else f"{name(at)} is on it: "
        for place in _swapped(at):
            yield Place(f"{through}{place.what}", place.pid, place.comm, place.release)
        if at != dev:
            yield Place(f"{name(at)} is on it", 0, "kernel", _removal(at))


def above(dev: int) -> list[int]:
    """Return a device, and all that are on it: partitions, mapped devices, arrays."""
    found, todo = [dev], [dev]
    while todo and len(found) < _MOST:
        new = [other for other in _above(todo.pop()) if other not in found]
        found += new
        todo += new
    return found


def _above(dev: int) -> Iterator[int]:
    folder = f"{_SYS}/{said(dev)}"
    names = _listed(f"{folder}/holders")
    # A whole disk is used by its partitions, too.
    names += [one for one in _listed(folder) if os.path.exists(f"{folder}/{one}/partition")]
    yield from (number for one in names if (number := numbered(one)) is not None)


def _removal(dev: int) -> str:
    own = name(dev)
    if own.startswith("dm-"):
        return f"dmsetup remove {quoted(_read(f'{_SYS}/{said(dev)}/dm/name') or own)}"
    return ""


def _swapped(dev: int) -> Iterator[Place]:
    there = ((path, at) for path, at in swapped() if not isinstance(at, int))
    return (swap(path, "on") for path, at in there if at.rdev == dev)


def backed_by(inode: Inode) -> list[int]:
    """Return the loop devices that a file is the contents of."""
    backed = _backed()
    return [
        dev
        for (dev, _), at in zip(backed, look([path for _, path in backed]), strict=True)
        if not isinstance(at, int) and (at.dev, at.ino) == (inode.dev, inode.ino)
    ]


def backed_by_deleted(path: str) -> list[int]:
    """Return the loop devices whose file was called so, and its name is gone."""
    return [dev for dev, said in _backed() if said == f"{path} (deleted)"]


def _backed() -> list[tuple[int, str]]:
    """Return the loop devices that have a file, and what that is called."""
    names = [one for one in _listed(_CLASS) if one.startswith("loop")]
    files = ((numbered(one), _read(f"{_CLASS}/{one}/loop/backing_file")) for one in names)
    return [(dev, path) for dev, path in files if dev is not None and path]


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read().rstrip(b"\n"))
    except OSError:
        return ""
