"""A directory is a layer of overlays: also of those that are mounted only where no process is.

What is mounted where processes are is told by /proc (`analyzer.procfs.places.layers`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.values import dataclass, field
from analyzer.lookup.words.base import At, Form, Meaning, Word
from analyzer.procfs.places import in_filesystem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.lookup.words.base import Rows
    from analyzer.snapshot.value import Snapshot

_TYPE: Final = 0o170000
_DIRECTORY: Final = 0o040000


def _of_path(at: At) -> Iterator[Meaning]:
    if at.found.mode & _TYPE == _DIRECTORY:
        layer = _Layer(at.found.dev, in_filesystem(at.absolute, at.found))
        yield Meaning("", layer.rows, notes=layer.notes, ties=("layer-of",))


@dataclass(frozen=True)
class _Layer:
    """A directory of a filesystem, and what was found of the overlays that have it."""

    dev: int
    path: str
    _told: dict[str, None] = field(default_factory=dict)
    _found: dict[int, None] = field(default_factory=dict)

    def rows(self, snapshot: Snapshot) -> Rows:
        """Return the overlays that have it as a layer, and are mounted where no process is."""
        relations, objects = snapshot.tables["relations"], snapshot.tables["objects"]
        mine = np.flatnonzero(relations["relation"] == relations.code("relation", "layer-of"))
        lower = relations["right"][mine] - 1
        here = objects.known("dev")[lower] & (objects["dev"][lower] == self.dev)
        # Only what is named is described, in the end: then it was found already.
        if objects.known("dev")[lower].any():
            self._found.clear()
        for at in mine[here].tolist():
            which, _, path = (relations.value("detail", at) or "").partition(" layer ")
            row = int(relations["left"][at]) - 1
            if path == self.path and _unpeopled(snapshot, row):
                self._found[row] = None
                self._told[f"it is the {which} layer of an overlay that no process sees"] = None
        return np.array(sorted(self._found), np.intp)

    def notes(self) -> tuple[str, ...]:
        """Return what was found, in words."""
        return tuple(self._told)


def _unpeopled(snapshot: Snapshot, superblock: int) -> bool:
    """Tell whether a filesystem is mounted somewhere, and each time where no process is."""
    references = snapshot.tables["references"]
    shows = references["association"] == references.code("association", "superblock")
    mounts = references["holder"][shows & (references["target"] == superblock + 1)]
    within = references["association"] == references.code("association", "mount")
    spaces = references["holder"][within & np.isin(references["target"], mounts)]
    member = references["association"] == references.code("association", "nsproxy.mnt")
    return bool(len(mounts)) and not np.isin(spaces, references["target"][member]).any()


WORD: Final = Word(
    "overlay",
    "Overlays",
    (Form("DIRECTORY", "the overlays of which it is a layer, in all mount namespaces"),),
    None,
    _of_path,
)
