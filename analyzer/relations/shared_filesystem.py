"""shared-filesystem: a mount of the subtree is of a filesystem that is mounted outside as well.

What it shows is not seen outside (that is a bind-mount): a part that no mount of another namespace
has. They have the space in common, the quotas, and that it cannot be unmounted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.kinds.superblock import types
from analyzer.memory.distinct import member, unique
from analyzer.relations._mounts import covering, mounts
from analyzer.relations.base import Related, Relation
from analyzer.relations.shown import Tied, covered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World
    from analyzer.relations.shown import Shown


def _find(world: World) -> Iterator[Related]:
    found = world.once(mounts)
    elsewhere = unique(found.superblock[found.outside])
    ours = np.flatnonzero(found.inside & member(found.superblock, elsewhere))
    hidden = covering(world.memory, found, found.superblock[ours], found.root[ours]) < 0
    at = ours[hidden]
    files = types(world.memory, found.superblock[at]) != "nsfs"  # namespaces: counted (see NSFS)
    yield Related("MOUNT", found.address[at[files]], "SUPERBLOCK", found.superblock[at[files]])


def _from_proc(shown: Shown) -> Iterator[Tied]:
    own = shown.own("mnt")
    for mount, seen in shown.once(covered):
        elsewhere = seen is None and any(
            one.dev == mount.dev and one.space not in own for one in shown.mounts.values()
        )
        if elsewhere and mount.fstype != "nsfs":
            yield Tied(("MOUNT", mount.mnt_id), ("SUPERBLOCK", mount.dev))


RELATION: Final = Relation(
    name="shared-filesystem",
    title="of a filesystem that is mounted outside too",
    plural="of filesystems that are mounted outside too",
    left="shows a part of it",
    right="is mounted outside too",
    impact=Impact.PINS,
    next="mount a filesystem of its own there: a volume (podman volume create), or a tmpfs",
    leads_to=("SUPERBLOCK",),
    kernel=_find,
    from_proc=_from_proc,
)
