r"""Tables for other tools: what DuckDB, Spark, pandas and a spreadsheet read directly.

`files` gives the Parquet or CSV files of one snapshot, with their paths in a Hive layout:
``TABLE/date=YYYY-MM-DD/host=NAME/part-SNAPSHOT.parquet``. The tables are those of a snapshot,
`snapshots` (one row about it), and of each check of it (part-SNAPSHOT-PID-RULES) `checks` (one row,
the answer) and `verdicts` (one row for each object that was judged). `date` (of UTC) and `host` are
in the path only; every row starts with `snapshot` and `collected_at`, so that the rows of many
machines and days can be told apart and joined.

- Addresses are hex text and devices ``major:minor``, as in JSON. Inode numbers and start times are
  unsigned 64-bit integers: UBIGINT in DuckDB, decimal(20,0) in Spark (since 3.2). What is not known
  is null, and an integer column stays one.
- Text is UTF-8. A byte of a name that is none becomes the four characters ``\xNN`` (the snapshot
  file keeps the bytes).
- CSV is RFC 4180 in UTF-8, one line for each row: control characters in names become escapes
  (``\n``, ``\e``). A name that a spreadsheet would take for a formula (``= + - @``) gets an
  apostrophe in front, and so does one that starts with an apostrophe: taking one off restores it.
"""

from __future__ import annotations

import hashlib
import io
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import numpy as np

from analyzer.core.errors import BadInputError
from analyzer.core.model import SCHEMAS, Basis, ColumnSpec, Schema, Side, Verdict
from analyzer.core.text import printable, valid
from analyzer.report.make import device_number
from analyzer.report.wording import held
from analyzer.snapshot.tables import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from analyzer.report.value import Report
    from analyzer.snapshot.tables import Table
    from analyzer.snapshot.value import Snapshot

_C = ColumnSpec

KEYS: Final = (
    _C("snapshot", "text", "which snapshot the row is of: the name of its file"),
    _C("collected_at", "text", "when it was taken (a timestamp in Parquet)", unit="UTC"),
)
"""The columns that every exported table starts with."""

SNAPSHOTS: Final = Schema(
    "snapshots",
    (
        _C("boot_id", "text", "the boot of the machine"),
        _C("kernel", "text", "release of the kernel"),
        _C("machine", "text", "architecture, as uname(2) has it"),
        _C("source", "category", "what it was read from: kernel, vmcore, procfs, replay"),
        _C("scope", "category", "border: a subtree and what holds it; host: everything"),
        _C("frozen", "bool", "the subtree was held still"),
        _C("tool_version", "text", "the cranalyze that took it"),
        _C("gaps", "i64", "things that could not be read"),
    ),
)

_OF_A_CHECK: Final = (
    _C("boot_id", "text", "the boot of the machine"),
    _C("pid", "i64", "the root that was judged"),
    _C("rules", "category", "whose check: modern, linux-cr, seed"),
)

CHECKS: Final = Schema(
    "checks",
    (
        *_OF_A_CHECK,
        _C("comm", "text", "what the root calls itself"),
        _C("status", "category", "the answer: contained, leaks, undecided"),
        _C("container_init", "bool", "the root is the init of a container", nullable=True),
        _C("checked", "i64", "objects judged"),
        *(_C(verdict.value, "i64", f"of these {verdict.value}") for verdict in Verdict),
    ),
)

VERDICTS: Final = Schema(
    "verdicts",
    (
        *_OF_A_CHECK,
        _C("objref", "i64", "number of the object in its snapshot"),
        _C("kind", "category", "kind of object: FILE, MM, UTS_NS, ..."),
        _C("name", "text", "what people call it", nullable=True),
        _C("ino", "u64", "inode number; of a namespace its nsfs inode", nullable=True),
        _C("dev", "u64", "device of the inode's filesystem", nullable=True),
        _C("initial", "bool", "an initial namespace: the host's"),
        _C("verdict", "category", "usage_leak, overcount, unstable, unknown or contained"),
        _C("basis", "category", "what that rests on: proven, witnessed, structural"),
        _C("bundle", "category", "what the report says it with: single, stdio, host, code, ..."),
        _C("users", "i64", "counts held from inside"),
        _C("refcount", "i64", "the object's own count", nullable=True),
        _C("observer", "i64", "counts held by cranalyze itself"),
        _C("outside", "i64", "counts held from outside, by name"),
        _C("unnamed", "i64", "counts that no holder was found for", nullable=True),
        _C("message", "text", "the kernel's message of a leak", nullable=True),
        _C("held_outside", "text", "who holds it outside, in words; not told of the host's "
           "namespaces", nullable=True),
    ),
)  # fmt: skip

