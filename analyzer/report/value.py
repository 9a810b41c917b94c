"""The report: one frozen value that says what a check found, computed once, for every writer.

`make` turns a snapshot and its verdicts into a `Report`: the answer (`status`), what was looked at
(`subject`, `summary`), every object that is not contained with all of its holders (`objects`,
worst first), the same bundled for people (`groups`), what else speaks against the subtree
(`findings`) and what could not be seen (`gaps`). Nothing is read or printed here.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from analyzer.core.model import Side, Status
from analyzer.core.notebook import display
from analyzer.core.text import printable, shorten
from analyzer.core.values import NamedTuple, dataclass, field
from analyzer.report.possible import NO_DOUBT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from analyzer.check.leaks import Verdicts
    from analyzer.core.model import Basis, Conclusion, Counted, Impact, Rules, Verdict
    from analyzer.core.notebook import Page
    from analyzer.report.consistency import Consistency
    from analyzer.report.crossed import Crossed
    from analyzer.report.grouping import Group
    from analyzer.report.holders import Holder
    from analyzer.report.inventory import Inventory
    from analyzer.report.possible import Doubt
    from analyzer.report.preflight import Preflight
    from analyzer.report.profiles import Profile
    from analyzer.report.rules import Rule
    from analyzer.report.waive import Waived
    from analyzer.snapshot.source import SourceInfo
    from analyzer.snapshot.value import Snapshot

    Facts = Mapping[str, int | str]

NO_FACTS: Final[Facts] = MappingProxyType({})

CONTAINER_INIT: Final = "CONTAINER_INIT"
"""What --fail-on and --ignore call the rule that the root must be the init of a container."""


@dataclass(frozen=True)
class ReportOptions:
    """What was asked for.

    With `brief`, the holders of the host's own namespaces are left out: there are thousands, of
    which nobody reads a list. They are counted all the same.
    `subtree` is the CHECKPOINT_SUBTREE of linux-cr: leaks are advisory, and the root need not be
    the init of a container. `gate` lets the exit code follow the answer. `fail_on` (when not
    empty) and `ignore` are kinds, relations, impacts ("reaches-out") or CONTAINER_INIT, and choose
    what decides the answer. `references_only` leaves out what crosses without being counted. `tool`
    is what a checkpoint would be made with ("criu"): then it is said what that would do. With
    `strict`, a container must have even the namespaces to itself that few have (_ANYBODYS).
    `profile` is the runtime whose own doing does not gate ("auto": recognised), `policy` are rules
    for what else does not, `baseline` what was found before (see `analyzer.report.waive`).
    With `accept_consistent` nothing more is asked of a source without refcounts than that nothing
    speaks against containment.
    """

    command: str = "report"
    all: bool = False
    brief: bool = False
    subtree: bool = False
    gate: bool = False
    fail_on: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset()
    strict: bool = False
    references_only: bool = False
    profile: str = "auto"
    policy: tuple[Rule, ...] = ()
    baseline: frozenset[str] = frozenset()
    tool: str = ""
    accept_consistent: bool = False

    def gates(self, kind: str) -> bool:
        """Return whether a leak of `kind` decides the answer."""
        return self.gates_any({kind})

    def gates_any(self, words: AbstractSet[str]) -> bool:
        """Return whether a leak with these words (its kind, its impact) decides the answer."""
        return (not self.fail_on or bool(words & self.fail_on)) and not words & self.ignore


class ReportObject(NamedTuple):
    """One object with its verdict; `refcount` is None when unknown, `holders` are complete.

    `shared` is the part of `users` whose holders are led to from outside as well. `passes` are the
    namespaces that something outside is in by having the same set of namespaces (NSPROXY).
    `uncounted` hold it too, and the rules do not know them. `facts` is what is known of its state
    (docs/facts.md), and of what a file is open on. `impact` is what a leak means. `waived` says why
    it is known, and does not gate; `identities` what it is called by a baseline. `conclusion` is
    what can be said where no refcount is known, and `doubt` who may hold it.
    `refcount_source` tells where the refcount is from.
    """

    objref: int
    kind: str
    address: str | None
    name: str | None
    ino: int | None
    dev: str | None
    initial: bool
    verdict: Verdict
    basis: Basis
    users: int
    refcount: int | None
    observer: int
    outside: int
    unnamed: int
    gates: bool
    message: str | None
    holders: tuple[Holder, ...]
    shared: int = 0
    passes: tuple[str, ...] = ()
    uncounted: tuple[Holder, ...] = ()
    facts: Facts = NO_FACTS
    impact: Impact | None = None
    waived: Waived | None = None
    identities: tuple[str, ...] = ()
    conclusion: Conclusion | None = None
    doubt: Doubt = NO_DOUBT
    refcount_source: Counted | None = None

    @property
    def uncounted_weight(self) -> int:
        """Return how many of its references are of holders that the rules do not count."""
        return sum(holder.weight for holder in self.uncounted)

    @property
    def unexplained(self) -> int:
        """Return how many of its references are of nobody that was found (never negative)."""
        return max(self.unnamed - self.uncounted_weight, 0)

    def __repr__(self) -> str:
        """Say in one line what it is, its verdict and its numbers."""
        count = "unknown" if self.refcount is None else self.refcount
        name = f" {shorten(printable(self.name), 60)}" if self.name else ""
        numbers = f"users {self.users}, refcount {count}, holders {len(self.holders)}"
        return f"<{self.kind} {self.objref}{name}: {self.verdict.value}, {numbers}>"

    def _repr_html_(self) -> str:
        html: str = display("entry", self)
        return html


@dataclass(frozen=True)
class Subject:
    """What was checked, where and when; `container_init` is None when that is not known.

    `pid` is of the initial pid namespace; `local_pid` what it was asked for as, None if not known:
    another one where cranalyze runs in a pid namespace of its own.
    `frozen_seconds` is how long the subtree was held still, 0 if it was not `frozen`.
    `name` says what it is, if it was found by a name, `runtime` and `container` whose and which it
    is ("" is none), `roots` what it has besides `pid`.
    """

    pid: int
    local_pid: int | None
    comm: str
    tasks: int
    container_init: bool | None
    host: str
    boot_id: str
    kernel: str
    collected_at: str
    source: str
    rules: Rules
    frozen: bool
    frozen_seconds: float
    name: str = ""
    runtime: str = ""
    container: str = ""
    roots: tuple[int, ...] = ()

    @property
    def called(self) -> str:
        """Return what it was asked for as, "" for a pid: "podman container web (0123456789ab)"."""
        return "" if self.name == f"process {self.pid}" else self.name


@dataclass(frozen=True)
class Summary:
    """Numbers: objects collected and judged, verdicts, references from inside, and unnamed ones.

    Of what is judged by its holders, arithmetic says nothing: none of its references is unnamed.
    `crossings` counts, by impact (all of them, worst first), what crosses the border uncounted.
    """

    objects: int
    checked: int
    contained: int
    usage_leak: int
    overcount: int
    unstable: int
    unknown: int
    references: int
    unnamed: int
    crossings: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """What is to be said of the subtree without being an object of it.

    What does not `gate` is ignored, or (`informs`) speaks against nothing.
    """

    finding: str
    message: str
    detail: str
    gates: bool
    informs: bool = False
    waived: Waived | None = None
    identities: tuple[str, ...] = ()

    @property
    def remark(self) -> str:
        """Return what is added to it: " (ignored)"."""
        if self.waived is not None:
            return f" (known: {self.waived.says})"
        return "" if self.gates or self.informs else " (ignored)"


@dataclass(frozen=True)
class Gap:
    """Something that could not be read, and what that does to the result."""

    where: str
    syscall: str
    errno: int | None
    effect: str


@dataclass(frozen=True)
class Report:
    """What a check found. `groups` bundles `objects` for people; the numbers count every object.

    `inventory` is what a dump of /proc has, None for what is read of a machine itself;
    `consistency` what it is worth, None where refcounts are known.
    `preflight` is what a checkpoint tool would do, where that was asked for.
    `snapshot`, `verdicts` and `options` are what it was made of, for pictures that show more.
    """

    command: str
    status: Status
    exit_code: int
    advisory: bool
    subject: Subject
    summary: Summary
    objects: tuple[ReportObject, ...]
    groups: tuple[Group, ...]
    crossings: tuple[Crossed, ...]
    findings: tuple[Finding, ...]
    gaps: tuple[Gap, ...]
    source: SourceInfo
    notes: tuple[str, ...]
    inventory: Inventory | None
    consistency: Consistency | None
    incomplete: bool
    leaks_ignored: int
    profile: Profile
    warnings: tuple[str, ...]
    preflight: Preflight | None
    snapshot: Snapshot = field(repr=False, compare=False)
    verdicts: Verdicts = field(repr=False, compare=False)
    options: ReportOptions = field(repr=False, compare=False)

    def __repr__(self) -> str:
        """Say in one line of whom it is, and what was found."""
        who, summary = self.subject, self.summary
        leaks = summary.usage_leak + summary.overcount
        numbers = f"{leaks} of {summary.checked} objects"
        return f"<Report of pid {who.pid} ({printable(who.comm)}): {self.status.value}, {numbers}>"

    @property
    def known(self) -> list[tuple[Waived, list[tuple[str, str]]]]:
        """Return what is known of the findings: each reason with kinds and names that it is of."""
        found: dict[Waived, list[tuple[str, str]]] = {}
        for entry in self.objects:
            if entry.waived is not None:
                found.setdefault(entry.waived, []).append((entry.kind, entry.name or ""))
        for one in self.crossings:
            if one.waived is not None:
                ends = one.of(Side.INSIDE) or one.ties
                found.setdefault(one.waived, []).extend((t.kind, t.name or t.words) for t in ends)
        for finding in self.findings:
            if finding.waived is not None:
                found.setdefault(finding.waived, []).append(("", finding.detail))
        return list(found.items())

    @property
    def whole(self) -> bool:
        """Tell whether it is of a reading of /proc that shows all that this can show."""
        return self.consistency is not None and self.consistency.whole

    @property
    def consistent(self) -> bool:
        """Tell whether nothing speaks against containment, which is not proven."""
        return self.consistency is not None and self.consistency.consistent

    @property
    def accepted(self) -> bool:
        """Tell whether it is contained, or as good as that to who accepts what is consistent."""
        as_good = self.options.accept_consistent and self.consistent
        return self.status is Status.CONTAINED or as_good

    @property
    def alone(self) -> list[Crossed]:
        """Return what has nobody outside, and a checkpoint has to know of."""
        return [one for one in self.crossings if one.alone]

    def show(self, height: int = 640) -> Page:
        """Return the page of ``report --html``, for Jupyter to show; `height` is in pixels."""
        page: Page = display("page", self, height)
        return page

    def _repr_html_(self) -> str:
        html: str = display("report", self)
        return html
