"""What is known of the state of things: the facts of a snapshot, by object and by task.

An open file also has the facts of what it is open on (a pipe, a socket): that is what people mean
when they speak of a descriptor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.check.links import opened, rows_of
from analyzer.core.model import TASK
from analyzer.core.text import printable
from analyzer.kinds import facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from analyzer.check.links import Mask
    from analyzer.core.model import Fact
    from analyzer.report.value import Facts
    from analyzer.snapshot.tables import Table
    from analyzer.snapshot.value import Snapshot

_MOST: Final = 6  # in one line
_SAID: Final = {("open.mode", "both"): "read and write"}
# Where it is, and what it could hold: no word on what a thing is.
_UNSAID: Final = frozenset({"socket.netns", "socket.backlog"})
_NUMBERS: Final = {
    "size": "{n:,} byte{s}", "unread": "{n:,} byte{s} unread",
    "socket.netns": "in net:[{n}]", "socket.peer": "peer socket:[{n}]",
    "socket.waiting": "{n:,} not accepted yet", "socket.queued": "{n:,} message{s} in its queue",
    "bpf.id": "id {n}", "shm.id": "id {n}", "shm.key": "key {n:#x}", "shm.size": "{n:,} byte{s}",
    "shm.attaches": "attached {n:,} time{s}", "msg.messages": "{n:,} message{s}",
    "msg.bytes": "{n:,} byte{s}", "pidfd.pid": "of process {n}",
    "inotify.watches": "{n:,} watch{es}", "fanotify.watches": "{n:,} mark{s}",
    "mqueue.messages": "{n:,} message{s}", "mqueue.most": "of at most {n:,}",
}  # fmt: skip


def of_objects(snapshot: Snapshot, objrefs: Iterable[int]) -> Mapping[int, Facts]:
    """Return the facts of objects by objref, where there are any."""
    wanted = np.fromiter(objrefs, np.int64)
    table, objects = snapshot.tables["facts"], snapshot.tables["objects"]
    if not len(wanted) or not len(table):
        return {}
    among = np.zeros(len(objects), np.bool_)
    rows = rows_of(objects["objref"], wanted)
    among[rows[rows >= 0]] = True
    holder, target = opened(snapshot, among)
    by_object = table["kind"] != table.code("kind", TASK)
    known = _read(table, by_object & np.isin(table["ref"], np.append(wanted, target)))
    found = {ref: known[ref] for ref in wanted.tolist() if ref in known}
    for file, thing in zip(holder.tolist(), target.tolist(), strict=True):
        if thing in known:
            found[file] = {**known[thing], **found.get(file, {})}
    return found


def of_tasks(snapshot: Snapshot, tids: Iterable[int]) -> Mapping[int, Facts]:
    """Return the facts of tasks by tid, where there are any."""
    table = snapshot.tables["facts"]
    by_task = table["kind"] == table.code("kind", TASK)
    return _read(table, by_task & np.isin(table["ref"], np.fromiter(tids, np.int64)))


def words(known: Facts) -> str:
    """Return facts in a few words, in the order of the registry: "readers 1, 12 bytes unread"."""
    return printable(", ".join(told(known)[:_MOST]))


def beside(detail: str, known: Facts) -> str:
    """Return the words of facts that are not said by `detail` already."""
    there = {part.strip() for word in detail.split(",") for part in word.split(" of ")}
    plain = {word: word.replace(",", "") for word in told(known)}
    kept = [word for word, one in plain.items() if not {word, one, one.replace(" ", "-")} & there]
    return printable(", ".join(kept[:_MOST]))


def told(known: Facts) -> list[str]:
    """Return facts in words, each once, in the order of the registry."""
    mine = (fact for name, fact in facts().items() if name in known and not fact.aside)
    words = (said(fact, known[fact.name]) for fact in mine if fact.name not in _UNSAID)
    return list(dict.fromkeys(filter(None, words)))


def said(fact: Fact, value: int | str) -> str:
    """Return one fact in words: "12 bytes unread", "readers 1"; a text speaks for itself."""
    if isinstance(value, str):
        return _SAID.get((fact.name, value), value)
    if fact.name in _NUMBERS:
        s, es = ("", "") if value == 1 else ("s", "es")
        return _NUMBERS[fact.name].format(n=value, s=s, es=es) if value else ""
    if fact.unit:
        return f"{value:,} {fact.unit} {fact.name.rpartition('.')[2]}" if value else ""
    name = fact.name.replace(".", " ").replace("_", " ")
    if fact.meaning.startswith("1 if"):
        return name if value else ""
    return f"{name} {value}"


def _read(table: Table, rows: Mask) -> dict[int, Facts]:
    told = table.take(np.flatnonzero(rows))
    number, text = told["number"].tolist(), told["text"].tolist()
    counted = told.known("number").tolist()
    found: dict[int, dict[str, int | str]] = {}
    for at, (ref, name) in enumerate(
        zip(told["ref"].tolist(), told.words("fact").tolist(), strict=True)
    ):
        found.setdefault(ref, {})[name] = number[at] if counted[at] else text[at]
    return dict(found)
