"""What CRIU would do, bundled for people: a block for each rule and outcome, the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.text import printable
from analyzer.core.values import NamedTuple
from analyzer.criu import Outcome
from analyzer.report.wording import listing, number, plural

if TYPE_CHECKING:
    from analyzer.criu.verified import Verified
    from analyzer.report.preflight import Blocker, Preflight

TITLES: Final = {
    Outcome.REFUSES: "refuses",
    Outcome.FAILS: "dumps, and does not restore",
    Outcome.UNKNOWN: "is not known to handle",
    Outcome.SILENT: "dumps in silence",
    Outcome.RUNTIME: "leaves to the runtime",
}
"""What CRIU does, of each outcome."""
_MOST: Final = 4


class Bundled(NamedTuple):
    """What one rule applies to: the first that it does, and all of them in words."""

    first: Blocker
    things: tuple[str, ...]
    options: tuple[str, ...]

    @property
    def title(self) -> str:
        """Return "CRIU refuses: a TCP socket that is connected"."""
        return f"CRIU {TITLES[self.first.outcome]}: {self.first.at}"

    def advice(self, *, everything: bool) -> list[tuple[str, str]]:
        """Return what CRIU says, what allows it or takes it away, and what is so afterwards."""
        first = self.first
        told = (
            ("says", first.message),
            ("option", self.some(everything=everything)),
            ("instead", "" if self.options else first.remove),
            ("then", first.then),
        )
        return [(title, printable(words)) for title, words in told if words]

    def some(self, *, everything: bool) -> str:
        """Return the options, or the first and how many there are."""
        most = len(self.options) if everything else 1
        left = len(self.options) - most
        more = f" and {number(left)} more like it" if left > 0 else ""
        return f"{' '.join(self.options[:most])}{more}"


def everything_of(told: Preflight) -> list[Bundled]:
    """Return all of it, the worst first."""
    return [one for outcome in Outcome for one in bundled(told, outcome)]


def bundled(told: Preflight, outcome: Outcome) -> list[Bundled]:
    """Return what has an outcome, by rule."""
    rules: dict[str, list[Blocker]] = {}
    for one in told.blockers:
        if one.outcome is outcome:
            rules.setdefault(one.rule, []).append(one)
    return [
        Bundled(
            many[0],
            tuple(dict.fromkeys(thing(one) for one in many)),
            tuple(dict.fromkeys(one.option for one in many if one.option)),
        )
        for many in rules.values()
    ]


def thing(one: Blocker) -> str:
    """Return what something is, who has it, and what else is known of it."""
    detail = f" ({one.detail})" if one.detail and one.detail not in one.what else ""
    where = f"{one.where}: " if one.where and one.where != one.what else ""
    return printable(f"{where}{one.what}{detail}")


def answer(told: Preflight) -> str:
    """Return in one sentence whether it works."""
    tool = f"CRIU {told.versions}"
    stopping = [b for b in told.blockers if b.outcome.stops]
    count = f"{number(len(stopping))} {plural(len(stopping), 'thing')}"
    silent = sum(one.outcome is Outcome.SILENT for one in told.blockers)
    unknown = sum(one.outcome is Outcome.UNKNOWN for one in told.blockers)
    more = f", and would not notice {number(silent)} more" if silent else ""
    if unknown:
        more += f"; of {number(unknown)} nothing is known"
    if told.lacks:
        more += f"; much that it refuses is not seen from {told.lacks}, so there may be more"
    if not stopping and told.lacks:
        return f"{tool}: nothing was seen that it would refuse{more.replace(' more', '', 1)}"
    if not stopping:
        return f"{tool} would dump and restore it{more.replace(' more', '')}"
    if told.possible:
        return f"{tool} stops at {count}, which options allow{more}"
    cannot = [one for one in stopping if one.stops]
    return f"{tool} cannot: {number(len(cannot))} of {count} no option allows{more}"


def removals(told: Preflight, most: int = _MOST) -> str:
    """Return what has to go first: "A and B"."""
    names = [printable(one) for one in told.remove]
    rest = [f"{number(len(names) - most)} more"] if len(names) > most else []
    return listing([*names[:most], *rest])


def verdict(ran: Verified) -> str:
    """Return in one sentence what came of running it, and whose fault a difference is."""
    if ran.reason:
        return f"not verified: {printable(ran.reason)}"
    what = "dumped it, and left it running" if ran.worked else "did not dump it"
    tool = f"verified: CRIU {printable(ran.version)} {what}"
    if ran.agrees:
        return f"{tool}, as said here"
    if ran.worked:
        return f"{tool}: what is said here is wrong (our fault, please tell us)"
    return f"{tool}, for a reason that is not said here (our fault, please tell us)"
