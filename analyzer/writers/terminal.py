"""The report for people: an answer in the first line, then why, worst first, then what is unsure.

`render` gives lines of at most `width` cells, each with a style; `to_text` puts them together, with
colours or plain. What bundles objects for people is in the report already (`groups`); here are the
words. A listing is cut at a number of lines unless everything is asked for; JSON never is.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Final

from analyzer.core.model import Basis, Impact, Rules, Side, Status
from analyzer.core.text import printable, wrap
from analyzer.core.values import NamedTuple, dataclass
from analyzer.kinds import registry
from analyzer.relations import relations
from analyzer.report import alike, consistency, facts, inventory
from analyzer.report.grouping import Bundle, Group, cut
from analyzer.report.impact import rank, worst
from analyzer.report.wording import (
    CONSISTENT,
    POSSIBLE,
    brief,
    code,
    counts,
    ends,
    few,
    held,
    held_of_hosts,
    is_hosts,
    known_words,
    listing,
    many,
    may_hold,
    meaning,
    mend,
    nouns,
    number,
    only_mapped,
    plural,
    reasons,
    suspects,
    undecided,
    verdict_words,
    whose,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from analyzer.report.crossed import Crossed
    from analyzer.report.value import Gap, Report, ReportObject

MIN_WIDTH: Final = 40
_MOST_SINGLES: Final = 25
_MOST_HOLDERS: Final = 4
_MOST_GAPS: Final = 10
_OWN: Final = frozenset({Bundle.SINGLE, Bundle.ALIKE})
_PINNED: Final = (
    "the message of the 2009 patches; both of its numbers count the reference that their own table "
    "of objects held"
)

_COLOURS: Final = {
    "good": "\x1b[1;32m",
    "bad": "\x1b[1;31m",
    "unsure": "\x1b[1;33m",
    "title": "\x1b[1m",
    "faint": "\x1b[2m",
}
_ANSWER_STYLE: Final = {
    Status.CONTAINED: "good",
    Status.LEAKS: "bad",
    Status.UNDECIDED: "unsure",
    Status.ERROR: "bad",
}


class Line(NamedTuple):
    """A line of printable text, and how it is to look: a key of the colours, or nothing."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class _Page:
    """How wide, whether everything is listed, and whether it is of a reading that is whole."""

    width: int
    all: bool
    whole: bool

    def lines(self, text: str, style: str = "", *, first: str = "", indent: int = 0) -> list[Line]:
        wrapped = wrap(text, self.width, first, max(indent, len(first)))
        return [Line(line, style) for line in wrapped]


def render(report: Report, width: int = 80, *, everything: bool = False) -> list[Line]:
    """Return the report as lines of at most `width` cells (never less than MIN_WIDTH)."""
    page = _Page(max(width, MIN_WIDTH), everything, report.whole)
    style = _ANSWER_STYLE[report.status]
    told = _preflight(report, page)
    lines = page.lines(headline(report), style, indent=2)
    lines += page.lines(said, style, indent=2) if (said := across(report)) else []
    lines += next(told, [])
    lines += page.lines(_about(report), "faint", indent=2)
    if report.inventory is not None:
        for line in inventory.words(report.inventory, report.subject.pid):
            lines += page.lines(printable(line), "faint", indent=2)
    for block in (*told, *found(report, width, everything=everything), *_unseen(page, report)):
        lines += [Line(""), *block]
    for warning in report.warnings:
        lines += [Line(""), *page.lines(printable(warning), "unsure", first="* ", indent=2)]
    return [*lines, Line(""), *page.lines(next_step(report), indent=6, first="next: ")]


def _preflight(report: Report, page: _Page) -> Iterator[list[Line]]:
    """Yield what a checkpoint tool would do, where that was asked for: first the answer."""
    if report.preflight is not None:
        from analyzer.writers import preflight

        for parts in preflight.blocks(report.preflight, page.width, everything=page.all):
            yield [Line(*part) for part in parts]


def found(report: Report, width: int, *, everything: bool = False) -> Iterator[list[Line]]:
    """Yield what a report found, a block of lines each."""
    page = _Page(max(width, MIN_WIDTH), everything, report.whole)
    yield from _findings(page, report)
    yield from _blocks(page, report)
    yield from _known(page, report)


