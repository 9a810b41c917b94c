"""deleted-file: a file without a name any more, which lives because somebody has it open or mapped.

A checkpoint has to carry its content (CRIU calls it a ghost file, and refuses large ones), also
when nobody else has it. If the other side has it too, by an open file of its own, each gets a copy
of its own after a restore: what they shared is gone.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.kinds.mount import internal
from analyzer.memory.distinct import member, one_of, unique
from analyzer.relations._files import collected, files, mounted
from analyzer.relations.base import Related, Relation
from analyzer.relations.shown import Tied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory
    from analyzer.relations.base import World
    from analyzer.relations.shown import Shown

_OTHERS: Final = frozenset({"proc", "sysfs", "cgroup", "cgroup2", "devpts"})
_TYPE: Final = 0o170000
_FILES: Final = (0o100000, 0o010000, 0o040000)  # regular, FIFO, directory


def _find(world: World) -> Iterator[Related]:
    found, mounts = world.once(files), world.once(mounted)
    # A memfd, or anonymous shared memory, is none: they are on mounts of the kernel's own.
    placed = found.good & ~member(found.mount, mounts[internal(world.memory, mounts)])
    ours = placed if world.host else placed & collected(world)
    gone = _gone(world.memory, unique(found.inode[ours]))
    at = np.flatnonzero(placed & member(found.inode, gone))
    size = world.memory.gather(found.inode[at], "inode", {"size": "i_size"})["size"]
    detail = np.array([f"{n} bytes" for n in size.tolist()], object)
    yield Related("FILE", found.address[at], "INODE", found.inode[at], detail=detail)


def _gone(memory: Memory, inodes: U64) -> U64:
    """Return the inodes of files that had a name and have none."""
    read = memory.gather(inodes, "inode", {"links": "i_nlink"})
    # What never had a name is no deleted file: anonymous inodes have no such link count.
    gone = inodes[read.ok & (read["links"] == 0)]
    more = memory.gather(gone, "inode", {"mode": "i_mode", "alias": "i_dentry.first"})
    named = more.ok & (more["alias"] != 0)
    result: U64 = gone[named & one_of(more["mode"].astype(np.int64) & _TYPE, _FILES)]
    return result


def _from_proc(shown: Shown) -> Iterator[Tied]:
    gone = [
        file
        for files in shown.by_inode().values()
        for file in files
        if file.deleted and file.mount is not None and file.mount.fstype not in _OTHERS
    ]
    looked = shown.look([file.path for file in gone if file.path])
    sizes = dict(zip([file.key for file in gone if file.path], looked, strict=True))
    for file in gone:
        at = sizes.get(file.key)
        if file.inode is None or (at is not None and stat.S_IFMT(at.mode) not in _FILES):
            continue
        yield Tied(file.key, file.inode, "" if at is None else f"{at.size} bytes")


RELATION: Final = Relation(
    name="deleted-file",
    title="deleted, and in use",
    plural="deleted, and in use",
    left="has it open",
    right="is deleted",
    impact=Impact.LOST,
    next=(
        "close it before a checkpoint, or keep it: CRIU takes a copy along, with --ghost-limit "
        "SIZE of more than 1 MiB"
    ),
    shared=True,
    alone=True,
    leads_to=("INODE",),
    kernel=_find,
    from_proc=_from_proc,
    hidden="what is mapped and not open: who has it too; memfds",
)
