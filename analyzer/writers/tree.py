"""The report as a tree (`--tree`): the processes, and under each what it shares outward.

What is not contained is told in full, with a number in brackets, under the first process that holds
it, and by its number after that; what is bundled for people (the libraries of a fork, the
namespaces of the host) has one number together. The processes outside follow, with what each holds
of it. A thread has no line of its own: ``app (100, 8 threads)``.

Lines are at most `width` cells. A tree may be deep and wide: what is deeper than there is room for
stands beside its nearest ancestor that has a line ("child of 77"). Unless everything is asked for,
workers that are alike are told once, and of a large tree those processes that share something are,
and how many more there are. Where the encoding of the output has no box-drawing characters, ASCII
stands for them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from analyzer.core.model import Side, Status, Verdict
from analyzer.core.text import printable, wrap
from analyzer.core.values import NamedTuple, dataclass
from analyzer.kinds import registry, title_of
from analyzer.report import alike, facts
from analyzer.report.grouping import Bundle
from analyzer.report.tree import outline, shown
from analyzer.report.wording import (
    VERDICTS,
    by_descriptor,
    code,
    ends,
    few,
    held_by,
    listing,
    meaning,
    nouns,
    number,
    plural,
    whose,
)
from analyzer.writers.terminal import MIN_WIDTH, Line, headline, named, some_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from analyzer.report.crossed import Crossed
    from analyzer.report.grouping import Group
    from analyzer.report.holders import Holder
    from analyzer.report.tree import Outline, Shown, Thing
    from analyzer.report.value import Report, ReportObject

_MOST_PROCESSES: Final = 100
_MOST_THINGS: Final = 10  # told in full under one process, and again by their number
_MOST_HOLDERS: Final = 4
_MOST_PLACES: Final = 6
_MOST_OUTSIDE: Final = 20
_TEXT_ROOM: Final = 44  # cells that the deepest line has for its text
_LEAST_DEPTH: Final = 2
_STEP: Final = 3  # cells that one level is indented
_DEEPEST: Final = 100  # levels that are drawn where no width sets a limit

_ANSWER: Final = {Status.CONTAINED: "good", Status.LEAKS: "bad", Status.UNDECIDED: "unsure"}
_SEVERAL: Final = {Bundle.ALIKE, Bundle.UNSTABLE}
_SAID: Final = (Verdict.OVERCOUNT, Verdict.UNSTABLE)  # that it leaks goes without saying


class _Glyphs(NamedTuple):
    child: str
    last: str
    through: str


_BOXES: Final = _Glyphs("├─ ", "└─ ", "│  ")
_ASCII: Final = _Glyphs("|- ", "`- ", "|  ")
_BLANK: Final = " " * _STEP


@dataclass(frozen=True)
class _Page:
    """How wide, in what encoding, with what glyphs, and whether everything is told."""

    width: int
    all: bool
    encoding: str
    glyphs: _Glyphs

    def plain(self, text: str) -> str:
        return text.encode(self.encoding, "backslashreplace").decode(self.encoding)

    def lines(
        self, text: str, style: str = "", *, first: str = "", rest: str | None = None, hang: int = 0
    ) -> list[Line]:
        """Return text as lines: one that starts with `first`, then some that start with `rest`."""
        under = (first if rest is None else rest) + " " * hang
        room = self.width - max(len(first), len(under))
        wrapped = wrap(self.plain(text), room)
        heads = [first, *[under] * (len(wrapped) - 1)]
        return [Line(f"{head}{line}", style) for head, line in zip(heads, wrapped, strict=True)]

    def most(self, many: int, budget: int) -> int:
        return many if self.all else min(many, budget)


def render(
    report: Report, width: int = 80, *, everything: bool = False, encoding: str = "utf-8"
) -> list[Line]:
    """Return the tree as lines of at most `width` cells (never less than MIN_WIDTH).

    A character of a name that `encoding` does not have is escaped.
    """
    glyphs = _BOXES if knows(encoding) else _ASCII
    page = _Page(max(width, MIN_WIDTH), everything, encoding, glyphs)
    tree = outline(report)
    lines = page.lines(headline(report), _ANSWER.get(report.status, "bad"), hang=2)
    lines += [Line(""), *_Branches(page, tree).of_root()]
    for group in tree.undecided:
        verb = "is" if len(group.objects) == 1 else "are"
        lines += [Line(""), *page.lines(f"{nouns(group.objects)} {verb} undecided", "unsure")]
    if tree.outside:
        lines += [Line(""), Line("outside", "title"), *_outside(page, tree)]
    elif not tree.things and not tree.undecided and not tree.crossed:
        lines += [Line(""), *page.lines(_calm(report), "good")]
    return lines


def knows(encoding: str) -> bool:
    """Tell whether an encoding has box-drawing characters."""
    try:
        "".join(_BOXES).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _calm(report: Report) -> str:
    if report.summary.usage_leak + report.summary.overcount:
        return "Nothing that is listed is shared with what is outside."
    return "Nothing in this tree is shared with what is outside of it."


# --- inside


class _Branches:
    """Draws the processes, and remembers which things are told already."""

    def __init__(self, page: _Page, tree: Outline) -> None:
        self._page = page
        self._tree = tree
        depth = min(max(_LEAST_DEPTH, (page.width - _TEXT_ROOM) // _STEP), _DEEPEST)
        self._shown: Shown = shown(tree, None if page.all else _MOST_PROCESSES, depth)
        self._told: set[int] = set()

    def of_root(self) -> list[Line]:
        """Return the lines of the whole tree."""
        lines = list(self._branch(self._tree.root, "", ""))
        if self._shown.hidden:
            more = _hidden(self._shown.hidden, self._shown.sharing)
            lines += self._page.lines(more, "faint", hang=2)
        return lines

    # No deeper than the page is wide.
    def _branch(self, pid: int, first: str, rest: str) -> Iterator[Line]:
        children = self._shown.children.get(pid, [])
        glyphs = self._page.glyphs
        yield from self._page.lines(self._title(pid), first=first, rest=rest, hang=2)
        under = rest + (glyphs.through if children else _BLANK)
        yield from self._held(pid, under)
        crossed = self._tree.crossed.get(pid, ())
        for one in crossed if self._page.all else alike.folded(crossed):
            yield from _crossing(self._page, one, under)
        for child in children:
            many = self._shown.alike.get(child, 0)
            last = child == children[-1]
            ends, goes_on = (glyphs.last, _BLANK), (glyphs.child, glyphs.through)
            mark, under = ends if last and not many else goes_on
            yield from self._branch(child, rest + mark, rest + under)
            if many:
                mark, under = ends if last else goes_on
                words = f"and {number(many)} more like it"
                yield from self._page.lines(words, "faint", first=rest + mark, rest=rest + under)

    def _title(self, pid: int) -> str:
        process = self._tree.processes[pid]
        facts = [str(pid)]
        if process.threads > 1:
            facts.append(f"{number(process.threads)} threads")
        if self._shown.parent.get(pid, process.parent) != process.parent:
            facts.append(f"child of {process.parent}")
        return f"{printable(process.comm)} ({', '.join(facts)})"

    def _held(self, pid: int, prefix: str) -> Iterator[Line]:
        numbers = self._tree.held.get(pid, ())
        again = [at for at in numbers if at in self._told]
        new = [at for at in numbers if at not in self._told]
        most = self._page.most(len(new), _MOST_THINGS)
        for at in new[:most]:
            self._told.add(at)
            yield from _thing(self._page, at, self._tree.things[at - 1], pid, prefix)
        if len(new) > most:
            words = _more_things(self._tree.things[at - 1] for at in new[most:])
            yield from self._page.lines(words, "faint", first=prefix, hang=4)
        if again:
            yield from self._page.lines(self._again(pid, again), "faint", first=prefix, hang=4)

    def _again(self, pid: int, numbers: Sequence[int]) -> str:
        most = self._page.most(len(numbers), _MOST_THINGS)
        things = [(at, self._tree.things[at - 1]) for at in numbers[:most]]
        said = [f"[{at}]{_how(thing, thing.inside.get(pid, ()), ' ')}" for at, thing in things]
        more = [f"{number(len(numbers) - most)} more (--all)"] if len(numbers) > most else []
        return "; ".join([*said, *more])


def _crossing(page: _Page, one: Crossed, prefix: str) -> Iterator[Line]:
    """Yield what crosses without being counted: a dash where a thing has its number."""
    moved = "" if one.stable else ", kept changing"
    title = printable(f"- {one.title} ({one.impact.value}{moved})")
    yield from page.lines(title, "title", first=prefix, hang=4)
    if one.alike and (called := alike.names(one)):
        yield from page.lines(printable(few(called)), first=f"{prefix}    ", hang=2)
    for words in ends(one, Side.OUTSIDE, None if page.all else _MOST_HOLDERS):
        yield from page.lines(f"outside: {printable(words)}", first=f"{prefix}    ", hang=2)


def _more_processes(many: int) -> str:
    return f"and {number(many)} more {'process' if many == 1 else 'processes'}"


def _hidden(hidden: int, sharing: int) -> str:
    verb = "shares" if sharing == 1 else "share"
    share = f", {number(sharing)} of which {verb} something" if sharing else " that share nothing"
    return f"{_more_processes(hidden)}{share} (--all)"


def _more_things(things: Iterable[Thing]) -> str:
    return f"and {nouns(entry for t in things for entry in t.group.objects)} more (--all)"


def _thing(page: _Page, at: int, thing: Thing, pid: int, prefix: str) -> Iterator[Line]:
    verdict = thing.group.objects[0].verdict
    ignored = "" if any(entry.gates for entry in thing.group.objects) else " (ignored)"
    how = _since(thing.group) or _how(thing, thing.inside.get(pid, ()), ": ")
    label = f"[{at}] {_called(thing.group)}"
    how += meaning(thing.group)
    yield from page.lines(label + how + ignored, "title", first=prefix, hang=4)
    known = facts.words(thing.group.objects[0].facts) if len(thing.group.objects) == 1 else ""
    told = [
        *([VERDICTS[verdict]] if verdict in _SAID else []),
        *filter(None, [known]),
        *_holders(page, thing.group),
    ]
    for words in told:
        yield from page.lines(words, first=f"{prefix}    ", hang=2)


def _called(group: Group) -> str:
    """Return what a thing is: "open file /etc/passwd", "3 executables and libraries"."""
    objects = group.objects
    if group.bundle is Bundle.STDIO:
        return f"standard streams: {listing([named(entry) for entry in objects])}"
    if group.bundle is Bundle.HOST:
        spaces = [registry()[entry.kind].namespace for entry in objects]
        kinds = [name for name in dict.fromkeys(spaces) if name]
        words = f"{listing(kinds)} {plural(len(kinds), 'namespace')}" if kinds else "namespaces"
        return f"the host's {words}"
    if group.bundle in _SEVERAL and len(objects) > 1:
        return f"{nouns(objects)}: {some_names(group)}"
    if group.bundle is Bundle.CODE:
        return code(objects)
    return _object(objects[0])


def _object(entry: ReportObject) -> str:
    title, name = registry()[entry.kind].title, named(entry)
    label = "" if name.startswith(f"{title}:[") else f"{title} "  # not "pipe pipe:[1]"
    return label + name


def _since(group: Group) -> str:
    return " mapped by both sides since fork" if group.bundle is Bundle.CODE else ""


def _holders(page: _Page, group: Group) -> Iterator[str]:
    if group.bundle is Bundle.HOST:
        them = "it" if len(group.objects) == 1 else "them"
        yield f"the whole host is in {them}{whose(group)}"
        return
    told = group.objects[:1] if group.bundle is Bundle.ALIKE and not page.all else group.objects
    outside = [holder for entry in told for holder in entry.holders]
    said = list(dict.fromkeys(held_by(Side.OUTSIDE, outside)))
    most = page.most(len(said), _MOST_HOLDERS)
    rest = len(group.objects) - len(told)
    more = f"; {number(rest)} more in the same way" if rest else ""
    yield from (f"outside: {words}{more}" for words in said[:most])
    if len(said) > most:
        yield f"outside: and {number(len(said) - most)} more holders (--all)"
    unnamed = sum(entry.unexplained for entry in group.objects)
    if unnamed:
        verb = "is" if unnamed == 1 else "are"
        yield f"{number(unnamed)} {plural(unnamed, 'reference')} the kernel holds {verb} not named"


# How one of the namespaces or libraries is held is not worth a line.
def _how(thing: Thing, holders: Sequence[Holder], before: str) -> str:
    if not holders or thing.group.bundle in {Bundle.HOST, Bundle.CODE}:
        return ""
    return before + _places(holders)


def _places(holders: Sequence[Holder]) -> str:
    """Return "fd 0, fd 1", "maps it (r-xp) 3 times", "is open or mounted (fd 4)"."""
    found = Counter(_place(holder) for holder in holders)
    words = [word if n == 1 else f"{word} {n} times" for word, n in found.items()]
    more = len(words) - _MOST_PLACES
    return ", ".join([*words[:_MOST_PLACES], *([f"{number(more)} more"] if more > 0 else [])])


def _place(holder: Holder) -> str:
    detail = printable(holder.detail)
    if registry()[holder.kind].of_process:
        return detail
    by = by_descriptor(holder.via) if holder.via else _numbered(holder)
    return f"{by} {detail}"


def _numbered(holder: Holder) -> str:
    return title_of(holder.kind, holder.objref)


# --- outside


def _outside(page: _Page, tree: Outline) -> Iterator[Line]:
    by: dict[int, list[int]] = {}
    for at, thing in enumerate(tree.things, 1):
        for pid in thing.outside:
            by.setdefault(pid, []).append(at)
    most = page.most(len(tree.outside), _MOST_OUTSIDE)
    for pid, comm in list(tree.outside.items())[:most]:
        yield from page.lines(f"{printable(comm)} ({pid})", hang=2)
        yield from _theirs(page, tree, pid, by[pid])
    if len(tree.outside) > most:
        yield from page.lines(f"{_more_processes(len(tree.outside) - most)} (--all)", "faint")


def _theirs(page: _Page, tree: Outline, pid: int, numbers: Sequence[int]) -> Iterator[Line]:
    most = page.most(len(numbers), _MOST_THINGS)
    for at in numbers[:most]:
        thing = tree.things[at - 1]
        words = f"[{at}] {_called(thing.group)}{_how(thing, thing.outside[pid], ': ')}"
        yield from page.lines(words, first="  ", hang=4)
    if len(numbers) > most:
        words = _more_things(tree.things[at - 1] for at in numbers[most:])
        yield from page.lines(words, "faint", first="  ", hang=4)
