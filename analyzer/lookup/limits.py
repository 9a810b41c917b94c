"""Which limit is it, and who uses it up: the limits beside what is listed, the nearest first.

Limits of users and namespaces were read with the snapshot (`analyzer.sources.limits`), those of the
machine are asked of /proc/sys, those of processes of /proc/PID/limits, those of cgroups of their
folders: see sysctl(8), proc_sys_fs(5), namespaces(7), getrlimit(2), cgroups(7). What is not there
is not told. They are the limits of this moment, so a reading of another boot has none.
"""

from __future__ import annotations

import os
import pwd
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import TASK
from analyzer.core.text import valid
from analyzer.core.values import dataclass
from analyzer.lookup.words.base import of_now
from analyzer.procfs.places import comm_of
from analyzer.sources.limits import PIPE_PAGES
from analyzer.sources.tasks import proc_levels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from analyzer.snapshot.value import Snapshot

_MOST: Final = 8  # of one limit: cgroups, users, namespaces
_MOST_NEAR: Final = 4  # processes, by a limit of theirs
_UNLIMITED: Final = 1 << 53  # more than anybody can have: no limit at all
_CGROUPS: Final = "/sys/fs/cgroup"
_MOST_FOLDERS: Final = 20_000


@dataclass(frozen=True)
class Limit:
    """A limit: its name, whose it is ("the machine", a user, a process), and what is used of it.

    `used` is None where that cannot be known, `most` where there is no limit.
    """

    name: str
    whose: str
    used: int | None
    most: int | None
    note: str = ""

    @property
    def share(self) -> float:
        """Return which part of it is used up, 0 where that is not known."""
        if self.used is None or not self.most:
            return 0.0
        return self.used / self.most


def beside(
    families: tuple[str, ...], snapshot: Snapshot, kind: str, pids: frozenset[int]
) -> tuple[Limit, ...]:
    """Return the limits of some families in their order, in each the nearest to be used up first.

    `pids` are the processes that hold what is listed, a thing of the kind `kind`.
    """
    if not of_now(snapshot):
        return ()
    made: list[Limit] = []
    for family in families:
        # One user can have several counts: told is the largest.
        found = sorted(_FAMILIES[family](_Beside(snapshot, kind, pids)), key=lambda one: one.share)
        told = {(one.name, one.whose): one for one in found}
        made += sorted(told.values(), key=lambda one: (-one.share, one.name, one.whose))
    return tuple(made)


@dataclass(frozen=True)
class _Beside:
    """What limits are asked beside."""

    snapshot: Snapshot
    kind: str
    pids: frozenset[int]


def _kept(snapshot: Snapshot, *names: str) -> Iterator[Limit]:
    """Yield limits that the kernel keeps per user or namespace, where something is used of them."""
    hosts = _hosts(snapshot)
    worst: dict[str, list[Limit]] = {}
    for row in snapshot.meta.get("limits", ()):
        if row["limit"] in names and (row["used"] or row["of"] in hosts):
            one = Limit(row["limit"], _whose(row, hosts), row["used"], _bounded(row["most"]))
            worst.setdefault(one.name, []).append(one)
    for found in worst.values():
        yield from sorted(found, key=lambda one: (-one.share, -(one.used or 0)))[:_MOST]


def _hosts(snapshot: Snapshot) -> frozenset[int]:
    objects = snapshot.tables["objects"]
    mine = objects["initial"] & objects.known("ino")
    return frozenset(objects["ino"][mine].tolist())


def _whose(row: Mapping[str, Any], hosts: frozenset[int]) -> str:
    where = "" if row["of"] in hosts else f"{_space(row['limit'])}:[{row['of']}]"
    if row["user"] is None:
        return where or "the host"
    who = _user(row["user"])
    return f"{who} in {where}" if where else who


def _space(limit: str) -> str:
    if limit.startswith(("kernel.pid", "kernel.thr")):
        return "pid"
    return "ipc" if limit.startswith(("kernel.", "fs.mqueue")) else "user"


def _user(uid: int) -> str:
    try:
        return valid(pwd.getpwuid(uid).pw_name)
    except (KeyError, OSError):
        return f"uid {uid}"


def _bounded(most: int | None) -> int | None:
    return None if most is None or most < 0 or most >= _UNLIMITED else most


# --- sysctls


