"""What `ps` prints: the tree of processes, of any table with the columns PID and PPID.

Columns of which a value may have blanks (STARTED, the command) come after these in all tables that
are usual, so that words can be counted. With threads (-L, m) each has a line: the first is taken.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from analyzer.procfs.captures.base import Capture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.procfs.captures.told import Told

_COMMANDS: Final = (b"CMD", b"COMMAND", b"ARGS", b"NAME")  # the last one is Android's
_HEAD: Final = re.compile(rb"(?:\A|\n) *(?:\S+ +)*PID(?: .*)? (?:%s)\b" % b"|".join(_COMMANDS))
_OTHERS: Final = frozenset({b"FD", b"NPROCS", b"TYPE"})
_ID: Final = re.compile(rb"[0-9]{1,10}")
_LAST: Final = 10  # ps is asked last: heads of other tables look like its own


def read(told: Told, data: bytes) -> None:
    """Add what a table says of processes."""
    heads: list[bytes] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        words = line.split(None, len(heads) - 1) if heads else line.split()
        if not heads and b"PID" in words and _OTHERS.isdisjoint(words):
            heads = words
        elif heads and words and not _add(told, heads, words):
            told.damage(number, "expected a line of ps's table")


def _add(told: Told, heads: Sequence[bytes], words: Sequence[bytes]) -> bool:
    pid = words[heads.index(b"PID")] if len(words) > heads.index(b"PID") else b""
    if pid == b"-":
        return True  # a thread, of a table with m
    known = {
        word: words[heads.index(head)]
        for word, head in (("PPid", b"PPID"), ("Uid", b"UID"), ("Threads", b"NLWP"))
        if head in heads and len(words) > heads.index(head)
        and _ID.fullmatch(words[heads.index(head)])
    }  # fmt: skip
    if heads[-1] in _COMMANDS and len(words) == len(heads):
        known["Name"] = _name(words[-1])
    return bool(_ID.fullmatch(pid) and told.process(pid, **known))


def _name(command: bytes) -> bytes:
    """Return what a process is called by its command line: arguments are nobody's business."""
    first = command.lstrip(rb" \_|").split(None, 1)
    if not first:
        return b"?"
    if command.startswith(b"["):
        return command.rpartition(b"]")[0][1:] or first[0]
    return first[0].rpartition(b"/")[2][:15] or first[0]


CAPTURE: Final = Capture(
    name="ps",
    head=_HEAD,
    read=read,
    lacks="what is open, namespaces, and all that ps does not show",
    remarks="`ps -ef` (of Android `ps -A`), or any table with PID and PPID, beside one of the "
    "others: the tree",
    order=_LAST,
)
