"""The namespaces of all tasks, as the links in /proc/PID/ns tell them (namespaces(7)).

Which nsproxy holds them cannot be seen, so the task itself holds them here, by the same names. That
there is one is known, and that those of two tasks are two where their namespaces are: threads of a
process are taken to share one, and others with the same namespaces may (`sets`, `alike`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from analyzer.core.values import NamedTuple
from analyzer.kinds import associations, namespace_kinds
from analyzer.procfs import evidence, nslink
from analyzer.procfs.fs import Links, vanished
from analyzer.procfs.gaps import empty, lacking, not_links, refusal

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from analyzer.procfs.fs import ProcFs
    from analyzer.procfs.gaps import GapLog
    from analyzer.procfs.nslink import NamespaceLink
    from analyzer.procfs.tasks import Task

_UNSEEN: Final = "which namespaces it is in is not known"
_KTHREADD: Final = 2

# The name of the link is that of the nsproxy's field, but for two that the nsproxy does not hold.
_ASSOCIATION: Final = {"user": "cred.user_ns", "pid": "pid"}


class Membership(NamedTuple):
    """A task's tie to a namespace: the name of the link, and where it leads."""

    tid: int
    link: str
    namespace: NamespaceLink

    @property
    def association(self) -> str:
        """The place in the task that holds it."""
        return _association(self.link)


@lru_cache(maxsize=1 << 10)
def _association(link: str) -> str:
    return _ASSOCIATION.get(link) or f"nsproxy.{link}"


class Set(NamedTuple):
    """A set of namespaces: tasks of one process, and which they are (`evidence.spaces`)."""

    tasks: list[Task]
    spaces: Hashable


def read(fs: ProcFs, tasks: Iterable[Task], log: GapLog) -> list[Membership]:
    """Read the namespaces of `tasks`; what is refused goes to `log`."""
    found: list[Membership] = []
    known = associations()
    seen: dict[frozenset[str], list[Task]] = {}
    for task in tasks:
        links = _links(fs, task, log)
        for link, target in sorted(zip(links.names, links.targets, strict=True)):
            namespace = nslink.parse(target)
            if namespace is None:
                continue
            if _association(link) in known:  # else it is a later kernel's, or a dump's
                found.append(Membership(task.tid, link, namespace))
        if fs.copied and links.names and not task.stat.exiting:
            names = frozenset(name for name in links.names if _association(name) in known)
            seen.setdefault(names, []).append(task)
    everything = frozenset().union(*seen)
    for names, lacked in seen.items():
        for name in sorted(everything - names):
            for task in lacked:
                log.add(lacking("a namespace", f"ns/{name}", _UNSEEN), task.tgid)
    return found


def _links(fs: ProcFs, task: Task, log: GapLog) -> Links:
    try:
        links = fs.links(f"{task.folder}/ns")
    except OSError as error:
        if not vanished(error) and not (fs.copied and task.stat.exiting):
            log.add(refusal("namespaces", "opendir", error, _UNSEEN), task.tgid)
        return Links((), ())
    if links.refused:
        log.add(refusal("namespaces", "readlink", links.refused, _UNSEEN), task.tgid)
    if links.others:
        log.add(not_links("namespaces", "ns", _UNSEEN), task.tgid)
    if fs.copied and not (links.names or links.refused or links.others or task.stat.exiting):
        log.add(empty("namespaces", "ns", _UNSEEN), task.tgid)
    return links


def sets(tasks: Sequence[Task], memberships: Iterable[Membership]) -> list[Set]:
    """Return the sets of namespaces, one for those tasks of a process that may share it."""
    known: dict[int, dict[str, NamespaceLink]] = {}
    for one in memberships:
        known.setdefault(one.tid, {})[one.link] = one.namespace
    found: dict[tuple[int, Hashable], list[Task]] = {}
    for task in tasks:
        spaces = evidence.spaces(known.get(task.tid, {}))
        if spaces and not task.stat.exiting:
            found.setdefault((task.tgid, spaces), []).append(task)
    return [Set(some, spaces) for (_, spaces), some in found.items()]


def initial(tasks: Sequence[Task], memberships: Iterable[Membership]) -> set[NamespaceLink]:
    """Return the initial namespaces as far as they can be told.

    They are those with a fixed inode number (include/uapi/linux/nsfs.h) and those of kthreadd.
    """
    fixed = {nslink.NamespaceLink(n, kind.initial_ino) for n, kind in namespace_kinds().items()}
    hosts = {task.tid for task in tasks if _is_kthreadd(task)}
    return fixed | {member.namespace for member in memberships if member.tid in hosts}


def _is_kthreadd(task: Task) -> bool:
    return task.tid == _KTHREADD and task.stat.kthread and task.stat.comm == "kthreadd"
