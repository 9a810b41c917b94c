"""mount-propagation: what is mounted on one side appears on the other.

Shared mounts of one peer group (`mnt_group_id`, fs/mount.h) get each other's mounts and unmounts; a
slave (`mnt_master`) gets those of its master's group, and gives none back (mount_namespaces(7)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.relations._mounts import mounts
from analyzer.relations.base import Related, Relation, words
from analyzer.relations.shown import Tied

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import I64
    from analyzer.relations._mounts import Mounts
    from analyzer.relations.base import World
    from analyzer.relations.shown import Key, Shown

_NONE: Final = 0


def _find(world: World) -> Iterator[Related]:
    found = world.once(mounts)
    if not found.inside.any():
        return
    for role, ours, theirs, impact in (
        ("gives and gets mounts", found.group, found.group, Impact.REACHES_OUT),
        ("gives mounts", found.group, found.master, Impact.REACHES_OUT),
        ("gets mounts", found.master, found.group, Impact.WATCHES),
    ):
        left, right = _meeting(found, ours, theirs)
        yield Related(
            "MOUNT", found.address[left], "MNT_NS", found.space[right],
            detail=np.array([f"peer group {n}" for n in ours[left].tolist()], object),
            role=words(len(left), role), impact=words(len(left), impact.value),
        )  # fmt: skip


def _meeting(
    found: Mounts, ours: I64, theirs: I64
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return inside mounts, and for each an outside one of its group: the host's if there is."""
    rows = np.flatnonzero(found.outside & (theirs != _NONE))
    order = rows[np.lexsort((~found.hosts[rows], theirs[rows]))]
    groups, first = np.unique(theirs[order], return_index=True)
    left = np.flatnonzero(found.inside & (ours != _NONE) & np.isin(ours, groups))
    return left, order[first[np.searchsorted(groups, ours[left])]]


def _from_proc(shown: Shown) -> Iterator[Tied]:
    own, host = shown.own("mnt"), shown.initial.get("mnt")
    ours = [mount for mount in shown.mounts.values() if mount.space in own]
    theirs = [mount for mount in shown.mounts.values() if mount.space not in own]
    theirs.sort(key=lambda mount: mount.space != host)
    for role, mine, others, impact in (
        ("gives and gets mounts", "group", "group", Impact.REACHES_OUT),
        ("gives mounts", "group", "master", Impact.REACHES_OUT),
        ("gets mounts", "master", "group", Impact.WATCHES),
    ):
        first = {getattr(one, others): one.space for one in reversed(theirs)}
        for one in ours:
            number = getattr(one, mine)
            if number and number in first:
                key: Key = ("MOUNT", one.mnt_id)
                said = f"peer group {number}"
                yield Tied(key, ("MNT_NS", first[number]), said, role, impact)


RELATION: Final = Relation(
    name="mount-propagation",
    title="passes mounts across",
    plural="pass mounts across",
    left="passes mounts across",
    right="has mounts of its peer group",
    impact=Impact.REACHES_OUT,
    next="nsenter -t {pid} -m mount --make-rprivate /",
    kernel=_find,
    from_proc=_from_proc,
)
