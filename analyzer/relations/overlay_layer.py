"""overlay-layer: a directory of an overlay of the subtree that is used elsewhere as well.

The layers of an overlay are private mounts of their directories (`ovl_layer.mnt`,
fs/overlayfs/ovl_entry.h), the first of them the upper one. Layers that are only read are shared by
all containers of an image: by design, as is that a runtime sees the directories of its containers.
An upper directory that another overlay uses is written by both (overlayfs: undefined behaviour).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.core.values import dataclass
from analyzer.kinds._paths import within
from analyzer.memory.distinct import find, member, unique
from analyzer.relations._mounts import covering, mounts
from analyzer.relations.base import Related, Relation

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask
    from analyzer.memory.reader import Memory
    from analyzer.relations.base import Words, World

    Rows = npt.NDArray[np.intp]

_MAGIC: Final = 0x794C7630  # OVERLAYFS_SUPER_MAGIC
_MOST_LAYERS: Final = 512  # OVL_MAX_STACK is 500


@dataclass(frozen=True)
class Layers:
    """Layers of overlays: the overlay, the filesystem and directory, whether it is the upper."""

    overlay: U64
    superblock: U64
    root: U64
    upper: Mask


def _find(world: World) -> Iterator[Related]:
    memory, found = world.memory, world.once(mounts)
    if not memory.has("ovl_fs", "layers") or not found.inside.any():
        return
    own = layers(memory, unique(world.all("SUPERBLOCK")))
    shows = unique(found.superblock[found.inside])
    _, first = np.unique(found.superblock[found.inside], return_index=True)
    mount = found.address[found.inside][first]
    ours = np.flatnonzero(member(own.overlay, shows))
    by_mount = mount[find(shows, own.overlay[ours])[0]] if len(ours) else own.overlay[ours]
    yield from _elsewhere(memory, own, ours, by_mount, shows)
    seen = covering(memory, found, own.superblock[ours], own.root[ours])
    at = np.flatnonzero(seen >= 0)
    yield Related(
        "MOUNT",
        by_mount[at],
        "MNT_NS",
        found.space[seen[at]],
        detail=said(memory, own, ours[at]),
        impact=np.full(len(at), Impact.BY_DESIGN.value, object),
    )


def _elsewhere(
    memory: Memory, layers: Layers, ours: Rows, by_mount: U64, shows: U64
) -> Iterator[Related]:
    """Yield the layers that overlays of others have too."""
    others = np.flatnonzero(~member(layers.overlay, shows))
    mine, theirs = np.nonzero(layers.root[ours][:, None] == layers.root[others])
    written = layers.upper[ours[mine]] | layers.upper[others[theirs]]
    impact = np.where(written, Impact.SHARED_STATE.value, Impact.BY_DESIGN.value).astype(object)
    yield Related(
        "MOUNT",
        by_mount[mine],
        "SUPERBLOCK",
        layers.overlay[others[theirs]],
        detail=said(memory, layers, ours[mine]),
        impact=impact,
    )


def layers(memory: Memory, superblocks: U64) -> Layers:
    """Return the layers of the overlays among superblocks."""
    read = memory.gather(superblocks, "super_block", {"magic": "s_magic", "own": "s_fs_info"})
    at = read.ok & (read["magic"] == _MAGIC) & (read["own"] != 0)
    own = memory.gather(read["own"][at], "ovl_fs", {"count": "numlayer", "layers": "layers"})
    count = np.where(own.ok, np.minimum(own["count"], _MOST_LAYERS), 0).astype(np.int64)
    owner = np.repeat(np.arange(len(count)), count)
    index = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    size = memory.layout.sizeof("ovl_layer") or 0
    layer = own["layers"][owner] + (index * size).astype(np.uint64)
    mount = memory.gather(layer, "ovl_layer", {"mnt": "mnt"})
    root = memory.gather(mount["mnt"], "vfsmount", {"root": "mnt_root", "sb": "mnt_sb"})
    good = mount.ok & root.ok & (mount["mnt"] != 0)
    return Layers(
        superblocks[at][owner][good], root["sb"][good], root["root"][good], (index == 0)[good]
    )


def said(memory: Memory, layers: Layers, rows: Rows | slice) -> Words:
    """Return what each layer is: "upper layer /srv/up", by its path in its filesystem."""
    names = within(memory, layers.root[rows])
    which = np.where(layers.upper[rows], "upper", "lower")
    return np.array(
        [f"{word} layer {name}" for word, name in zip(which, names, strict=True)], object
    )


RELATION: Final = Relation(
    name="overlay-layer",
    title="has a layer that is used elsewhere too",
    plural="have layers that are used elsewhere too",
    left="has the layer",
    right="uses it too",
    impact=Impact.SHARED_STATE,
    next="umount it, and mount it with an upper and a work directory that no other overlay has",
    leads_to=("SUPERBLOCK",),
    kernel=_find,
)