def sysctl(name: str, at: int = 0) -> int | None:
    """Return a number of /proc/sys, the one in the place `at` of several; None without it."""
    try:
        with open(f"/proc/sys/{name.replace('.', '/')}", "rb") as file:
            return int(file.read(256).split()[at])
    except (OSError, ValueError, IndexError):
        return None


def _of_machine(name: str, used: int | None, at: int = 0, note: str = "") -> Iterator[Limit]:
    most = sysctl(name, at)
    if most is not None:
        yield Limit(name, "the machine", used, _bounded(most), note)


def _ptys(_: _Beside) -> Iterator[Limit]:
    reserve = sysctl("kernel.pty.reserve")
    kept = f"{reserve:,} of them only in the host's own devpts" if reserve else ""
    yield from _of_machine("kernel.pty.max", sysctl("kernel.pty.nr"), note=kept)


def _aio(_: _Beside) -> Iterator[Limit]:
    yield from _of_machine("fs.aio-max-nr", sysctl("fs.aio-nr"), note="events of io_setup(2)")


def _keys(_: _Beside) -> Iterator[Limit]:
    """Yield the quotas of keys: /proc/key-users has `uid: usage nkeys/nikeys qnkeys/max ...`."""
    try:
        with open("/proc/key-users", "rb") as file:
            lines = [re.findall(rb"\d+", line) for line in file]
    except OSError:
        return
    for words in lines:
        if len(words) < 8:  # noqa: PLR2004 - as above
            continue
        uid, _usage, _all, _ready, count, most, size, bytes_ = map(int, words[:8])
        root = "root_" if uid == 0 else ""
        yield Limit(f"kernel.keys.{root}maxkeys", _user(uid), count, most)
        yield Limit(f"kernel.keys.{root}maxbytes", _user(uid), size, bytes_, "bytes")


def _epolls(_: _Beside) -> Iterator[Limit]:
    most = sysctl("fs.epoll.max_user_watches")
    if most is not None:
        yield Limit("fs.epoll.max_user_watches", "each user", None, most)


def _inotify(to: _Beside) -> Iterator[Limit]:
    names = ("fs.inotify.max_user_instances", "fs.inotify.max_user_watches")
    yield from _kept_or_each(to.snapshot, names)
    yield from _each("fs.inotify.max_queued_events", "each instance")


def _fanotify(to: _Beside) -> Iterator[Limit]:
    names = ("fs.fanotify.max_user_groups", "fs.fanotify.max_user_marks")
    yield from _kept_or_each(to.snapshot, names)
    yield from _each("fs.fanotify.max_queued_events", "each group")


def _kept_or_each(snapshot: Snapshot, names: tuple[str, ...]) -> Iterator[Limit]:
    found = list(_kept(snapshot, *names))
    yield from found
    for name in names:
        if not any(one.name == name for one in found):
            yield from _each(name, "each user")


def _each(name: str, whose: str) -> Iterator[Limit]:
    most = sysctl(name)
    if most is not None:
        yield Limit(name, whose, None, _bounded(most))


def _namespaces(to: _Beside) -> Iterator[Limit]:
    name = to.kind.removesuffix("_NS").lower()
    yield from _kept_or_each(to.snapshot, (f"user.max_{name}_namespaces",))
    clone = sysctl("kernel.unprivileged_userns_clone")
    if name == "user" and clone is not None:
        said = "who is not root may make some" if clone else "only root may make any"
        yield Limit("kernel.unprivileged_userns_clone", "the machine", None, clone, said)
    apparmor = sysctl("kernel.apparmor_restrict_unprivileged_userns")
    if name == "user" and apparmor:
        yield Limit(
            "kernel.apparmor_restrict_unprivileged_userns", "the machine", None, apparmor,
            "without a profile that allows it, one has no capabilities in it",
        )  # fmt: skip


def _ipc_shm(to: _Beside) -> Iterator[Limit]:
    yield from _kept(to.snapshot, "kernel.shmmni", "kernel.shmall")
    yield from _each("kernel.shmmax", "each segment (bytes)")


def _ipc_sem(to: _Beside) -> Iterator[Limit]:
    yield from _kept(to.snapshot, "kernel.sem (sets)", "kernel.sem (semaphores)")


