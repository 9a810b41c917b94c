"""What all namespace kinds share: `struct ns_common` (include/linux/ns_common.h).

The reference count moved: one of each struct's own (<= 5.10), `ns.count` (5.11: "ns: Add a common
refcount into ns_common"), `ns.__ns_ref` (6.18). `inum` is the inode number that
/proc/PID/ns shows. The initial namespaces have fixed numbers (include/uapi/linux/nsfs.h; net and
mnt since 6.18 only).
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.core.values import NamedTuple
from analyzer.kinds._everywhere import finder
from analyzer.kinds.base import (
    MODERN_ONLY,
    Association,
    By,
    Counter,
    FileType,
    Judged,
    Kind,
    Pointer,
)
from analyzer.kinds.ucounts import charged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from analyzer.core.model import Rules
    from analyzer.kinds.base import U64, Describe, Edges, Walk
    from analyzer.memory.reader import Memory

OWNER: Final = Association("owner", "owned by it", collects=False)
PARENT: Final = Association("parent", "is a child of it", collects=False)
UCOUNTS: Final = Association("ns.ucounts", "is counted there", collects=False)

_NESTED: Final = ("pid", "user")
_COUNTERS: Final = (
    Counter("ns.__ns_ref.refs.counter"),
    Counter("ns.count.refs.counter"),
)


class Holds(NamedTuple):
    """What one kind of namespace holds, and finds by a walk."""

    walk: Walk
    associations: tuple[Association, ...]


def namespace(
    name: str,
    *,
    order: int,
    initial_ino: int,
    old_counters: tuple[str, ...],
    rules: frozenset[Rules] = MODERN_ONLY,
    judged: Judged = Judged.ARITHMETIC,
    holds: Holds | None = None,
    file_types: tuple[FileType, ...] = (),
) -> Kind:
    """Return the kind of the namespace called `name` in /proc/PID/ns.

    `holds` is what such a namespace holds beside its owner, its parent and its ucounts.
    """
    kind = f"{name.upper()}_NS"
    struct = "net" if name == "net" else f"{name}_namespace"
    counters = (*_COUNTERS, *(Counter(path) for path in old_counters))
    pointers = [] if name == "user" else [Pointer(("user_ns",), "USER_NS", OWNER)]
    if name in _NESTED:
        pointers.append(Pointer(("parent",), kind, PARENT))
    return Kind(
        name=kind,
        struct=struct,
        title=f"{name} namespace",
        plural=f"{name} namespaces",
        message=name,
        order=order,
        rank=70,
        counters=counters,
        judged=judged,
        rules=rules,
        pointers=tuple(pointers),
        walk=_walker(struct, holds.walk if holds else None),
        walk_associations=(UCOUNTS, *(holds.associations if holds else ())),
        describe=_describer(struct),
        finder=finder(kind, name, struct, tuple(counter.path for counter in counters)),
        file_types=file_types,
        namespace=name,
        unseen="a detached mount (open_tree), a keyring, a subsystem of the kernel",
        initial_ino=initial_ino,
        owns=name == "user",
        leaked=Impact.SHARED_STATE,
        leaked_by=By.MEMBER,
    )


def _walker(struct: str, more: Walk | None) -> Walk:
    def walk(memory: Memory, namespaces: U64) -> Iterable[Edges]:
        read = memory.gather(namespaces, struct, {"ucounts": "ucounts"})
        counted = charged(memory, UCOUNTS, np.where(read.ok, read["ucounts"], np.uint64(0)))
        return chain(counted, more(memory, namespaces) if more else ())

    return walk


def _describer(struct: str) -> Describe:
    def describe(memory: Memory, addresses: U64) -> Mapping[str, npt.NDArray[Any]]:
        read = memory.gather(addresses, struct, {"ino": "ns.inum"})
        return {"ino": np.where(read.ok, read["ino"], 0).astype(np.uint64)}

    return describe
