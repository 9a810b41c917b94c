"""The report as JUnit XML, which GitLab, Jenkins and GitHub's actions show as test results.

One test suite: a test case for each object that is not contained, one for each kind that has
contained objects (one for each object with --all), and one for the rule that the root must be the
init of a container. A viewer groups by class name (``cranalyze.FILE``) and knows a case again by
its name, so names hold no number that changes from run to run, unless two would be the same.

============================== ==========================================================
in the report                  in JUnit
============================== ==========================================================
usage_leak, overcount          failure; its type the verdict, its message the kernel's
unknown, unstable              error: what could not be decided never looks passed
ignored, or advisory           skipped, and it says why
contained                      passed
crossings                      failure where they decide; else passed, with what they are
findings                       failure, or skipped when ignored
what CRIU does (--for criu)    failure where it stops, skipped where nobody knows; else passed
gaps and notes                 system-err of the suite, and an error when the answer needs them
============================== ==========================================================

So there is a failure or an error exactly when the answer is not "contained" (or CRIU would stop),
unless leaks are advisory. Text is what prints: what XML cannot hold is escaped.
"""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET  # it only writes here
from collections import Counter
from html import escape
from typing import TYPE_CHECKING, Final

from analyzer.core.model import Side, Status, Verdict
from analyzer.core.text import printable
from analyzer.core.values import NamedTuple
from analyzer.kinds import registry
from analyzer.report import facts, impact
from analyzer.report.wording import counts, ends, held, number
from analyzer.writers.terminal import headline, named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from analyzer.report.value import Gap, Report, ReportObject

_CLASS: Final = "cranalyze"
_MOST_HOLDERS: Final = 50
_MOST_BYTES: Final = 25_000_000  # of objects; GitLab refuses a file of more than 30 MB
_MARKUP: Final = 200  # bytes of a case, beside its words
_NUMBERED: Final = re.compile(r"(\w+):\[\d+\]")  # net:[4026531840], pipe:[7]
_OF_PROCESS: Final = re.compile(r" \(\d+\)")  # a pid is of this run alone
_LEAKS: Final = (Verdict.USAGE_LEAK, Verdict.OVERCOUNT)


class _Case(NamedTuple):
    """A test case: how it went ("" is passed), and what is said about it."""

    group: str
    name: str
    outcome: str = ""
    type: str = ""
    message: str = ""
    text: str = ""
    rank: int = 0


def render(report: Report, *, everything: bool = False) -> str:
    """Return the report as XML; with `everything`, nothing is cut."""
    found = [*_crossings(report), *_objects(report, everything=everything)]
    found.sort(key=lambda case: case.rank)  # what matters is on top, whatever its kind
    listed = found if everything else _bounded(found)
    more = [*_passed(report), *_incomplete(report), *_preflight(report)]
    cases = _unique([*_rule(report), *listed, *more])
    outcomes = Counter(case.outcome for case in cases)
    numbers = {
        "tests": str(len(cases)),
        "failures": str(outcomes["failure"]),
        "errors": str(outcomes["error"]),
        "skipped": str(outcomes["skipped"]),
        "time": "0",
    }
    top = {name: value for name, value in numbers.items() if name != "skipped"}
    root = ET.Element("testsuites", {"name": _CLASS, **top})  # where Jenkins' schema has no skipped
    subject = report.subject
    suite = ET.SubElement(root, "testsuite", {
        "name": printable(f"{_CLASS}: {subject.comm}"),
        **numbers,
        "timestamp": printable(subject.collected_at),
        "hostname": printable(subject.host),
    })  # fmt: skip
    _properties(suite, report)
    for case in cases:
        _append(suite, case)
    _text(suite, "system-out", headline(report))
    _text(suite, "system-err", "\n".join(_unseen(report)))
    ET.indent(root, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, "unicode")}\n'


