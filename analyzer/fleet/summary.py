"""What a fleet has in common: its troubles by signature, and the hosts that are unlike the others.

A host is known by its name and boot: boots of one name that were seen at one time are of two hosts,
and each is called by its first one. A `Trouble` is what has one signature (see `rows`): on which
hosts, when first and last. What was never told before a day is new since then.

A host is unlike the others when it has many more signatures than is usual that most do not have, or
fewer that most have: more than the median of that number and three times its median deviation.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.errors import BadInputError
from analyzer.core.model import Impact, Status
from analyzer.core.text import printable
from analyzer.core.values import dataclass
from analyzer.fleet import rows
from analyzer.fleet.places import Folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Row = dict[str, Any]

_IMPACTS: Final = tuple(impact.value for impact in Impact)
_TOLD: Final = (rows.LEAK, rows.CROSSING, rows.FINDING)
_FEW: Final = 3  # hosts, of which none can be called unlike the others
_DEVIATIONS: Final = 3
_CODE: Final = "code"


@dataclass(frozen=True)
class Trouble:
    """What has one signature: `hosts` by their names, and how many `times` it was found.

    `days` have, by date, on how many hosts. `impact` is the worst of it; what does not `gate` is by
    design, ignored, or code that is mapped.
    """

    signature: str
    row: str
    kind: str
    name: str
    holders: str
    workload: str
    association: str
    impact: str
    gates: bool
    hosts: tuple[str, ...]
    times: int
    first: datetime
    last: datetime
    words: str
    days: Mapping[str, int]


@dataclass(frozen=True)
class Unlike:
    """A host that is unlike the others: what few others have, and what it lacks that most have."""

    host: str
    has: tuple[Trouble, ...]
    lacks: tuple[Trouble, ...]


@dataclass(frozen=True)
class Fleet:
    """What is known of a fleet; `unread` are URLs with why, `came` how many checks came to what.

    `days` have, by date, how many hosts were checked.
    With `since`, the troubles are only those that were first told on that day or later.
    """

    hosts: tuple[str, ...]
    snapshots: int
    came: Mapping[str, int]
    first: datetime | None
    last: datetime | None
    troubles: tuple[Trouble, ...]
    unlike: tuple[Unlike, ...]
    unread: tuple[tuple[str, str], ...]
    days: Mapping[str, int]
    since: datetime | None = None

    @property
    def deciding(self) -> list[Trouble]:
        """Return the troubles that decide."""
        return [one for one in self.troubles if one.gates]

    @property
    def status(self) -> Status:
        """Return the worst answer of all."""
        if self.came.get(Status.LEAKS.value):
            return Status.LEAKS
        unsure = self.unread or self.came.get(Status.UNDECIDED.value)
        return Status.UNDECIDED if unsure else Status.CONTAINED


def load(url: str) -> Any:  # noqa: ANN401 - a table of pyarrow, which has no types
    """Return the rows in a folder of results that are told; raises BadInputError for none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    types = {"i64": pa.int64(), "bool": pa.bool_()}
    kept = {
        column.name: types.get(column.type, pa.string())
        for column in rows.RESULTS.columns
        if column.name in _READ
    }
    keys = {"snapshot": pa.string(), "collected_at": pa.timestamp("us", tz="UTC")}
    schema = pa.schema({**keys, **kept, "date": pa.string(), "host": pa.string()})
    found = Folder(url).table(schema, pc.field("row").isin([rows.CHECK, rows.UNREAD, *_TOLD]))
    if not found:
        raise BadInputError(f"no results are in {printable(url)}: cranalyze fleet check keeps them")
    return found


def summary(found: Any, since: datetime | None = None) -> Fleet:  # noqa: ANN401 - as above
    """Return what rows say of a fleet."""
    import pyarrow.compute as pc

    of = {sort: found.filter(pc.field("row") == sort) for sort in (rows.CHECK, rows.UNREAD)}
    checks = _grouped(of[rows.CHECK], ("host", "boot_id", "status", "date"))
    called = _called(checks)
    hosts = tuple(sorted(set(called.values())))
    told = _grouped(found.filter(pc.field("row").isin(_TOLD)), _ALIKE)
    every = _troubles(told, called)
    unread = of[rows.UNREAD].select(["source_url", "words"]).to_pylist()
    came: Counter[str] = Counter()
    for row in checks:
        came[row["status"]] += row["source_url_count"]
    return Fleet(
        hosts,
        pc.count_distinct(of[rows.CHECK]["snapshot"]).as_py(),
        came,
        min((row["collected_at_min"] for row in checks), default=None),
        max((row["collected_at_max"] for row in checks), default=None),
        tuple(one for one in every if since is None or one.first >= since),
        tuple(_unlike(hosts, [one for one in every if one.gates])),
        tuple(sorted((row["source_url"], row["words"]) for row in unread)),
        _days(checks, called),
        since,
    )


