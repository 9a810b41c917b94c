"""NSPROXY: struct nsproxy, one task's set of namespaces, shared by forked tasks.

It holds one reference to each namespace but the user namespace (kernel/nsproxy.c). The pid
namespace in it is the one for children; the time namespace is there twice, for the task and for
its children. The count is a refcount_t since 6.11 (an atomic_t before).
"""

from __future__ import annotations

from typing import Final

from analyzer.core.model import Rules
from analyzer.kinds.base import (
    ALL_RULES,
    MODERN_ONLY,
    SINCE_LINUX_CR,
    Association,
    Counter,
    Kind,
    Pointer,
)

_NAMESPACES: Final = (
    ("uts_ns", "UTS_NS", "uts", ALL_RULES),
    ("ipc_ns", "IPC_NS", "ipc", ALL_RULES),
    ("mnt_ns", "MNT_NS", "mnt", SINCE_LINUX_CR),
    ("net_ns", "NET_NS", "net", MODERN_ONLY),
    ("pid_ns_for_children", "PID_NS", "pid_for_children", MODERN_ONLY),
    ("cgroup_ns", "CGROUP_NS", "cgroup", MODERN_ONLY),
    ("time_ns", "TIME_NS", "time", MODERN_ONLY),
    ("time_ns_for_children", "TIME_NS", "time_for_children", MODERN_ONLY),
)

KIND: Final = Kind(
    name="NSPROXY",
    struct="nsproxy",
    title="set of namespaces",
    plural="sets of namespaces",
    message="nsproxy",
    order=10,
    rank=60,
    counters=(Counter("count.refs.counter"), Counter("count.counter")),
    rules=SINCE_LINUX_CR,
    pointers=tuple(
        Pointer(
            (path,),
            kind,
            Association(
                f"nsproxy.{name}",
                "for its children" if name.endswith("for_children") else "is in it",
                rules,
                per_task=Rules.SEED in rules,
            ),
        )
        for path, kind, name, rules in _NAMESPACES
    ),
    of_process=True,
    set_of_namespaces=True,
    member=True,
)
