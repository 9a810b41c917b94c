"""What is kept of one snapshot of a fleet: rows, of one table.

The first row of a snapshot is `check`, the answer and its numbers, or `unread`, why there is none.
In a snapshot of a whole host each container has one. Then there is one for each leak, doubt (what
is unstable or unknown), crossing and finding, as `cranalyze check` tells them, and for each gap.

What is the same trouble on many machines has one *signature*: the columns `row`, `kind`, `folded`,
`holders`, `workload` and `association`. In these numbers and ids are folded to ``*``, since they
are of one machine or one run: ``/run/user/1000`` is ``/run/user/*``, and so are UUIDs, and runs of
eight and more hexadecimal digits with a number among them. The name of an image stays whole: it is
the same on all machines, and its version is what one wants to know. So do the hashes for names of a
snapshot that has these (--redact); they are the same on all hosts under one key (--redact-key).
"""

from __future__ import annotations

import re
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.model import ColumnSpec, Schema, Side, Verdict
from analyzer.procfs.homes import home
from analyzer.relations import relations
from analyzer.report.items import People, of_crossing, of_finding, of_object
from analyzer.report.wording import held, tie_words
from analyzer.snapshot.tables import build

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from analyzer.report.crossed import Crossed
    from analyzer.report.rules import Item
    from analyzer.report.value import Report, ReportObject, Subject
    from analyzer.snapshot.tables import Table

    Row = dict[str, Any]

CHECK: Final = "check"
UNREAD: Final = "unread"
LEAK: Final = "leak"
DOUBT: Final = "doubt"
CROSSING: Final = "crossing"
FINDING: Final = "finding"
GAP: Final = "gap"

_C = ColumnSpec
_N = partial(ColumnSpec, nullable=True)

RESULTS: Final = Schema(
    "results",
    (
        _C("row", "category", "check, unread, leak, doubt, crossing, finding or gap"),
        _N("boot_id", "text", "the boot of the machine: two hosts of one name differ in it"),
        _C("source_url", "text", "where the snapshot was"),
        _C("tool_version", "text", "the cranalyze that checked it"),
        _N("pid", "i64", "the root that was judged"),
        _N("image", "text", "the image of the container, where its runtime told it (collect)"),
        _N("workload", "text", "the image, else the container, the unit, or the command"),
        _N("status", "category", "of a check: contained, leaks, undecided"),
        _N("kind", "category", "kind of object, or the relation, finding or system call"),
        _N("name", "text", "what people call it; of a gap where it is"),
        _N("folded", "text", "the same without numbers and ids"),
        _N("holders", "text", "programs outside, by name, without numbers and ids"),
        _N("association", "text", "how they hold it: fd, mmap, ..."),
        _N("signature", "text", "a hash of row, kind, folded, holders, workload, association"),
        _N("bundle", "category", "what the report says it with: single, stdio, host, code"),
        _N("verdict", "category", "of an object: usage_leak, overcount, unstable, unknown"),
        _N("basis", "category", "what that rests on: proven, witnessed, structural"),
        _N("impact", "category", "what it means: reaches out, shared state, ..."),
        _N("gates", "bool", "it decides the answer"),
        _N("waived", "text", "why it does not: what is by design"),
        _N("users", "i64", "counts held from inside"),
        _N("refcount", "i64", "the object's own count"),
        _N("outside", "i64", "counts held from outside, by name"),
        _N("unnamed", "i64", "counts that no holder was found for"),
        _N("words", "text", "who holds it outside, in words; of a gap what it does; of what is "
           "unread why"),
        *(_N(name, "i64", f"of a check: objects {said}")
          for name, said in (("checked", "judged"), *((v.value, f"that are {v.value}")
                                                      for v in Verdict))),
        _N("gaps", "i64", "of a check: things that could not be read"),
    ),
)  # fmt: skip

SIGNATURE: Final = ("row", "kind", "folded", "holders", "workload", "association")
"""The columns in which the same trouble on two machines is the same."""

_LEAKS: Final = (Verdict.USAGE_LEAK, Verdict.OVERCOUNT)
_FOLDED: Final = re.compile(
    r"[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}"
    r"|(?<![0-9a-z])(?=[a-f]*[0-9])[0-9a-f]{8,}(?![0-9a-z])"
    r"|[0-9]+",
    re.IGNORECASE,
)
_OF_ONE_RUN: Final = re.compile(r"(?<=\[)[0-9]+(?=\])|(?<=\()[0-9]+(?=\))|^[0-9]+$")


def of_reports(reports: Iterable[Report], url: str, version: str) -> Table:
    """Return the rows of a snapshot that was at `url`, by the reports of its subjects."""
    every = {"source_url": url, "tool_version": version}
    return _table([every | row for report in reports for row in _of_report(report)])