def to_text(lines: Iterable[Line], *, colour: bool = False) -> str:
    """Return the lines as one text; with `colour`, styled for a terminal."""
    return "".join(f"{_styled(line) if colour else line.text}\n" for line in lines)


def headline(report: Report) -> str:
    """Return the answer: one sentence."""
    summary = report.summary
    total = f"{number(summary.checked)} {plural(summary.checked, 'object')}"
    leaks = summary.usage_leak + summary.overcount
    outside = f"{number(leaks)} of {total} {'is' if leaks == 1 else 'are'} referenced from outside"
    if report.status is Status.LEAKS:
        crosses = any(one.gates for one in report.crossings)
        only = _none(total, summary.checked) + " referenced from outside, but see what crosses"
        said = f"not contained: {outside}" if leaks else f"not contained: {_rule_only(report)}"
        if crosses and not leaks and not any(finding.gates for finding in report.findings):
            said = f"not contained: {only}"
        return said + (" (advisory)" if report.advisory else "")
    if report.status is Status.UNDECIDED:
        return consistency.ANSWER if report.consistent else f"undecided: {undecided(report, total)}"
    if report.status is Status.CONTAINED and (apart := _apart(report)):
        return f"contained, {apart}"
    if report.leaks_ignored:
        return f"contained, by what was asked for: {outside}, and ignored"
    return f"contained: {_none(total, summary.checked)} referenced from outside"


def _apart(report: Report) -> str:
    """Return what the answer is in spite of: what a profile, a policy, a baseline knows."""
    by = {waived.by for waived, _ in report.known if not waived.part}
    design = [f"what {report.profile.title} does by design"] if report.profile.name in by else []
    policy = ["what the policy allows"] if "policy" in by else []
    before = ["what was there before"] if "baseline" in by else []
    said = listing([*design, *policy, *before])
    return f"apart from {said}" if said else ""


def _known(page: _Page, report: Report) -> Iterator[list[Line]]:
    """Yield what is known, a line for each reason, without gaps: nothing is to be done about it."""
    said = () if page.all else known_words(report)
    if said:
        yield [line for w in said for line in page.lines(w, "title", first="* ", indent=2)]


def _outstanding(report: Report) -> list[Crossed]:
    return [one for one in alike.told(report) if one.waived is None]


def across(report: Report) -> str:
    """Return how much crosses the border without being counted, and what it means at worst."""
    outward = [one for one in _outstanding(report) if not one.alone]
    if not (outward or report.alone):
        return ""
    if not outward:
        count = len(report.alone)
        return f"{number(count)} {plural(count, 'thing')} inside that a checkpoint has to know of"
    count, impacts = len(outward), Counter(one.impact for one in outward)
    said = listing([f"{number(n)} {impact.value}" for impact, n in impacts.items()])
    verb = "crosses" if count == 1 else "cross"
    return f"{number(count)} {plural(count, 'thing')} {verb} the border that no count shows: {said}"


def next_step(report: Report) -> str:
    """Return one line on how to go on."""
    first = next((one for one in _outstanding(report) if not one.alone), None)
    if first is not None and _is_first(report, first):
        meant = f", or --ignore {first.relation}" if first.gates else ""
        return f"{printable(mend(first, report.subject.pid))}{meant}; --json has everything."
    if report.status is Status.CONTAINED:
        return f"nothing: {_on_its_own(report)}."
    if report.status is Status.UNDECIDED and not report.source.refcounts:
        there = "" if report.source.live else "check on the machine itself: there "
        left = () if report.consistency is None else sorted(report.consistency.but_for)
        if report.consistent or left:
            ignore = "".join(f" --ignore {kind}" for kind in left)
            there = f"--accept consistent{ignore}, or {there}"
        return f"{there}cranalyze doctor says what is needed to read the kernel's own refcounts."
    if report.status is Status.UNDECIDED:
        hold = "" if report.subject.frozen else "with --freeze, or "
        more = "" if report.options.all else "; --all lists every object"
        return f"run it again {hold}when the subtree is quieter{more}."
    return _against_leaks(report)


def _against_leaks(report: Report) -> str:
    if any(waived.part for waived, _ in report.known) and not report.groups:
        return "let who joined end before a checkpoint, or take it in: --members cgroup."
    bundles = {group.bundle for group in report.groups}
    more = "--json has everything." if report.options.all else "--all and --json list everything."
    if bundles & {Bundle.SINGLE, Bundle.ALIKE, Bundle.STDIO}:
        ignore = "" if report.options.ignore else ", or --ignore KIND"
        return f"close or reopen what is shared{ignore}; {more}"
    advise = "" if report.advisory else ", or --subtree"
    if bundles & {Bundle.HOST} or not bundles & {Bundle.CODE}:
        return f"give it namespaces of its own{advise}; {more}"
    return f"let it run a program of its own (execve){advise}; {more}"


