"""What all namespace kinds share: `struct ns_common` (include/linux/ns_common.h).

The reference count moved: one of each struct's own (<= 5.10), `ns.count` (5.11: "ns: Add a common
refcount into ns_common"), `ns.__ns_ref` (6.18). `inum` is the inode number that
/proc/PID/ns shows. The initial namespaces have fixed numbers (include/uapi/linux/nsfs.h; net and
mnt since 6.18 only).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.kinds.base import (
    MODERN_ONLY,
    Association,
    Counter,
    FileType,
    Judged,
    Kind,
    Pointer,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Describe
    from analyzer.memory.reader import Memory
    from analyzer.model import Rules

OWNER = Association("owner", "owned by it", collects=False)
PARENT = Association("parent", "is a child of it", collects=False)

_COUNTERS = (
    Counter("ns.__ns_ref.refs.counter"),
    Counter("ns.count.refs.counter"),
)


def namespace(
    name: str,
    *,
    order: int,
    initial_ino: int,
    old_counters: tuple[str, ...],
    rules: frozenset[Rules] = MODERN_ONLY,
    judged: Judged = Judged.ARITHMETIC,
    parent: bool = False,
    file_types: tuple[FileType, ...] = (),
) -> Kind:
    """Return the kind of the namespace called `name` in /proc/PID/ns."""
    kind = f"{name.upper()}_NS"
    struct = {"net": "net", "cgroup": "cgroup_namespace"}.get(name)
    struct = struct or f"{name}_namespace"
    pointers = [] if name == "user" else [Pointer(("user_ns",), "USER_NS", OWNER)]
    if parent:
        pointers.append(Pointer(("parent",), kind, PARENT))
    return Kind(
        name=kind,
        struct=struct,
        title=f"{name} namespace",
        plural=f"{name} namespaces",
        message=name,
        order=order,
        rank=70,
        counters=(*_COUNTERS, *(Counter(path) for path in old_counters)),
        judged=judged,
        rules=rules,
        pointers=tuple(pointers),
        describe=_describer(struct),
        file_types=file_types,
        namespace=name,
        initial_ino=initial_ino,
    )


def _describer(struct: str) -> Describe:
    def describe(memory: Memory, addresses: U64) -> Mapping[str, npt.NDArray[Any]]:
        read = memory.gather(addresses, struct, {"ino": "ns.inum"})
        return {"ino": np.where(read.ok, read["ino"], 0).astype(np.uint64)}

    return describe
