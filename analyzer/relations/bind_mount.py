"""bind-mount: what a mount of the subtree shows is seen in a mount namespace outside too.

A mount shows a directory or a file of a filesystem (`mnt_root`, fs/mount.h); where a mount of
another mount namespace has the same filesystem, and its own root is that or above it, both see the
same. That is how a volume gets into a container, and by how much the container can change the host.

Every container has its root file system and its layers in the runtime's mount namespace, and a few
single files of it (/etc/hosts, /dev/null): by design. A filesystem that is the kernel's (sysfs,
cgroup) and that cannot be written is by design too. What is of the host's and can be written
reaches out, and so does the host's whole tree. Who merely lives among the mounts of others, which
were there before, is not told of them.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.core.values import NamedTuple
from analyzer.kinds._paths import paths
from analyzer.kinds.mount import of_vfs
from analyzer.kinds.superblock import types
from analyzer.memory.distinct import member, unique
from analyzer.relations._mounts import covering, mounts
from analyzer.relations.base import Related, Relation
from analyzer.relations.shown import Tied, covered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.relations.base import World
    from analyzer.relations.shown import Mount, Shown

_IMPACTS: Final = tuple(Impact)
_MEMORY_DEVICES: Final = 1  # the major of null, zero, full, random (admin-guide/devices.txt)
_TERMINALS: Final = 5  # tty, console, ptmx
_BOUND_BY_RUNTIMES: Final = frozenset({"hosts", "resolv.conf", "hostname", "localtime"})
_OF_THE_KERNEL: Final = frozenset(
    {"proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts", "securityfs", "debugfs", "tracefs",
     "bpf", "configfs", "pstore", "efivarfs", "binfmt_misc", "selinuxfs", "fusectl"}
)  # fmt: skip
# What is read-only does not stop a write to these.
_THROUGH: Final = {
    stat.S_IFCHR: "device", stat.S_IFBLK: "device", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket",
}  # fmt: skip
_WITHOUT: Final = (
    "start the container without it (read-only it can be written to all the same); at once: "
    "nsenter -t {pid} -m umount {path}"
)
_PINNED: Final = (
    "start the container without it, if what it shows is to be unmounted outside (it is read-only: "
    "nothing is written through it); at once: nsenter -t {pid} -m umount {path}"
)
_DELEGATED: Final = frozenset({"cgroup", "cgroup2"})
# Namespaces are counted (see NSFS); what is below the root directory cannot be reached.
_NO_FILES: Final = frozenset({"nsfs", "rootfs"})


class Bind(NamedTuple):
    """A mount of the subtree: where, what it shows, and what an outside namespace calls that."""

    point: str
    source: str
    filesystem: str
    mode: int
    major: int
    read_only: bool
    hosts: bool
    roots: bool


def impact(one: Bind) -> Impact:
    """Return what it means that a mount shows what is outside."""
    kind, whole = stat.S_IFMT(one.mode), one.source == "/"
    if one.filesystem in _OF_THE_KERNEL and not (one.roots and not whole):
        mild = one.read_only or (one.filesystem in _DELEGATED and not whole)
        return Impact.BY_DESIGN if mild else Impact.REACHES_OUT
    harmless = kind == stat.S_IFCHR and one.major in {_MEMORY_DEVICES, _TERMINALS}
    single = kind == stat.S_IFREG and (one.read_only or _by_a_runtime(one.point))
    through = kind in _THROUGH
    writable = kind == stat.S_IFDIR and not one.read_only
    rules = (
        ((one.roots and not whole) or harmless or single, Impact.BY_DESIGN),
        (through or (one.hosts and (whole or writable)), Impact.REACHES_OUT),
        (one.read_only, Impact.PINS),
    )
    return next((impact for holds, impact in rules if holds), Impact.SHARED_STATE)


def _by_a_runtime(point: str) -> bool:
    folder, name = os.path.split(point)
    return name in _BOUND_BY_RUNTIMES and os.path.basename(folder) == "etc"


def _find(world: World) -> Iterator[Related]:
    found = world.once(mounts)
    ours = np.flatnonzero(found.inside)
    seen_by = covering(world.memory, found, found.superblock[ours], found.root[ours])
    mine, theirs = ours[seen_by >= 0], seen_by[seen_by >= 0]
    if not len(mine):
        return
    memory = world.memory
    inode = memory.gather(found.root[mine], "dentry", {"inode": "d_inode"})
    read = memory.gather(inode["inode"], "inode", {"mode": "i_mode", "dev": "i_rdev"})
    binds = [
        Bind(*row)
        for row in zip(
            paths(memory, found.address[mine], found.root[mine]),
            paths(memory, found.address[theirs], found.root[mine]),
            types(memory, found.superblock[mine]),
            read["mode"].tolist(),
            (read["dev"].astype(np.int64) >> 20).tolist(),
            found.read_only[mine].tolist(),
            found.hosts[theirs].tolist(),
            member(found.address[mine], _roots(world)).tolist(),
            strict=True,
        )
    ]
    order = sorted(range(len(binds)), key=lambda row: _weight(binds[row]))
    told = np.array([row for row in order if binds[row].filesystem not in _NO_FILES], np.intp)
    chosen = [binds[row] for row in told.tolist()]
    yield Related(
        "MOUNT",
        found.address[mine][told],
        "MNT_NS",
        found.space[theirs][told],
        detail=np.array([_said(one) for one in chosen], object),
        role=np.array([_role(one) for one in chosen], object),
        impact=np.array([impact(one).value for one in chosen], object),
    )


def _weight(one: Bind) -> tuple[bool, bool, str]:
    """Order what is told of one impact: a whole tree first, what is the kernel's last."""
    return one.source != "/", one.filesystem in _OF_THE_KERNEL, one.point


