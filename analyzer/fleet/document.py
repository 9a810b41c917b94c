"""The JSON of `fleet report --json`: what a fleet has in common, and which host is unlike.

A trouble is what has one signature (docs/fleet.md); with --since only those that are new are told.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from analyzer.core.errors import EXIT_OK
from analyzer.core.model import JSON_FORMAT
from analyzer.core.text import valid
from analyzer.fleet.told import called

if TYPE_CHECKING:
    from datetime import datetime

    from analyzer.fleet.summary import Fleet, Trouble

    Json = dict[str, Any]


def render(fleet: Fleet) -> str:
    """Return the fleet as JSON text, ending in a newline."""
    return f"{json.dumps(document(fleet), indent=1)}\n"


def document(fleet: Fleet) -> Json:
    """Return the fleet as plain dicts, lists, strings and numbers."""
    return {
        "cranalyze": JSON_FORMAT,
        "command": "fleet",
        "status": fleet.status.value,
        "exit_code": EXIT_OK,
        "since": _time(fleet.since),
        "summary": {
            "first": _time(fleet.first),
            "last": _time(fleet.last),
            "snapshots": fleet.snapshots,
            "contained": fleet.came.get("contained", 0),
            "leaks": fleet.came.get("leaks", 0),
            "undecided": fleet.came.get("undecided", 0),
            "unread": len(fleet.unread),
        },
        "hosts": [valid(host) for host in fleet.hosts],
        "troubles": list(map(_trouble, fleet.troubles)),
        "unlike": [
            {
                "host": valid(one.host),
                "has": [trouble.signature for trouble in one.has],
                "lacks": [trouble.signature for trouble in one.lacks],
            }
            for one in fleet.unlike
        ],
        "unread": [{"url": valid(url), "why": valid(why)} for url, why in fleet.unread],
        "errors": [],
    }


def _trouble(one: Trouble) -> Json:
    return {
        "signature": one.signature,
        "row": one.row,
        "kind": one.kind,
        "name": valid(one.name),
        "title": called(one),
        "holders": valid(one.holders),
        "workload": valid(one.workload),
        "association": valid(one.association),
        "impact": one.impact or None,
        "gates": one.gates,
        "hosts": [valid(host) for host in one.hosts],
        "times": one.times,
        "first": _time(one.first),
        "last": _time(one.last),
        "words": valid(one.words),
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}"
