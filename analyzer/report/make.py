"""Make the report of a check: every number, verdict, holder and finding, computed once.

What a report is, is in `value`. Nothing is read or printed here.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.check.leaks import NOT_JUDGED
from analyzer.check.links import kind_flags, rows_of
from analyzer.check.objhash import allowed
from analyzer.check.subtree import INSIDE, other_roots
from analyzer.core.errors import EXIT_LEAK, EXIT_OK, EXIT_UNDECIDED, BadInputError
from analyzer.core.model import TASK, Basis, Counted, Impact, Rules, Status, Verdict
from analyzer.core.registry import UNKNOWN
from analyzer.core.values import NamedTuple, replace
from analyzer.kinds import namespace_set, registry, title_of
from analyzer.report.consistency import consistency_of, decided
from analyzer.report.crossed import crossed, doubtful
from analyzer.report.facts import of_objects
from analyzer.report.grouping import Surroundings, groups
from analyzer.report.holders import Holder, holders, uncounted
from analyzer.report.host_sets import host_sets
from analyzer.report.impact import of_leak, rank
from analyzer.report.inventory import inventory_of
from analyzer.report.messages import message
from analyzer.report.possible import NO_DOUBT, concluded, doubts
from analyzer.report.profiles import NONE, RECOGNISED
from analyzer.report.value import (
    CONTAINER_INIT,
    NO_FACTS,
    Finding,
    Gap,
    Report,
    ReportObject,
    ReportOptions,
    Subject,
    Summary,
)
from analyzer.report.waive import known
from analyzer.report.wording import listing
from analyzer.snapshot.source import source_of, trusted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from analyzer.check.leaks import Verdicts
    from analyzer.check.links import Mask
    from analyzer.check.subtree import Border
    from analyzer.report.consistency import Consistency
    from analyzer.report.crossed import Crossed
    from analyzer.report.preflight import Preflight
    from analyzer.report.rules import Rule
    from analyzer.snapshot.source import SourceInfo
    from analyzer.snapshot.tables import Array, Table
    from analyzer.snapshot.value import Snapshot

_VERDICTS: Final = tuple(Verdict)
_BASES: Final = tuple(Basis)
_PROVEN: Final = _BASES.index(Basis.PROVEN)
_LEAKS: Final = (Verdict.USAGE_LEAK, Verdict.OVERCOUNT)
_DOUBTS: Final = (Verdict.UNSTABLE, Verdict.UNKNOWN)


def make(snapshot: Snapshot, verdicts: Verdicts, options: ReportOptions) -> Report:
    """Return the report of a check; `verdicts` are of the same snapshot."""
    snapshot, source = trusted(snapshot), source_of(snapshot)
    subject = _subject(snapshot, verdicts)
    given = _given(snapshot, verdicts) & (subject.container_init is True) & (not options.strict)
    verdicts = _not_judged(verdicts, given)
    findings = (
        *_findings(subject, options),
        *_nested(snapshot, verdicts, options),
        *_informs(snapshot.tables["objects"], given),
    )
    codes = verdicts.verdict[verdicts.judged]
    objects = _objects(snapshot, verdicts, options)
    crossings = () if options.references_only else _crossings(snapshot, verdicts, options)
    what = known(
        snapshot, subject, _of_rules(snapshot, options, verdicts), objects, crossings, findings
    )
    objects, crossings, findings = what.objects, what.crossings, what.findings
    gating = _gating(snapshot.tables["objects"], options, objects) & verdicts.judged
    incomplete = bool(snapshot.meta.get("incomplete", False))
    unplaced = subject.container_init is None and what.profile.starts and _rule_gates(options)
    leaks = any(one.gates and one.stable for one in crossings) or any(
        finding.gates for finding in findings
    )
    unsure = incomplete or unplaced or doubtful(crossings)
    gated = verdicts.verdict[gating]
    status = _status(gated, leaks=leaks, unsure=unsure)
    consistency = consistency_of(snapshot)
    if consistency is not None and status is Status.UNDECIDED:
        consistency = decided(consistency, objects, unsure=unsure)
    flight = _preflight(snapshot, verdicts) if options.tool else None
    refused = options.gate and flight is not None and flight.refuses
    return Report(
        command=options.command,
        status=status,
        exit_code=EXIT_LEAK if refused else _exit_code(status, consistency, options),
        advisory=options.subtree,
        subject=subject,
        summary=_summary(verdicts, codes, crossings),
        objects=objects,
        groups=groups(
            [entry for entry in objects if entry.waived is None or options.all],
            _surroundings(snapshot, verdicts, subject),
        ),
        crossings=crossings,
        findings=findings,
        gaps=gaps_of(snapshot),
        source=source,
        notes=_notes(snapshot, verdicts, source),
        inventory=inventory_of(snapshot.meta),
        consistency=consistency,
        incomplete=incomplete,
        leaks_ignored=_count(codes, _LEAKS) - _count(gated, _LEAKS),
        profile=what.profile,
        warnings=_warnings(options.policy, what.used),
        preflight=flight,
        snapshot=snapshot,
        verdicts=verdicts,
        options=options,
    )


def _crossings(
    snapshot: Snapshot, verdicts: Verdicts, options: ReportOptions
) -> tuple[Crossed, ...]:
    return crossed(snapshot, verdicts, fail_on=options.fail_on, ignore=options.ignore)


def _preflight(snapshot: Snapshot, verdicts: Verdicts) -> Preflight:
    from analyzer.report.preflight import preflight

    return preflight(snapshot, verdicts)


def _of_rules(snapshot: Snapshot, options: ReportOptions, verdicts: Verdicts) -> ReportOptions:
    """Return options without a profile where none can be recognised.

    The historic rules knew of no runtimes, and where names are hashed they are not known.
    """
    nobody = verdicts.rules is not Rules.MODERN or _redacted(snapshot)
    recognised = options.profile == RECOGNISED and nobody
    return replace(options, profile=NONE.name) if recognised else options


def _redacted(snapshot: Snapshot) -> bool:
    return bool(snapshot.meta["options"].get("redacted"))


def _warnings(policy: Sequence[Rule], used: Mapping[int, int]) -> tuple[str, ...]:
    """Return what is to be said of rules: which are over, and which cover nothing."""
    said = []
    for rule in policy:
        if rule.expired:
            said.append(f"the rule {rule.says!r} expired on {rule.expires}: it covers nothing")
        elif not used.get(id(rule)):
            said.append(f"the rule {rule.says!r} covers nothing that was found")
    return tuple(dict.fromkeys(said))


def whole(report: Report) -> Report:
    """Return the same report with every object listed and every holder named."""
    if report.options.all and not report.options.brief:
        return report
    options = replace(report.options, all=True, brief=False, tool="")
    made = make(report.snapshot, report.verdicts, options)
    return replace(made, preflight=report.preflight, exit_code=report.exit_code)


def shown(verdicts: Verdicts, *, everything: bool = False) -> npt.NDArray[np.bool_]:
    """Return which rows of objects a report lists: what is judged and not contained, or all."""
    contained = _VERDICTS.index(Verdict.CONTAINED)
    listed: npt.NDArray[np.bool_] = verdicts.judged & (everything | (verdicts.verdict != contained))
    return listed


def checked_pid(snapshot: Snapshot, pid: int | None) -> int:
    """Return the root to check: `pid`, or the one that the snapshot was taken of.

    Raises BadInputError when there is neither, or when a border snapshot is of another root.
    """
    subject = snapshot.meta["subject"]["pid"]
    if pid is None and subject is None:
        raise BadInputError("the snapshot is of the whole host: --pid N names the root to check")
    if pid is not None and subject is not None and pid != subject:
        if snapshot.meta["scope"] != "host":
            raise BadInputError(
                f"the snapshot is the border of pid {subject}, not of {pid}: "
                "collect that one, or collect with --scope host"
            )
        return pid
    return int(subject if pid is None else pid)


def _status(gating: Array, *, leaks: bool, unsure: bool) -> Status:
    if leaks or _count(gating, _LEAKS):
        return Status.LEAKS
    return Status.UNDECIDED if unsure or _count(gating, _DOUBTS) else Status.CONTAINED


def _exit_code(status: Status, found: Consistency | None, options: ReportOptions) -> int:
    if options.subtree or not options.gate:
        return EXIT_OK
    if options.accept_consistent and found is not None and found.consistent:
        return EXIT_OK
    return {Status.LEAKS: EXIT_LEAK, Status.UNDECIDED: EXIT_UNDECIDED}.get(status, EXIT_OK)


def _count(codes: Array, verdicts: Sequence[Verdict]) -> int:
    return sum(_many(codes == _VERDICTS.index(verdict)) for verdict in verdicts)


def _many(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


def _rule_gates(options: ReportOptions) -> bool:
    return not options.subtree and options.gates(CONTAINER_INIT)


def _gating(objects: Table, options: ReportOptions, told: Sequence[ReportObject]) -> Mask:
    mask = kind_flags(objects, lambda kind: options.gates(kind.name))
    leaks = [entry for entry in told if entry.impact is not None]
    rows = rows_of(objects["objref"], np.array([entry.objref for entry in leaks], np.int64))
    mask[rows] = [entry.gates for entry in leaks]
    return mask


def _findings(subject: Subject, options: ReportOptions) -> Iterator[Finding]:
    if subject.container_init is False and not options.subtree:
        yield Finding(
            "container_init",
            "Not container init",
            f"pid {subject.pid} is not the init (pid 1) of a pid namespace of its own"
            + _RETURNED.get(subject.rules, ""),
            options.gates(CONTAINER_INIT),
        )


_RETURNED: Final = {
    Rules.SEED: " (the patch of 2009 returned EBUSY)",
    Rules.LINUX_CR: " (linux-cr returned EINVAL)",
}


def _nested(snapshot: Snapshot, verdicts: Verdicts, options: ReportOptions) -> Iterator[Finding]:
    """Yield a finding for each kind of namespace that linux-cr refused to find nested."""
    if verdicts.rules is not Rules.LINUX_CR:
        return
    tasks, references = snapshot.tables["tasks"], snapshot.tables["references"]
    inside = tasks["tid"][verdicts.border.task_side == INSIDE].tolist()
    # What had to be one for all tasks: may_checkpoint_task().
    for kind in filter(lambda kind: kind.one_for_all, registry().values()):
        held = _held_by(references, kind.one_for_all)
        of_set, of_task = held.get(namespace_set(), {}), held.get(TASK, {})
        sets = _held_by(references, "nsproxy").get(TASK, {})
        of_task |= {tid: of_set[ref] for tid, ref in sets.items() if ref in of_set}
        known = {of_task[tid] for tid in inside if tid in of_task}
        if len(known) > 1:
            detail = f"the tasks are in {len(known)} {kind.plural}"
            yield Finding(
                "nested_ns",
                f"Nested {kind.namespace}_ns unsupported",
                f"{detail} (linux-cr returned EPERM)",
                options.gates(kind.name) and not options.subtree,
            )


def _held_by(references: Table, association: str) -> dict[str, dict[int, int]]:
    """Return what holders have by an association, by their kind and number."""
    code = references.code("association", association)
    found: dict[str, dict[int, int]] = {}
    chosen = references.take(np.flatnonzero(references["association"] == code))
    for kind, holder, target in zip(
        chosen.words("holder_kind").tolist(),
        chosen["holder"].tolist(),
        chosen["target"].tolist(),
        strict=True,
    ):
        found.setdefault(kind, {})[holder] = target
    return found


def _given(snapshot: Snapshot, verdicts: Verdicts) -> Mask:
    """Return which objects are namespaces of the host's that a container is not asked to leave."""
    objects = snapshot.tables["objects"]
    anybodys = kind_flags(objects, lambda kind: kind.anybodys)
    given: Mask = verdicts.border.collected & objects["initial"] & anybodys
    return given & (verdicts.rules is Rules.MODERN)  # no other judges them


