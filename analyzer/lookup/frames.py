"""The holders of an answer as a pandas frame: a row for each process, or thing, and each way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analyzer.core import extras
from analyzer.kinds import title_of
from analyzer.lookup.value import PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from analyzer.lookup.value import Answer, Held, Node

_NUMBERS = ("objref", "slot", "pid", "threads")
_COLUMNS = (
    "part",
    "kind",
    "object",
    "objref",
    "how",
    "slot",
    "pid",
    "comm",
    "threads",
    "thing",
    "via",
)


def holders(answer: Answer) -> pd.DataFrame:
    """Return the holders of an answer: see `Answer.holders`."""
    extras.need("a frame", "pandas")
    import pandas as pd

    found: dict[tuple[Any, ...], set[int | None]] = {}
    for held in answer.held:
        for node in held.by:
            for chain in _chains(node, ()):
                found.setdefault(_row(held, chain), set()).add(chain[-1].tid)
    rows = [
        dict(zip(_COLUMNS, (*row[:8], len(tids) if row[6] else None, *row[8:]), strict=True))
        for row, tids in found.items()
    ]
    rows += _places(answer)
    frame = pd.DataFrame({name: [row.get(name) for row in rows] for name in _COLUMNS}, dtype=object)
    return frame.astype(dict.fromkeys(_NUMBERS, "Int64"))


def _chains(node: Node, before: tuple[Node, ...]) -> Iterator[tuple[Node, ...]]:
    chain = (*before, node)
    if not node.by:
        yield chain
    for above in node.by:
        yield from _chains(above, chain)


def _row(held: Held, chain: tuple[Node, ...]) -> tuple[Any, ...]:
    # What a process has in its tables it has itself: a descriptor, a mapping.
    own = len(chain)
    while own and chain[own - 1].kind in PLAIN:
        own -= 1
    end, at = chain[-1], chain[min(own, len(chain) - 1)]
    thing = None if end.tid is not None else _called(end)
    via = tuple(f"{_called(node)}: {node.words}" for node in chain[: min(own, len(chain) - 1)])
    who = (at.words, at.slot, end.tgid, end.process, thing, via)
    return (held.part, held.kind, held.name, held.objref, *who)


def _called(node: Node) -> str:
    return title_of(node.kind, node.objref) if node.name is None else node.name


def _places(answer: Answer) -> Iterator[dict[str, Any]]:
    for place in answer.places:
        yield {
            "part": "",
            "how": place.what,
            "pid": place.pid or None,
            "comm": place.comm if place.pid else None,
            "via": (),
        }
