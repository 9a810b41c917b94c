"""CGROUP: struct cgroup, a group of version 2 that processes are in together (cgroups(7)).

Its limits, its freezer and its kill file are for all that are in it, whoever made them. Groups of
version 1 hierarchies are not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.kinds.base import Judged, Kind

if TYPE_CHECKING:
    import numpy.typing as npt

    from analyzer.kinds.base import U64
    from analyzer.memory.reader import Memory

_MOST_LEVELS: Final = 64
_LONGEST: Final = 256


def paths(memory: Memory, addresses: U64) -> npt.NDArray[np.object_]:
    """Return the path of each from the root of the hierarchy (kernfs_path(), fs/kernfs/dir.c)."""
    node = memory.gather(addresses, "cgroup", {"node": "kn"})["node"]
    found = [""] * len(node)
    for _ in range(_MOST_LEVELS):
        read = memory.gather(
            node, "kernfs_node", {"name": "name", "parent": ("__parent", "parent")}
        )
        up = np.flatnonzero(read.ok & (node != 0) & (read["parent"] != 0))
        if not len(up):
            break
        data, good = memory.read(read["name"][up], _LONGEST)
        for at, row, fine in zip(up.tolist(), data, good.tolist(), strict=True):
            name = row.tobytes().split(b"\0", 1)[0] if fine else b"?"
            found[at] = f"/{name.decode('utf-8', 'surrogateescape')}{found[at]}"
        above = np.zeros_like(node)
        above[up] = read["parent"][up]
        node = above
    return np.array([path or "/" for path in found], object)


KIND: Final = Kind(
    name="CGROUP",
    struct="cgroup",
    title="cgroup",
    plural="cgroups",
    message="cgroup",
    order=171,
    rank=94,
    counters=(),
    judged=Judged.NOT,
    names=paths,
    derived=True,
)