def _notes(snapshot: Snapshot, verdicts: Verdicts, source: SourceInfo) -> tuple[str, ...]:
    """Return what the source could not see, by itself and this time, and what we do not know."""
    told = list(snapshot.meta["source"].get("notes", ()))
    if _redacted(snapshot):
        told.append("names are hashed: what a container runtime does by design cannot be told")
    return tuple(dict.fromkeys((*_foreign(snapshot, verdicts), *source.unseen, *told)))


def _foreign(snapshot: Snapshot, verdicts: Verdicts) -> Iterator[str]:
    objects = snapshot.tables["objects"]
    for name in objects.vocabulary["kind"]:
        if name in registry():
            continue
        count = _many(verdicts.border.collected[objects.rows("kind", name)])
        if count:
            kind = registry()[name]
            what, verb = (kind.title, "is") if count == 1 else (kind.plural, "are")
            said = f"{count:,} {what.removesuffix(f' ({UNKNOWN})')} {verb} {UNKNOWN}"
            yield f"{said}: shown, and not judged; upgrade cranalyze"


def _not_judged(verdicts: Verdicts, rows: Mask) -> Verdicts:
    if not rows.any():
        return verdicts
    verdict, basis = verdicts.verdict.copy(), verdicts.basis.copy()
    verdict[rows] = basis[rows] = NOT_JUDGED
    return replace(verdicts, judged=verdicts.judged & ~rows, verdict=verdict, basis=basis)


