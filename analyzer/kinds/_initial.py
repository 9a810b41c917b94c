"""Where nothing can die: init_task, and the initial namespaces that it is in.

init_task (init/init_task.c) is the only task that is its own parent: every chain of parents ends
there. Its nsproxy and credentials hold the initial namespaces for as long as the kernel runs, so
the kernel's lists of namespaces are safely entered there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.kinds.base import U64, Kind, Mask
    from analyzer.memory.reader import Columns, Memory

_MOST_GENERATIONS: Final = 1 << 16
_PLACES: Final = {
    "uts": ("nsproxy", "uts_ns"),
    "ipc": ("nsproxy", "ipc_ns"),
    "mnt": ("nsproxy", "mnt_ns"),
    "net": ("nsproxy", "net_ns"),
    "pid": ("nsproxy", "pid_ns_for_children"),
    "cgroup": ("nsproxy", "cgroup_ns"),
    "time": ("nsproxy", "time_ns"),
    "user": ("cred", "user_ns"),
}
_SET: Final = "nsproxy"

_known: WeakKeyDictionary[Memory, dict[str, int]] = WeakKeyDictionary()


def initial(memory: Memory, name: str) -> int:
    """Return the address of the initial namespace called `name` in /proc/PID/ns, 0 if unknown."""
    return _once(memory, name, lambda: _of_init_task(memory, *_PLACES[name]))


def nested(memory: Memory, read: Columns) -> Mask:
    """Tell where the user namespace `ns` was read and is another than the initial one.

    That one is the host's, whoever holds it; and nearly everything does.
    """
    result: Mask = read.ok & (read["ns"] != initial(memory, "user"))
    return result


def hosts(memory: Memory, kind: Kind, addresses: U64) -> Mask:
    """Tell which objects are an initial namespace, or the initial set of them (NSPROXY)."""
    own = np.uint64(0)
    if kind.name == "NSPROXY":
        own = np.uint64(_once(memory, _SET, lambda: _set_of_init_task(memory)))
    elif kind.namespace:
        own = np.uint64(initial(memory, kind.namespace))
    result: Mask = addresses == own
    return result


def _once(memory: Memory, name: str, find: Callable[[], int]) -> int:
    known = _known.setdefault(memory, {})
    if name not in known:
        known[name] = find()
    return known[name]


def _set_of_init_task(memory: Memory) -> int:
    task = _init_task(memory)
    return int(memory.gather(task, "task_struct", {"set": "nsproxy"})["set"][0])


def _of_init_task(memory: Memory, holder: str, field: str) -> int:
    if not memory.has(holder, field):
        return 0
    task = _init_task(memory)
    read = memory.gather(task, "task_struct", {"holder": holder})
    namespace = memory.gather(read["holder"], holder, {"namespace": field})
    return int(namespace["namespace"][0]) if read.ok[0] and namespace.ok[0] else 0


def _init_task(memory: Memory) -> U64:
    return np.array([_once(memory, "init_task", lambda: _ancestor(memory))], np.uint64)


def _ancestor(memory: Memory) -> int:
    task: U64 = np.array([memory.engine.current_task()], np.uint64)
    for _ in range(_MOST_GENERATIONS):
        read = memory.gather(task, "task_struct", {"parent": "real_parent"})
        if not read.ok[0] or read["parent"][0] == task[0]:
            return int(task[0]) if read.ok[0] else 0
        task = read["parent"]
    return 0