def _rule(report: Report) -> Iterator[_Case]:
    name = "the root is the init of a container"
    ignored = report.advisory or not report.options.gates("CONTAINER_INIT")
    for finding in (one for one in report.findings if not one.informs):
        outcome = "failure" if finding.gates else "skipped"
        yield _Case("rules", name, outcome, finding.finding, finding.message, finding.detail)
    if report.subject.container_init:
        yield _Case("rules", name)
    elif report.subject.container_init is None:
        said = "whether it is one is not known"
        yield _Case("rules", name, "skipped" if ignored else "error", "unknown", said)


def _crossings(report: Report) -> Iterator[_Case]:
    for one in (one for one in report.crossings if not one.alone):
        text = "\n".join(
            f"{side.value}: {words}"
            for side in (Side.OUTSIDE, Side.INSIDE)
            for words in ends(one, side)
        )
        outcome = "failure" if one.stable else "error"
        if report.advisory or not one.gates:
            outcome = "skipped" if one.gates or one.waived is not None else ""
        name = _NUMBERED.sub(r"\1", _OF_PROCESS.sub("", one.title))
        rank = impact.rank(one.impact)
        yield _Case("crossings", name, outcome, one.impact.word, one.impact.value, text, rank)


def _objects(report: Report, *, everything: bool) -> Iterator[_Case]:
    for entry in report.objects:
        case = _Case(entry.kind, _title(entry), rank=impact.rank(entry.impact))
        if entry.verdict is Verdict.CONTAINED:
            yield case._replace(text=counts(entry))
            continue
        excused = report.advisory or not entry.gates
        how = "failure" if entry.verdict in _LEAKS else "error"
        yield case._replace(
            outcome="skipped" if excused else how,
            type=entry.verdict.value,
            message=_message(entry, advisory=report.advisory),
            text="\n".join(_body(entry, everything=everything)),
        )


def _bounded(cases: Iterable[_Case]) -> Iterator[_Case]:
    """Yield cases for as long as a reader takes them, and one for each sort of the others.

    Namespaces are never among those, nor is what crosses uncounted.
    """
    room = _MOST_BYTES
    never = {"crossings", *(kind.name for kind in registry().values() if kind.is_space)}
    left: Counter[_Case] = Counter()
    for case in cases:
        words = escape(case.name + case.message + case.text, quote=False)
        room -= len(words.encode("utf-8", "backslashreplace")) + _MARKUP
        if room > 0 or case.group in never:
            yield case
        else:
            left[case._replace(name="", message="", text="", rank=0)] += 1
    for case, many in left.items():
        name = f"{registry()[case.group].plural}, too many for one file"
        said = f"{number(many)} more: {case.type or 'contained'} (--all lists them)"
        yield case._replace(name=name, message=said if case.outcome else "", text=said)


def _title(entry: ReportObject) -> str:
    # The number of a namespace, a pipe, an object without a name is of this run alone.
    title, name = registry()[entry.kind].title, printable(entry.name or "")
    if numbered := _NUMBERED.fullmatch(name):
        name = "" if numbered[1] in title.split() else numbered[1]
    return f"{title} {name}" if name else title


def _message(entry: ReportObject, *, advisory: bool) -> str:
    said = (entry.message or f"{entry.verdict.value}: {counts(entry)}").split("\n")[0]
    if entry.waived is not None and not entry.waived.part:
        return f"known ({entry.waived.words}): {said}"
    if not entry.gates:
        return f"ignored: {said}"
    return f"advisory: {said}" if advisory else said


def _body(entry: ReportObject, *, everything: bool) -> Iterator[str]:
    yield f"{registry()[entry.kind].title} {named(entry)}: {counts(entry)}"
    if state := facts.words(entry.facts):
        yield state
    if entry.impact is not None:
        yield f"means: {entry.impact.value}"
    if entry.unexplained > 0 and registry()[entry.kind].unseen:
        yield f"what can hold it unnamed: {registry()[entry.kind].unseen}"
    for side in (Side.OUTSIDE, Side.INSIDE, Side.OBSERVER, Side.UNPLACED):
        said = held(entry, side)
        most = len(said) if everything else _MOST_HOLDERS
        yield from (f"{side.value}: {words}" for words in said[:most])
        if len(said) > most:
            yield f"{side.value}: and {number(len(said) - most)} more (--all lists them)"
    if entry.message:
        yield from (f"kernel: {line}" for line in entry.message.split("\n"))


