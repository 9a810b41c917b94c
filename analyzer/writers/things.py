"""What `cranalyze who --kind` says: how many, of whose, how near the limits; the same as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.model import JSON_FORMAT
from analyzer.core.text import printable, valid, width, wrap
from analyzer.core.values import replace
from analyzer.lookup.state import shortened
from analyzer.report.facts import words
from analyzer.report.wording import many, number
from analyzer.writers.json import gap_document
from analyzer.writers.terminal import MIN_WIDTH, Line, gap_in_words
from analyzer.writers.terminal import to_text as joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from analyzer.lookup.limits import Limit
    from analyzer.lookup.sorts import Sort
    from analyzer.lookup.things import Listing, Thing, Total
    from analyzer.report.value import Gap

_MOST_TOTALS: Final = 10
_MOST_UNITS: Final = 5
_MOST_LIMITS: Final = 10
_MOST_HANDS: Final = 4
_MOST_STEPS: Final = 4
_NEAR: Final = 0.9
_WARM: Final = 0.7
_KIBI: Final = 1024
MOST_THINGS: Final = 20
"""How many things are listed for people."""
MOST_FOLDED: Final = 10 * MOST_THINGS
"""How many are looked at for that: those that are alike are one line."""


def to_json(listing: Listing, limits: Sequence[Limit], gaps: Sequence[Gap]) -> str:
    """Return a listing with all its things as JSON, ending in a newline."""
    sort = listing.sort
    envelope = {
        "cranalyze": JSON_FORMAT,
        "command": "who",
        "exit_code": 0,
        "kind": sort.word,
        "count": listing.count,
        "amount": listing.amount if sort.amount else None,
        "unit": sort.unit,
        "limits": [
            {"name": one.name, "whose": valid(one.whose), "used": one.used, "most": one.most,
             "note": one.note}
            for one in limits
        ],
        "processes": list(map(_total, listing.processes)),
        "users": list(map(_total, listing.users)),
        "units": list(map(_total, listing.units)),
        "filesystems": list(map(_total, listing.filesystems)),
        "things": list(map(_thing_document, listing.things)),
        "notes": list(map(valid, listing.notes)),
        "incomplete": bool(gaps),
        "gaps": list(map(gap_document, gaps)),
        "errors": [],
    }  # fmt: skip
    return f"{json.dumps(envelope, indent=1)}\n"


def _total(one: Total) -> dict[str, Any]:
    return {
        "who": valid(one.who),
        "pids": list(one.pids),
        "things": one.things,
        "amount": one.amount,
    }


def _thing_document(one: Thing) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "type": one.type,
        "objref": one.objref,
        "name": None if one.name is None else valid(one.name),
        "ino": one.ino,
        "dev": one.dev,
        "refcount": one.refcount,
        "files": one.files,
        "amount": one.amount,
        "holders": [
            {"pid": hand.pid, "comm": valid(hand.comm), "fds": list(hand.fds),
             "mapped": hand.mapped}
            for hand in one.hands
        ],
        "kept_by": list(map(valid, one.kept)),
        "facts": {
            name: valid(value) if isinstance(value, str) else value
            for name, value in one.facts.items()
        },
    }  # fmt: skip


def to_text(
    listing: Listing,
    limits: Sequence[Limit],
    gaps: Sequence[Gap],
    cells: int = 80,
    *,
    colour: bool = False,
    about: Sequence[str] = (),
) -> str:
    """Return a listing as lines of at most `cells` cells; `about` says what it is of."""
    cells = max(cells, MIN_WIDTH)
    lines = [Line(text) for one in about for text in wrap(printable(one), cells, "", 2)]
    lines += [Line(text, "title") for text in wrap(_headline(listing), cells)]
    lines += [Line(text) for text in wrap(listing.sort.note, cells, "  ", 2) if listing.sort.note]
    lines += _limits(limits, cells)
    lines += _totals("by process", listing, listing.processes, _MOST_TOTALS, cells)
    lines += _totals("by user", listing, listing.users, _MOST_UNITS, cells)
    lines += _totals("by unit or container", listing, listing.units, _MOST_UNITS, cells)
    lines += _totals("by filesystem", listing, listing.filesystems, _MOST_UNITS, cells)
    lines += _things(listing, cells)
    lines += _steps(listing, cells)
    lines += _notes(listing, cells)
    for gap in gaps:
        lines += [Line(text, "bad") for text in wrap(gap_in_words(gap), cells, "gap: ", 5)]
    return joined(lines, colour=colour)


def _headline(listing: Listing) -> str:
    sort = listing.sort
    if not listing.count:
        return f"no such thing was found: {sort.title}"
    said = f"{number(listing.count)} {sort.title if listing.count == 1 else sort.plural}"
    if sort.amount:
        said += f", {_amount(sort, listing.amount, unit=True)}"
    who = [
        _processes(len(listing.processes)),
        many(len(listing.users), "user") if listing.users else "",
    ]
    if not listing.processes:
        return f"{said}, of no process"
    return f"{said}, of {' of '.join(filter(None, who))}"


def _processes(count: int) -> str:
    return f"{number(count)} {'process' if count == 1 else 'processes'}"


def _amount(sort: Sort, amount: int, *, unit: bool = False) -> str:
    if sort.bytes:
        return size(amount)
    said = number(amount)
    return f"{said} {_noun(sort.unit, amount)}" if unit else said


def _noun(units: str, count: int) -> str:
    one = {"watches": "watch"}.get(units, units.removesuffix("s"))
    return one if count == 1 else units


def size(count: int) -> str:
    """Return a number of bytes as people say it: "1.5 MiB"."""
    if count < _KIBI:
        return f"{count} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= _KIBI
        if value < _KIBI:
            return f"{value:.1f} {unit}"
    return f"{value / _KIBI:.1f} PiB"


def _limits(limits: Sequence[Limit], cells: int) -> Iterator[Line]:
    if not limits:
        return
    yield Line("limits:", "strong")
    for one in limits[:_MOST_LIMITS]:
        tone = "bad" if one.share >= _NEAR else "unsure" if one.share >= _WARM else ""
        for text in wrap(printable(_limit(one)), cells, "  ", 4):
            yield Line(text, tone)
    if len(limits) > _MOST_LIMITS:
        yield Line(f"  and {number(len(limits) - _MOST_LIMITS)} more (--json lists them)")


def _limit(one: Limit) -> str:
    note = f"; {one.note}" if one.note else ""
    if one.most is None:
        used = f"; {one.whose} has {number(one.used)}" if one.used is not None else ""
        return f"{one.name}: no limit{used}{note}"
    if one.used is None:
        return f"{one.name}: {number(one.most)} for {one.whose}{note}"
    full = ", used up" if one.used >= one.most else ""
    share = f"{100 * one.share:.0f} %" if one.most else "none allowed"
    return (
        f"{one.name}: {one.whose} has {number(one.used)} of {number(one.most)} ({share}){full}"
        f"{note}"
    )


def _totals(
    title: str, listing: Listing, totals: Sequence[Total], most: int, cells: int
) -> Iterator[Line]:
    if not totals or not listing.count:
        return
    yield Line(f"{title}, the most first:" if len(totals) > 1 else f"{title}:", "strong")
    sort = listing.sort
    shown = totals[:most]
    amounts = [_amount(sort, one.amount) for one in shown]
    counts = [number(one.things) for one in shown]
    heads = (sort.unit if not sort.bytes else "size", "number")
    wide = (max(map(width, (heads[0], *amounts))), max(map(width, (heads[1], *counts))))
    several = not sort.amount or any(one.things > 1 for one in shown)
    start = f"  {heads[0]:>{wide[0]}}" if sort.amount else " "
    yield Line(f"{start} {heads[1]:>{wide[1]}}" if several else start)
    for one, amount, count in zip(shown, amounts, counts, strict=True):
        head = f"  {amount:>{wide[0]}}" if sort.amount else " "
        head += f" {count:>{wide[1]}}  " if several else "  "
        yield from (Line(text) for text in wrap(_who(listing, one), cells, head, len(head)))
    if len(totals) > most:
        yield Line(f"  and {number(len(totals) - most)} more (--json lists them)")


def _who(listing: Listing, one: Total) -> str:
    said = printable(one.who)
    person = listing.people.get(one.pids[0]) if len(one.pids) == 1 else None
    if person is not None and said.endswith(f"({person.pid})"):
        said += f", {printable(person.user)}" if person.user else ""
        said += f", in {printable(person.unit)}" if person.unit else ""
    elif not said.endswith(f"({one.pids[0]})"):
        said += f": {_processes(len(one.pids))}"
    return said


def _things(listing: Listing, cells: int) -> Iterator[Line]:
    if not listing.things:
        return
    yield Line("each, the worst first:" if len(listing.things) > 1 else "it is:", "strong")
    sort = listing.sort
    groups = _alike(listing.things)[:MOST_THINGS]
    amounts = [_amount(sort, some[0].amount or 0) if sort.amount else "" for some in groups]
    wide = max(map(width, amounts))
    for some, amount in zip(groups, amounts, strict=True):
        head = f"  {amount:>{wide}}  " if sort.amount else "  "
        said = _thing(sort, some[0]) if len(some) == 1 else _many(sort, some)
        yield from (Line(text) for text in wrap(said, cells, head, len(head)))
    left = listing.count - sum(map(len, groups))
    if left > 0:
        yield Line(f"  and {number(left)} more (-o COLS and --json list all)")


def _alike(things: Sequence[Thing]) -> list[list[Thing]]:
    """Return things, those of one name and amount that the same process has open together."""
    found: dict[Any, list[Thing]] = {}
    for one in things:
        alike = one.name and len(one.hands) == 1 and one.hands[0].fds and not one.hands[0].mapped
        key = (one.name, one.amount, one.hands[0].pid) if alike else one.objref
        found.setdefault(key, []).append(one)
    return list(found.values())


def _many(sort: Sort, things: Sequence[Thing]) -> str:
    name, hand = things[0].name or "", things[0].hands[0]
    what = f"{number(len(things))} {sort.plural}"
    what += f" of {printable(name)}" if _has_name(name) else ""
    fds = sorted(fd for one in things for fd in one.hands[0].fds)
    return f"{what}: {printable(replace(hand, fds=tuple(fds)).words)}"


def _has_name(name: str | None) -> bool:
    return bool(name) and not (name or "").startswith("anon_inode:")


def _thing(sort: Sort, one: Thing) -> str:
    named = _has_name(one.name)
    number_ = one.facts.get(sort.number)
    what = f"{sort.title} no. {one.objref}" if number_ is None else f"{sort.title} {number_}"
    what = printable(one.name or "") if named else what
    what = printable(str(one.facts.get(sort.called, what)))
    known = {
        name: shortened(name, value) for name, value in one.facts.items() if name not in _told(sort)
    }
    said = words(known) if not one.type or not named else ""
    said = f" ({said})" if said else ""
    first = [printable(hand.words) for hand in one.hands[:_MOST_HANDS]]
    left = len(one.hands) - len(first)
    who = "; ".join(first) + (f" and {number(left)} more" if left else "")
    return f"{what}{said}: {who or printable('; '.join(one.kept)) or 'no process'}"


def _told(sort: Sort) -> Iterable[str]:
    return (
        sort.amount,
        sort.called,
        sort.told,
        "tty.index",
        "bpf.map",
        "open.mode",
        "open.flags",
        "size",
    )


def _notes(listing: Listing, cells: int) -> Iterator[Line]:
    if listing.notes:
        yield Line(
            f"{number(len(listing.notes))} more without a holder that is a process:", "strong"
        )
    for note in listing.notes[:MOST_THINGS]:
        yield from (Line(text) for text in wrap(printable(note), cells, "  ", 4))
    if len(listing.notes) > MOST_THINGS:
        yield Line(f"  and {number(len(listing.notes) - MOST_THINGS)} more (--json lists them)")


def _steps(listing: Listing, cells: int) -> Iterator[Line]:
    """Yield what would free the space of deleted files, as text to read."""
    if listing.sort.word != "deleted":
        return
    steps: dict[str, None] = {}
    for one in listing.things:
        for hand in one.hands:
            who = f"{hand.comm} ({hand.pid})"
            fds = ", ".join(map(str, hand.fds))
            # What is mapped as well is not let go of by closing it.
            closed = bool(fds) and not hand.mapped
            steps[f"close fd {fds} of {who}, or end it" if closed else f"restart {who}"] = None
        steps.update(dict.fromkeys(one.release))
    for step in list(steps)[:_MOST_STEPS]:
        yield from (Line(text) for text in wrap(printable(step), cells, "next: ", 6))
