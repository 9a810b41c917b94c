"""What a check says of an object, held against what a fixture promised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analyzer.kinds import registry
from analyzer.kinds.base import Judged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.graph import Graph


def wrong(graph: Graph, expected: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is not as promised: users, refcount, verdict, inode, outside holders."""
    objref = graph.find(expected["match"])
    if expected["verdict"] == "absent" or objref is None:
        if (objref is None) != (expected["verdict"] == "absent"):
            yield f"{expected}: found as {objref}"
        return
    row = objref - 1
    kind = registry()[expected["kind"]]
    said = {
        "kind": graph.objects.value("kind", row),
        "verdict": graph.verdict(objref),
        "ino": graph.objects.value("ino", row),
        "refcount": graph.objects.value("refcount", row),
        "users": int(graph.verdicts.users[row]),
    }
    unknown = {name for name in ("users", "refcount", "ino") if expected.get(name) is None}
    if kind.judged is Judged.STRUCTURAL:
        unknown.add("users")
    for name in said.keys() - unknown:
        if said[name] != expected[name]:
            yield f"{expected}: {name} is {said[name]}"
    if "refcount" not in unknown and graph.verdicts.unnamed[row]:
        yield f"{expected}: {graph.verdicts.unnamed[row]} references are not named"
    for holder in expected["holders_outside"]:
        if graph.find(holder) != objref or not graph.outside_holders(objref):
            yield f"{expected}: not held by {holder}"
