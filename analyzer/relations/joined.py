"""joined: a process that is in the subtree's own namespaces and is no descendant of it.

What a runtime executes in a container, or a debugger that entered it, is no child of it: a
checkpoint loses it, and where the pid namespace ends (its first process dies) it is killed. A dead
one that its own parent does not wait for keeps the namespace from ending (zap_pid_ns_processes()).
The host's namespaces are everybody's and are not told, and of a process and its descendants that
are all in there, the first. Who is in nothing but a user namespace that the parents of the subtree
are in too is there by design: all rootless containers of a user are in one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.core.values import dataclass
from analyzer.kinds._initial import initial
from analyzer.memory.distinct import member, unique
from analyzer.relations._tasks import KTHREAD, pid_spaces, tasks
from analyzer.relations.base import Related, Relation
from analyzer.relations.cgroup import group_of
from analyzer.relations.shown import Tied

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask
    from analyzer.relations._tasks import Columns
    from analyzer.relations.base import World
    from analyzer.relations.shown import Shown, Task

_PROXY: Final = {
    "mnt": "mnt_ns",
    "net": "net_ns",
    "uts": "uts_ns",
    "ipc": "ipc_ns",
    "cgroup": "cgroup_ns",
}
_TIME: Final = {"time": "time_ns"}
_USER: Final = "user"


@dataclass(frozen=True)
class _Joined:
    """Tasks (rows of `Columns`) by namespace that they have in common with the subtree."""

    found: Columns
    space: Mapping[str, U64]
    common: Mapping[str, Mask]
    any: Mask


def _find(world: World) -> Iterator[Related]:
    found = world.once(tasks)
    if not (found.inside & found.leads).any():
        return
    there = _joined(world, found)
    parent = _parents(found)
    top = np.flatnonzero(there.any & ~there.any[parent])
    if not len(top):
        return
    ours = np.flatnonzero(found.inside & found.leads)
    ours = ours[np.argsort(found["start"][ours], kind="stable")]
    ancestors = _above(found, parent, int(ours[0]))
    born_in = bool(there.common[_USER][list(ancestors)].any())
    crowd = _crowd(there, parent)
    reapers = [_dies(world, there, crowd[row]) for row in top.tolist()]
    groups = group_of(world, found.address)
    left, said, impact = [], [], []
    for row, reaper in zip(top.tolist(), reapers, strict=True):
        with_it = crowd[row]
        names = [name for name, mask in there.common.items() if mask[with_it].any()]
        same = sum(
            (there.space[name][ours][:, None] == there.space[name][with_it][None, :]).any(axis=1)
            for name in names
        )
        host = int(ours[np.argmax(same)])
        words = _words(found, row, host, names)
        if groups[row] and groups[row] == groups[host]:
            words.append("in its cgroup")
        if len(with_it) > 1:
            words.append(f"with {len(with_it) - 1} more that it started")
        if reaper:
            words.append("killed when its pid namespace ends")
        if found["exit"][row]:
            words.append(f"dead and not waited for by process {found['tgid'][parent[row]]}")
        left.append(host)
        said.append(", ".join(words))
        by_design = row in ancestors or (born_in and names == [_USER])
        impact.append((Impact.BY_DESIGN if by_design else Impact.LOST).value)
    yield Related(
        TASK, found.address[left], TASK, found.address[top],
        detail=np.array(said, object), impact=np.array(impact, object),
    )  # fmt: skip


def _words(found: Columns, row: int, host: int, names: list[str]) -> list[str]:
    many = "namespace" if len(names) == 1 else f"{len(names)} namespaces"
    does = "is in" if found["start"][row] < found["start"][host] else "joined"
    return [f"{does} its {many} ({', '.join(names)})"]


def _joined(world: World, found: Columns) -> _Joined:
    memory = world.memory
    proxy = memory.gather(found["nsproxy"], "nsproxy", _PROXY, _TIME)
    cred = memory.gather(found["cred"], "cred", {"user": "user_ns"})
    space = {"pid": world.once(pid_spaces)}
    for name in (*_PROXY, *_TIME):
        if name in proxy:
            space[name] = np.where(proxy.ok, proxy[name], np.uint64(0))
    space[_USER] = np.where(cred.ok, cred["user"], np.uint64(0))
    alive = found.leads & (found["flags"] & KTHREAD == 0)
    common = {}
    for name, spaces in space.items():
        own = unique(spaces[found.inside & alive])
        own = own[(own != 0) & (own != np.uint64(initial(memory, name)))]
        common[name] = alive & ~found.inside & member(spaces, own)
    return _Joined(found, space, common, np.logical_or.reduce(list(common.values())))


def _parents(found: Columns) -> npt.NDArray[np.intp]:
    """Return the row of the process that is the parent of each task, its own where unknown."""
    own = np.arange(len(found.address))
    parent, known = found.row(found["parent"])
    leader, led = found.row(found["leader"])
    parent = np.where(known, parent, own)
    return np.where(led[parent], leader[parent], parent)


def _above(found: Columns, parent: npt.NDArray[np.intp], root: int) -> set[int]:
    rows: set[int] = set()
    at = int(parent[root])
    while at not in rows and len(rows) < len(found.address):
        rows.add(at)
        at = int(parent[at])
    return rows


def _crowd(there: _Joined, parent: npt.NDArray[np.intp]) -> dict[int, list[int]]:
    """Return those that joined with each that joined first: whose parents did; itself first."""
    with_it: dict[int, list[int]] = {int(row): [int(row)] for row in np.flatnonzero(there.any)}
    for row in list(with_it):
        at = row
        for _ in range(len(parent)):
            if not there.any[parent[at]]:
                break
            at = int(parent[at])
        if at != row:
            with_it[at].append(row)
    return with_it


def _dies(world: World, there: _Joined, rows: list[int]) -> bool:
    """Tell whether the pid namespace of one of them ends with a process of the subtree."""
    spaces = there.space["pid"][rows][there.common["pid"][rows]]
    read = world.memory.gather(spaces, "pid_namespace", {"task": "child_reaper"})
    return bool((read.ok & member(read["task"], world.inside[TASK])).any())


def _from_proc(shown: Shown) -> Iterator[Tied]:
    ours = shown.ours()
    own = {name: shown.own(name) for name in ("pid", *_PROXY, *_TIME, _USER)}
    there = {
        task.tid: [name for name in own if task.spaces.get(name) in own[name]]
        for task in shown.leaders()
        if not task.inside and not task.kthread
    }
    there = {tid: names for tid, names in there.items() if names}
    crowds: dict[int, list[Task]] = {}
    for tid in there:
        crowds.setdefault(_first(shown, there, tid), []).append(shown.tasks[tid])
    above = {task.tid for task in _parents_of(shown, ours[0])} if ours else set()
    born_in = any(_USER in there.get(tid, ()) for tid in above)
    for tid, crowd in crowds.items():
        top = shown.tasks[tid]
        names = [name for name in own if any(name in there[task.tid] for task in crowd)]
        host = max(ours, key=lambda one: sum(_with(one, crowd, name) for name in names))
        many = "namespace" if len(names) == 1 else f"{len(names)} namespaces"
        # A clock tick is long: a parent is older though it started in the same one.
        does = "is in" if tid in above or top.start < host.start else "joined"
        said = [f"{does} its {many} ({', '.join(names)})"]
        if top.group_of not in {None, "/"} and top.group_of == host.group_of:
            said.append("in its cgroup")
        if len(crowd) > 1:
            said.append(f"with {len(crowd) - 1} more that it started")
        if any(_ends_with_ours(ours, task) for task in crowd if "pid" in there[task.tid]):
            said.append("killed when its pid namespace ends")
        if top.state in "ZX":
            said.append(f"dead and not waited for by process {top.parent}")
        by_design = tid in above or (born_in and names == [_USER])
        impact = Impact.BY_DESIGN if by_design else Impact.LOST
        yield Tied(host.key, top.key, ", ".join(said), impact=impact)


def _with(one: Task, crowd: list[Task], name: str) -> bool:
    return name in one.spaces and any(t.spaces.get(name) == one.spaces[name] for t in crowd)


def _parents_of(shown: Shown, task: Task) -> Iterator[Task]:
    seen = {task.tid}
    at = shown.tasks.get(task.parent)
    while at is not None and at.tid not in seen:
        yield at
        seen.add(at.tid)
        at = shown.tasks.get(at.parent)


def _first(shown: Shown, there: Mapping[int, list[str]], tid: int) -> int:
    """Return the first of those that joined with a process: whose parents did."""
    first = tid
    for task in _parents_of(shown, shown.tasks[tid]):
        if task.tid not in there:
            break
        first = task.tid
    return first


def _ends_with_ours(ours: list[Task], task: Task) -> bool:
    return any(
        one.numbers[-1:] == (1,) and one.spaces.get("pid") == task.spaces["pid"] for one in ours
    )


RELATION: Final = Relation(
    name="joined",
    title="has a process in its namespaces that is no descendant",
    plural="have processes in their namespaces that are no descendants",
    left="has company",
    right="is there, and not a descendant",
    impact=Impact.LOST,
    next=(
        "end who joined before a checkpoint (kill {other}), or take all in: cranalyze check "
        "--members cgroup"
    ),
    brief="{right}: {detail}; not a descendant of {left}",
    kernel=_find,
    from_proc=_from_proc,
)