def _of_report(report: Report) -> Iterator[Row]:
    who, summary = report.subject, report.summary
    people = People(report.snapshot, who.pid)
    fold = _OF_ONE_RUN if report.snapshot.meta["options"].get("redacted") else _FOLDED
    image = report.snapshot.meta.get("images", {}).get(str(who.pid))
    workload = image or _workload(who, home(people.cgroup(who.pid)).unit, fold)
    every = {"boot_id": who.boot_id, "pid": who.pid, "image": image, "workload": workload}
    numbers = {name: getattr(summary, name) for name in ("checked", *map(str, Verdict))}
    yield every | numbers | {
        "row": CHECK, "status": report.status.value, "gaps": len(report.gaps)
    }  # fmt: skip
    for row in _told(report, people):
        yield every | _signed(row, fold, workload)
    for gap in report.gaps:
        yield every | {"row": GAP, "kind": gap.syscall, "name": gap.where, "words": gap.effect}


def _workload(who: Subject, unit: str, fold: re.Pattern[str]) -> str:
    """Return what the same thing on another machine is called too."""
    if not who.runtime:
        return fold.sub("*", unit or who.comm)
    called = fold.sub("*", who.called)
    return f"{called[:-2]} of {fold.sub('*', who.comm)}" if called.endswith(" *") else called


def of_nothing(url: str, version: str, why: str) -> Table:
    """Return the row that says why there is nothing of what is at `url`."""
    return _table([{"row": UNREAD, "source_url": url, "tool_version": version, "words": why}])


def _table(rows: list[Row]) -> Table:
    return build(RESULTS, {c.name: [row.get(c.name) for row in rows] for c in RESULTS.columns})


def _told(report: Report, people: People) -> Iterator[Row]:
    bundles = {e.objref: group.bundle.value for group in report.groups for e in group.objects}
    for entry in report.objects:
        yield _of_object(entry, people) | {"bundle": bundles.get(entry.objref)}
    for one in report.crossings:
        if not one.alone:
            yield _of_crossing(one, people)
    for finding in report.findings:
        item = of_finding(finding)
        yield {"row": FINDING, "kind": finding.finding, "name": finding.detail,
               "holders": _holders([item]), "gates": finding.gates,
               "waived": finding.waived and finding.waived.words,
               "words": finding.message}  # fmt: skip


def _of_object(entry: ReportObject, people: People) -> Row:
    outside = [holder for holder in entry.holders if holder.holds_from(Side.OUTSIDE)]
    return {
        "row": LEAK if entry.verdict in _LEAKS else DOUBT,
        "kind": entry.kind,
        "name": entry.name,
        "holders": _holders([of_object(entry, people)]),
        "association": ", ".join(sorted({holder.association for holder in outside})),
        "verdict": entry.verdict.value,
        "basis": entry.basis.value,
        "impact": entry.impact and entry.impact.value,
        "gates": entry.gates,
        "waived": entry.waived and entry.waived.words,
        "users": entry.users,
        "refcount": entry.refcount,
        "outside": entry.outside,
        "unnamed": None if entry.refcount is None else entry.unnamed,
        "words": "; ".join(held(entry, Side.OUTSIDE)) or None,
    }


def _of_crossing(one: Crossed, people: People) -> Row:
    relation = relations()[one.relation]
    outside = dict.fromkeys(tie_words(tie, relation) for tie in one.of(Side.OUTSIDE))
    return {
        "row": CROSSING,
        "kind": one.relation,
        "name": one.thing.name,
        "holders": _holders(of_crossing(one, people)),
        "association": ", ".join(sorted({tie.role for tie in one.ties if tie.role})),
        "impact": one.impact.value,
        "gates": one.gates,
        "waived": one.waived and one.waived.words,
        "words": "; ".join(outside) or None,
    }


def _holders(items: list[Item]) -> str:
    """Return who is outside, by program: what holds it without a process by its place."""
    people = {one.command or one.place for item in items for one in item.outsiders}
    return ", ".join(sorted(people))


def _signed(row: Row, fold: re.Pattern[str], workload: str) -> Row:
    more = {
        "folded": fold.sub("*", row.get("name") or ""),
        "holders": ", ".join(sorted(set(fold.sub("*", row["holders"]).split(", ")))),
    }
    whole = {"association": "", "workload": workload} | row | more
    said = "\x1f".join(whole[name] for name in SIGNATURE).encode("utf-8", "surrogateescape")
    return row | more | {"signature": blake2b(said, digest_size=8).hexdigest()}