def _informs(objects: Table, given: Mask) -> Iterator[Finding]:
    kinds = [registry()[kind] for kind in sorted(objects.words_of("kind", given))]
    if kinds:
        said = f"{listing([kind.namespace for kind in kinds])} namespace"
        said += "s" if len(kinds) > 1 else ""
        yield Finding("host_namespaces", "Has the host's", said, gates=False, informs=True)


def _subject(snapshot: Snapshot, verdicts: Verdicts) -> Subject:
    tasks, meta = snapshot.tables["tasks"], snapshot.meta
    pid = verdicts.pid
    row = int(np.flatnonzero(tasks["tid"] == pid)[0])
    asked = meta["subject"]
    return Subject(
        pid=pid,
        local_pid=asked.get("local_pid") if asked["pid"] == pid else None,
        comm=tasks.value("comm", row),
        tasks=_many(verdicts.border.task_side == INSIDE),
        container_init=_starts(tasks, [pid, *asked.get("starts", ())]),
        name=str(asked.get("name", "")) if asked["pid"] == pid else "",
        runtime=str(asked.get("runtime", "")) if asked["pid"] == pid else "",
        container=str(asked.get("container", "")) if asked["pid"] == pid else "",
        roots=other_roots(snapshot, pid),
        host=meta["host"],
        boot_id=meta["boot_id"],
        kernel=meta["kernel"],
        collected_at=meta["collected_at"],
        source=meta["source"]["name"],
        rules=verdicts.rules,
        frozen=meta["frozen"],
        frozen_seconds=float(meta.get("frozen_seconds", 0.0)),
    )


