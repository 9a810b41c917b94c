"""on-mount: which mount an open file, a root or a working directory is on.

It keeps the mount busy, so that it cannot be unmounted. That is no crossing of any border, and is
told of whole machines alone, to who asks what keeps a mount. The kernel's own mounts (of pipes and
sockets) are left out. What is on a detached mount keeps it by a reference (see the kind MOUNT).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.kinds.mount import of_vfs
from analyzer.memory.distinct import member
from analyzer.relations._files import files
from analyzer.relations.base import Related, Relation, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World


def _find(world: World) -> Iterator[Related]:
    known = world.all("MOUNT")
    found = world.once(files)
    at = np.flatnonzero(found.good & member(found.mount, known))
    yield Related("FILE", found.address[at], "MOUNT", found.mount[at])
    places = world.all("FS")
    for role, field in (("cwd", "pwd"), ("root", "root")):
        read = world.memory.gather(places, "fs_struct", {"mnt": f"{field}.mnt"})
        mount = of_vfs(world.memory, read["mnt"])
        at = np.flatnonzero(read.ok & member(mount, known))
        yield Related("FS", places[at], "MOUNT", mount[at], role=words(len(at), role))


RELATION: Final = Relation(
    name="on-mount",
    title="on a mount",
    plural="on mounts",
    left="is on it",
    right="has it on it",
    impact=Impact.PINS,
    next="close it, or chdir(2) elsewhere, to umount",
    told=False,
    kernel=_find,
)
