"""What a test may assert of a machine on which others live: what it made itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.check import leaks
from analyzer.lookup import census
from analyzer.sources import collect
from analyzer.sources.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analyzer.snapshot.value import Snapshot

_TRIES = 6


def uneven(roots: Sequence[int], kinds: Iterable[str]) -> list[dict[str, Any]]:
    """Read the whole machine; return what the subtrees of `roots` hold that does not add up.

    Of these kinds, and not the host's. What is shared with others may move between two readings,
    so it is asked a few times: each time it must be another object.
    """
    wrong: dict[int, dict[str, Any]] = {}
    for attempt in range(_TRIES):
        found = _uneven(collect(Request(None), source="kernel"), roots, kinds)
        wrong = {at: row for at, row in found.items() if not attempt or at in wrong}
        if not wrong:
            break
        time.sleep(0.1)
    return list(wrong.values())


def _uneven(
    snapshot: Snapshot, roots: Sequence[int], kinds: Iterable[str]
) -> dict[int, dict[str, Any]]:
    objects = snapshot.tables["objects"]
    ours = np.zeros(len(objects), np.bool_)
    for root in roots:
        ours |= leaks.check(snapshot, root).border.collected
    assert ours.any()
    ours &= np.isin(objects["kind"], [objects.code("kind", kind) for kind in kinds])
    ours &= census.uneven(snapshot) & ~objects["initial"]
    return {int(objects["address"][row]): objects.row(int(row)) for row in np.flatnonzero(ours)}
