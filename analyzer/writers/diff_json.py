"""The JSON of `diff --json`: which two readings, and each change with what it was and is.

`changes` has what is new, gone and changed; with --all, what is kept too. Of a thing that is not
there at all, `was` or `now` is null. `growth` has the descriptors of every process inside, by type;
`before` or `after` is null where the process is not there, and `pid` where a name stands for all
processes that are called so (of two boots, hosts or subjects).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from analyzer.changes.between import Way, tally
from analyzer.core.model import JSON_FORMAT, Side
from analyzer.core.text import valid
from analyzer.relations import relations
from analyzer.report.crossed import Crossed
from analyzer.report.value import ReportObject
from analyzer.report.wording import held, tie_words
from analyzer.writers.diff import called
from analyzer.writers.json import subject_document

if TYPE_CHECKING:
    from analyzer.changes.between import Change, Changes, Found, Tally
    from analyzer.changes.growth import Growth

    Json = dict[str, Any]


def render(changes: Changes, *, everything: bool = False) -> str:
    """Return the changes as JSON text, ending in a newline; a change is one line."""
    whole = document(changes, everything=everything)
    parts = [f'"{key}": {_listed(value)}' for key, value in whole.items()]
    return "{" + ",\n ".join(parts) + "}\n"


def _listed(value: Any) -> str:  # noqa: ANN401 - any JSON
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return json.dumps(value)
    return "[\n  " + ",\n  ".join(map(json.dumps, value)) + "]"


def document(changes: Changes, *, everything: bool = False) -> Json:
    """Return the changes as plain dicts, lists, strings and numbers."""
    told = [one for one in changes.all if everything or one.way is not Way.KEPT]
    return {
        "cranalyze": JSON_FORMAT,
        "command": "diff",
        "status": changes.answer.value,
        "exit_code": changes.exit_code,
        "identity": changes.by.value,
        "seconds": changes.seconds,
        "remarks": [valid(remark) for remark in changes.remarks],
        "warnings": [valid(warning) for warning in changes.after.warnings],
        "before": subject_document(changes.before),
        "after": subject_document(changes.after),
        "summary": {
            "objects": None if changes.every is None else _tally(changes.every),
            "leaks": _tally(tally(changes.objects)),
            "crossings": _tally(tally(changes.crossings)),
            "findings": _tally(tally(changes.findings)),
        },
        "changes": list(map(change_document, told)),
        "growth": list(map(_growth, changes.growth)),
        "errors": [],
    }


def _tally(count: Tally) -> Json:
    return {"before": count.before, "after": count.after, **count._asdict()}


def change_document(change: Change) -> Json:
    """Return one change."""
    one = change.now or change.was
    is_object, crosses = isinstance(one, ReportObject), isinstance(one, Crossed)
    return {
        "change": change.way.value,
        "what": "object" if is_object else "crossing" if crosses else "finding",
        "kind": one.kind if isinstance(one, ReportObject) else None,
        "relation": one.relation if isinstance(one, Crossed) else None,
        "title": valid(called(change)),
        "decides": change.decides,
        "how": [valid(words) for words in change.how],
        "was": _found(change.was),
        "now": _found(change.now),
    }


def _found(one: Found | None) -> Json | None:
    if one is None:
        return None
    base: Json = {
        "verdict": None, "impact": None, "gates": one.gates,
        "waived": one.waived and valid(one.waived.words), "identities": list(one.identities),
        "objref": None, "address": None, "name": None, "ino": None, "dev": None, "users": None,
        "refcount": None, "outside": None, "unnamed": None, "inside_words": [],
        "outside_words": [],
    }  # fmt: skip
    if isinstance(one, ReportObject):
        return base | _object(one)
    return base | _crossing(one) if isinstance(one, Crossed) else base | {"name": valid(one.detail)}


def _object(one: ReportObject) -> Json:
    return {
        "verdict": one.verdict.value,
        "impact": None if one.impact is None else one.impact.value,
        "objref": one.objref,
        "address": one.address,
        "name": one.name and valid(one.name),
        "ino": one.ino,
        "dev": one.dev,
        "users": one.users,
        "refcount": one.refcount,
        "outside": one.outside,
        "unnamed": one.unnamed,
        "inside_words": [valid(line) for line in held(one, Side.INSIDE)],
        "outside_words": [valid(line) for line in held(one, Side.OUTSIDE)],
    }


def _crossing(one: Crossed) -> Json:
    relation = relations()[one.relation]
    inside, outside = (
        [valid(line) for line in dict.fromkeys(tie_words(tie, relation) for tie in one.of(side))]
        for side in (Side.INSIDE, Side.OUTSIDE)
    )
    return {"impact": one.impact.value, "inside_words": inside, "outside_words": outside}


def _growth(one: Growth) -> Json:
    return {
        "pid": one.pid,
        "comm": valid(one.comm),
        "type": valid(one.what),
        "before": one.before,
        "after": one.after,
    }
