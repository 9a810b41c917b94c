"""Who is at the other end of what a file is open on: of a pipe, a unix socket, a terminal.

As lsfd tells it: "77,cat,0r-" is process 77, called cat, which reads from it by its descriptor 0.
Who leads to it in other ways too has no number there, and what was opened outside of the subtree
no mode.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.check.links import opened, rows_of
from analyzer.core.model import Impact
from analyzer.kinds import registry
from analyzer.kinds.base import By
from analyzer.kinds.socket import PEER
from analyzer.report.holders import Leaders

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from analyzer.kinds.base import Kind
    from analyzer.report.value import Report
    from analyzer.snapshot.value import Snapshot

_MODES: Final = ("r-", "-w", "rw", "--")


def endpoints(report: Report) -> Mapping[int, str]:
    """Return the other ends of the files of a report by objref, in words; what has none is out."""
    wanted = {entry.objref for entry in report.objects}
    others = _others(report.snapshot, wanted)
    objects = report.snapshot.tables["objects"]
    every = np.array(sorted({ref for refs in others.values() for ref in refs}), np.int64)
    rows = rows_of(objects["objref"], every)
    chosen = np.zeros(len(objects), np.bool_)
    chosen[rows] = True
    leaders = Leaders(report.snapshot, report.verdicts.border, chosen)
    said = {
        ref: _said(leaders, row, objects.value("flags", row))
        for ref, row in zip(every.tolist(), rows.tolist(), strict=True)
    }
    told = {ref: [word for other in refs for word in said[other]] for ref, refs in others.items()}
    return {ref: "; ".join(words) for ref, words in told.items() if words}


def _others(snapshot: Snapshot, wanted: Iterable[int]) -> Mapping[int, list[int]]:
    """Return the files at the other ends of the `wanted` ones."""
    objects, references = snapshot.tables["objects"], snapshot.tables["references"]
    file, thing = opened(snapshot)
    carries = {objects.code("kind", kind.name) for kind in registry().values() if _carries(kind)}
    at = np.isin(objects["kind"][rows_of(objects["objref"], thing)], list(carries))
    on = dict(zip(file[at].tolist(), thing[at].tolist(), strict=True))
    by = defaultdict(list)
    for one, place in sorted(on.items()):
        by[place].append(one)
    is_peer = references["association"] == references.code("association", PEER.name)
    peer = dict(
        zip(
            references["holder"][is_peer].tolist(),
            references["target"][is_peer].tolist(),
            strict=True,
        )
    )
    found = {}
    for one in wanted:
        if one in on:
            there = [*by[on[one]], *by.get(peer.get(on[one], 0), ())]
            found[one] = [other for other in there if other != one]
    return found


def _carries(kind: Kind) -> bool:
    """Tell whether what one writes to it, another reads."""
    return kind.leaked is Impact.SHARED_STATE and kind.leaked_by is By.ANYBODY


def _said(leaders: Leaders, row: int, flags: int | None) -> list[str]:
    mode = "" if flags is None else _MODES[flags & 3]
    return [
        f"{task.tgid},{task.comm},{descriptor.removeprefix('fd ')}{mode}"
        for route in leaders.routes(row, row)
        for task in route.tasks
        if task.tid == task.tgid
        for descriptor in route.via or ("",)
    ]