_FORMULA: Final = re.compile("['=+\\-@\uff1d\uff0b\uff0d\uff20]")  # full-width ones count in Excel


class Form(StrEnum):
    """The form of the files; also their suffix."""

    PARQUET = "parquet"
    CSV = "csv"


def files(snapshot: Snapshot, report: Report | None, form: Form) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the content of each file of a snapshot, and of its report if there is one.

    Without a report (a snapshot of a whole host) there is no check and no verdict. Raises
    BadInputError when the snapshot does not say when it was taken.
    """
    name, at = snapshot_name(snapshot), collected(snapshot)
    folder = f"date={at:%Y-%m-%d}/host={segment(snapshot.meta['host'])}"
    parts = {name: [*snapshot.tables.values(), _about(snapshot)]}
    if report is not None:
        of = f"{name}-{report.subject.pid}-{report.subject.rules.value}"
        parts[of] = [_check(report), _verdicts(snapshot, report)]
    encode = parquet if form is Form.PARQUET else _csv
    for part, tables in parts.items():
        for table in tables:
            path = f"{table.schema.name}/{folder}/part-{part}.{form.value}"
            yield path, encode(table, name, at)


def snapshot_name(snapshot: Snapshot) -> str:
    """Return TIME-PID-DIGEST, which no other snapshot of its host has; PID may be "host"."""
    meta = snapshot.meta
    pid = meta["subject"].get("pid")
    facts = [meta[key] for key in ("host", "boot_id", "monotonic_ns", "collected_at", "scope")]
    digest = hashlib.sha256(repr([*facts, pid]).encode("utf-8", "surrogateescape")).hexdigest()
    return f"{collected(snapshot):%Y%m%dT%H%M%SZ}-{'host' if pid is None else pid}-{digest[:8]}"


_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)  # no clock of Linux is earlier


def collected(snapshot: Snapshot) -> datetime:
    """Return when a snapshot was taken, in UTC; raises BadInputError where it does not say."""
    said = snapshot.meta["collected_at"]
    try:
        at = datetime.fromisoformat(said)
        at = at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
        if at >= _FIRST:
            return at
    except (ValueError, OverflowError):
        pass
    raise BadInputError(
        f"the snapshot was taken at {printable(said)[:40]!r}, which is no time: damaged"
    )


def segment(value: str) -> str:
    """Return the name of a partition in a path; "" is what is not known."""
    return quote(printable(value), safe="") or "__HIVE_DEFAULT_PARTITION__"


def _about(snapshot: Snapshot) -> Table:
    meta = snapshot.meta
    row: dict[str, Any] = {
        name: meta[name]
        for name in ("boot_id", "kernel", "machine", "scope", "frozen", "tool_version")
    }
    row |= {"source": meta["source"]["name"], "gaps": len(snapshot.tables["gaps"])}
    return build(SNAPSHOTS, {name: [value] for name, value in row.items()})


def _check(report: Report) -> Table:
    subject = report.subject
    row: dict[str, Any] = {
        name: getattr(subject, name) for name in ("boot_id", "pid", "comm", "container_init")
    }
    row |= {"rules": subject.rules.value, "status": report.status.value}
    row |= {name: getattr(report.summary, name) for name in ("checked", *map(str, Verdict))}
    return build(CHECKS, {name: [value] for name, value in row.items()})


def _verdicts(snapshot: Snapshot, report: Report) -> Table:
    verdicts = report.verdicts
    rows = np.flatnonzero(verdicts.judged)
    objects = snapshot.tables["objects"].take(rows)
    listed = {entry.objref: entry for entry in report.objects}
    bundles = {e.objref: group.bundle.value for group in report.groups for e in group.objects}
    entries = [listed.get(objref) for objref in objects["objref"].tolist()]
    same = ("objref", "kind", "name", "ino", "dev", "initial", "refcount")
    counts = {name: getattr(verdicts, name)[rows] for name in _COUNTS}
    outside = ["; ".join(held(entry, Side.OUTSIDE)) if entry else "" for entry in entries]
    made: dict[str, Any] = {
        "boot_id": [report.subject.boot_id] * len(rows),
        "pid": np.full(len(rows), report.subject.pid, np.int64),
        "rules": [report.subject.rules.value] * len(rows),
        "bundle": [bundles[entry.objref] if entry else "contained" for entry in entries],
        "message": [entry.message if entry else None for entry in entries],
        "held_outside": [said or None for said in outside],
    }
    unknown = {"unnamed": ~objects.known("refcount")}
    return build(
        VERDICTS,
        made | counts | {name: objects[name] for name in same},
        missing=unknown | {name: ~objects.known(name) for name in same if name in objects.missing},
        vocabulary={
            "kind": objects.vocabulary["kind"],
            "verdict": [verdict.value for verdict in Verdict],
            "basis": [basis.value for basis in Basis],
        },
    )


_COUNTS: Final = ("verdict", "basis", "users", "observer", "outside", "unnamed")


# --- encoding


def parquet(table: Table, name: str, at: datetime | None) -> bytes:
    """Return a table of the snapshot `name` as a Parquet file; KEYS come first in it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from analyzer.snapshot import arrow

    moment = np.array([0 if at is None else round(at.timestamp() * 1_000_000)])
    times = arrow.numbers(moment, np.array([at is None]), pa.timestamp("us", tz="UTC"))
    sink = pa.BufferOutputStream()
    pq.write_table(_arrow(table, name, times, valid), sink, compression="zstd")
    return bytes(sink.getvalue())


