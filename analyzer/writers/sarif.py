"""SARIF 2.1.0, for what shows the results of scans: a rule a kind or relation, a result a finding.

With --for criu what CRIU does is there too (``criu/tcp-connection``). A container has no lines of
source: a result is at the path that it is about where there is one, and
always at the object's own name. What is known is there as suppressed, with its reason. Fingerprints
are those of baselines: of no pid, inode or address.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from analyzer.core.model import Side, Verdict
from analyzer.core.text import printable
from analyzer.core.version import __version__
from analyzer.kinds import registry
from analyzer.relations import relations
from analyzer.report.wording import counts, ends, held

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.report.crossed import Crossed
    from analyzer.report.preflight import Preflight
    from analyzer.report.value import Report, ReportObject
    from analyzer.report.waive import Waived

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_MOST: Final = 5_000  # results: what GitHub takes
_CRIU: Final = "criu/"
_DOUBTS: Final = frozenset({Verdict.UNSTABLE, Verdict.UNKNOWN})

Json = dict[str, Any]


def render(report: Report) -> str:
    """Return the report as SARIF, ending in a newline."""
    results = [one for _, one in zip(range(_MOST), _results(report), strict=False)]
    used = sorted({one["ruleId"] for one in results})
    driver = {
        "name": "cranalyze",
        "semanticVersion": __version__,
        "rules": [_rule(name) for name in used],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": True, "exitCode": report.exit_code}],
        "results": results,
        "properties": {"status": report.status.value, "profile": report.profile.name},
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(name: str) -> Json:
    words = name
    if name.startswith(_CRIU):
        from analyzer.criu import RULES, UNKNOWN

        words = RULES.get(name.removeprefix(_CRIU), UNKNOWN).at
    elif name in registry():
        words = f"{registry()[name].title}: referenced from outside"
    elif name in relations():
        words = relations()[name].title
    made: Json = {"id": name, "shortDescription": {"text": words}}
    if name in relations() and relations()[name].next:
        made["help"] = {"text": relations()[name].mend()}
    return made


def _results(report: Report) -> Iterator[Json]:
    for finding in report.findings:
        if not finding.informs:
            text = f"{finding.message}: {finding.detail}"
            level = _level(report, gates=finding.gates)
            yield _result(report, finding.finding, text, finding.waived, (), level=level)
    for one in report.crossings:
        if not one.alone:
            yield _result(
                report, one.relation, _crossing(one), one.waived, one.identities,
                level=_level(report, gates=one.gates),
                path=next((t.name for t in one.ties if t.name and t.name.startswith("/")), ""),
            )  # fmt: skip
    for entry in report.objects:
        if entry.verdict is not Verdict.CONTAINED:
            yield _result(
                report, entry.kind, _object(entry), entry.waived, entry.identities,
                level=_level(report, gates=entry.gates and entry.verdict not in _DOUBTS),
                path=entry.name or "",
            )  # fmt: skip
    if report.preflight is not None:
        yield from _preflight(report, report.preflight)


def _level(report: Report, *, gates: bool) -> str:
    return "error" if gates and not report.advisory else "note"


def _preflight(report: Report, told: Preflight) -> Iterator[Json]:
    from analyzer.report.bundles import everything_of

    for one in everything_of(told):
        advice = (f"{title}: {words}" for title, words in one.advice(everything=False))
        text = "; ".join([f"{one.title}: {', '.join(one.things[:4])}", *advice])
        gates = one.first.outcome.stops
        rule = f"{_CRIU}{one.first.rule}"
        yield _result(report, rule, text, None, (), level="error" if gates else "note")


def _result(
    report: Report,
    rule: str,
    text: str,
    waived: Waived | None,
    identities: tuple[str, ...],
    *,
    level: str,
    path: str = "",
) -> Json:
    subject = printable(report.subject.name or report.subject.comm)
    place = path if path.startswith("/") else f"/{rule}"
    made: Json = {
        "ruleId": rule,
        "level": level,
        "message": {"text": printable(text)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(printable(place).lstrip("/")) or rule}
                },
                "logicalLocations": [{"fullyQualifiedName": f"{subject}: {rule}"}],
            }
        ],
    }
    if identities:
        made["partialFingerprints"] = {"cranalyze/v1": "-".join(identities[:4])}
    if waived is not None and not waived.part:
        why = printable(waived.words)
        made["suppressions"] = [{"kind": "external", "justification": why}]
    return made


def _crossing(one: Crossed) -> str:
    said = [words for side in (Side.OUTSIDE, Side.INSIDE) for words in ends(one, side)]
    return f"{one.title} ({one.impact.value}): {'; '.join(said[:4])}"


def _object(entry: ReportObject) -> str:
    means = f" ({entry.impact.value})" if entry.impact else ""
    who = "; ".join(held(entry, Side.OUTSIDE)[:4])
    name = f"{registry()[entry.kind].title} {entry.name or ''}".rstrip()
    return f"{name}: {entry.verdict.value}{means}: {counts(entry)}{f': {who}' if who else ''}"
