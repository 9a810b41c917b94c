"""Which sets of namespaces (NSPROXY) have the host's alone: they are told with what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.check.links import association_flags
from analyzer.kinds import namespace_set, registry
from analyzer.memory.distinct import unique
from analyzer.snapshot.source import source_of

if TYPE_CHECKING:
    from analyzer.check.leaks import Verdicts
    from analyzer.snapshot.value import Snapshot


def host_sets(snapshot: Snapshot, verdicts: Verdicts) -> frozenset[int]:
    """Return the sets all of whose namespaces are the host's, by objref."""
    known = source_of(snapshot).nsproxy
    return _of_sets(snapshot, verdicts) if known else _of_tasks(snapshot, verdicts)


def _of_sets(snapshot: Snapshot, verdicts: Verdicts) -> frozenset[int]:
    """Return them where it is known what is in a set."""
    objects, border = snapshot.tables["objects"], verdicts.border
    references = snapshot.tables["references"]
    of_set = references.rows("holder_kind", namespace_set())
    mixed = of_set[~objects["initial"][border.target_row[of_set]]]
    some, others = (references["holder"][rows].tolist() for rows in (of_set, mixed))
    return frozenset(some) - frozenset(others)


def _of_tasks(snapshot: Snapshot, verdicts: Verdicts) -> frozenset[int]:
    """Return them where a source shows the namespaces of tasks, and not of their sets."""
    objects, border = snapshot.tables["objects"], verdicts.border
    references = snapshot.tables["references"]
    members = {pointer.association.name for pointer in registry()[namespace_set()].pointers}
    own = association_flags(references, lambda a: a.name in members) & border.by_task
    away = unique(references["holder"][own & ~objects["initial"][border.target_row]])
    sets = border.by_task & (references["association"] == references.code("association", "nsproxy"))
    mixed = references["target"][sets & np.isin(references["holder"], away)]
    return frozenset(references["target"][sets].tolist()) - frozenset(mixed.tolist())
