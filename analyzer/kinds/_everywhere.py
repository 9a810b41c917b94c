"""All namespaces of the machine, also those that no task is in: the kernel's own lists of them.

Since 6.18 every namespace is in the list of its type (`ns_common.ns_list_node`, kernel/nstree.c).
Before, only network namespaces were (`net_namespace_list`), and mount namespaces from 6.13 to 6.17
(`mnt_ns_list`); the others are met through what holds them. The lists' heads are static: they are
passed over because they lack what all namespaces of a type share, their `ns.ops`. So are the dead,
whose count is 0: network namespaces pile up in the list until they are taken down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.kinds._initial import initial
from analyzer.kinds.base import Finder
from analyzer.memory.walk import rings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

_LINKS: Final = (
    "ns.ns_list_node",
    "ns.ns_tree_node.ns_list_entry",  # 6.19
    "mnt_ns_list",
    "list",  # of struct net; a mount namespace's was its list of mounts, up to 6.7
)


def finder(kind: str, name: str, struct: str, counters: tuple[str, ...]) -> Finder:
    """Return what finds all namespaces of a kind as soon as the first one is met."""
    links = _LINKS if name == "net" else _LINKS[:-1]

    def find(memory: Memory, _: Mapping[str, U64]) -> U64:
        first, link = initial(memory, name), memory.layout.first(struct, links)
        if not first or link is None:
            return np.empty(0, np.uint64)
        offset = np.uint64(link[1].offset)
        start = np.array([first], np.uint64)
        listed = np.concatenate((start, rings(memory, start + offset).value - offset))
        read = memory.gather(listed, struct, {"ops": "ns.ops", "count": counters})
        alive = read.ok & (read["ops"] == read["ops"][0]) & (read["count"] > 0)
        found: U64 = listed[alive]
        return found

    return Finder(after=(kind,), find=find)
