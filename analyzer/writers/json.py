r"""The JSON of `check --json` and `report --json`: one versioned envelope, for errors too.

Keys and meanings are fixed (a test holds them); keys may be added. Each object is one line. The
text is ASCII, everything else escaped, so that it is safe on any terminal. A name is the name as it
is; only a byte in it that is no UTF-8 becomes the four characters ``\xNN``, since JSON has no bytes
(a snapshot file keeps them).

The tasks that lead to a holder are many, and the same for many holders: each task is in `tasks`
once, each set of them in `task_sets` once, as numbers of rows of `tasks` (from 0), and a holder has
the number of its set. Beside it are the first eight tasks of its own side, in full. The holders of
the host's own namespaces (nearly everything that runs) are listed with --all only; the counts are
always there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.model import JSON_FORMAT, Status
from analyzer.core.text import valid
from analyzer.core.values import fields

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.report.consistency import Consistency
    from analyzer.report.crossed import Crossed, Tie
    from analyzer.report.holders import Holder, TaskRef
    from analyzer.report.preflight import Preflight
    from analyzer.report.value import Facts, Gap, Report, ReportObject, ReportOptions
    from analyzer.report.waive import Waived

Json = dict[str, Any]

_LISTS: Final = ("objects", "tasks", "findings", "gaps", "errors")
_MOST_TASKS: Final = 8  # in full with a holder


def render(report: Report) -> str:
    """Return the report as JSON text, ending in a newline."""
    return _lines(document(report))


_EMPTY: Final[Json] = {
    "who": {"answers": [], "snapshot": None, "incomplete": False, "gaps": []},
    "census": {"kinds": [], "residual": [], "gaps": [], "limits": []},
    "namespaces": {"namespaces": [], "incomplete": False, "gaps": []},
    "diff": {
        "seconds": None, "remarks": [], "warnings": [], "before": None, "after": None,
        "summary": None, "changes": [], "growth": [],
    },
    "watch": {},
    "fleet": {
        "since": None, "summary": None, "hosts": [], "troubles": [], "unlike": [], "unread": [],
    },
}  # fmt: skip
_EMPTY_REPORT: Final[Json] = {
    "subject": None,
    "summary": None,
    "objects": [],
    "tasks": [],
    "task_sets": [],
    "findings": [],
    "gaps": [],
}


def render_error(command: str, message: str, exit_code: int) -> str:
    """Return the envelope of a failure, ending in a newline."""
    return _lines(
        {
            "cranalyze": JSON_FORMAT,
            "command": command,
            "status": Status.ERROR.value,
            "exit_code": exit_code,
            **_EMPTY.get(command, _EMPTY_REPORT),
            "errors": [{"message": valid(message), "exit_code": exit_code}],
        }
    )


def document(report: Report) -> Json:
    """Return the report as plain dicts, lists, strings and numbers."""
    told = _document(report)
    if report.preflight is not None:
        _tell(told, report.preflight)
    return told


def _tell(told: Json, flight: Preflight) -> None:
    """Add what a checkpoint tool would do: of all, and of each object and finding."""
    errors = told.pop("errors")
    told.update({"criu": _preflight(flight), "errors": errors})
    blockers = [
        (one, {"rule": one.rule, "outcome": one.outcome.value, "option": valid(one.option)})
        for one in flight.blockers
    ]
    for entry in told["objects"]:
        entry["criu"] = [brief for one, brief in blockers if one.objref == entry["objref"]]
    crossings = 0
    for finding in told["findings"]:
        is_one = "relation" in finding
        finding["criu"] = [b for one, b in blockers if is_one and one.finding == crossings]
        crossings += is_one


def _document(report: Report) -> Json:
    seen = _Tasks()
    objects = [_object(entry, seen, report.options) for entry in report.objects]
    crossings = [_crossing(one, seen) for one in report.crossings]
    return {
        "cranalyze": JSON_FORMAT,
        "command": report.command,
        "status": report.status.value,
        "exit_code": report.exit_code,
        "advisory": report.advisory,
        "incomplete": report.incomplete,
        "subject": subject_document(report),
        "summary": fields(report.summary),
        "objects": objects,
        "tasks": [_task(task) for task in seen.tasks],
        "task_sets": seen.sets,
        "findings": [
            *(
                {"finding": f.finding, "message": f.message, "detail": f.detail,
                 "gates": f.gates, "waived": _waived(f.waived), "identities": list(f.identities)}
                for f in report.findings
            ),
            *crossings,
        ],
        "gaps": list(map(gap_document, report.gaps)),
        "profile": report.profile.name,
        "warnings": [valid(warning) for warning in report.warnings],
        "notes": [valid(note) for note in report.notes],
        "inventory": None if report.inventory is None else dict(report.inventory),
        "consistency": _consistency(report.consistency),
        "errors": [],
    }  # fmt: skip


def _consistency(found: Consistency | None) -> Json | None:
    if found is None:
        return None
    return {
        "consistent": found.consistent,
        "but_for": sorted(found.but_for),
        "preconditions": [
            {"name": valid(one.name), "holds": not one.why, "why": valid(one.why)}
            for one in found.preconditions
        ],
        "unseen": [valid(one) for one in found.unseen],
    }


def subject_document(report: Report) -> Json:
    """Return what was checked, where and when."""
    subject = report.subject
    return {
        "pid": subject.pid,
        "local_pid": subject.local_pid,
        "comm": valid(subject.comm),
        "tasks": subject.tasks,
        "container_init": subject.container_init,
        "host": valid(subject.host),
        "boot_id": subject.boot_id,
        "kernel": subject.kernel,
        "collected_at": subject.collected_at,
        "source": subject.source,
        "rules": subject.rules.value,
        "frozen": subject.frozen,
        "frozen_seconds": subject.frozen_seconds,
        "name": valid(subject.name),
        "runtime": valid(subject.runtime),
        "container": valid(subject.container),
        "roots": list(subject.roots),
    }


def gap_document(gap: Gap) -> Json:
    """Return something that could not be read, as the JSON of every command has it."""
    return {
        "where": valid(gap.where),
        "syscall": valid(gap.syscall),
        "errno": gap.errno,
        "effect": valid(gap.effect),
    }


def _waived(waived: Waived | None) -> Json | None:
    if waived is None:
        return None
    return {
        "by": waived.by,
        "says": valid(waived.says),
        "owner": valid(waived.owner),
        "part": waived.part,
    }


def _object(entry: ReportObject, seen: _Tasks, options: ReportOptions) -> Json:
    return {
        "objref": entry.objref,
        "kind": entry.kind,
        "address": entry.address,
        "name": entry.name if entry.name is None else valid(entry.name),
        "ino": entry.ino,
        "dev": entry.dev,
        "initial": entry.initial,
        "verdict": entry.verdict.value,
        "basis": entry.basis.value,
        "users": entry.users,
        "refcount": entry.refcount,
        "refcount_source": entry.refcount_source and entry.refcount_source.value,
        "observer": entry.observer,
        "outside": entry.outside,
        "unnamed": entry.unnamed,
        "shared": entry.shared,
        "passes": [valid(name) for name in entry.passes],
        "gates": entry.gates,
        "waived": _waived(entry.waived),
        "identities": list(entry.identities),
        "message": entry.message if entry.message is None else valid(entry.message),
        "holders_listed": not (options.brief and entry.initial),
        "holders": [_holder(holder, seen) for holder in entry.holders],
        "uncounted": [_holder(holder, seen) for holder in entry.uncounted],
        "facts": _facts(entry.facts),
        "impact": None if entry.impact is None else entry.impact.value,
        "conclusion": None if entry.conclusion is None else entry.conclusion.value,
        "candidates": [
            {"objref": one.objref, "evidence": valid(one.evidence),
             "holder": _holder(one.holder, seen)}
            for one in entry.doubt.candidates
        ],
        "candidates_more": entry.doubt.more,
        "not_told_apart": entry.doubt.untold,
        "may_be_held": [valid(words) for words in entry.doubt.others],
    }  # fmt: skip


def _holder(holder: Holder, seen: _Tasks) -> Json:
    return {
        "side": holder.side.value,
        "shared": holder.shared,
        "association": holder.association,
        "slot": holder.slot,
        "weight": holder.weight,
        "holder": {"kind": holder.kind, "objref": holder.objref, "tid": holder.tid},
        "tasks": [_task(task) for task in holder.led_by(holder.side)[:_MOST_TASKS]],
        "task_set": seen.number(holder.tasks),
        "via": list(holder.via),
        "things": [valid(route.thing) for route in holder.routes if route.thing],
        "detail": valid(holder.detail),
    }


class _Tasks:
    """The tasks that lead to holders, each once, and the sets of them that do."""

    def __init__(self) -> None:
        self.tasks: list[TaskRef] = []
        self.sets: list[list[int]] = []
        self._place: dict[int, int] = {}
        self._seen: dict[int, int] = {}

    def number(self, tasks: tuple[TaskRef, ...]) -> int:
        # The holders of a report share their tuples of tasks, which stay alive as long as it does.
        if id(tasks) not in self._seen:
            self._seen[id(tasks)] = len(self.sets)
            self.sets.append([self._at(task) for task in tasks])
        return self._seen[id(tasks)]

    def _at(self, task: TaskRef) -> int:
        if task.tid not in self._place:
            self._place[task.tid] = len(self.tasks)
            self.tasks.append(task)
        return self._place[task.tid]


def _task(task: TaskRef) -> Json:
    return {"tid": task.tid, "tgid": task.tgid, "comm": valid(task.comm), "side": task.side.value}


def _crossing(one: Crossed, seen: _Tasks) -> Json:
    return {
        "finding": "crossing",
        "message": valid(one.title),
        "detail": "; ".join(valid(tie.detail) for tie in one.ties if tie.detail),
        "gates": one.gates,
        "waived": _waived(one.waived),
        "identities": list(one.identities),
        "relation": one.relation,
        "impact": one.impact.value,
        "stable": one.stable,
        "alone": one.alone,
        "ends": [_tie(tie, seen) for tie in one.ties],
        "meeting": None if one.meeting is None else _tie(one.meeting, seen),
    }


def _tie(tie: Tie, seen: _Tasks) -> Json:
    return {
        "side": tie.side.value,
        "kind": tie.kind,
        "objref": tie.objref,
        "tid": tie.tid,
        "name": tie.name if tie.name is None else valid(tie.name),
        "role": tie.role,
        "slot": tie.slot,
        "detail": valid(tie.detail),
        "task_set": seen.number(tie.tasks),
        "tasks": [_task(task) for task in tie.tasks[:_MOST_TASKS]],
        "via": list(tie.via),
        "things": [valid(thing) for thing in tie.things],
        "facts": _facts(tie.facts),
    }


def _preflight(told: Preflight) -> Json:
    return {
        "versions": told.versions,
        "refuses": told.refuses,
        "possible": told.possible,
        "partial": bool(told.lacks),
        "dump": valid(told.dump),
        "restore": valid(told.restore),
        "remove": [valid(one) for one in told.remove],
        "runtime": valid(told.runtime),
        "verified": None
        if told.verified is None
        else {
            "version": valid(told.verified.version),
            "reason": valid(told.verified.reason),
            "worked": told.verified.worked,
            "agrees": told.verified.agrees,
            "said": [valid(line) for line in told.verified.said],
        },
        "blockers": [
            {
                "rule": one.rule,
                "outcome": one.outcome.value,
                "kind": one.kind,
                "objref": one.objref,
                "tid": one.tid,
                "what": valid(one.what),
                "where": valid(one.where),
                "detail": valid(one.detail),
                "message": one.message,
                "option": valid(one.option),
                "restore": valid(one.restore),
                "then": valid(one.then),
                "remove": one.remove,
                "finding": one.finding,
            }
            for one in told.blockers
        ],
    }


def _facts(known: Facts) -> Json:
    return {name: valid(v) if isinstance(v, str) else v for name, v in known.items()}


def _lines(envelope: Json) -> str:
    parts = [f'"{key}": {_listed(key, value)}' for key, value in envelope.items()]
    return "{" + ",\n ".join(parts) + "}\n"


def _listed(key: str, value: Any) -> str:  # noqa: ANN401 - any JSON
    if key not in _LISTS or not value:
        return json.dumps(value)
    return "[\n  " + ",\n  ".join(_each(value)) + "]"


def _each(values: Iterable[Json]) -> Iterable[str]:
    encode = json.JSONEncoder(check_circular=False).encode
    return (encode(value) for value in values)
