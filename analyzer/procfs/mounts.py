"""The mounts of every mount namespace that some task shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError
from analyzer.procfs import mountinfo
from analyzer.procfs.fs import NotCopiedError
from analyzer.procfs.gaps import Failure, empty, lacking, malformed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from analyzer.procfs.fs import ProcFs
    from analyzer.procfs.gaps import GapLog
    from analyzer.procfs.mountinfo import Mount
    from analyzer.procfs.namespaces import Membership
    from analyzer.procfs.nslink import NamespaceLink
    from analyzer.procfs.tasks import Task


_MOUNTS: Final = "the mounts of a mount namespace"
_UNNAMED: Final = "devices, and namespaces that are kept by a mount there, are not known"


def read(
    fs: ProcFs, tasks: Iterable[Task], members: Iterable[Membership], log: GapLog
) -> Mapping[int, Sequence[Mount]]:
    """Return the mounts of each mount namespace, by the process that was asked for them.

    A dump has them once for each; one that has none goes to `log`.
    """
    inside = {m.tid: m.namespace for m in members if m.link == "mnt"}
    found: dict[NamespaceLink, tuple[int, Sequence[Mount]]] = {}
    lacked: dict[NamespaceLink, tuple[Failure, int]] = {}
    for task in tasks:
        namespace = inside.get(task.tid)
        if namespace is None or namespace in found or not task.leader or task.stat.exiting:
            continue
        mounts = _mounts(fs, task, log)
        if isinstance(mounts, Failure):
            lacked.setdefault(namespace, (mounts, task.tgid))
        elif mounts:
            found[namespace] = task.tgid, mounts
    for namespace, (failure, pid) in lacked.items():
        if namespace not in found:
            log.add(failure, pid)
    return dict(found.values())


def _mounts(fs: ProcFs, task: Task, log: GapLog) -> Sequence[Mount] | Failure:
    """Return the mounts that a task sees, or that a dump does not say: another may say it."""
    path = f"{task.folder}/mountinfo"
    try:
        found = mountinfo.parse(fs.read(path), fs.name(path))
    except NotCopiedError:
        return lacking(_MOUNTS, "mountinfo", _UNNAMED)
    except OSError:
        return ()  # it adds names only: what else is refused of the task says so
    except BadInputError as error:
        log.add(malformed(_MOUNTS, path, error, _UNNAMED), task.tgid)
        return ()
    return empty(_MOUNTS, "mountinfo", _UNNAMED) if fs.copied and not found else found


def devices(mounts: Mapping[int, Sequence[Mount]]) -> Mapping[int | None, int]:
    """Return the device of each mount, by mount id (unique on the machine)."""
    return {mount.mnt_id: mount.dev for group in mounts.values() for mount in group}
