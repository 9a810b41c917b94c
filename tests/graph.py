"""Look things up in a snapshot by what a fixture says of them: which object, who holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.core.model import TASK, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from analyzer.check.leaks import Verdicts
    from analyzer.snapshot.value import Snapshot

# Where what is not held by a task itself is held: association -> how the task leads there.
_VIA = {"fd": "files", "exe": "mm", "vma": "mm", "cred.user_ns": "cred"}


class Graph:
    """A snapshot, and its verdicts, row by row."""

    def __init__(self, snapshot: Snapshot, verdicts: Verdicts) -> None:
        self.snapshot = snapshot
        self.references = snapshot.tables["references"]
        self.objects = snapshot.tables["objects"]
        self.verdicts = verdicts
        self._tids = set(snapshot.tables["tasks"]["tid"].tolist())

    def find(self, place: Mapping[str, Any]) -> int | None:
        """Return the objref of what is held at a place, None when nothing is."""
        tid, association = place["tid"], place["association"]
        if association.startswith("nsproxy."):
            holders = [(TASK, tid), *self._held(TASK, tid, "nsproxy")]
        elif association in _VIA:
            holders = [(TASK, tid), *self._held(TASK, tid, _VIA[association])]
        elif association == "nsfs":
            return self._through_nsfs(tid, place["slot"])
        else:
            holders = [(TASK, tid)]
        for kind, number in holders:
            for _, objref in self._held(kind, number, association, place.get("slot")):
                return objref
        return None

    def _through_nsfs(self, tid: int, fd: int) -> int | None:
        file = self.find({"tid": tid, "association": "fd", "slot": fd})
        if file is None:
            return None
        for kind, nsfs in self._held("FILE", file, "nsfs.file"):
            for _, namespace in self._held(kind, nsfs, "nsfs"):
                return namespace
        return None

    def _held(
        self, holder_kind: str, holder: int, association: str, slot: int | None = None
    ) -> Iterator[tuple[str, int]]:
        table = self.references
        match = (
            (table["holder_kind"] == table.code("holder_kind", holder_kind))
            & (table["holder"] == holder)
            & (table["association"] == table.code("association", association))
        )
        if slot is not None:
            match &= table["slot"] == slot
        for row in np.flatnonzero(match):
            target = int(table["target"][row])
            yield self.objects.value("kind", target - 1), target

    def outside_holders(self, objref: int) -> int:
        """Return the weight that the check saw held outside."""
        return int(self.verdicts.outside[objref - 1])

    def verdict(self, objref: int) -> str:
        """Return the verdict as a word."""
        return str(tuple(Verdict)[self.verdicts.verdict[objref - 1]])