_ALIKE: Final = (
    "signature", *rows.SIGNATURE, "host", "boot_id", "date", "impact", "gates",
    "bundle",
)  # fmt: skip


def _grouped(table: Any, by: Sequence[str]) -> list[Row]:  # noqa: ANN401 - as above
    """Return for the rows that are alike when they were first and last, and how many they are."""
    numbers = [
        ("collected_at", "min"), ("collected_at", "max"), ("source_url", "count"), ("words", "one"),
    ]  # fmt: skip
    told: list[Row] = table.group_by(list(by), use_threads=False).aggregate(numbers).to_pylist()
    return told


_READ: Final = frozenset({*_ALIKE, "source_url", "status", "words"})
"""The columns that are looked at."""


def day(text: str) -> datetime:
    """Return the time that a date or a time says, in UTC where it names no zone; BadInputError."""
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadInputError(f"{printable(text)} is no date: 2026-01-31 is one") from error


def _called(checks: Iterable[Row]) -> dict[tuple[str, str], str]:
    """Return what the machine of each host name and boot is called."""
    spans: dict[str, dict[str, tuple[datetime, datetime]]] = {}
    for row in checks:
        boots, boot = spans.setdefault(row["host"], {}), row["boot_id"]
        first, last = row["collected_at_min"], row["collected_at_max"]
        was = boots.get(boot, (first, last))
        boots[boot] = min(first, was[0]), max(last, was[1])
    return {
        (host, boot): f"{host} (boot {own[:8]})" if len(set(machines.values())) > 1 else host
        for host, boots in spans.items()
        for machines in [_machines(boots)]
        for boot, own in machines.items()
    }


def _machines(boots: Mapping[str, tuple[datetime, datetime]]) -> dict[str, str]:
    """Return the first boot of the machine that each boot is of: one machine has one at a time."""
    until: dict[str, datetime] = {}
    made = {}
    for boot, (first, last) in sorted(boots.items(), key=lambda one: one[1]):
        own = next((machine for machine, end in until.items() if end < first), boot)
        until[own] = last
        made[boot] = own
    return made


def _troubles(found: Iterable[Row], called: Mapping[tuple[str, str], str]) -> list[Trouble]:
    same: dict[str, list[Row]] = {}
    for row in found:
        same.setdefault(row["signature"], []).append(row)
    made = [_trouble(group, called) for group in same.values()]
    return sorted(
        made, key=lambda one: (not one.gates, -len(one.hosts), _rank(one.impact), one.signature)
    )


def _trouble(group: Sequence[Row], called: Mapping[tuple[str, str], str]) -> Trouble:
    last = max(group, key=lambda row: row["collected_at_max"])
    names: Any = {name: last[name] or "" for name in ("signature", *rows.SIGNATURE)}
    names["name"] = names.pop("folded")
    return Trouble(
        **names,
        impact=min((row["impact"] or "" for row in group), key=_rank),
        gates=any(row["gates"] and row["bundle"] != _CODE for row in group),
        hosts=tuple(sorted({called[row["host"], row["boot_id"]] for row in group})),
        times=sum(row["source_url_count"] for row in group),
        first=min(row["collected_at_min"] for row in group),
        last=last["collected_at_max"],
        words=last["words_one"] or "",
        days=_days(group, called),
    )


def _days(found: Iterable[Row], called: Mapping[tuple[str, str], str]) -> Counter[str]:
    """Return by date on how many hosts rows are."""
    there = {(row["date"], called[row["host"], row["boot_id"]]) for row in found}
    return Counter(date for date, _ in there)


def _rank(impact: str) -> int:
    return _IMPACTS.index(impact) if impact in _IMPACTS else len(_IMPACTS)


def _unlike(hosts: Sequence[str], troubles: Sequence[Trouble]) -> list[Unlike]:
    """Return the hosts that differ from the majority by more than is usual, the most first."""
    if len(hosts) < _FEW:
        return []
    told = []
    for host in hosts:
        usual = [one for one in troubles if 2 * len(one.hosts) > len(hosts)]
        has = [one for one in troubles if host in one.hosts and one not in usual]
        told.append(Unlike(host, tuple(has), tuple(one for one in usual if host not in one.hosts)))
    numbers = [_differences(one) for one in told]
    middle = median(numbers)
    most = middle + _DEVIATIONS * median(abs(number - middle) for number in numbers)
    return sorted((one for one in told if _differences(one) > most), key=_differences, reverse=True)


def _differences(one: Unlike) -> int:
    return len(one.has) + len(one.lacks)
