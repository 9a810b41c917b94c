"""mq:/NAME: a POSIX message queue (mq_overview(7))."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from analyzer.lookup.words.base import Form, Meaning, Word, stated
from analyzer.procfs.places import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator


_FOLDER: Final = "/dev/mqueue/"  # where mqueue is mounted, if it is


def _parse(asked: str) -> Iterator[Meaning]:
    head, _, name = asked.partition(":")
    if asked.startswith(_FOLDER):
        head, name = "mq", asked.removeprefix(_FOLDER)
    if head == "mq" and name:
        plain = name.lstrip("/")
        path = f"{_FOLDER}{plain}"
        rows = stated("mqueue.name", lambda own: own.lstrip("/") == plain)
        there = os.path.lexists(path)
        remove = f"rm {quoted(path)}" if there else ""
        yield Meaning("message queue", rows, there=there, state=("mqueue.name",), removal=remove)


def _recorded(asked: str) -> Iterator[Meaning]:
    head, _, name = asked.partition(":")
    if head == "mq" and name:
        plain = name.lstrip("/")
        yield Meaning("message queue", stated("mqueue.name", lambda own: own.lstrip("/") == plain))


WORD: Final = Word(
    "queue",
    "POSIX message queues",
    (Form("mq:/NAME", "a message queue: who has it open, in every IPC namespace"),),
    _parse,
    recorded=_recorded,
)