def _is_first(report: Report, one: Crossed) -> bool:
    """Tell whether a crossing is what to see to first."""
    if report.status is Status.CONTAINED:
        return one.impact is not Impact.BY_DESIGN
    leaks = worst(entry for entry in report.objects if entry.gates)
    return one.gates and one.stable and rank(one.impact) <= rank(leaks)


def _on_its_own(report: Report) -> str:
    waived = sum(1 for entry in report.objects if entry.waived is not None)
    ignored = ", but for what is ignored" if report.leaks_ignored > waived else ""
    if report.options.references_only:
        return f"no object is held from outside{ignored}; what no count shows was left out"
    if any(not one.alone for one in report.crossings):
        return f"what crosses is by design{ignored}"
    return f"the subtree is on its own{ignored}"


def _rule_only(report: Report) -> str:
    return report.findings[0].detail if report.findings else "the root is no container init"


def _none(total: str, count: int) -> str:
    if not count:
        return "no object is held, so none is"
    return f"none of {total} is" if count != 1 else "the one object is not"


def _about(report: Report) -> str:
    subject = report.subject
    others = subject.tasks - 1
    tree = f"pid {subject.pid} ({printable(subject.comm)})"
    if subject.local_pid not in {None, subject.pid}:
        tree += f", which is {subject.local_pid} in the pid namespace of cranalyze,"
    if others:
        tree += f" and {number(others)} other {plural(others, 'task')}"
    if subject.called:
        tree = f"{printable(subject.called)}: {tree}"
    # A plain copy of /proc may say neither of what machine nor of when it is.
    host, kernel = printable(subject.host) or "a machine without name", printable(subject.kernel)
    parts = [f"{tree} on {host}", *([f"Linux {kernel}"] if kernel else []),
             f"from {printable(report.source.words)}", printable(subject.collected_at)]  # fmt: skip
    parts = [part for part in parts if part]
    if subject.frozen:
        parts.append(f"held still for {subject.frozen_seconds * 1000:.0f} ms")
    if subject.rules is not Rules.MODERN:
        parts.append(f"rules: {subject.rules.value}")
    return ", ".join(parts)


def _findings(page: _Page, report: Report) -> Iterator[list[Line]]:
    for finding in report.findings:
        if finding.waived is not None and not page.all:
            continue  # it is told with what else is known
        yield page.lines(
            f"{finding.message}{'' if finding.informs else ':'} "
            f"{printable(finding.detail)}{finding.remark}",
            "" if finding.informs else "title",
            first="* ",
            indent=2,
        )


def _crossings(page: _Page, report: Report) -> tuple[list[tuple[int, list[Line]]], list[Line]]:
    """Return the blocks of crossings, each with its rank, and one of those that are cut."""
    shown = report.crossings if page.all else _outstanding(report)
    told = [one for one in shown if one.impact is not Impact.BY_DESIGN or page.all]
    design = [one for one in shown if one.impact is Impact.BY_DESIGN and not page.all]
    told = told if page.all else alike.folded(told)
    most = len(told) if page.all else _MOST_SINGLES
    alone = len(Impact)  # what has nobody outside comes after all that has
    blocks = [(alone if one.alone else rank(one.impact), _crossing(page, one)) for one in told]
    rest: list[Line] = []
    if len(told) > most:
        left = sum(len(one.alike) or 1 for one in told[most:])
        words = f"and {number(left)} more that cross the border (--all lists them)"
        rest += page.lines(words, "title", first="* ")
    if design:
        names = list(dict.fromkeys(printable(_called(one)) for one in design))
        words = f"by design: {few(names)} (--all lists them)"
        rest += page.lines(words, "title", first="* ", indent=2)
    return blocks[:most], rest


def _called(one: Crossed) -> str:
    """Return what something by design is called: what happens, or what is shared."""
    return brief(one, relations()[one.relation]) or (one.meeting or one.ties[0]).words


