"""layer-of: which directories of other filesystems the layers of an overlay are.

It is told of whole machines alone, to who asks whether a directory is in use: also of overlays that
are mounted only where no process is, which /proc shows to nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import Impact
from analyzer.relations.base import Related, Relation
from analyzer.relations.overlay_layer import layers, said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.relations.base import World


def _find(world: World) -> Iterator[Related]:
    if not world.memory.has("ovl_fs", "layers"):
        return
    found = layers(world.memory, world.all("SUPERBLOCK"))
    yield Related(
        "SUPERBLOCK",
        found.overlay,
        "SUPERBLOCK",
        found.superblock,
        detail=said(world.memory, found, slice(None)),
    )


RELATION: Final = Relation(
    name="layer-of",
    title="a layer of an overlay",
    plural="layers of overlays",
    left="has it as a layer",
    right="has the layer's directory",
    impact=Impact.PINS,
    next="umount the overlay",
    told=False,
    leads_to=("SUPERBLOCK",),
    kernel=_find,
)