def _starts(tasks: Table, pids: Sequence[int]) -> bool | None:
    """Tell whether all are the first process of a pid namespace; None where that is not known."""
    rows = np.flatnonzero(np.isin(tasks["tid"], pids)).tolist()
    numbers = [tasks.value("nspid", row) for row in rows]
    return None if None in numbers else all(number == 1 for number in numbers)


def _summary(verdicts: Verdicts, codes: Array, crossings: Sequence[Crossed]) -> Summary:
    border = verdicts.border
    crosses = Counter(one.impact for one in crossings if not one.alone)
    return Summary(
        objects=_many(border.collected | border.met),
        checked=len(codes),
        **{verdict.value: _count(codes, (verdict,)) for verdict in Verdict},
        references=_many(border.counted & (border.reference_side == INSIDE)),
        unnamed=int(verdicts.unnamed[(verdicts.unnamed > 0) & (verdicts.basis == _PROVEN)].sum()),
        crossings={impact.value: crosses[impact] for impact in Impact},
    )


class _Judged(NamedTuple):
    """What the check says of one object: a row of the columns of `Verdicts` with these names."""

    verdict: int
    basis: int
    users: int
    observer: int
    outside: int
    unnamed: int
    shared: bool


def _objects(
    snapshot: Snapshot, verdicts: Verdicts, options: ReportOptions
) -> tuple[ReportObject, ...]:
    rows = _worst_first(snapshot, verdicts, shown(verdicts, everything=options.all))
    facts = _facts(snapshot, verdicts, rows)
    held = _holders(snapshot, verdicts, rows, brief=options.brief)
    columns = (getattr(verdicts, name)[rows].tolist() for name in _Judged._fields)
    judgements = map(_Judged._make, zip(*columns, strict=True))
    made = (
        _object(fact, one, by, verdicts.rules, gates=options.gates(fact[1]))
        for fact, one, by in zip(facts, judgements, held, strict=True)
    )
    passes = _passes(snapshot, verdicts)
    others = uncounted(snapshot, verdicts.border, verdicts.rules, rows)
    told = of_objects(snapshot, snapshot.tables["objects"]["objref"][rows].tolist())
    unsure, reading = doubts(snapshot, verdicts), consistency_of(snapshot)
    complete = reading is not None and reading.whole
    whole = [
        one._replace(
            passes=passes.get(one.objref, ()),
            uncounted=by,
            conclusion=concluded(one, unsure.get(one.objref, NO_DOUBT), whole=complete),
            doubt=unsure.get(one.objref, NO_DOUBT),
            facts=told.get(one.objref, NO_FACTS),
        )
        for one, by in zip(made, others, strict=True)
    ]
    files = zip(
        *(_values(snapshot.tables["objects"], name, rows) for name in ("mode", "flags")),
        strict=True,
    )
    # Other rules count some references not at all, or more than once.
    if complete and verdicts.rules is Rules.MODERN:
        from analyzer.report.reconstructed import counted

        whole = counted(snapshot, whole)
    meant = [
        _meaning(one, of_leak(one, mode, flags), options)
        for one, (mode, flags) in zip(whole, files, strict=True)
    ]
    return tuple(sorted(meant, key=lambda one: (_VERDICTS.index(one.verdict), rank(one.impact))))


