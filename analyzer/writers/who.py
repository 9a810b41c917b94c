"""What `cranalyze who` says: a tree of holders for people, the same as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, TypeVar

from analyzer.core.model import JSON_FORMAT, TASK
from analyzer.core.text import printable, valid, wrap
from analyzer.kinds import registry, title_of
from analyzer.report.wording import listing, number, plural
from analyzer.writers.terminal import MIN_WIDTH, Line, gap_in_words
from analyzer.writers.terminal import to_text as joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from analyzer.lookup.who import Answer, Held, Node
    from analyzer.report.value import Gap

_T = TypeVar("_T")

# What a holder of these kinds is goes without saying: it is the process's own.
_PLAIN: Final = frozenset({TASK, "FILE_TABLE", "MM", "FS", "SIGHAND", "NSPROXY", "CRED", "PID"})
_MOST_NAMED: Final = 8
_MOST_LISTED: Final = 50


def to_json(answers: Sequence[Answer], gaps: Sequence[Gap], exit_code: int) -> str:
    """Return the answers, and what could not be read, as JSON, ending in a newline."""
    envelope = {
        "cranalyze": JSON_FORMAT,
        "command": "who",
        "exit_code": exit_code,
        "answers": [
            {**_plain(asdict(a)), "found": a.found} for a in answers
        ],
        "incomplete": bool(gaps),
        "gaps": [_plain(asdict(gap)) for gap in gaps],
        "errors": [],
    }  # fmt: skip
    return f"{json.dumps(envelope, indent=1)}\n"


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, str):
        return valid(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def to_text(
    answers: Sequence[Answer], gaps: Sequence[Gap], width: int = 80, *, colour: bool = False
) -> str:
    """Return the answers as lines of at most `width` cells."""
    cells = max(width, MIN_WIDTH)
    lines = [line for answer in answers for line in _answer(answer, cells)]
    for gap in gaps:
        lines += [Line(text, "bad") for text in wrap(gap_in_words(gap), cells, "gap: ", 5)]
    return joined(lines, colour=colour)


def _answer(answer: Answer, cells: int) -> Iterator[Line]:
    asked = printable(answer.asked)
    if not answer.found:
        said = "not found, but it may be there: not all could be read"
        said = said if answer.unsure else "no such object"
        yield from (Line(text, "bad") for text in wrap(f"{asked}: {said}", cells))
        yield from _silence(answer.silent, cells)
        return
    if answer.pid is not None and not asked.startswith(f"{answer.pid}:"):
        said = f"{asked} is of process {answer.pid} of the initial pid namespace, as are all below"
        yield from (Line(text) for text in wrap(said, cells))
    for held in answer.held[:_MOST_LISTED]:
        yield from (Line(text, "strong") for text in wrap(_title(held), cells))
        yield from _nodes(held.by, cells, 2)
        if held.unnamed > 0:
            left = f"{number(held.unnamed)} {plural(held.unnamed, 'reference')}"
            said = f"{left} that no holder was found for"
            yield from (Line(text) for text in wrap(said, cells, "  ", 4))
    if len(answer.held) > _MOST_LISTED:
        yield Line(f"and {number(len(answer.held) - _MOST_LISTED)} more (--json lists them)")
    places = _grouped((p.what, f"{printable(p.comm)} ({p.pid})") for p in answer.places)
    if places:
        yield Line(f"{asked}: held without being open")
    for what, whose in places.items():
        yield from (
            Line(text) for text in wrap(f"{printable(what)}: {_some(whose)}", cells, "  ", 4)
        )
    yield from _silence(answer.silent, cells)


def _silence(silent: Sequence[int], cells: int) -> Iterator[Line]:
    if silent:
        said = (
            f"not known: whether the directories of {_some([f'pid {pid}' for pid in silent])} are"
        )
        text = f"{said} there; the filesystem that they are on does not answer"
        yield from (Line(line) for line in wrap(text, cells))


def _title(held: Held) -> str:
    name = f" {printable(held.name)}" if held.name else f" no. {held.objref}"
    count = "refcount unknown" if held.refcount is None else f"refcount {number(held.refcount)}"
    host = ", the host's own" if held.initial else ""
    kind = registry()[held.kind].title
    if name.startswith(f" {kind}:["):  # not "pipe pipe:[1]"
        kind, name = "", name[1:]
    return f"{kind}{name}{host}: {count}"


def _nodes(nodes: Sequence[Node], cells: int, indent: int) -> Iterator[Line]:
    direct = _grouped(
        (node.words, task) for node in nodes if _is_plain(node) for task in _ends(node)
    )
    for words, whose in direct.items():
        said = f"{_some(_processes(whose))}: {printable(words)}"
        yield from (Line(text) for text in wrap(said, cells, " " * indent, indent + 2))
    for node in nodes:
        if not _is_plain(node):
            name = f" {printable(node.name)}" if node.name else f" no. {node.objref}"
            said = f"{registry()[node.kind].title}{name}: {printable(node.words)}"
            yield from (Line(text) for text in wrap(said, cells, " " * indent, indent + 2))
            yield from _nodes(node.by, cells, indent + 2)


def _is_plain(node: Node) -> bool:
    return node.kind in _PLAIN and all(_is_plain(above) for above in node.by)


def _ends(node: Node) -> Iterator[Node]:
    """Yield the tasks, and what nothing is known to hold, at the ends of all chains."""
    if not node.by:
        yield node
    for above in node.by:
        yield from _ends(above)


def _processes(ends: Sequence[Node]) -> list[str]:
    """Return each process once, with how many of its threads are meant if it is not one."""
    threads: dict[str, set[int | None]] = {}
    for end in ends:
        if end.kind == TASK:
            who = f"{printable(end.process or '?')} ({end.tgid})"
        else:
            who = title_of(end.kind, end.objref)
        threads.setdefault(who, set()).add(end.tid)
    return [
        f"{who[:-1]}, {number(len(tids))} threads)" if len(tids) > 1 else who
        for who, tids in threads.items()
    ]


def _grouped(pairs: Iterable[tuple[str, _T]]) -> dict[str, list[_T]]:
    found: dict[str, list[_T]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def _some(words: list[str]) -> str:
    if len(words) <= _MOST_NAMED:
        return listing(words)
    return f"{', '.join(words[:_MOST_NAMED])} and {number(len(words) - _MOST_NAMED)} more"