def _crossing(page: _Page, one: Crossed) -> list[Line]:
    relation = relations()[one.relation]
    ignored = "" if one.stable else ", kept changing while it was read"
    short = "" if page.all else brief(one, relation)
    lines = page.lines(
        f"{printable(short or one.title)} ({one.impact.value}{ignored})",
        "title",
        first="* ",
        indent=2,
    )
    if short:
        return lines
    if one.alike and (called := alike.names(one)):
        lines += page.lines(f"{printable(few(called))} (--all lists them)", first="  ", indent=4)
    for side in (Side.OUTSIDE, Side.INSIDE):
        for n, text in enumerate(ends(one, side, None if page.all else _MOST_HOLDERS)):
            lines += page.lines(printable(text), first=f"  {'' if n else side.value:8} ")
    if one.meeting is not None:
        told = facts.words(one.meeting.facts)
        each = "each " if one.alike else ""
        met = f"{one.meeting.words}: {each}{relation.right}{f' ({told})' if told else ''}"
        lines += page.lines(printable(met), first="  at       ")
    return lines


def _blocks(page: _Page, report: Report) -> Iterator[list[Line]]:
    """Yield what is not contained and what crosses, by what it means; then what is unsure."""
    shown, left = cut(report.groups, None if page.all else _MOST_SINGLES)
    crossings, rest = _crossings(page, report)
    ranked = [(rank(worst(group.objects)), group) for group in shown]
    unsure = [group for at, group in ranked if at == len(Impact) and group.bundle not in _OWN]
    leaks = [(at, _BLOCKS[g.bundle](page, g)) for at, g in ranked if g not in unsure]
    blocks = sorted([*leaks, *crossings], key=lambda block: block[0])  # references come first
    yield from (lines for _, lines in blocks)
    if left:
        yield _rest(page, left)
    if rest:
        yield rest
    if any(entry.message for g in shown if g.bundle in _OWN for entry in g.objects):
        yield page.lines(_PINNED, "faint", first="  kernel: ")
    for group in unsure:
        yield _BLOCKS[group.bundle](page, group)


def _rest(page: _Page, left: Sequence[ReportObject]) -> list[Line]:
    return page.lines(f"and {nouns(left)} more (--all lists them)", "title", first="* ")


def _single(page: _Page, group: Group) -> list[Line]:
    entry = group.objects[0]
    lines = _title(page, entry, verdict_words(entry))
    lines += page.lines(counts(entry), indent=2, first="  ")
    if told := facts.words(entry.facts):
        lines += page.lines(told, indent=4, first="  ")
    if entry.passes:
        lines += page.lines(f"shared through it: {listing(entry.passes)}", indent=4, first="  ")
    if (entry.unexplained > 0) and registry()[entry.kind].unseen:
        words = f"what can hold it unnamed: {registry()[entry.kind].unseen}"
        lines += page.lines(words, "faint", indent=4, first="  ")
    for side in (Side.OUTSIDE, Side.INSIDE, Side.OBSERVER, Side.UNPLACED):
        lines += _held(page, entry, side)
    if entry.message:
        for line in entry.message.split("\n"):
            lines += page.lines(printable(line), "faint", first="  kernel   ")
    return lines


def _alike(page: _Page, group: Group) -> list[Line]:
    if page.all or len(group.objects) == 1:
        singles = [_single(page, Group(Bundle.SINGLE, (entry,))) for entry in group.objects]
        return [line for lines in singles for line in (*lines, Line(""))][:-1]
    first, rest = group.objects[0], len(group.objects) - 1
    said = f"{nouns(group.objects)}: {verdict_words(first)}"
    lines = page.lines(said, "title", first="* ", indent=4)
    lines += page.lines(f"{some_names(group)} (--all lists them)", first="  ", indent=4)
    lines += page.lines(counts_of(group), first="  ", indent=4)
    for side in (Side.OUTSIDE, Side.INSIDE, Side.OBSERVER, Side.UNPLACED):
        ways = held(first, side)
        more = f"; {number(rest)} more in the same way"
        for at, words in enumerate(ways[:_MOST_HOLDERS]):
            lines += page.lines(f"{words}{more}", first=f"  {'' if at else side.value:8} ")
    return lines


def some_names(group: Group) -> str:
    """Return the first names of a group that has many, and how many more there are."""
    return few([named(entry) for entry in group.objects])


