"""Paths from the kernel's own directory entries, for what /proc shows to nobody.

From a dentry up to the root of its mount, from there to where that is mounted, and on, as d_path()
does (fs/d_path.c). The path is the one that the mount's own namespace sees. A file of no mount tree
(a memfd, a System V segment) ends at the root of the kernel's internal mount; one that has no place
at all (eventfd, epoll) is its own parent, and has the name that its type gives it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.memory.distinct import unique

if TYPE_CHECKING:
    import numpy.typing as npt

    from analyzer.kinds.base import I64, U64
    from analyzer.memory.reader import Memory

_MOST_STEPS: Final = 4096  # PATH_MAX, and mounts upon mounts
_LONGEST: Final = 256  # NAME_MAX and a NUL


def paths(memory: Memory, mounts: U64, dentries: U64) -> npt.NDArray[np.object_]:
    """Return the path (str) of each dentry in its mount (struct mount)."""
    found = [b""] * len(mounts)
    who = np.arange(len(mounts))
    mount, dentry = mounts, dentries
    for _ in range(_MOST_STEPS):
        at = memory.gather(
            mount,
            "mount",
            {"root": "mnt.mnt_root", "parent": "mnt_parent", "point": "mnt_mountpoint"},
        )
        up = at["root"] == dentry
        going = np.flatnonzero(at.ok & ~(up & (at["parent"] == mount)))
        if not len(going):
            break
        name, above = _entries(memory, dentry[going])
        for index in np.flatnonzero(~up[going]):
            found[who[going[index]]] = b"/" + name[index] + found[who[going[index]]]
        placed = up[going] | (above != dentry[going])
        dentry = np.where(up[going], at["point"][going], above)[placed]
        mount = np.where(up, at["parent"], mount)[going][placed]
        who = who[going][placed]
    return np.array([path.decode("utf-8", "surrogateescape") or "/" for path in found], object)


def within(memory: Memory, dentries: U64) -> npt.NDArray[np.object_]:
    """Return the path (str) of each dentry in its own filesystem, whatever that is mounted at."""
    found = [b""] * len(dentries)
    who, at = np.arange(len(dentries)), dentries
    for _ in range(_MOST_STEPS):
        if not len(who):
            break
        name, above = _entries(memory, at)
        up = (above != at) & (above != 0)
        for index in np.flatnonzero(up):
            found[who[index]] = b"/" + name[index] + found[who[index]]
        who, at = who[up], above[up]
    return np.array([path.decode("utf-8", "surrogateescape") or "/" for path in found], object)


def entry_names(memory: Memory, dentries: U64) -> list[str]:
    """Return the name of each dentry in its directory; what could not be read is ""."""
    return [name.decode("utf-8", "surrogateescape") for name in _entries(memory, dentries)[0]]


def alias_names(memory: Memory, inodes: U64) -> npt.NDArray[np.object_]:
    """Return the path of each inode in its own filesystem, by its first name; "" without one."""
    read = memory.gather(inodes, "inode", {"first": ("i_dentry.first",)})
    has = np.flatnonzero(read.ok & (read["first"] != 0))
    link = np.uint64(memory.offset("dentry", ("d_u.d_alias", "d_alias")))
    names = np.full(len(inodes), "", object)
    dentry = read["first"][has] - link
    names[has] = within(memory, dentry)
    # One without a place (a memfd) is its own parent, as a root directory is, but is none.
    up = memory.gather(dentry, "dentry", {"parent": "d_parent", "sb": "d_sb"})
    top = memory.gather(up["sb"], "super_block", {"root": "s_root"})
    alone = np.flatnonzero(up.ok & top.ok & (up["parent"] == dentry) & (top["root"] != dentry))
    own, _ = _entries(memory, dentry[alone])
    names[has[alone]] = [f"/{name.decode('utf-8', 'surrogateescape')}" for name in own]
    return names


def _entries(memory: Memory, dentries: U64) -> tuple[list[bytes], U64]:
    read = memory.gather(
        dentries,
        "dentry",
        {"name": "d_name.name", "length": "d_name.len", "parent": "d_parent"},
    )
    return _texts(memory, read["name"], read["length"].astype(np.int64)), read["parent"]


def _texts(memory: Memory, addresses: U64, lengths: I64) -> list[bytes]:
    """Read texts of their own lengths, those of one size at once: no byte behind a text is read."""
    found = [b""] * len(addresses)
    sizes = np.maximum(np.minimum(lengths, _LONGEST) + 7 & ~7, 8)
    for size in unique(sizes).tolist():
        rows = np.flatnonzero(sizes == size)
        data, _ = memory.read(addresses[rows], size)
        for row, line, length in zip(rows.tolist(), data, lengths[rows].tolist(), strict=True):
            found[row] = line.tobytes()[:length]
    return found
