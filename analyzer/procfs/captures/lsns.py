"""What `lsns` prints, as JSON (-J) or as a table: of each namespace one process that is in it.

The table has the columns NS, TYPE, NPROCS, PID, USER and COMMAND, whatever others there are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from analyzer.procfs import nslink
from analyzer.procfs.captures import _json
from analyzer.procfs.captures.base import Capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.procfs.captures.told import Told

_JSON: Final = rb'\A\s*\{\s*"namespaces"\s*:\s*\['
_TABLE: Final = rb"(?:\A|\n) *NS +TYPE +(?:\S+ +)*PID\b"
_HEAD: Final = re.compile(rb"%s|%s" % (_JSON, _TABLE))


def read(told: Told, data: bytes) -> None:
    """Add what is said of namespaces."""
    rows = _json.rows(told, data) if data.lstrip().startswith(b"{") else _table(told, data)
    for line, row in rows:
        ino, pid = (_json.number(row.get(key)) for key in ("ns", "pid"))
        space = nslink.parse(f"{row.get('type')}:[{ino}]")
        if space is None or pid is None:
            told.damage(line, "expected the number and the type of a namespace, and a pid")
        elif pid:
            told.process(pid)
            told.link(f"{pid}/ns/{space.name}", nslink.text(space))


def _table(told: Told, data: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    heads: list[str] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        # Since 2.38 namespaces are drawn as a tree, where they are of one kind.
        words = re.findall(r"[!-~]+", line.decode("utf-8", "replace"))
        if not heads and {"NS", "TYPE", "PID"} <= set(words):
            heads = [word.lower() for word in words]
        elif words and heads and words[0].isdigit() and len(words) > heads.index("pid"):
            yield number, dict(zip(heads, words, strict=False))
        elif words and heads and not words[0].startswith("/"):  # where it is mounted: a line more
            told.damage(number, "expected a line of lsns's table")


CAPTURE: Final = Capture(
    name="lsns",
    head=_HEAD,
    read=read,
    lacks="who else is in a namespace, and all that is open",
    remarks="`lsns -J` or its table, beside one of the others",
)
