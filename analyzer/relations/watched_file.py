"""watched-file: inotify or fanotify on one side sees what the other does with a file.

The marks of an inode are in a list (`i_fsnotify_marks`, fs/notify/mark.c); each belongs to a group,
which is an open file: the descriptor of inotify_init(2), fanotify_init(2). A mark on a directory
sees what is done to the files in it; told are those that are open for writing. fanotify can mark a
whole mount or filesystem, too: of the files that others have open there, some are told.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.core.pattern import pattern
from analyzer.core.values import dataclass
from analyzer.kinds._paths import paths
from analyzer.memory.distinct import find, member, one_of, unique
from analyzer.memory.walk import hlists
from analyzer.relations._anonymous import WATCHERS, anonymous
from analyzer.relations._files import WRITE, files, inodes, met
from analyzer.relations.base import Related, Relation, meet, words
from analyzer.relations.shown import NUMBERED, Tied

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Memory
    from analyzer.relations.base import World
    from analyzer.relations.shown import File, Key, Shown

_TYPE: Final = 0o170000  # S_IFMT
_SOME: Final = 8
_ON_CHILD: Final = 0x08000000  # FS_EVENT_ON_CHILD, include/linux/fsnotify_backend.h


# Of fdinfo: the inode, and the device of its filesystem as MKDEV() makes it.
_MARK: Final = pattern(r"\bino:([0-9a-f]{1,16}) sdev:([0-9a-f]{1,8})\b", re.ASCII)


def _find(world: World) -> Iterator[Related]:
    if not any(name in world.once(anonymous) for name in WATCHERS):
        return
    yield from _of_files(world)
    yield from _of_places(world)


@dataclass(frozen=True)
class _Inodes:
    """Inodes of open files, sorted by address; `of_file` is the row of each file's (`Files`).

    The last row is none (address 0, not `good`), for files that are on another inode. `block` is
    the superblock, `marks` are those on it. `good` marks those that could be read.
    """

    address: U64
    mode: npt.NDArray[Any]
    block: U64
    marks: U64
    good: Mask
    of_file: npt.NDArray[np.intp]

    def type_of_file(self) -> npt.NDArray[Any]:
        """Return the type of each file (S_IFMT), 0 where its inode could not be read."""
        kinds: npt.NDArray[Any] = np.where(self.good, self.mode & _TYPE, 0)[self.of_file]
        return kinds


def _watchable(world: World) -> _Inodes:
    """Return the inodes that it matters of who watches them: all, if somebody inside watches."""
    inside = world.inside.get("FILE", np.empty(0, np.uint64))
    opened = world.once(anonymous)
    watches = any(member(opened[name], inside).any() for name in WATCHERS if name in opened)
    address = world.once(inodes if watches else met)
    at, there = find(address, world.once(files).inode)
    rows = np.append(address, np.uint64(0))
    read = world.memory.gather(
        rows, "inode", {"mode": "i_mode", "block": "i_sb"}, {"marks": "i_fsnotify_marks"}
    )
    return _Inodes(
        rows,
        read["mode"].astype(np.int64),
        read["block"],
        read.values.get("marks", np.zeros(len(rows), np.uint64)),
        read.ok,
        np.where(there, at, len(address)),
    )


def _of_files(world: World) -> Iterator[Related]:
    memory, found, known = world.memory, world.once(files), world.once(_watchable)
    plain = found.good & one_of(known.type_of_file(), (stat.S_IFREG, stat.S_IFDIR))
    below = np.flatnonzero(plain & (found.mode & WRITE != 0))
    folder = _folders(memory, found.dentry[below])
    watched, group, on_child = _marks(world, folder)
    watcher, inode, on_child = _watchers(world, watched, group, on_child)
    own = np.flatnonzero(plain & member(found.inode, unique(inode)))
    within = member(folder, unique(inode[on_child]))
    below, folder = below[within], folder[within]
    left = np.concatenate((watcher, found.address[own], found.address[below]))
    right = np.concatenate((inode, found.inode[own], folder))
    watches = np.arange(len(left)) < len(watcher)
    detail = words(len(left))
    detail[len(watcher) + len(own) :] = paths(memory, found.mount[below], found.dentry[below])
    across = _across(world, left, right, watches)
    role = np.where(watches, "watches it", "").astype(object)
    yield Related(
        "FILE", left[across], "INODE", right[across], detail=detail[across], role=role[across]
    )


def _across(world: World, left: U64, right: U64, watches: Mask) -> Mask:
    """Tell which of the ends are of things that one side watches and the other has."""
    inside = world.inside.get("FILE", left[:0])
    mine = member(left, inside)
    across = meet(right, watches & mine, ~watches & ~mine)
    across |= meet(right, watches & ~mine, ~watches & mine)
    return across | (not len(inside))


def _of_places(world: World) -> Iterator[Related]:
    """Yield who watches whole mounts and filesystems, with some of the files there."""
    memory, found, known = world.memory, world.once(files), world.once(_watchable)
    plain = found.good & one_of(known.type_of_file(), (stat.S_IFREG, stat.S_IFDIR))
    block = np.where(known.good, known.block, np.uint64(0))[known.of_file]
    for kind, place, marks in (
        ("MOUNT", found.mount, _on_mounts(memory, found.mount)),
        ("SUPERBLOCK", block, _on_filesystems(memory, block)),
    ):
        marked, group, mask = _listed(memory, *marks)
        watcher, at, _ = _watchers(world, marked, group, mask)
        if not len(watcher):
            continue
        here = np.flatnonzero(plain & member(place, unique(at)))
        here = here[_few(world, found.address[here], place[here])]
        left = np.concatenate((watcher, found.address[here]))
        right = np.concatenate((at, place[here]))
        watches = np.arange(len(left)) < len(watcher)
        across = _across(world, left, right, watches)
        role = np.where(watches, "watches all of it", "").astype(object)
        yield Related("FILE", left[across], kind, right[across], role=role[across])


def _few(world: World, address: U64, place: U64) -> Mask:
    """Choose some files of each side at each place."""
    mine = member(address, world.inside.get("FILE", address[:0]))
    order = np.lexsort((address, mine, place))
    new = np.ones(len(order), np.bool_)
    same = (place[order][1:] == place[order][:-1]) & (mine[order][1:] == mine[order][:-1])
    new[1:] = ~same
    start = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    chosen = np.zeros(len(order), np.bool_)
    chosen[order[np.arange(len(order)) - start < _SOME]] = True
    return chosen


def _on_mounts(memory: Memory, mounts: U64) -> tuple[U64, U64]:
    known = unique(mounts[mounts != 0])
    read = memory.gather(known, "mount", {"marks": "mnt_fsnotify_marks"})
    return known, np.where(read.ok, read["marks"], np.uint64(0))


def _on_filesystems(memory: Memory, blocks: U64) -> tuple[U64, U64]:
    known = unique(blocks[blocks != 0])
    if memory.has("super_block", "s_fsnotify_marks"):
        read = memory.gather(known, "super_block", {"marks": "s_fsnotify_marks"})
        return known, np.where(read.ok, read["marks"], np.uint64(0))
    read = memory.gather(known, "super_block", {"info": "s_fsnotify_info"})
    info = np.where(read.ok, read["info"], np.uint64(0))
    marks = memory.gather(info, "fsnotify_sb_info", {"marks": "sb_marks"})
    return known, np.where(marks.ok, marks["marks"], np.uint64(0))


def _folders(memory: Memory, dentries: U64) -> U64:
    """Return the inode of the directory that each file is in, 0 where that is not known."""
    read = memory.gather(dentries, "dentry", {"parent": "d_parent"})
    above = memory.gather(read["parent"], "dentry", {"inode": "d_inode"})
    within = read.ok & above.ok & (read["parent"] != dentries)
    return np.where(within, above["inode"], np.uint64(0))


def _marks(world: World, folders: U64) -> tuple[U64, U64, Mask]:
    """Return the marks of files and folders: inode, group, and whether it is told of children."""
    memory, known = world.memory, world.once(_watchable)
    others = unique(folders)
    others = others[~member(others, known.address[known.good])]
    read = memory.gather(others, "inode", {"marks": "i_fsnotify_marks"})
    address = np.concatenate((known.address[known.good], others[read.ok]))
    marks = np.concatenate((known.marks[known.good], read["marks"][read.ok]))
    return _listed(memory, address, marks)


def _listed(memory: Memory, address: U64, marks: U64) -> tuple[U64, U64, Mask]:
    """Return the marks in the lists of things: the thing, the group, and whether of children."""
    at = np.flatnonzero(marks)
    if not len(at):
        return address[at], address[at], at != 0
    head = np.uint64(memory.offset("fsnotify_mark_connector", "list"))
    listed = hlists(memory, marks[at] + head)
    mark = listed.value - np.uint64(memory.offset("fsnotify_mark", "obj_list"))
    told = memory.gather(mark, "fsnotify_mark", {"group": "group", "mask": "mask"})
    good = told.ok
    children = told["mask"].astype(np.int64) & _ON_CHILD != 0
    return address[at[listed.owner[good]]], told["group"][good], children[good]


def _watchers(world: World, inode: U64, group: U64, on_child: Mask) -> tuple[U64, U64, Mask]:
    """Return the open files that are the groups, with what they watch."""
    if not len(inode):
        return inode, inode, on_child
    found = world.once(files)
    order = np.argsort(found.data)
    place, known = find(found.data, group, sorter=order)
    return found.address[place[known]], inode[known], on_child[known]


def _from_proc(shown: Shown) -> Iterator[Tied]:
    # A filesystem by its device: what is watched is told by that, and by the number of the inode.
    kinds = {mount.dev: mount for mount in shown.mounts.values()}
    watchers: dict[Key, list[File]] = {}
    for file in shown.telling():
        for text in (*file.told(b"inotify"), *file.told(b"fanotify")):
            said = _MARK.search(text)
            if said is not None:
                dev, ino = _device(int(said[2], 16)), int(said[1], 16)
                if dev in kinds and kinds[dev].fstype in NUMBERED:
                    watchers.setdefault(("INODE", (dev, ino)), []).append(file)
    watched = [f for inode in watchers for f in shown.by_inode().get(inode, ()) if f.slots]
    types = shown.types(watched)
    for inode, some in watchers.items():
        own = [
            file
            for file in shown.by_inode().get(inode, ())
            if types.get(file.key) in {stat.S_IFREG, stat.S_IFDIR}
        ]
        sides = {file.inside for file in own}
        if shown.host or any((not one.inside) in sides for one in some):
            yield from (Tied(file.key, inode, role="watches it") for file in some)
            yield from (Tied(file.key, inode) for file in own)


def _device(number: int) -> int:
    return os.makedev(number >> 20, number & 0xFFFFF)  # MKDEV(), include/linux/kdev_t.h


RELATION: Final = Relation(
    name="watched-file",
    title="watched from the other side",
    plural="watched from the other side",
    left="has it open",
    right="is watched",
    impact=Impact.WATCHES,
    next=(
        "end the watch in the process that has it (inotify_rm_watch(2), FAN_MARK_REMOVE), or "
        "let it watch files of its own"
    ),
    shared=True,
    leads_to=("INODE",),
    kernel=_find,
    from_proc=_from_proc,
    hidden="what is done below a watched directory",
)