def _ipc_msg(to: _Beside) -> Iterator[Limit]:
    yield from _kept(to.snapshot, "kernel.msgmni")
    yield from _each("kernel.msgmnb", "each queue (bytes)")


def _ipc_mqueue(to: _Beside) -> Iterator[Limit]:
    yield from _kept(to.snapshot, "fs.mqueue.queues_max")
    yield from _each("fs.mqueue.msg_max", "each queue")
    yield from _each("fs.mqueue.msgsize_max", "each message (bytes)")
    used = _of_users(to.snapshot, "RLIMIT_MSGQUEUE")
    counts = {
        pid: (f"{_user(uid)} (bytes)", used[uid])
        for pid in (to.pids if proc_levels() == 0 else ())
        if (uid := _uid(pid)) is not None and uid in used
    }
    yield from _rlimits("Max msgqueue size", "RLIMIT_MSGQUEUE", counts)


def _of_users(snapshot: Snapshot, name: str) -> dict[int, int]:
    """Return what users have used of a limit that processes have, in the host's user namespace."""
    hosts = _hosts(snapshot)
    rows = [row for row in snapshot.meta.get("limits", ()) if row["limit"] == name]
    return {row["user"]: row["used"] for row in rows if row["of"] in hosts}


def _pipes(to: _Beside) -> Iterator[Limit]:
    used = sorted(_of_users(to.snapshot, PIPE_PAGES).items(), key=lambda one: -one[1])
    for end, note in (("soft", "above it a new pipe has a page or two"), ("hard", "")):
        name, most = f"{PIPE_PAGES}-{end}", sysctl(f"{PIPE_PAGES}-{end}")
        # None of root's is limited, if it has its rights (fs/pipe.c, pipe_is_unprivileged_user()).
        for uid, pages in used[:_MOST] if most else ():
            if uid:
                yield Limit(name, f"{_user(uid)} (pages)", pages, most, note)


def _mappings(to: _Beside) -> Iterator[Limit]:
    most = sysctl("vm.max_map_count")
    counts = {pid: _maps(pid) for pid in to.pids} if proc_levels() == 0 else {}
    worst = sorted((pid for pid in counts if counts[pid]), key=lambda pid: -counts[pid])
    for pid in worst[:_MOST_NEAR]:
        yield Limit("vm.max_map_count", f"{comm_of(pid)} ({pid})", counts[pid], most)
    if not worst:
        yield from _each("vm.max_map_count", "each address space (mappings)")


def _maps(pid: int) -> int:
    """Return how many mappings a process has, 0 where that is not told (proc_pid_maps(5))."""
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return 0


def _mounts(to: _Beside) -> Iterator[Limit]:
    most = sysctl("fs.mount-max")
    references, objects = to.snapshot.tables["references"], to.snapshot.tables["objects"]
    is_one = references["association"] == references.code("association", "mount")
    spaces, counts = np.unique(references["holder"][is_one], return_counts=True)
    pairs = sorted(zip(counts.tolist(), spaces.tolist(), strict=True), reverse=True)
    for count, objref in pairs[:_MOST]:
        name = objects.value("name", objref - 1) or f"mount namespace no. {objref}"
        host = objects["initial"][objref - 1]
        yield Limit("fs.mount-max", "the host" if host else name, count, most)


# --- tasks


def _pids(to: _Beside) -> Iterator[Limit]:
    tasks = to.snapshot.tables["tasks"]
    count = int((tasks["tid"] > 0).sum())
    found = list(_kept(to.snapshot, "kernel.pid_max"))
    yield from found
    if not any(one.whose == "the host" for one in found):
        yield from _of_machine("kernel.pid_max", count)
    yield from _of_machine("kernel.threads-max", count)
    yield from _cgroups()
    yield from _rlimits("Max processes", "RLIMIT_NPROC", _by_user(to.snapshot))


def _cgroups() -> Iterator[Limit]:
    """Yield the cgroups of which pids.max is nearest (of both versions)."""
    found = []
    for seen, (folder, below, files) in enumerate(os.walk(_CGROUPS)):
        below.sort()
        if seen > _MOST_FOLDERS:
            break
        if "pids.max" not in files:
            continue
        most, used = (_number(f"{folder}/pids.{name}") for name in ("max", "current"))
        if most is not None and used is not None:
            path = folder.removeprefix(_CGROUPS).removeprefix("/unified").removeprefix("/pids")
            found.append(Limit("pids.max", f"cgroup {path or '/'}", used, most))
    yield from sorted(found, key=lambda one: -one.share)[:_MOST]


