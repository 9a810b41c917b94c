"""mq:/NAME: a POSIX message queue (mq_overview(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.lookup.words.base import Form, Meaning, Word, stated

if TYPE_CHECKING:
    from collections.abc import Iterator


def _parse(asked: str) -> Iterator[Meaning]:
    head, _, name = asked.partition(":")
    if head == "mq" and name:
        plain = name.lstrip("/")
        rows = stated("mqueue.name", lambda own: own.lstrip("/") == plain)
        yield Meaning("message queue", rows, state=("mqueue.name",))


WORD: Final = Word(
    "queue",
    "POSIX message queues",
    (Form("mq:/NAME", "a message queue: who has it open, in every IPC namespace"),),
    _parse,
)