def _meaning(one: ReportObject, impact: Impact | None, options: ReportOptions) -> ReportObject:
    if impact is None:
        return one
    return one._replace(impact=impact, gates=options.gates_any({one.kind, impact.word}))


def _values(table: Table, name: str, rows: npt.NDArray[np.intp]) -> list[Any]:
    values, known = table[name][rows].tolist(), table.known(name)[rows].tolist()
    return [value if k else None for value, k in zip(values, known, strict=True)]


def _passes(snapshot: Snapshot, verdicts: Verdicts) -> dict[int, tuple[str, ...]]:
    """Return by set of namespaces those of its own that it is shared with the outside by."""
    objects, references = snapshot.tables["objects"], snapshot.tables["references"]
    border = verdicts.border
    rows = references.rows("holder_kind", namespace_set())
    rows = rows[border.shared[rows] & ~objects["initial"][border.target_row[rows]]]
    found: dict[int, dict[str, None]] = {}
    for row in rows.tolist():
        target = int(border.target_row[row])
        kind = objects.value("kind", target)
        name = objects.value("name", target) or title_of(kind, int(objects["objref"][target]))
        found.setdefault(int(references["holder"][row]), {})[name] = None
    return {objref: tuple(names) for objref, names in found.items()}


def _holders(
    snapshot: Snapshot, verdicts: Verdicts, rows: npt.NDArray[np.intp], *, brief: bool
) -> list[tuple[Holder, ...]]:
    # Where it is brief no holders are listed of the host's namespaces that the subtree is in.
    border, hosts = verdicts.border, snapshot.tables["objects"]["initial"]
    told = np.ones(len(rows), np.bool_)
    if brief:
        told = ~(hosts & _lived_in(snapshot, border))[rows]
    if brief and hosts[rows[told]].any():
        ours = ~hosts[border.target_row] | (border.reference_side == INSIDE)
        ours[~border.by_task] |= border.collected[border.holder_row[~border.by_task]]
        border = replace(border, counted=border.counted & ours)
    found = holders(snapshot, border, verdicts.weight, rows[told])
    return [next(found) if tell else () for tell in told.tolist()]


def _lived_in(snapshot: Snapshot, border: Border) -> Mask:
    """Return which objects have tasks of the subtree in them, or a set of namespaces of theirs."""
    objects = snapshot.tables["objects"]
    members = [kind.name for kind in registry().values() if kind.member]
    rows = snapshot.tables["references"].rows("holder_kind", TASK, *members)
    found = np.zeros(len(objects), np.bool_)
    found[border.target_row[rows[border.reference_side[rows] == INSIDE]]] = True
    return found