def _passed(report: Report) -> Iterator[_Case]:
    """Yield a case for each kind that has contained objects, unless they are listed one by one."""
    if report.options.all:
        return
    verdicts, objects = report.verdicts, report.snapshot.tables["objects"]
    contained = verdicts.judged & (verdicts.verdict == list(Verdict).index(Verdict.CONTAINED))
    found = Counter(objects.words("kind")[contained].tolist())
    for kind in registry().values():
        if kind.name in found:
            many = f"{number(found[kind.name])} contained"
            yield _Case(kind.name, f"all other {kind.plural}", text=many)


def _incomplete(report: Report) -> Iterator[_Case]:
    if report.incomplete and report.status is not Status.CONTAINED:
        outcome = "skipped" if report.advisory else "error"
        said = "a part of the subtree could not be read"
        yield _Case("rules", "the whole subtree was read", outcome, "incomplete", said)


def _preflight(report: Report) -> Iterator[_Case]:
    """Yield a case for each rule of CRIU's that applies, and one for what it would do in all."""
    if report.preflight is None:
        return
    from analyzer.criu import Outcome
    from analyzer.report.bundles import answer, everything_of

    for one in everything_of(report.preflight):
        outcome = one.first.outcome
        how = "failure" if outcome.stops else "skipped" * (outcome is Outcome.UNKNOWN)
        advice = (f"{title}: {words}" for title, words in one.advice(everything=True))
        text = "\n".join([*one.things, *advice])
        yield _Case("criu", one.first.at, how, one.first.rule, one.title, text)
    yield _Case("criu", "what CRIU would do", text=answer(report.preflight))


def _unique(cases: Iterable[_Case]) -> list[_Case]:
    """Tell cases of one name apart: GitLab keeps only the first of them."""
    seen: Counter[tuple[str, str]] = Counter()
    made = []
    for case in cases:
        seen[case.group, case.name] += 1
        again = seen[case.group, case.name]
        made.append(case._replace(name=f"{case.name} ({again})") if again > 1 else case)
    return made


def _append(suite: ET.Element, case: _Case) -> None:
    named_as = {"classname": f"{_CLASS}.{case.group}", "name": printable(case.name), "time": "0"}
    made = ET.SubElement(suite, "testcase", named_as)
    if not case.outcome:
        _text(made, "system-out", case.text)
        return
    attributes = {"type": case.type, "message": printable(case.message)}
    _text(made, case.outcome, case.text or case.message, attributes)


def _text(
    parent: ET.Element, tag: str, text: str, attributes: dict[str, str] | None = None
) -> None:
    if text:
        made = ET.SubElement(parent, tag, attributes or {})
        made.text = "\n".join(printable(line) for line in text.split("\n"))


def _properties(suite: ET.Element, report: Report) -> None:
    subject, summary = report.subject, report.summary
    facts = {
        "status": report.status.value,
        "pid": str(subject.pid),
        "kernel": subject.kernel,
        "boot_id": subject.boot_id,
        "source": subject.source,
        "rules": subject.rules.value,
        "advisory": str(report.advisory).lower(),
        **{name: str(getattr(summary, name)) for name in summary.__dataclass_fields__},
        "crossings": str(sum(summary.crossings.values())),
    }
    made = ET.SubElement(suite, "properties")
    for name, value in facts.items():
        ET.SubElement(made, "property", {"name": name, "value": printable(value)})


def _unseen(report: Report) -> Iterator[str]:
    yield from map(printable, report.notes)
    yield from map(_gap, report.gaps)


def _gap(gap: Gap) -> str:
    reason = os.strerror(gap.errno) if gap.errno else ""
    parts = [gap.where, gap.syscall, reason, gap.effect]
    return ": ".join(printable(part) for part in parts if part)
