"""foreign-mount: a file, root or working directory on a mount of somebody else's mount namespace.

A path is walked from the mount that it starts on, not through the mount namespace of who walks: a
descriptor of a directory, or a working directory, that lies on a mount of the host's namespace is a
door to the host's file tree, whatever the container's own root is (CVE-2024-21626). `mnt_ns` of the
mount tells (fs/mount.h); it is NULL once the mount was detached (umount2(2), MNT_DETACH), or one
that nobody can be in (open_tree(2), OPEN_TREE_CLONE), and then the door is to the filesystem, which
others may have mounted still. The kernel's internal mounts (pipes, sockets, memfds) are of no
namespace and are no door.

A process that lives in the host's mount namespace has its files there: no crossing. Nor is it one
of a tree that lives there with another part of it.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.kinds._paths import paths
from analyzer.kinds.mount import detached, of_vfs
from analyzer.memory.distinct import member, unique
from analyzer.memory.programs import plausible
from analyzer.relations._files import files
from analyzer.relations.base import Related, Relation
from analyzer.relations.shown import Tied

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Memory
    from analyzer.relations.base import Words, World
    from analyzer.relations.shown import File, Looked, Shown

_TYPE: Final = 0o170000
_WRITE: Final = 0x2  # FMODE_WRITE
_MEMORY_DEVICES: Final = 1  # the major of null, zero, full, random (admin-guide/devices.txt)


def _find(world: World) -> Iterator[Related]:
    own = world.inside.get("MNT_NS", np.empty(0, np.uint64))
    if len(own):
        own = unique(own, _lived_in(world))
        yield from _of_files(world, own)
        yield from _of_places(world, own)


def _lived_in(world: World) -> U64:
    """Return the mount namespaces in which tasks of the subtree are."""
    task = world.inside.get(TASK, np.empty(0, np.uint64))
    proxy = world.memory.gather(task, "task_struct", {"proxy": "nsproxy"})
    read = world.memory.gather(proxy["proxy"], "nsproxy", {"mnt": "mnt_ns"})
    return unique(read["mnt"][read.ok])


def _of_files(world: World, own: U64) -> Iterator[Related]:
    found = world.once(files)
    mine = found.good & member(found.address, world.inside.get("FILE", own[:0]))
    for kind, target, at in _outside(world, found.mount, mine, own):
        yield Related(
            "FILE",
            found.address[at],
            kind,
            target,
            detail=paths(world.memory, found.mount[at], found.dentry[at]),
            impact=_impacts(world.memory, found.inode[at], found.mode[at] & _WRITE != 0),
        )


def _of_places(world: World, own: U64) -> Iterator[Related]:
    memory, address = world.memory, world.inside.get("FS", own[:0])
    for role, field in (("cwd", "pwd"), ("root", "root")):
        read = memory.gather(
            address, "fs_struct", {"mnt": f"{field}.mnt", "dentry": f"{field}.dentry"}
        )
        mount = of_vfs(memory, read["mnt"])
        for kind, target, at in _outside(world, mount, read.ok, own):
            said = np.full(len(at), role, object)
            detail = paths(memory, mount[at], read["dentry"][at])
            yield Related("FS", address[at], kind, target, detail=detail, role=said)


def _outside(
    world: World, mount: U64, mine: Mask, own: U64
) -> Iterator[tuple[str, U64, npt.NDArray[np.intp]]]:
    """Yield what is the door's other side: a mount namespace, or a filesystem others mounted."""
    at = np.flatnonzero(mine & (mount != 0))
    read = world.memory.gather(mount[at], "mount", {"ns": "mnt_ns", "sb": "mnt.mnt_sb"})
    loose = read.ok & detached(world.memory, mount[at])
    namespace = read["ns"]
    foreign = read.ok & plausible(namespace) & ~member(namespace, own)
    foreign &= ~loose & member(namespace, world.all("MNT_NS"))
    yield "MNT_NS", namespace[foreign], at[foreign]
    holder, mounted, _ = world.held("mount")
    shows, shown, _ = world.held("superblock")
    elsewhere = unique(shown[member(shows, unique(mounted[~member(holder, own)]))])
    loose &= member(read["sb"], elsewhere)
    yield "SUPERBLOCK", read["sb"][loose], at[loose]


def _impacts(memory: Memory, inodes: U64, writes: Mask) -> Words:
    read = memory.gather(inodes, "inode", {"mode": "i_mode", "dev": "i_rdev"})
    kind = read["mode"].astype(np.int64) & _TYPE
    harmless = (kind == stat.S_IFCHR) & (read["dev"].astype(np.int64) >> 20 == _MEMORY_DEVICES)
    return np.select(
        [kind == stat.S_IFDIR, harmless, writes],
        [Impact.REACHES_OUT.value, Impact.BY_DESIGN.value, Impact.SHARED_STATE.value],
        Impact.PINS.value,
    ).astype(object)


def _from_proc(shown: Shown) -> Iterator[Tied]:
    own = shown.own("mnt")
    own |= {task.spaces["mnt"] for task in shown.ours() if own and "mnt" in task.spaces}
    files = [file for file in shown.files if own and file.inside and _is_foreign(file, own)]
    looked = shown.look([file.path for file in files])
    for file, at in zip(files, looked, strict=True):
        if file.mount is not None:
            yield Tied(file.key, ("MNT_NS", file.mount.space), file.link, impact=_weight(file, at))
    for place in shown.places:
        mount = shown.mounts.get(-1 if place.mnt_id is None else place.mnt_id)
        if own and mount is not None and mount.space not in own:
            yield Tied(place.key, ("MNT_NS", mount.space), place.link, place.role)


def _is_foreign(file: File, own: set[str]) -> bool:
    """Tell whether a descriptor's mount is none of `own`; of what is mapped it is a guess."""
    return file.mnt_id is not None and file.mount is not None and file.mount.space not in own


def _weight(file: File, at: Looked | None) -> Impact:
    kind = 0 if at is None else stat.S_IFMT(at.mode)
    if kind == stat.S_IFDIR or file.link == "/":
        return Impact.REACHES_OUT
    if at is not None and at.memory_device:
        return Impact.BY_DESIGN
    return Impact.SHARED_STATE if file.writes else Impact.PINS


RELATION: Final = Relation(
    name="foreign-mount",
    title="on a mount of another mount namespace",
    plural="on mounts of other mount namespaces",
    left="is there",
    right="has it mounted",
    impact=Impact.REACHES_OUT,
    next=(
        "start the container anew by a launcher that closes what it has open (O_CLOEXEC) and "
        "does chdir(2) into the new root (of runc 1.1.12)"
    ),
    kernel=_find,
    from_proc=_from_proc,
    hidden="detached mounts, mapped files; in a plain copy of /proc working directories and roots",
)