def _worst_first(
    snapshot: Snapshot, verdicts: Verdicts, listed: npt.NDArray[np.bool_]
) -> npt.NDArray[np.intp]:
    objects = snapshot.tables["objects"]
    rows = np.flatnonzero(listed)
    ranks = [registry()[word].rank for word in objects.vocabulary["kind"]]
    by_kind = np.array([*ranks, 0])[objects["kind"][rows]]
    order = np.lexsort((objects["objref"][rows], by_kind, verdicts.verdict[rows]))
    return rows[order]


_COLUMNS: Final = (
    "objref", "kind", "address", "refcount", "name", "initial", "ino", "dev", "deleted",
)  # fmt: skip
_Fact = tuple[Any, ...]


def _facts(snapshot: Snapshot, verdicts: Verdicts, rows: npt.NDArray[np.intp]) -> Iterator[_Fact]:
    objects = snapshot.tables["objects"].take(rows)
    columns = []
    for name in _COLUMNS:
        if name == "refcount":  # the one that the rules compare
            count = zip(
                verdicts.refcount[rows].tolist(), verdicts.known[rows].tolist(), strict=True
            )
            columns.append([value if known else None for value, known in count])
            continue
        values = objects.words("kind").tolist() if name == "kind" else objects[name].tolist()
        known = objects.known(name).tolist()
        columns.append([v if k else None for v, k in zip(values, known, strict=True)])
    return zip(*columns, strict=True)


def _object(
    fact: _Fact, judged: _Judged, by: tuple[Holder, ...], rules: Rules, *, gates: bool
) -> ReportObject:
    objref, kind, address, refcount, name, initial, ino, dev, deleted = fact
    verdict, basis = _VERDICTS[judged.verdict], _BASES[judged.basis]
    pointer = None if address is None else f"{address:016x}"
    said = None
    if verdict in _LEAKS and refcount is not None and basis is not Basis.STRUCTURAL:
        counted = judged.users + allowed(rules, kind, judged.observer)
        said = message(
            rules, kind, counted, refcount,
            objref=objref, pointer=pointer, name=name, deleted=bool(deleted),
        )  # fmt: skip
    return ReportObject(
        objref=objref,
        kind=kind,
        address=pointer and f"0x{pointer}",
        name=name,
        ino=ino,
        dev=None if dev is None else device_number(dev),
        initial=bool(initial),
        verdict=verdict,
        basis=basis,
        users=judged.users,
        refcount=refcount,
        refcount_source=None if refcount is None else Counted.KERNEL,
        observer=judged.observer,
        outside=judged.outside,
        unnamed=judged.unnamed,
        gates=gates,
        message=said,
        holders=by,
        shared=judged.shared,
    )


def device_number(dev: int) -> str:
    """Return a device as people write it, "8:1": as gnu_dev_major(3) and gnu_dev_minor(3) have it.

    (os.major refuses what does not fit its C type.)
    """
    major = (dev >> 8 & 0xFFF) | (dev >> 32 & 0xFFFFF000)
    return f"{major}:{(dev & 0xFF) | (dev >> 12 & 0xFFFFFF00)}"


def gaps_of(snapshot: Snapshot) -> tuple[Gap, ...]:
    """Return what could not be read."""
    gaps = snapshot.tables["gaps"]
    return tuple(Gap(**gaps.row(index)) for index in range(len(gaps)))


def _surroundings(snapshot: Snapshot, verdicts: Verdicts, subject: Subject) -> Surroundings:
    return Surroundings(
        subject.pid,
        _ancestors(snapshot.tables["tasks"], subject.pid),
        host_sets(snapshot, verdicts),
        subject.container_init,
    )


def _ancestors(tasks: Table, pid: int) -> tuple[int, ...]:
    parent = dict(zip(tasks["tgid"].tolist(), tasks["ppid"].tolist(), strict=True))
    chain: list[int] = []
    at = parent.get(pid, 0)
    while at > 0 and at not in chain:
        chain.append(at)
        at = parent.get(at, 0)
    return tuple(chain)