def counts_of(group: Group) -> str:
    """Return what `counts` says of each of a group, or the sums where it is not the same."""
    said = {counts(entry) for entry in group.objects}
    if len(said) == 1:
        return f"each: {said.pop()}"
    users, outside = (sum(getattr(e, name) for e in group.objects) for name in ("users", "outside"))
    unnamed = sum(entry.unexplained for entry in group.objects)
    left = f", {number(unnamed)} not named" if unnamed else ""
    return f"together: {many(users, 'user')} inside, {number(outside)} held from outside{left}"


def _unstable(page: _Page, group: Group) -> list[Line]:
    if len(group.objects) == 1:
        return _single(page, group)
    said = f"{nouns(group.objects)} kept changing while they were read"
    return [*page.lines(said, "title", first="* ", indent=4), *_listed(page, group)]


def _title(page: _Page, entry: ReportObject, said: str) -> list[Line]:
    kind = registry()[entry.kind].title
    kind = f"the host's {kind}" if is_hosts(entry) else kind
    title = "" if named(entry).startswith(f"{kind}:[") else f"{kind} "  # not "pipe pipe:[1]"
    return page.lines(f"{title}{named(entry)}: {said}", "title", first="* ", indent=4)


def named(entry: ReportObject) -> str:
    """Return what an object is called, its number where it has no name."""
    return printable(entry.name) if entry.name else f"no. {entry.objref}"


def _held(page: _Page, entry: ReportObject, side: Side) -> list[Line]:
    brief = is_hosts(entry) and not page.all
    said = held_of_hosts(entry, side) if brief else held(entry, side)
    most = len(said) if page.all else _MOST_HOLDERS
    kept = said if len(said) <= most else [*said[: most - 1], None]
    lines: list[Line] = []
    for text in kept:
        first = f"  {'' if lines else side.value:8} "
        words = text or f"and {number(len(said) - most + 1)} more holders (--all lists them)"
        lines += page.lines(words, first=first)
    return lines


_STREAMS: Final = ("stdin", "stdout", "stderr")


def _stdio(page: _Page, group: Group) -> list[Line]:
    slots = {
        holder.descriptor
        for entry in group.objects
        for holder in entry.holders
        if holder.side is Side.INSIDE and holder.descriptor in range(len(_STREAMS))
    }
    streams = listing([name for at, name in enumerate(_STREAMS) if at in slots])
    how = "shared with what is outside"
    if group.origin:
        how = f"inherited from {printable(group.origin[1])} ({group.origin[0]})"
    lines = page.lines(f"{streams} {how}{meaning(group)}", "title", first="* ", indent=4)
    for entry in group.objects:
        lines += page.lines(f"{named(entry)}: {counts(entry)}", first="  ", indent=4)
        if page.all:
            lines += [*_held(page, entry, Side.OUTSIDE), *_held(page, entry, Side.INSIDE)]
    return lines


def _host(page: _Page, group: Group) -> list[Line]:
    kinds = [registry()[entry.kind] for entry in group.objects]
    names = list(dict.fromkeys(kind.namespace for kind in kinds if kind.namespace))
    said = "shares its set of namespaces with what is outside"
    if names:
        said = f"shares the host's {listing(names)} {plural(len(names), 'namespace')}"
    lines = page.lines(f"{said}{whose(group)}{meaning(group)}", "title", first="* ", indent=4)
    return lines + _listed(page, group)


def _code(page: _Page, group: Group) -> list[Line]:
    one = len(group.objects) == 1
    said = f"{code(group.objects)} mapped by both sides since fork"
    hint = "" if page.all else f" (--all lists {'it' if one else 'them'})"
    lines = page.lines(said + hint, "title", first="* ")
    return lines + _listed(page, group)


def _possible(page: _Page, group: Group) -> list[Line]:
    apart = not page.all
    mapped = [entry for entry in group.objects if apart and only_mapped(entry)]
    others = [entry for entry in group.objects if not (apart and only_mapped(entry))]
    lines: list[Line] = []
    if mapped:
        verb = "is" if len(mapped) == 1 else "are"
        said = f"{code(mapped)} {verb} {POSSIBLE}, shared since fork with {suspects(mapped)}"
        lines += page.lines(said, "title", first="* ", indent=4)
        lines += page.lines(some_names(Group(group.bundle, tuple(mapped))), first="  ", indent=4)
    if not others:
        return lines
    verb = "is" if len(others) == 1 else "are"
    said = f"{nouns(others)} {verb} {POSSIBLE}: others look like it, or are it"
    lines += [*([Line("")] if mapped else []), *page.lines(said, "title", first="* ", indent=4)]
    most = len(others) if page.all else _MOST_SINGLES
    for entry in others[:most]:
        lines += _may_hold(page, entry)
    if len(others) > most:
        lines += page.lines(f"and {nouns(others[most:])} (--all lists them)", first="  ")
    return lines


