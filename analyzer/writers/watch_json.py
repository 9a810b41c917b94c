"""The JSON of `watch --json`: JSON Lines, an event a line, written as it happens.

`change` is there for what is new, gone or changed, as in the JSON of `diff`, and `growth` for what
grows: a `pid` that is null stands for all processes inside together. The last event is `end`, whose
`exit_code` is what the program exits with.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from analyzer.core.model import JSON_FORMAT
from analyzer.core.text import valid
from analyzer.writers.diff_json import change_document
from analyzer.writers.watch import said

if TYPE_CHECKING:
    from analyzer.changes.watching import Event, Grown


def line(event: Event, exit_code: int | None = None) -> str:
    """Return an event as a line of JSON, its newline included."""
    return f"{json.dumps(document(event, exit_code), separators=(',', ':'))}\n"


def document(event: Event, exit_code: int | None = None) -> dict[str, Any]:
    """Return an event as plain dicts, lists, strings and numbers."""
    return {
        "cranalyze": JSON_FORMAT,
        "command": "watch",
        "event": event.sort.value,
        "exit_code": exit_code,
        "at": event.at,
        "reading": event.reading,
        "message": said(event),
        "change": None if event.change is None else change_document(event.change),
        "growth": None if event.grown is None else _grown(event.grown),
        "errors": [],
    }


def _grown(grown: Grown) -> dict[str, Any]:
    return {
        "pid": grown.pid,
        "comm": valid(grown.comm),
        "what": valid(grown.what),
        "before": grown.rise.first,
        "after": grown.rise.last,
        "readings": grown.rise.readings,
    }
