"""Limits that the kernel keeps per user or per namespace, and what of them is used up.

A `struct ucounts` counts what one user has in one user namespace, and what is charged to it is
charged to whoever made that namespace, too: so each level has its limit (kernel/ucount.c,
inc_ucount()). System V IPC is limited per IPC namespace, process ids per pid namespace, mounts per
mount namespace. What a kernel does not have is not told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.memory.distinct import unique
from analyzer.memory.reader import MissingFieldError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

# enum ucount_type (include/linux/user_namespace.h), and the sysctl that is its limit.
_CHARGED: Final = {
    **{f"UCOUNT_{name.upper()}_NAMESPACES": f"user.max_{name}_namespaces" for name in (
        "user", "pid", "uts", "ipc", "net", "mnt", "cgroup", "time")},
    "UCOUNT_INOTIFY_INSTANCES": "fs.inotify.max_user_instances",
    "UCOUNT_INOTIFY_WATCHES": "fs.inotify.max_user_watches",
    "UCOUNT_FANOTIFY_GROUPS": "fs.fanotify.max_user_groups",
    "UCOUNT_FANOTIFY_MARKS": "fs.fanotify.max_user_marks",
}  # fmt: skip
# enum rlimit_type (the same file, since 5.14): what of a limit of processes their user has used.
_OF_PROCESSES: Final = {"UCOUNT_RLIMIT_MSGQUEUE": "RLIMIT_MSGQUEUE"}
_HOSTS: Final = 0xEFFFFFFD  # PROC_USER_INIT_INO: the host's user namespace
PIPE_PAGES: Final = "fs.pipe-user-pages"
"""What of the two limits with this name, soft and hard, a user has used."""
_ADDING: Final = 1 << 31  # PIDNS_ADDING
_MOST: Final = 1 << 20
_NOBODY: Final = np.empty(0, np.uint64)


def read(memory: Memory, found: Mapping[str, U64]) -> list[dict[str, Any]]:
    """Return what is used of each limit: its name, whose, how much, and the limit.

    `found` are the addresses of objects by kind. `of` is the number of the namespace, `user` the
    number of the user, None for limits that are no user's.
    """
    told: list[dict[str, Any]] = []
    parts = (
        _of_users(memory, found),
        _of_pipes(memory, found.get("CRED", _NOBODY)),
        _of_ipc(memory, found.get("IPC_NS", _NOBODY)),
        _of_pids(memory, found.get("PID_NS", _NOBODY)),
    )
    for part in parts:
        try:
            told += part
        except MissingFieldError:
            continue
    return told


def _of_users(memory: Memory, found: Mapping[str, U64]) -> Iterator[dict[str, Any]]:
    counts = _ucounts(memory, found)
    own = memory.gather(counts, "ucounts", {"ns": "ns", "uid": "uid.val"})
    space = memory.gather(own["ns"], "user_namespace", {"ino": "ns.inum", "most": "ucount_max"})
    used = memory.gather(counts, "ucounts", {"used": "ucount"})
    good = np.flatnonzero(own.ok & space.ok & used.ok).tolist()
    for constant, name in _CHARGED.items():
        at = memory.layout.enumerator("ucount_type", constant)
        if at is None:
            continue
        for row in good:
            charged, most = used["used"][row, at], space["most"][row, at]
            yield _row(name, space["ino"][row], own["uid"][row], charged, most)
    if not memory.has("ucounts", "rlimit"):
        return
    taken = memory.gather(counts, "ucounts", {"taken": "rlimit"})
    for constant, name in _OF_PROCESSES.items():
        at = memory.layout.enumerator("rlimit_type", constant)
        for row in good if at is not None else ():
            yield _row(name, space["ino"][row], own["uid"][row], taken["taken"][row, at], -1)


def _of_pipes(memory: Memory, creds: U64) -> Iterator[dict[str, Any]]:
    """Yield how many pages of pipes are charged to each user, who is one for all namespaces."""
    own = memory.gather(creds, "cred", {"user": "user"})
    users = unique(own["user"][own.ok])
    read_ = memory.gather(users, "user_struct", {"uid": "uid.val", "pages": "pipe_bufs.counter"})
    for row in np.flatnonzero(read_.ok).tolist():
        yield _row(PIPE_PAGES, _HOSTS, read_["uid"][row], read_["pages"][row], -1)


def _ucounts(memory: Memory, found: Mapping[str, U64]) -> U64:
    """Return the counts that are known: of whoever runs something, or made a namespace."""
    structs = {
        kind: f"{kind.removesuffix('_NS').lower()}_namespace"
        for kind in found
        if kind.endswith("_NS") and kind != "NET_NS"
    }
    structs |= {"NET_NS": "net"}
    if memory.has("cred", "ucounts"):  # since 5.14
        structs["CRED"] = "cred"
    parts = []
    for kind, struct in structs.items():
        read_ = memory.gather(found.get(kind, _NOBODY), struct, {"at": "ucounts"})
        parts.append(read_["at"][read_.ok])
    distinct = unique(*parts)[:_MOST]
    # A user namespace is charged to the one above it: so on, up to the host's.
    while True:
        ns = memory.gather(distinct, "ucounts", {"ns": "ns"})
        above = memory.gather(ns["ns"][ns.ok], "user_namespace", {"at": "ucounts"})
        wider = unique(distinct, above["at"][above.ok & (above["at"] != 0)])
        if len(wider) == len(distinct):
            break
        distinct = wider
    known: U64 = distinct[distinct != 0]
    return known


def _of_ipc(memory: Memory, spaces: U64) -> Iterator[dict[str, Any]]:
    # The order of `ids` is that of ipc/util.h: semaphores, messages, segments.
    read_ = memory.gather(
        spaces,
        "ipc_namespace",
        {
            "ino": "ns.inum",
            "segments": "ids[2].in_use",
            "most segments": "shm_ctlmni",
            "pages": "shm_tot",
            "most pages": "shm_ctlall",
            "queues": "ids[1].in_use",
            "most queues": "msg_ctlmni",
            "sets": "ids[0].in_use",
            "semaphores": "used_sems",
            "sem": "sem_ctls",
            "names": "mq_queues_count",
            "most names": "mq_queues_max",
        },
    )
    for row in np.flatnonzero(read_.ok).tolist():
        ino = read_["ino"][row]
        for name, what in (
            ("kernel.shmmni", "segments"),
            ("kernel.shmall", "pages"),
            ("kernel.msgmni", "queues"),
            ("fs.mqueue.queues_max", "names"),
        ):
            yield _row(name, ino, None, read_[what][row], read_[f"most {what}"][row])
        sets, semaphores = read_["sem"][row, 3], read_["sem"][row, 1]  # SEMMNI, SEMMNS
        yield _row("kernel.sem (sets)", ino, None, read_["sets"][row], sets)
        yield _row("kernel.sem (semaphores)", ino, None, read_["semaphores"][row], semaphores)


def _of_pids(memory: Memory, spaces: U64) -> Iterator[dict[str, Any]]:
    if not memory.has("pid_namespace", "pid_max"):  # since 6.14; one for all before
        return
    read_ = memory.gather(
        spaces,
        "pid_namespace",
        {"ino": "ns.inum", "used": "pid_allocated", "most": "pid_max"},
    )
    for row in np.flatnonzero(read_.ok).tolist():
        used = int(read_["used"][row]) & ~_ADDING
        yield _row("kernel.pid_max", read_["ino"][row], None, used, read_["most"][row])


def _row(name: str, ino: Any, uid: Any, used: Any, most: Any) -> dict[str, Any]:  # noqa: ANN401 - numpy's
    return {
        "limit": name,
        "of": int(ino),
        "user": None if uid is None else int(uid),
        "used": _signed(used),
        "most": _signed(most),
    }


def _signed(value: Any) -> int:  # noqa: ANN401 - numpy's
    number = int(value)
    return number - (1 << 64) if number >= 1 << 63 else number