def _said(one: Bind) -> str:
    what = f"{one.source} of {one.filesystem}"
    return f"{what}, read-only" if one.read_only else what


def _role(one: Bind) -> str:
    return _THROUGH.get(stat.S_IFMT(one.mode), "")


def _roots(world: World) -> U64:
    """Return the mounts that are the roots of processes inside, sorted."""
    places = world.inside.get("FS", np.empty(0, np.uint64))
    read = world.memory.gather(places, "fs_struct", {"mnt": "root.mnt"})
    return unique(of_vfs(world.memory, read["mnt"][read.ok]))


def _from_proc(shown: Shown) -> Iterator[Tied]:
    pairs = [
        (mount, seen)
        for mount, seen in shown.once(covered)
        if seen is not None and mount.fstype not in _NO_FILES
    ]
    folders = {mount.space: _folder(shown, mount.space) for mount, _ in pairs}
    looked = shown.look(
        [f"{folders[mount.space]}/root{mount.point}" for mount, _ in pairs],
        [f"mount/{mount.mnt_id}" for mount, _ in pairs],
    )
    roots = {place.mnt_id for place in shown.places if place.role == "root"}
    told = []
    for (mount, seen), at in zip(pairs, looked, strict=True):
        sure = at is not None and at.mnt_id == mount.mnt_id
        kinds = [stat.S_IFMT(at.mode)] if sure and at is not None else _kinds(mount)
        source = f"{seen.point.rstrip('/')}/{mount.root[len(seen.root.rstrip('/')) :].strip('/')}"
        binds = [
            Bind(
                mount.point,
                source.rstrip("/") or "/",
                mount.fstype,
                kind,
                os.major(at.rdev) if sure and at is not None else 0,
                mount.read_only,
                seen.space == shown.initial.get("mnt"),
                mount.mnt_id in roots or mount.point == "/",
            )
            for kind in kinds
        ]
        told.append((max(map(impact, binds), key=_IMPACTS.index), binds[0], mount, seen))
    for worst, one, mount, seen in sorted(told, key=lambda row: _weight(row[1])):
        ends = ("MOUNT", mount.mnt_id), ("MNT_NS", seen.space)
        yield Tied(*ends, _said(one), _role(one), impact=worst)


def _folder(shown: Shown, space: str) -> int:
    """Return a process that sees the mounts of a namespace as they were read."""
    return next(task.tid for task in shown.leaders() if task.spaces.get("mnt") == space)


def _kinds(mount: Mount) -> list[int]:
    """Return what a mount can be of where nobody was asked: the mildest of it is told."""
    return [stat.S_IFDIR] if mount.root == "/" else [stat.S_IFDIR, stat.S_IFREG]


RELATION: Final = Relation(
    name="bind-mount",
    title="shows what is mounted outside too",
    plural="show what is mounted outside too",
    left="shows what is there",
    right="has it mounted",
    impact=Impact.SHARED_STATE,
    next=(
        "start the container without it, or with it read-only (podman run -v FROM:TO:ro); at "
        "once: nsenter -t {pid} -m mount -o remount,bind,ro {path}"
    ),
    instead={**dict.fromkeys(_THROUGH.values(), _WITHOUT), Impact.PINS.value: _PINNED},
    kernel=_find,
    from_proc=_from_proc,
    hidden="in a plain copy of /proc, whether a folder or a file is mounted: the milder is told",
)