def _csv(table: Table, name: str, at: datetime) -> bytes:
    from pyarrow import csv

    from analyzer.snapshot import arrow

    times = arrow.strings([f"{at:%Y-%m-%dT%H:%M:%SZ}"])
    sink = io.BytesIO()
    options = csv.WriteOptions(quoting_style="needed")
    csv.write_csv(_arrow(table, name, times, _cell), sink, options)
    return sink.getvalue().replace(b"\n", b"\r\n")  # no other newline is left in it


def _cell(text: str) -> str:
    said = printable(text)
    return f"'{said}" if _FORMULA.match(said) else said


def _arrow(table: Table, name: str, times: Any, say: Callable[[str], str]) -> Any:  # noqa: ANN401 - pyarrow has no types
    import pyarrow as pa

    from analyzer.snapshot import arrow

    first = arrow.numbers(np.zeros(len(table), np.int64))
    keys = [arrow.strings([name]).take(first), times.take(first)]
    columns = [_column(table, spec, say) for spec in table.schema.columns]
    names = [spec.name for spec in (*KEYS, *table.schema.columns)]
    return pa.Table.from_arrays([*keys, *columns], names=names)


def _column(table: Table, spec: ColumnSpec, say: Callable[[str], str]) -> Any:  # noqa: ANN401 - as above
    from analyzer.snapshot import arrow

    values, known = table[spec.name], table.known(spec.name)
    if spec.type == "category":
        words = [say(word) for word in table.vocabulary[spec.name]]
        return arrow.chosen(values, words).dictionary_decode()
    if spec.type == "text":
        return arrow.strings([None if v is None else say(v) for v in values.tolist()])
    if spec.name in _WORDED:
        worded = _WORDED[spec.name]
        pairs = zip(values.tolist(), known.tolist(), strict=True)
        return arrow.strings([worded(v) if k else None for v, k in pairs])
    return arrow.numbers(values, ~known)


_WORDED: Final[Mapping[str, Callable[[int], str]]] = {
    "address": "0x{:016x}".format,
    "dev": device_number,
}
"""Columns of numbers that are text in every output, since they are no numbers to anybody."""

TABLES: Final = {schema.name: schema for schema in (*SCHEMAS.values(), SNAPSHOTS, CHECKS, VERDICTS)}
"""The schemas of what is exported, by name; each table starts with KEYS."""
