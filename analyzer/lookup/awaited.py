"""Which open files a process waits for: those by which others could let it go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import TASK
from analyzer.lookup.ends import other_ends, peers
from analyzer.memory.distinct import unique

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from analyzer.procfs.waits import Wait
    from analyzer.snapshot.value import Snapshot

    Rows = npt.NDArray[np.intp]

_BY_RELATION: Final[Mapping[str, str]] = {
    "seccomp_do_user_notification": "seccomp-listener",
    "handle_userfault": "userfault",
}


def relations(found: Wait) -> tuple[str, ...]:
    """Return the relations that are needed to find what is waited for."""
    told = _BY_RELATION.get(found.where)
    return (*([told] if told else ()), *peers(found.opened.values()))


def awaited(found: Wait, pid: int, own: Rows, others: Rows, snapshot: Snapshot) -> Rows:
    """Return the open files (rows) by which a process, which the tables call `pid`, is kept.

    It waits on those of its `own` that are at its descriptors, and for who has the `others`.
    """
    parts = [other_ends(snapshot, own), others, _serving(snapshot, found.devices)]
    name = _BY_RELATION.get(found.where)
    if name is not None:
        parts.append(_related(snapshot, name, pid))
    return unique(*parts).astype(np.intp)


def _serving(snapshot: Snapshot, devices: Iterable[int]) -> Rows:
    """Return the open files that serve FUSE filesystems, and these: they tell which is meant."""
    objects, references = snapshot.tables["objects"], snapshot.tables["references"]
    mine = objects["kind"] == objects.code("kind", "SUPERBLOCK")
    mine &= objects.known("dev") & np.isin(objects["dev"], np.array([*devices], np.uint64))
    serves = references["association"] == references.code("association", "fuse")
    serves &= np.isin(references["target"] - 1, np.flatnonzero(mine))
    found: Rows = np.concatenate([np.flatnonzero(mine), references["holder"][serves] - 1])
    return found


def _related(snapshot: Snapshot, name: str, pid: int) -> Rows:
    """Return the open files that a relation joins with a process, or with its address space."""
    relations, references = snapshot.tables["relations"], snapshot.tables["references"]
    mine = references.where("holder", [pid])
    mine = mine[references["holder_kind"][mine] == references.code("holder_kind", TASK)]
    mm = mine[references["association"][mine] == references.code("association", "mm")]
    ends = {TASK: [pid], "MM": references["target"][mm], "FILE": []}
    found = [np.empty(0, np.intp)]
    by_name = relations["relation"] == relations.code("relation", name)
    for end, other in (("left", "right"), ("right", "left")):
        files = by_name & (relations[f"{other}_kind"] == relations.code(f"{other}_kind", "FILE"))
        for kind, refs in ends.items():
            at = files & (relations[f"{end}_kind"] == relations.code(f"{end}_kind", kind))
            found.append(relations[other][at & np.isin(relations[end], refs)] - 1)
    return np.concatenate(found)
