"""BPF objects that nobody has open: pinned, used by programs, run by links; listed by their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.procfs import bpfattach, bpfobj

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from analyzer.lookup.sorts import Sort


def learn(sort: Sort) -> None:
    """Ask for all BPF objects now, where a sort is of them: later we may not any more."""
    if sort.number:
        bpfobj.all_objects()
        bpfattach.everywhere()


def unopened(sort: Sort, numbers: Collection[int]) -> Iterator[str]:
    """Yield in words what there is of a sort beside what has these numbers, and what keeps it."""
    if not sort.number:
        return
    known, kind = bpfobj.all_objects(), sort.word.removeprefix("bpf-")
    for what, number in sorted(known.names):
        if what != kind or number in numbers:
            continue
        name = known.name(kind, number)
        called = f"{sort.title} {number}{f' ({name})' if name else ''}"
        kept = [place.what for place in bpfobj.keepers(known, kind, number)]
        yield f"{called}, which nobody has open: {'; '.join(kept) or 'what keeps it is not known'}"
