"""What is known of findings: by a profile, by a policy, by a baseline, and what is part of another.

What is known does not gate, and is told in one line with all that is known for the same reason. No
verdict and no number of the check changes. The namespaces that somebody joined are a part of the
finding that he did: he is told once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.digest import blake2b
from analyzer.core.model import Impact, Side, Verdict
from analyzer.core.pattern import pattern
from analyzer.core.values import NamedTuple, dataclass, replace
from analyzer.kinds import registry
from analyzer.procfs.homes import home
from analyzer.report.items import People, joins, of_crossing, of_finding, of_object
from analyzer.report.profiles import NONE, RECOGNISED, named, recognised

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from analyzer.report.crossed import Crossed
    from analyzer.report.holders import Route
    from analyzer.report.profiles import Profile
    from analyzer.report.rules import Item, Rule
    from analyzer.report.value import Finding, ReportObject, ReportOptions, Subject
    from analyzer.snapshot.value import Snapshot

_NUMBERED: Final = pattern(r"\[\d+\]|\(\d+\)|^\d+$")  # pipe:[7], a process (7)
_CONTAINER: Final = "{container}"
_POLICY: Final = "policy"
_JOINED: Final = "joined"
_BESIDE: Final = frozenset({"keyring", "cgroup", "session", "same-file"})
"""Relations that who joined has with the subject besides."""


class Waived(NamedTuple):
    """Why something does not gate: by whom (a profile, "policy", "baseline"), and in which words.

    What is a `part` of another finding gates as ever, and is told with that.
    """

    by: str
    says: str
    owner: str = ""
    part: bool = False

    @property
    def words(self) -> str:
        """Return "podman: its own files mounted"."""
        return f"{self.by}: {self.says}"


@dataclass(frozen=True)
class Known:
    """The findings, each with what is known of it, by which profile; `used` are rules by use."""

    profile: Profile
    objects: tuple[ReportObject, ...]
    crossings: tuple[Crossed, ...]
    findings: tuple[Finding, ...]
    used: dict[int, int]


def known(
    snapshot: Snapshot,
    subject: Subject,
    options: ReportOptions,
    objects: Sequence[ReportObject],
    crossings: Sequence[Crossed],
    findings: Sequence[Finding],
) -> Known:
    """Return the findings with what the profile, the policy and the baseline know of them."""
    people = People(snapshot, subject.pid)
    chosen = options.profile
    profile = recognised(subject, people) if chosen == RECOGNISED else named(chosen)
    judge = _Judge(subject, profile, options, people)
    told = [judge.crossing(one) for one in crossings]
    joiners = _joiners(snapshot, told)
    parts = [_part_of(one, joiners) for one in told]
    joined = _Joined(joiners, joiners | _within(objects) if joiners else frozenset())
    entries = [judge.object(judge.joined(one, joined)) for one in objects]
    return Known(
        profile,
        tuple(entries),
        tuple(parts),
        tuple(judge.finding(one) for one in findings),
        judge.used,
    )


class _Judge:
    def __init__(
        self, subject: Subject, profile: Profile, options: ReportOptions, people: People
    ) -> None:
        self._people = people
        containers = containers_of(subject, people)
        self._rules = [(profile.name, rule) for rule in of_profile(profile, containers)]
        name = {subject.name, subject.container, *containers, subject.comm}
        self._rules += [
            (_POLICY, rule) for rule in options.policy if _about(rule, name) and not rule.expired
        ]
        self._baseline = options.baseline
        self.used: dict[int, int] = {}

    def joined(self, entry: ReportObject, joined: _Joined) -> ReportObject:
        """Return a namespace that only who joined holds from outside as a part of that finding.

        What is known may hold it besides.
        """
        if not joined.pids or entry.verdict is not Verdict.USAGE_LEAK or entry.unexplained:
            return entry
        outside = [holder for holder in entry.holders if holder.holds_from(Side.OUTSIDE)]
        routes = [route for holder in outside for route in holder.routes_of(Side.OUTSIDE)]
        if not registry()[entry.kind].is_space or not any(map(joined.has, routes)):
            return entry
        rest = of_object(entry, self._people, but=joined.has)
        part = not rest.outsiders or self._known([rest]) is not None
        return entry._replace(waived=_PART) if part else entry

    def object(self, entry: ReportObject) -> ReportObject:
        if entry.verdict is not Verdict.USAGE_LEAK:
            return entry
        items = [of_object(entry, self._people)]
        entry = entry._replace(identities=_identities(items))
        found = None if entry.waived is not None else self._known(items)
        return entry if found is None else entry._replace(waived=found, gates=False)

    def crossing(self, one: Crossed) -> Crossed:
        items = of_crossing(one, self._people)
        one = one._replace(identities=_identities(items))
        found = self._known(items) if items else None
        if found is not None:
            return one._replace(waived=found, gates=False)
        return self._strange_first(one, items)

    def _strange_first(self, one: Crossed, items: Sequence[Item]) -> Crossed:
        """Return a crossing, of which a part is known, as one of the part that is not."""
        known = [self._rule(item) is not None for item in items]
        if not any(known):
            return one
        inside = one.of(Side.INSIDE)
        order = sorted(range(len(inside)), key=known.__getitem__)
        rest = tuple(tie for tie in one.ties if tie.side is not Side.INSIDE)
        return one._replace(ties=(*(inside[at] for at in order), *rest)).titled()

    def finding(self, one: Finding) -> Finding:
        if one.informs:
            return one
        item = of_finding(one)
        one = replace(one, identities=(identity(item),))
        found = self._known([item])
        return one if found is None else replace(one, waived=found, gates=False)

    def _known(self, items: Sequence[Item]) -> Waived | None:
        """Return why a finding is known: each part of it has to be, and the first says how."""
        by = [self._rule(item) for item in items]
        if all(rule is not None for rule in by):
            for _, rule in filter(None, by):
                self.used[id(rule)] = self.used.get(id(rule), 0) + 1
            # What a policy had to allow says more than what is by design beside it.
            who, first = max(filter(None, by), key=lambda one: one[0] == _POLICY)
            return Waived(who, first.says, first.owner)
        if self._baseline and all(identity(item) in self._baseline for item in items):
            return Waived("baseline", "as it was before")
        return None

    def _rule(self, item: Item) -> tuple[str, Rule] | None:
        for by, rule in self._rules:
            full = rule.most is not None and self.used.get(id(rule), 0) >= rule.most
            if not full and rule.covers(item):
                return by, rule
        return None


def of_profile(profile: Profile, containers: Collection[str]) -> list[Rule]:
    """Return the rules of a profile for some containers, by their ids or names."""
    return [_for(rule, containers) for rule in profile.rules]


def containers_of(subject: Subject, people: People) -> frozenset[str]:
    """Return the ids or names of the containers that a subject consists of."""
    homes = (home(people.cgroup(pid)) for pid in (subject.pid, *subject.roots))
    return frozenset({subject.container, *(at.container for at in homes)} - {""})


def _for(rule: Rule, containers: Collection[str]) -> Rule:
    """Return a rule of a profile with what its containers are called in its paths."""
    if not any(_CONTAINER in path for path in rule.path):
        return rule
    names = containers or ("*",)
    paths = dict.fromkeys(path.replace(_CONTAINER, name) for path in rule.path for name in names)
    return replace(rule, path=tuple(paths))


def _about(rule: Rule, names: Iterable[str]) -> bool:
    from analyzer.report.rules import like

    return not rule.subject or any(like(name, (rule.subject,)) for name in names if name)


def _identities(items: Iterable[Item]) -> tuple[str, ...]:
    return tuple(sorted({identity(item) for item in items}))


def identity(item: Item) -> str:
    """Return a name for a finding that the next run has again: of no pid, inode or number."""
    who = sorted({one.exe or one.command or one.place for one in item.outsiders})
    name = item.name if not _NUMBERED.search(item.name) else ""
    parts = (
        item.kind, item.relation, item.side, ",".join(map(str, item.slots)), item.direction,
        item.path, name, item.point, item.state, *who,
    )  # fmt: skip
    data = "\x1f".join(parts).encode("utf-8", "surrogateescape")
    return blake2b(data, digest_size=8, person=b"cranalyze find").hexdigest()


# --- who joined


def _joiners(snapshot: Snapshot, crossings: Sequence[Crossed]) -> frozenset[int]:
    """Return the processes that joined the subject's namespaces, and those that they started."""
    first = {
        tie.tid
        for one in crossings
        if one.relation == _JOINED and one.impact is not Impact.BY_DESIGN
        for tie in one.of(Side.OUTSIDE)
        if tie.tid is not None
    }
    if not first:
        return frozenset()
    tasks = snapshot.tables["tasks"]
    parent = dict(zip(tasks["tgid"].tolist(), tasks["ppid"].tolist(), strict=True))
    found = set(first)
    for pid in parent:
        chain, at = [], pid
        while at > 0 and at not in found and at not in chain:
            chain.append(at)
            at = parent.get(at, 0)
        if at in found:
            found.update(chain)
    return frozenset(found)


def _within(objects: Iterable[ReportObject]) -> frozenset[int]:
    """Return the processes inside that hold something that is told."""
    return frozenset(
        task.tgid
        for entry in objects
        for holder in entry.holders
        if holder.side is Side.INSIDE
        for task in holder.led_by(Side.INSIDE)
    )


class _Joined(NamedTuple):
    """Who joined (`pids`), and all that are in the mount namespace that they share (`within`)."""

    pids: frozenset[int]
    within: frozenset[int]

    def has(self, route: Route) -> bool:
        """Tell whether a route to a holder is of who joined: mounts of their namespace are too."""
        if route.tasks:
            return {task.tgid for task in route.tasks} <= self.pids
        return joins(route.thing) in self.within


def _part_of(one: Crossed, joiners: frozenset[int]) -> Crossed:
    if not joiners or one.relation not in _BESIDE or one.waived is not None:
        return one
    outside = {task.tgid for tie in one.of(Side.OUTSIDE) for task in tie.tasks}
    return one._replace(waived=_PART) if outside and outside <= joiners else one


_PART: Final = Waived("", "who joined", part=True)

__all__ = ["NONE", "Known", "Waived", "identity", "known"]