def _may_hold(page: _Page, entry: ReportObject) -> list[Line]:
    lines = page.lines(f"{registry()[entry.kind].title} {named(entry)}", first="  ", indent=4)
    some = may_hold(entry)
    most = len(some) if page.all else _MOST_HOLDERS
    for words in some[:most]:
        lines += page.lines(printable(words), first="    ", indent=6)
    if len(some) > most:
        lines += page.lines(f"and {number(len(some) - most)} more", first="    ")
    return lines


def _unknown(page: _Page, group: Group) -> list[Line]:
    verb, them = ("is", "it") if len(group.objects) == 1 else ("are", "them")
    why = f"no counts could be read, and nothing outside was seen to hold {them}"
    if all(entry.basis is not Basis.WITNESSED for entry in group.objects):
        why = f"something that touches {them} could not be read"
    lines = page.lines(f"{nouns(group.objects)} {verb} undecided: {why}", "title", first="* ")
    for words in reasons(group.objects, None if page.all else _MOST_HOLDERS):
        lines += page.lines(words, first="  - ")
    untold = {entry.kind for entry in group.objects if entry.gates} if page.whole else set()
    for kind in sorted(kind for kind in untold if registry()[kind].remembered):
        lines += page.lines(f"--ignore {kind} leaves out what no dump can tell", first="  - ")
    return lines + _listed(page, group)


def _contained(page: _Page, group: Group) -> list[Line]:
    verb = "is" if len(group.objects) == 1 else "are"
    proven = group.bundle is Bundle.CONTAINED
    how = "contained" if proven else f"{CONSISTENT}: nobody else has what may be one of them"
    lines = page.lines(f"{nouns(group.objects)} {verb} {how}", "title", first="* ")
    return lines + _listed(page, group)


def _listed(page: _Page, group: Group) -> list[Line]:
    if not page.all:
        return []
    each = (f"{registry()[one.kind].title} {named(one)}: {counts(one)}" for one in group.objects)
    return [line for words in each for line in page.lines(words, first="  ", indent=4)]


_BLOCKS: Final[dict[Bundle, Callable[[_Page, Group], list[Line]]]] = {
    Bundle.SINGLE: _single,
    Bundle.ALIKE: _alike,
    Bundle.UNSTABLE: _unstable,
    Bundle.STDIO: _stdio,
    Bundle.HOST: _host,
    Bundle.CODE: _code,
    Bundle.POSSIBLE: _possible,
    Bundle.UNKNOWN: _unknown,
    Bundle.CONSISTENT: _contained,
    Bundle.CONTAINED: _contained,
}


def _unseen(page: _Page, report: Report) -> Iterator[list[Line]]:
    title, *more = consistency.words(report.consistency)
    if title:
        lines = page.lines(title, "title", first="* ", indent=2)
        yield lines + [line for words in more for line in page.lines(words, first="  - ")]
    if not report.gaps and not report.notes:
        return
    lines = page.lines("what could not be seen", "title", first="* ")
    most = len(report.gaps) if page.all else _MOST_GAPS
    said = [*map(printable, report.notes), *map(gap_in_words, report.gaps[:most])]
    lines += [line for words in said for line in page.lines(words, first="  - ")]
    if len(report.gaps) > most:
        lines += page.lines(f"and {number(len(report.gaps) - most)} more (--all)", first="  - ")
    yield lines


def gap_in_words(gap: Gap) -> str:
    """Say in one line what could not be read, why, and what that does."""
    call = printable(gap.syscall)
    reason = os.strerror(gap.errno) if gap.errno else ""
    cause = ": ".join(part for part in (call, reason) if part)
    said = f"{printable(gap.where)} ({cause})" if cause else printable(gap.where)
    return f"{said}: {printable(gap.effect)}" if gap.effect else said


def _styled(line: Line) -> str:
    return f"{_COLOURS[line.style]}{line.text}\x1b[0m" if line.style and line.text else line.text
