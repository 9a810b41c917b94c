"""bpf-link: a BPF program that somebody on the other side attached to a process's surroundings.

A link (BPF_LINK_CREATE) to a control group filters what all processes in it and below do, one to a
network namespace what it receives; it ends with its last descriptor (kernel/bpf/cgroup.c,
net_namespace.c). Those on the root of the hierarchy are everybody's and are not told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK, Impact
from analyzer.kinds._initial import initial
from analyzer.memory.distinct import find
from analyzer.relations._anonymous import BPF_LINK, anonymous, data_of
from analyzer.relations._tasks import sided, tasks
from analyzer.relations.base import Related, Relation, words
from analyzer.relations.cgroup import group_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import U64
    from analyzer.relations.base import World

_CGROUP: Final = 3  # BPF_LINK_TYPE_CGROUP, include/uapi/linux/bpf.h
_NETNS: Final = 5
_LEVELS: Final = 64


def _find(world: World) -> Iterator[Related]:
    links = world.once(anonymous).get(BPF_LINK)
    if links is None:
        return
    memory, found = world.memory, world.once(tasks)
    data = data_of(world, links)
    kind = memory.gather(data, "bpf_link", {"type": "type"})
    address = found.address[found.leads]
    proxy = memory.gather(found["nsproxy"][found.leads], "nsproxy", {"net": "net_ns"})
    net = np.where(proxy.ok & (proxy["net"] != initial(memory, "net")), proxy["net"], np.uint64(0))
    to_net = memory.gather(data, "bpf_netns_link", {"net": "net"})
    at = np.where(kind.ok & (kind["type"] == _NETNS), to_net["net"], np.uint64(0))
    yield _rows(world, address, net, links, at, "network namespace")
    to_group = memory.gather(data, "bpf_cgroup_link", {"group": "cgroup"})
    at = np.where(kind.ok & (kind["type"] == _CGROUP), to_group["group"], np.uint64(0))
    group = group_of(world, address)
    for _ in range(_LEVELS):
        if not group.any():
            return
        yield _rows(world, address, group, links, at, "cgroup")
        group = _parent(world, group)


def _rows(world: World, who: U64, place: U64, links: U64, at: U64, role: str) -> Related:
    """Return each task (in a place, 0 is none) with each link to that place."""
    order = np.argsort(place, kind="stable")
    first = np.searchsorted(place, at, sorter=order)
    last = np.searchsorted(place, at, side="right", sorter=order)
    count = np.where(at != 0, last - first, 0)
    link = np.repeat(np.arange(len(links)), count)
    ordinal = np.arange(len(link)) - np.repeat(np.cumsum(count) - count, count)
    task = who[order[first[link] + ordinal]]
    found = world.once(tasks)
    row, _ = find(found.address, task)
    return Related(
        TASK,
        task,
        "FILE",
        links[link],
        role=words(len(link), role),
        impact=sided(found.inside[row], Impact.LOST, Impact.REACHES_OUT),
    )


def _parent(world: World, groups: U64) -> U64:
    """Return the group above each, 0 above those that are right below the root."""
    memory = world.memory
    read = memory.gather(groups, "cgroup", {"above": "self.parent"})
    above = np.where(read.ok & (groups != 0), read["above"], np.uint64(0))
    own = np.uint64(memory.offset("cgroup", "self"))
    parent = np.where(above != 0, above - own, np.uint64(0))
    level = memory.gather(parent, "cgroup", {"level": "level"})
    return np.where(level.ok & (level["level"] > 0), parent, np.uint64(0))


RELATION: Final = Relation(
    name="bpf-link",
    title="filtered by a BPF program of the other side",
    plural="filtered by BPF programs of the other side",
    back="attached to the other side as a filter (BPF)",
    left="is filtered",
    right="has it attached",
    impact=Impact.LOST,
    next="bpftool link detach id ID (bpftool link show), or end the process that has it",
    kernel=_find,
    unseen="programs attached without a link, or by a link that is pinned in a bpf filesystem",
)
