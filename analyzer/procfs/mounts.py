"""The mounts of every mount namespace that some task shows: devices, and pinned namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from analyzer.procfs import mountinfo, nslink

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from analyzer.procfs.fs import ProcFs
    from analyzer.procfs.mountinfo import Mount
    from analyzer.procfs.namespaces import Membership
    from analyzer.procfs.nslink import NamespaceLink
    from analyzer.procfs.tasks import Task


class Pin(NamedTuple):
    """A bind mount of a namespace's file, which keeps the namespace: where, and who sees it."""

    namespace: NamespaceLink
    point: str
    pid: int


def read(
    fs: ProcFs, tasks: Iterable[Task], members: Iterable[Membership]
) -> Mapping[int, Sequence[Mount]]:
    """Return the mounts of each mount namespace, by the process that was asked for them."""
    inside = {m.tid: m.namespace for m in members if m.link == "mnt"}
    found: dict[NamespaceLink, tuple[int, Sequence[Mount]]] = {}
    for task in tasks:
        namespace = inside.get(task.tid)
        if namespace is None or namespace in found or not task.leader or task.stat.exiting:
            continue
        mounts = _mounts(fs, task)
        if mounts:
            found[namespace] = task.tgid, mounts
    return dict(found.values())


def _mounts(fs: ProcFs, task: Task) -> Sequence[Mount]:
    path = f"{task.folder}/mountinfo"
    try:
        return mountinfo.parse(fs.read(path), fs.name(path))
    except OSError:
        return ()  # it adds names only: what else is refused of the task says so


def devices(mounts: Mapping[int, Sequence[Mount]]) -> Mapping[int | None, int]:
    """Return the device of each mount, by mount id (unique on the machine)."""
    return {mount.mnt_id: mount.dev for group in mounts.values() for mount in group}


def pins(mounts: Mapping[int, Sequence[Mount]]) -> list[Pin]:
    """Return the bind mounts of namespaces."""
    found: list[Pin] = []
    for pid, group in mounts.items():
        for mount in group:
            namespace = nslink.parse(mount.root) if mount.fstype == "nsfs" else None
            if namespace is not None:
                found.append(Pin(namespace, mount.point, pid))
    return found