def _number(path: str) -> int | None:
    try:
        with open(path, "rb") as file:
            return int(file.read(32))
    except (OSError, ValueError):  # "max"
        return None


# --- files


def _files(to: _Beside) -> Iterator[Limit]:
    used = sysctl("fs.file-nr")
    yield from _of_machine("fs.file-max", used)
    yield from _each("fs.nr_open", "each process, at most")
    counts = _by_process(to.snapshot)
    mine = {pid: told for pid, told in counts.items() if pid in to.pids}
    yield from _rlimits("Max open files", "RLIMIT_NOFILE", mine)


def _by_process(snapshot: Snapshot) -> dict[int, tuple[str, int]]:
    """Return how many descriptors each process has: those of its table, by any of its threads."""
    references, tasks = snapshot.tables["references"], snapshot.tables["tasks"]
    is_fd = references["association"] == references.code("association", "fd")
    count = np.bincount(references["holder"][is_fd], minlength=1)
    by_task = references["holder_kind"] == references.code("holder_kind", TASK)
    uses = np.flatnonzero(
        by_task & (references["association"] == references.code("association", "files"))
    )
    table = dict(
        zip(references["holder"][uses].tolist(), references["target"][uses].tolist(), strict=True)
    )
    mine = (tasks["tid"] == tasks["tgid"]) & (tasks["tid"] > 0) & ~tasks["observer"]
    found: dict[int, tuple[str, int]] = {}
    for pid, comm in zip(tasks["tid"][mine].tolist(), tasks["comm"][mine], strict=True):
        at = table.get(pid)
        if at is not None and at < len(count) and count[at]:
            name = comm.removesuffix("\n")
            found[pid] = (f"{name} ({pid})", int(count[at]))
    return found


def _by_user(snapshot: Snapshot) -> dict[int, tuple[str, int]]:
    """Return how many threads the user of each process has, but for root, who has no such limit."""
    tasks = snapshot.tables["tasks"]
    threads: dict[int, int] = {}
    for pid in tasks["tgid"].tolist():
        threads[pid] = threads.get(pid, 0) + 1
    users = {pid: _uid(pid) for pid in threads if pid > 0}
    total: dict[int, int] = {}
    for pid, uid in users.items():
        if uid:
            total[uid] = total.get(uid, 0) + threads[pid]
    return {pid: (_user(uid), total[uid]) for pid, uid in users.items() if uid}


def _uid(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def _rlimits(word: str, name: str, counts: Mapping[int, tuple[str, int]]) -> Iterator[Limit]:
    """Yield the processes, or users, that are nearest to a limit of getrlimit(2)."""
    if proc_levels() != 0:
        return
    found: dict[str, Limit] = {}
    for pid, (who, used) in counts.items():
        most = _soft(pid, word)
        if most is not None:
            one = Limit(name, who, used, most)
            if who not in found or found[who].share < one.share:
                found[who] = one
    yield from sorted(found.values(), key=lambda one: -one.share)[:_MOST_NEAR]


def _soft(pid: int, word: str) -> int | None:
    """Return the soft limit of a process (proc_pid_limits(5)), None where it has none."""
    try:
        with open(f"/proc/{pid}/limits", "rb") as file:
            match = re.search(rb"^%s\s+(\d+)" % word.encode(), file.read(), re.MULTILINE)
    except OSError:
        return None
    return int(match[1]) if match else None


_FAMILIES: Final[Mapping[str, Callable[[_Beside], Iterator[Limit]]]] = {
    "inotify": _inotify,
    "fanotify": _fanotify,
    "epoll": _epolls,
    "namespaces": _namespaces,
    "pty": _ptys,
    "keys": _keys,
    "aio": _aio,
    "pipes": _pipes,
    "mounts": _mounts,
    "mappings": _mappings,
    "pids": _pids,
    "files": _files,
    "ipc-shm": _ipc_shm,
    "ipc-sem": _ipc_sem,
    "ipc-msg": _ipc_msg,
    "ipc-mqueue": _ipc_mqueue,
}
"""What yields the limits of a family, given what they are asked beside."""
