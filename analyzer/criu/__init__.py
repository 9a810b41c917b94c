"""What CRIU would do with a subtree: a table of rules, and where each of them applies.

The rules are data, in modules by what they look at (`tasks`, `files`, `sockets`, `mounts`,
`spaces`); they are what was measured with CRIU, not code of it. `find` asks all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.values import NamedTuple
from analyzer.criu import files, mounts, sockets, spaces, tasks
from analyzer.criu.base import Hit, Outcome, Rule
from analyzer.kinds import registry
from analyzer.relations import relations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from analyzer.check.leaks import Verdicts
    from analyzer.check.links import Mask
    from analyzer.criu.view import View
    from analyzer.snapshot.value import Snapshot

RULES: Final[Mapping[str, Rule]] = {
    rule.name: rule
    for rule in (
        *tasks.RULES, *files.RULES, *sockets.RULES, *mounts.RULES, *spaces.RULES,
    )
}  # fmt: skip
"""All rules by name."""

QUIET: Final[Mapping[str, str]] = {
    "NSPROXY": "its namespaces are told one by one",
    "SOCKET": "who is connected to it is told, and who has it open",
    "TTY": "its ends are told",
}
"""Kinds of which a leak is told as something else."""


class Found(NamedTuple):
    """A rule that applies, where, and what becomes of it here."""

    rule: Rule
    outcome: Outcome
    hit: Hit


def asked_of(snapshot: Snapshot, verdicts: Verdicts) -> Mask:
    """Return the objects that the rules look at: what has to be described and named."""
    objects = snapshot.tables["objects"]
    mask: Mask = verdicts.border.collected | (objects["kind"] == objects.code("kind", "MOUNT"))
    return mask & ~objects["initial"]


def find(view: View) -> list[Found]:
    """Return what CRIU would do with a subtree, the worst first."""
    found = [
        Found(rule, _outcome(rule, view), hit) for rule in RULES.values() for hit in rule.find(view)
    ]
    found += _unknown(view, found)
    order = list(Outcome)
    return sorted(found, key=lambda one: order.index(one.outcome))


def _outcome(rule: Rule, view: View) -> Outcome:
    return Outcome.RUNTIME if rule.by_runtime and view.runtime else rule.outcome


UNKNOWN: Final = Rule(
    "unknown", "something that no rule is about", Outcome.UNKNOWN, lambda _: (),
    then="nothing is known of what CRIU does with it",
)  # fmt: skip


def _unknown(view: View, found: list[Found]) -> Iterator[Found]:
    """Yield the crossings and leaks that no rule is about: of types that came later."""
    known = {rule.about for rule in RULES.values()} | {*QUIET}
    for one in view.crossings:
        if one.relation not in known:
            hit = view.inside_end(one)._replace(detail=relations()[one.relation].title)
            yield Found(UNKNOWN, Outcome.UNKNOWN, hit)
    told = {(one.hit.kind, one.hit.row) for one in found}
    for kind in registry():
        if kind not in known:
            for row in view.leaks(kind):
                if (kind, row) not in told:
                    yield Found(UNKNOWN, Outcome.UNKNOWN, Hit(kind, row))


__all__ = ["QUIET", "RULES", "Found", "Hit", "Outcome", "Rule", "asked_of", "find"]
