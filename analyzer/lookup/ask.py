"""Words put to a machine: what `cranalyze who` and `analyzer.who` do alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.lookup import who
from analyzer.procfs import glance
from analyzer.sources import collect
from analyzer.sources.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

    from analyzer.lookup.words import Query
    from analyzer.snapshot.value import Snapshot


def machine(
    queries: Sequence[Query],
    progress: Callable[[str], None] = lambda _: None,
    *,
    drop_privileges: bool = False,
) -> Snapshot:
    """Read what the answers to questions take of this machine, as it is now.

    Raises NotPermittedError (KernelSourceError) where its memory cannot be read.
    """

    def wanted(snapshot: Snapshot) -> npt.NDArray[np.bool_]:
        rows = [row for query in queries for row in who.rows(snapshot, query)]
        return who.upward(snapshot, rows)

    def enough(snapshot: Snapshot) -> bool:
        with glance.once():
            return all(who.enough(snapshot, query) for query in queries)

    asked = Request(
        None,
        wanted=wanted,
        detailed=who.described(queries),
        stated=who.stated(queries),
        related=who.ties(queries),
        enough=enough,
        named=tuple(pid for query in queries for pid in query.pids),
        progress=progress,
    )
    return collect(asked, source="kernel", drop_privileges=drop_privileges)
