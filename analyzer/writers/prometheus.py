"""Numbers for Prometheus: a text file as node_exporter's textfile collector reads it.

In the exposition format (text, version 0.0.4) every series is named once, and families are whole.
A subject is a label: what it was asked for as ("4711", "podman:web"), so that it stays one series
when a container is started again. Who reads it can see when a reading was made last, and how long
it took: a file that is old is no answer.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.changes.between import LEAKS
from analyzer.changes.growth import holdings
from analyzer.core.model import Status, Verdict
from analyzer.core.text import printable
from analyzer.core.values import NamedTuple
from analyzer.core.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from analyzer.report.value import Report

    Samples = Iterable[tuple[dict[str, str], float]]

_VERDICTS: Final = tuple(Verdict)
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Reading(NamedTuple):
    """A report, and how it came to be: when (seconds since 1970), and how long it took.

    `events` are those of a watch so far, by name; `watching` whether that goes on. Both are None
    for a check, which does not know of what types all descriptors are either.
    """

    report: Report
    at: float
    seconds: float
    events: Mapping[str, int] | None = None
    watching: bool | None = None


class Family(NamedTuple):
    """One family: its name, its type, what it says, its labels besides `subject`, its samples."""

    name: str
    type: str
    help: str
    labels: tuple[str, ...]
    samples: Callable[[Reading], Samples]


def render(readings: Sequence[Reading]) -> str:
    """Return the file of some readings, one of each subject."""
    lines = []
    named = list(zip(_subjects(readings), readings, strict=True))
    for family in FAMILIES:
        samples = [
            _sample(family.name, {"subject": subject} | labels, value)
            for subject, reading in named
            for labels, value in family.samples(reading)
        ]
        if samples:
            lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.type}"]
            lines += samples
    return "".join(f"{line}\n" for line in lines)


def _subjects(readings: Sequence[Reading]) -> Iterator[str]:
    """Yield what the subjects are called: two of one name have their processes beside it."""
    names = [_called(reading.report) for reading in readings]
    twice = {name for name, count in Counter(names).items() if count > 1}
    for name, reading in zip(names, readings, strict=True):
        yield f"{name} ({reading.report.subject.pid})" if name in twice else name


def _called(report: Report) -> str:
    selector = report.snapshot.meta["subject"].get("selector")
    return str(selector or report.subject.pid)


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    said = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{said}}} {value:.15g}"


def _escaped(text: str) -> str:
    return printable(text).translate(_ESCAPES)


def _status(reading: Reading) -> Samples:
    answers = [status for status in Status if status is not Status.ERROR]
    return [({"status": one.value}, float(one is reading.report.status)) for one in answers]


def _objects(reading: Reading) -> Samples:
    verdicts, objects = reading.report.verdicts, reading.report.snapshot.tables["objects"]
    judged = verdicts.judged
    pairs = np.stack((objects["kind"][judged], verdicts.verdict[judged].astype(np.int16)), axis=1)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    words = objects.vocabulary["kind"]
    for (kind, verdict), count in zip(found.tolist(), counts.tolist(), strict=True):
        yield {"kind": words[kind], "verdict": _VERDICTS[verdict].value}, count


def _leaks(reading: Reading) -> Samples:
    found = Counter(
        (entry.kind, entry.impact.word if entry.impact else "", _decides(entry.gates))
        for entry in reading.report.objects
        if entry.verdict in LEAKS
    )
    return _counted(("kind", "impact", "decides"), found)


def _crossings(reading: Reading) -> Samples:
    found = Counter(
        (one.relation, one.impact.word, _decides(one.gates))
        for one in reading.report.crossings
        if not one.alone
    )
    return _counted(("relation", "impact", "decides"), found)


def _decides(gates: bool) -> str:  # noqa: FBT001 - what is to be said of it
    return "yes" if gates else "no"


def _descriptors(reading: Reading) -> Samples:
    if reading.events is None:
        return []
    found: Counter[tuple[Any, ...]] = Counter()
    for one in holdings(reading.report):
        found[one.what,] += one.number
    return _counted(("type",), found)


def _counted(names: tuple[str, ...], found: Counter[tuple[Any, ...]]) -> Samples:
    for words, count in sorted(found.items()):
        yield dict(zip(names, words, strict=True)), count


def _events(reading: Reading) -> Samples:
    return [({"event": name}, count) for name, count in (reading.events or {}).items()]


def _watching(reading: Reading) -> Samples:
    return [] if reading.watching is None else [({}, float(reading.watching))]


def _build(reading: Reading) -> Samples:
    return [({"version": __version__, "source": reading.report.subject.source}, 1)]


def _one(value: Callable[[Reading], float]) -> Callable[[Reading], Samples]:
    return lambda reading: [({}, value(reading))]


FAMILIES: Final = (
    Family("cranalyze_status", "gauge", "1 for the answer, 0 for what it is not",
           ("status",), _status),
    Family("cranalyze_objects", "gauge", "Objects that were judged, by kind and verdict",
           ("kind", "verdict"), _objects),
    Family("cranalyze_leaks", "gauge",
           "Objects that are referenced from outside, by kind and by what that means",
           ("kind", "impact", "decides"), _leaks),
    Family("cranalyze_crossings", "gauge",
           "What crosses the border without being counted, by relation and by what that means",
           ("relation", "impact", "decides"), _crossings),
    Family("cranalyze_gaps", "gauge", "What could not be read",
           (), _one(lambda reading: len(reading.report.gaps))),
    Family("cranalyze_incomplete", "gauge", "1 where a part of the subject could not be read",
           (), _one(lambda reading: reading.report.incomplete)),
    Family("cranalyze_tasks", "gauge", "Threads inside",
           (), _one(lambda reading: reading.report.subject.tasks)),
    Family("cranalyze_references", "gauge", "References held from inside",
           (), _one(lambda reading: reading.report.summary.references)),
    Family("cranalyze_references_unnamed", "gauge", "References that nobody was found for",
           (), _one(lambda reading: reading.report.summary.unnamed)),
    Family("cranalyze_descriptors", "gauge", "Descriptors inside, by type (watch)",
           ("type",), _descriptors),
    Family("cranalyze_events_total", "counter", "Events since the watch began (watch)",
           ("event",), _events),
    Family("cranalyze_watching", "gauge", "1 while the subject is watched, 0 after that (watch)",
           (), _watching),
    Family("cranalyze_duration_seconds", "gauge", "How long the reading and the check took",
           (), _one(lambda reading: reading.seconds)),
    Family("cranalyze_last_read_timestamp_seconds", "gauge", "When the reading was made",
           (), _one(lambda reading: reading.at)),
    Family("cranalyze_info", "gauge", "1; which version it was, and what it read",
           ("version", "source"), _build),
)  # fmt: skip
"""All families, in the order of the file."""
