"""What is said of a fleet to people: the answer first, then its troubles, the most common first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.model import Status
from analyzer.core.text import printable, wrap
from analyzer.fleet import rows
from analyzer.kinds import registry
from analyzer.relations import relations
from analyzer.report.wording import few, listing, many, number
from analyzer.writers.terminal import MIN_WIDTH, Line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from analyzer.fleet.summary import Fleet, Trouble, Unlike

_MOST: Final = 25  # of a sort
_INDENT: Final = 11
_STYLES: Final = {Status.LEAKS: "bad", Status.UNDECIDED: "unsure", Status.CONTAINED: "good"}


def render(fleet: Fleet, width: int = 80, *, everything: bool = False) -> list[Line]:
    """Return what is said as lines of at most `width` cells (never less than MIN_WIDTH)."""
    wide = max(width, MIN_WIDTH)
    told = [one for one in fleet.troubles if one.gates or everything]
    lines = _wrapped(headline(fleet), wide, "", 2, _STYLES.get(fleet.status, ""))
    lines += _wrapped(about(fleet), wide, "", 2, "faint")
    most = len(told) if everything else _MOST
    for one in told[:most]:
        lines += [Line(""), *_trouble(one, fleet, wide, everything=everything)]
    rest = [(len(told[most:]), "more"), (len(fleet.troubles) - len(told), "that do not decide")]
    said = [f"{number(count)} {what}" for count, what in rest if count > 0]
    if said:
        lines += [Line(""), *_wrapped(f"{listing(said)} (--all lists them)", wide, "* ", 2)]
    for unlike in fleet.unlike:
        lines += [Line(""), *_unlike(unlike, wide)]
    if fleet.unread:
        lines += [Line(""), *_unread(fleet, wide, everything=everything)]
    return lines


def headline(fleet: Fleet) -> str:
    """Return the answer, one sentence: of what decides, whatever else is listed."""
    told = fleet.deciding
    new = "" if fleet.since is None else f" new since {fleet.since:%Y-%m-%d}"
    signatures = many(len(told), "signature") if told else "nothing"
    decides = "decides" if len(told) < 2 else "decide"  # noqa: PLR2004 - a plural
    what = f"{signatures}{new or f' that {decides}'}" if told else f"nothing{new or ' decides'}"
    return f"{what}, on {many(len(fleet.hosts), 'host')}"


def about(fleet: Fleet) -> str:
    """Return how many checks there are, when they were, and what came of them."""
    when = f", {_span(fleet.first, fleet.last)}" if fleet.first and fleet.last else ""
    checks = many(sum(fleet.came.values()), "check")
    came = [f"{number(n)} {'with leaks' if what == 'leaks' else what}"
            for what, n in sorted(fleet.came.items())]  # fmt: skip
    said = f": {listing(came)}" if came else ""
    return f"{checks} of {many(fleet.snapshots, 'snapshot')}{when}{said}"


def called(one: Trouble) -> str:
    """Return what it is: "open file /srv/log, in app"."""
    kinds, known = registry(), relations()
    name = f" {printable(one.name)}" if one.name else ""
    what = kinds[one.kind].title if one.kind in kinds else one.kind.replace("_", " ")
    if one.row == rows.CROSSING:
        said = known[one.kind].title if one.kind in known else one.kind
        return f"{one.kind}{name}, in {printable(one.workload)}: {said}"
    return f"{what}{name}, in {printable(one.workload)}"


def _trouble(one: Trouble, fleet: Fleet, width: int, *, everything: bool) -> Iterator[Line]:
    known = "" if one.gates else ", does not decide"
    impact = f" ({one.impact}{known})" if one.impact else ""
    yield from _wrapped(f"{called(one)}{impact}", width, "* ", 2, "bad" if one.gates else "")
    if one.holders:
        how = f" ({one.association})" if one.association else ""
        yield from _wrapped(f"{printable(one.holders)}{how}", width, "  outside  ", _INDENT)
    hosts = listing(one.hosts) if everything else few(one.hosts)
    share = f"{number(len(one.hosts))} of {number(len(fleet.hosts))}: {printable(hosts)}"
    yield from _wrapped(share, width, "  hosts    ", _INDENT)
    when = f"{_span(one.first, one.last)}, {many(one.times, 'time')}"
    yield from _wrapped(when, width, "  seen     ", _INDENT)


def _unlike(one: Unlike, width: int) -> Iterator[Line]:
    yield from _wrapped(f"{printable(one.host)} is unlike the others", width, "* ", 2, "unsure")
    for what, troubles in (("has", one.has), ("lacks", one.lacks)):
        if troubles:
            names = few([called(trouble) for trouble in troubles])
            yield from _wrapped(names, width, f"  {what:<9}", _INDENT)


def _unread(fleet: Fleet, width: int, *, everything: bool) -> Iterator[Line]:
    count = len(fleet.unread)
    said = f"{many(count, 'snapshot')} could not be read"
    yield from _wrapped(said, width, "* ", 2, "unsure")
    most = count if everything else _MOST
    for url, why in fleet.unread[:most]:
        words = why if url in why else f"{url}: {why}"
        yield from _wrapped(printable(words), width, "  ", 4)
    if count > most:
        yield Line(f"  and {number(count - most)} more (--all lists them)")


def _span(first: datetime, last: datetime) -> str:
    days = dict.fromkeys(f"{at:%Y-%m-%d}" for at in (first, last))
    return " to ".join(days)


def _wrapped(text: str, width: int, first: str, indent: int, style: str = "") -> list[Line]:
    return [Line(line, style) for line in wrap(text, width, first, indent)]
