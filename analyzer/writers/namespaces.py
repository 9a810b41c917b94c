"""What `cranalyze namespaces` says: a list, or a tree, for people; the same as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.model import JSON_FORMAT
from analyzer.core.text import printable, shorten, valid, wrap
from analyzer.lookup.namespaces import USUAL
from analyzer.report.wording import listing, many, number
from analyzer.writers.json import gap_document
from analyzer.writers.terminal import MIN_WIDTH, Line, gap_in_words
from analyzer.writers.terminal import to_text as joined
from analyzer.writers.tree import knows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from analyzer.lookup.namespaces import Branch, Namespace
    from analyzer.report.value import Gap

Boxes = tuple[str, str, str]  # one that others follow, the last one, a line past them

_BOXES: Final = ("├─", "└─", "│ ")
_ASCII: Final = ("|-", "`-", "| ")
_TYPE: Final = 6
_NUMBERS: Final = (6, 7)  # NPROCS, PID
_USER: Final = 8
_LEAST: Final = 20  # cells for what is said last


def to_json(spaces: Sequence[Namespace], gaps: Sequence[Gap]) -> str:
    """Return the namespaces, and what could not be read, as JSON, ending in a newline."""
    envelope = {
        "cranalyze": JSON_FORMAT,
        "command": "namespaces",
        "exit_code": 0,
        "namespaces": [_document(one) for one in spaces],
        "incomplete": bool(gaps),
        "gaps": list(map(gap_document, gaps)),
        "errors": [],
    }  # fmt: skip
    return f"{json.dumps(envelope, indent=1)}\n"


def _document(one: Namespace) -> dict[str, Any]:
    return {
        "type": one.type,
        "ino": one.ino,
        "name": one.name,
        "objref": one.objref,
        "initial": one.initial,
        "owner": one.owner,
        "parent": one.parent,
        "nprocs": len(one.pids),
        "pids": list(one.pids),
        "pid": one.pid,
        "ppid": one.ppid,
        "comm": valid(one.command),
        "command": valid(one.line),
        "uid": one.uid,
        "user": one.user,
        "netnsid": one.netnsid,
        "refcount": one.refcount,
        "unnamed": one.unnamed,
        "stable": one.stable,
        "pins": [
            {"words": valid(pin.words), "pids": list(pin.pids),
             "path": None if pin.path is None else valid(pin.path)}
            for pin in one.pins
        ],
    }  # fmt: skip


def to_text(
    branches: Sequence[Branch],
    gaps: Sequence[Gap],
    width: int = 80,
    *,
    colour: bool = False,
    about: Sequence[str] = (),
    encoding: str = "utf-8",
) -> str:
    """Return namespaces, as a list or a tree, as lines of at most `width` cells.

    `about` says what they are of. Where `encoding` has no box-drawing characters, ASCII is drawn.
    """
    cells = max(width, MIN_WIDTH)
    lines = [Line(text) for one in about for text in wrap(printable(one), cells, "", 2)]
    lines += _lines(branches, cells, _BOXES if knows(encoding) else _ASCII)
    for gap in gaps:
        lines += [Line(text, "bad") for text in wrap(gap_in_words(gap), cells, "gap: ", 5)]
    return joined(lines, colour=colour)


def _lines(branches: Sequence[Branch], cells: int, boxes: Boxes) -> Iterator[Line]:
    yield from (Line(text, "title") for text in wrap(_headline(branches), cells))
    if not branches:
        return
    heads = [f"{_stem(branch, boxes)}{branch.namespace.ino}" for branch in branches]
    wide = max(map(len, heads))
    who = max(_USER, *(len(printable(one.namespace.user)) for one in branches))
    yield Line("")
    ns, kind, count, pid, user, _ = USUAL
    yield Line(
        f"{ns:{wide}} {kind:{_TYPE}} {count:>{_NUMBERS[0]}} {pid:>{_NUMBERS[1]}} {user:{who}} "
        "COMMAND"
    )
    for branch, head in zip(branches, heads, strict=True):
        yield from _row(branch.namespace, f"{head:{wide}}", who, cells)


def _headline(branches: Sequence[Branch]) -> str:
    spaces = [branch.namespace for branch in branches]
    empty = [one for one in spaces if not one.pids]
    counts = listing([f"{number(n)} {name}" for name, n in _counted(spaces)])
    said = many(len(spaces), "namespace") + (f": {counts}" if counts else "")
    if not empty:
        return said
    verb = "has" if len(empty) == 1 else "have"
    return f"{said}. {number(len(empty))} {verb} no process; what keeps each is below it"


def _counted(spaces: Iterable[Namespace]) -> list[tuple[str, int]]:
    found: dict[str, int] = {}
    for one in spaces:
        found[one.type] = found.get(one.type, 0) + 1
    return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))


def _stem(branch: Branch, boxes: Boxes) -> str:
    if not branch.last:
        return ""
    inner, end, bar = boxes
    *above, last = branch.last
    return "".join("  " if one else bar for one in above) + (end if last else inner)


def _row(one: Namespace, head: str, who: int, cells: int) -> Iterator[Line]:
    pid = "-" if one.pid is None else str(one.pid)
    start = (
        f"{head} {one.type:{_TYPE}} {len(one.pids):>{_NUMBERS[0]}} {pid:>{_NUMBERS[1]}} "
        f"{printable(one.user) or '-':{who}} "
    )
    if one.pids:
        told = printable(one.line or one.command or "?")
        yield Line(_cut(told, start, cells))
        return
    yield Line(f"{start}-")
    kept = one.kept or "nothing that can be seen"
    for text in wrap(printable(f"kept by {kept}"), cells, "    ", 6):
        yield Line(text, "unsure" if one.unnamed > 0 or not one.pins else "")


def _cut(told: str, start: str, cells: int) -> str:
    return f"{start}{shorten(told, max(cells - len(start), _LEAST), keep_end=False)}"
