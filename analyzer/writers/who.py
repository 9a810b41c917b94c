"""What `cranalyze who` says: the answer, then a tree of holders for people; the same as JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.errors import EXIT_USAGE
from analyzer.core.model import JSON_FORMAT, TASK
from analyzer.core.pattern import pattern
from analyzer.core.text import printable, spans, valid, wrap
from analyzer.core.values import NamedTuple, fields, replace
from analyzer.kinds import registry
from analyzer.lookup.value import (
    AWAITED,
    BESIDE,
    ITSELF,
    OTHER_END,
    PERHAPS,
    PLAIN,
    Outcome,
    ends,
)
from analyzer.report.wording import listing, number, plural
from analyzer.writers.json import gap_document
from analyzer.writers.terminal import MIN_WIDTH, Line, gap_in_words
from analyzer.writers.terminal import to_text as joined

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from analyzer.lookup.value import Answer, Held, Node
    from analyzer.procfs.people import Person
    from analyzer.report.value import Gap
    from analyzer.snapshot.value import Snapshot

_PARTS: Final = {
    OTHER_END: "the other end by",
    BESIDE: "its filesystem used by",
    AWAITED: "it waits for",
}
_BEFORE: Final = {OTHER_END: "the other end: ", AWAITED: "it waits for: "}
_MANY: Final = 100
_MOST_IN_HEADLINE: Final = 2
_MOST_NAMED: Final = 8
_MOST_SPACES: Final = 4  # mount namespaces in which one thing is mounted
_MOST_SPOKEN: Final = 3  # processes that are each said with user and unit
_MOST_LISTED: Final = 50
_MOST_STEPS: Final = 5
_SOCKETS: Final = {"NET_SOCKET", "SOCKET"}
_CONNECTED: Final = "connected to "
_MOST_APART: Final = 20  # groups of objects that are each told by itself
_MOST_ALIKE: Final = 6  # objects of one name that are each told by itself
_MOST_LINES: Final = 40  # below one object
_MOST_OF_HOST: Final = 8  # below a namespace that all have
# Where an open file is on what is called as it is.
_OPEN_ON: Final = frozenset({"nsfs.file", "sock", "pipe.reader", "pipe.writer", "pipe.both"})
_NUMBERED: Final = pattern(r"(fd) (\d+)(.*)", re.DOTALL)


def to_json(
    answers: Sequence[Answer],
    gaps: Sequence[Gap],
    exit_code: int,
    snapshot: Snapshot,
    errors: Sequence[str] = (),
) -> str:
    """Return the answers, and what could not be read, as JSON, ending in a newline.

    `errors` are of words that are none, and `snapshot` what the answers are of.
    """
    meta = snapshot.meta
    envelope = {
        "cranalyze": JSON_FORMAT,
        "command": "who",
        "exit_code": exit_code,
        "answers": [],
        "snapshot": {
            **{name: _plain(meta[name]) for name in ("host", "boot_id", "kernel", "collected_at")},
            "source": meta["source"]["name"],
            "scope": "host" if meta["subject"]["pid"] is None else meta["scope"],
            "pid": meta["subject"]["pid"],
        },
        "incomplete": bool(gaps),
        "gaps": list(map(gap_document, gaps)),
        "errors": [{"message": valid(one), "exit_code": EXIT_USAGE} for one in errors],
    }
    told = [{**_plain(a), "found": a.found, "outcome": a.outcome.value} for a in answers]
    if len(told) <= _MANY:
        return f"{json.dumps({**envelope, 'answers': told}, indent=1)}\n"
    # Indented, many take longer to write than to find: so a line each.
    lines = ",\n".join(map(json.dumps, told))
    head, _, tail = json.dumps(envelope, indent=1).partition("[]")
    return f"{head}[\n{lines}\n ]{tail}\n"


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, str):
        return valid(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "__match_args__"):
        return {name: _plain(part) for name, part in fields(value).items()}
    return value


def to_text(
    answers: Sequence[Answer],
    gaps: Sequence[Gap],
    width: int = 80,
    *,
    colour: bool = False,
    about: Sequence[str] = (),
) -> str:
    """Return the answers as lines of at most `width` cells; `about` says what they are of.

    Of the gaps only those are told that can be of an answer.
    """
    cells = max(width, MIN_WIDTH)
    lines = [Line(text) for one in about for text in wrap(printable(one), cells, "", 2)]
    for at, answer in enumerate(answers):
        lines += [Line("")] if at and (answer.found or answers[at - 1].found) else []
        lines += _Writer(answer, cells).lines()
    for gap in () if all(answer.accounted for answer in answers) else gaps:
        lines += [Line(text, "bad") for text in wrap(gap_in_words(gap), cells, "gap: ", 5)]
    return joined(lines, colour=colour)


class _Way(NamedTuple):
    """How a process, or what nothing is known to hold, holds something."""

    who: str
    pid: int | None
    how: str
    tid: int | None = None


class _Writer:
    """Says one answer."""

    def __init__(self, answer: Answer, cells: int) -> None:
        self._answer = answer
        self._cells = cells
        self._people = {one.pid: one for one in answer.people}

    def lines(self) -> Iterator[Line]:
        answer = self._answer
        asked = printable(answer.asked)
        alone = bool(self._alone())
        good = answer.outcome in {Outcome.HELD, Outcome.FREE}
        yield from self._wrapped(f"{asked}: {self._headline()}", tone="strong" if good else "bad")
        if answer.found and (answer.what or answer.notes):
            own = f"({answer.pid}) is dead (a zombie)"  # which the headline says
            notes = [one for one in answer.notes if not (alone and own in one)]
            said = "; ".join([*answer.what, *notes])
            yield from self._wrapped(printable(said), "  ", 4)
        if answer.found and answer.pid is not None and not asked.startswith(str(answer.pid)):
            said = (
                f"{asked} is of process {answer.pid} of the initial pid namespace, as are all below"
            )
            yield from self._wrapped(said, "  ", 4)
        groups = _fewer(list(_alike(answer.held)))
        for group in groups[:_MOST_LISTED]:
            yield from self._group(group)
        if len(groups) > _MOST_LISTED:
            yield Line(f"and {number(len(groups) - _MOST_LISTED)} more (--json lists them)")
        yield from self._places()
        yield from self._silence()
        if answer.unseen and answer.outcome is Outcome.HELD:
            yield from self._wrapped(f"not seen here: {answer.unseen}")
        for step in answer.next[:_MOST_STEPS]:
            yield from self._wrapped(printable(step), "next: ", 6)
        left = len(answer.next) - _MOST_STEPS
        if left > 0:
            yield Line(f"next: and {number(left)} more (--json lists them)")

    def _wrapped(
        self, said: str, first: str = "", indent: int = 2, tone: str = ""
    ) -> Iterator[Line]:
        for text in wrap(said, self._cells, first, indent):
            yield Line(text, tone) if tone else Line(text)

    def _headline(self) -> str:
        answer = self._answer
        if answer.outcome is Outcome.HELD:
            return self._holders()
        if answer.outcome is Outcome.UNSEEN and answer.found:
            return f"it is there; nobody that can be seen here holds it{self._why()}"
        return (
            self._perhaps()
            or self._alone()
            or {
                Outcome.ABSENT: f"no such object{self._hint()}",
                Outcome.FREE: "it is there, and nobody holds it",
                Outcome.UNSEEN: "not found, but it may be there: "
                + (answer.unseen or "not all could be read"),
            }[answer.outcome]
        )

    def _hint(self) -> str:
        notes = self._answer.notes
        return f" ({printable('; '.join(notes))})" if notes else ""

    def _alone(self) -> str:
        """Say of a process that was asked for, and has nothing to itself, whether it lives."""
        person = self._people.get(self._answer.pid or 0)
        if self._answer.outcome is not Outcome.FREE or person is None:
            return ""
        if person.zombie:
            return f"{printable(person.comm)}{_identity(person)}"
        said = f"{printable(person.comm)}{_identity(person)}; nobody else has a part of it"
        return f"{said}{self._others([])}"

    def _perhaps(self) -> str:
        who = self._everybody(PERHAPS)
        if self._answer.outcome is not Outcome.FREE or not who:
            return ""
        kinds = {held.kind for held in self._answer.held if held.part == PERHAPS}
        what = "a deleted one of this name" if kinds == {"FILE"} else "what was detached"
        return f"it is there, and nobody holds it; {what} is in use by {_some(who)}"

    def _holders(self) -> str:
        answer = self._answer
        who = self._everybody(ITSELF)
        mine = [held for held in answer.held if held.part == ITSELF]
        if mine and all(held.initial for held in mine):
            many = "1 process holds" if len(who) == 1 else f"{number(len(who))} processes hold"
            return f"the host's own; {many} it"
        others = self._others(who)
        if who:
            return f"held by {_some(who)}{others}"
        return f"held by no process: {self._things()}{others}"

    def _others(self, known: Collection[str]) -> str:
        """Say who else has to do with it, and how, but for those who are said already."""
        return "".join(
            f"; {words} {_some(whose)}"
            for part, words in _PARTS.items()
            if (whose := [one for one in self._everybody(part) if one not in known])
        )

    def _things(self) -> str:
        answer = self._answer
        things = [printable(place.what) for place in answer.places]
        mine = [held for held in answer.held if held.part == ITSELF]
        things += [self._thing(node) for held in mine for node in held.by]
        return _some(list(dict.fromkeys(things)), _MOST_IN_HEADLINE)

    def _thing(self, node: Node) -> str:
        if node.kind == "MOUNT":
            return self._mount(node)
        return f"the host's {registry()[node.kind].title}" if node.initial else _thing(node)

    def _why(self) -> str:
        return f" ({self._answer.unseen})" if self._answer.unseen else ""

    def _everybody(self, part: str) -> list[str]:
        """Return the processes that hold what was asked for, each once, as they are met."""
        found: dict[int, str] = {}
        mine = [held for held in self._answer.held if held.part == part]
        nodes = [node for held in mine for node in self._but_followers(held.name, held.by)]
        for node in nodes:
            if node.tgid is not None and not node.observer:
                found.setdefault(node.tgid, node.process or "?")
        for place in self._answer.places if part == ITSELF else ():
            if place.pid:
                found.setdefault(place.pid, place.comm)
        # Who only lives where it is mounted, too, is last.
        for pid in (pid for node in nodes for pid in node.members):
            found.setdefault(pid, self._comm(pid))
        return [f"{printable(comm)} ({pid})" for pid, comm in found.items()]

    def _but_followers(self, name: str | None, nodes: Iterable[Node]) -> Iterator[Node]:
        """Yield holders of what has a name, but for mount namespaces where it goes by itself."""
        for node in nodes:
            if not self._follows(name, node):
                yield node
                yield from self._but_followers(node.name, node.by)

    def _follows(self, point: str | None, space: Node) -> bool:
        return space.kind == "MNT_NS" and (point, space.name) in self._answer.following

    def _comm(self, pid: int) -> str:
        person = self._people.get(pid)
        return "?" if person is None else person.comm

    def _group(self, group: list[Held]) -> Iterator[Line]:
        held = group[0]
        yield from self._wrapped(_title(group), tone="strong")
        known = [fact for fact in held.facts if all(fact in one.facts for one in group)]
        if known:
            yield from self._wrapped(printable(", ".join(known)), "  ", 4)
        budget = _MOST_OF_HOST if held.initial else _MOST_LINES
        nodes = [node for one in group for node in _through(one.by, one.name)]
        for line in self._nodes(nodes if len(group) == 1 else [*map(_unnamed, nodes)], 2):
            if not budget:
                yield Line("  ... (--json lists all)")
                break
            budget -= 1
            yield line
        unnamed = sum(max(one.unnamed, 0) for one in group)
        if unnamed:
            left = f"{number(unnamed)} {plural(unnamed, 'reference')}"
            yield from self._wrapped(f"{left} that no holder was found for", "  ", 4)
        if not held.by and not unnamed and not held.initial:
            yield Line("  nobody holds it")

    def _nodes(self, nodes: Sequence[Node], indent: int) -> Iterator[Line]:
        ways = [way for node in nodes if _is_plain(node) for way in _ways(node)]
        yield from self._processes(ways, indent)
        for node in _merged([node for node in nodes if not _is_plain(node)]):
            yield from self._wrapped(self._holder(node), " " * indent, indent + 2)
            yield from self._nodes(list(_above(node)), indent + 2)

    def _holder(self, node: Node) -> str:
        if node.kind == "MOUNT" and node.association != "mount":
            kept = any(space.by for space in node.by if space.kind == "MNT_NS")  # by what is below
            return f"{self._mount(node)}{', kept by' if kept else ''}"
        return f"{_thing(node)}{self._living(node)}: {printable(node.words)}"

    def _mount(self, node: Node) -> str:
        spaces = [one for one in node.by if one.kind == "MNT_NS"]
        name = printable(node.name or "a place that has no name here")
        what = "bind mount of it" if node.association == "bind" else "mounted"
        if not spaces:
            own = "" if node.by else " (the kernel's own, or going away)"
            return f"{what}: {name}, in no mount namespace{own}"
        follow = sum(self._follows(node.name, one) for one in spaces)
        said = [self._space(one) for one in spaces if not self._follows(node.name, one)]
        follower = [f"{number(follow)} that {'follows' if follow == 1 else 'follow'} it"]
        where = _some([*said, *(follower if follow else [])], _MOST_SPACES)
        return f"{what} at {name} in {where}"

    def _space(self, node: Node) -> str:
        if node.initial:
            return f"the host's {registry()[node.kind].title}"
        return f"{printable(node.name or '')}{self._living(node)}"

    def _living(self, node: Node) -> str:
        """Say whose a namespace is."""
        if node.initial:
            return ", the host's own"
        if node.members:
            who = [f"{printable(self._comm(pid))} ({pid})" for pid in node.members]
            return f", of {_some(who)}"
        if registry()[node.kind].namespace:
            return ", in which there is no process"
        return ""

    def _processes(self, ways: Iterable[_Way], indent: int) -> Iterator[Line]:
        hows: dict[tuple[str, int | None], dict[str, None]] = {}
        threads: dict[tuple[str, int | None], set[int | None]] = {}
        for way in ways:
            hows.setdefault((way.who, way.pid), {})[way.how] = None
            threads.setdefault((way.who, way.pid), set()).add(way.tid)
        alike: dict[tuple[str, ...], list[tuple[str, int | None]]] = {}
        for who, words in hows.items():
            many = len(threads[who])
            (tid,) = threads[who] if many == 1 else (None,)
            name = f"{who[0][:-1]}, {number(many)} threads)" if many > 1 else who[0]
            if tid is not None and who[1] is not None and tid != who[1]:
                name = f"{who[0][:-1]}, thread {tid})"
            alike.setdefault(tuple(_folded(words)), []).append((name, who[1]))
        for said, whose in alike.items():
            few = len(whose) <= _MOST_SPOKEN
            single = [one for one in whose if few or self._is_dead(one[1])]
            rest = [one[0] for one in whose if one not in single]
            how = printable(", ".join(said))
            for name, pid in single:
                line = f"{name}{self._about(pid)}: {how}"
                yield from self._wrapped(line, " " * indent, indent + 2)
            if rest:
                yield from self._wrapped(f"{_some(rest)}: {how}", " " * indent, indent + 2)

    def _is_dead(self, pid: int | None) -> bool:
        person = self._people.get(pid or 0)
        return person is not None and person.zombie

    def _about(self, pid: int | None) -> str:
        person = self._people.get(pid or 0)
        return "" if person is None else _identity(person)

    def _places(self) -> Iterator[Line]:
        places = self._answer.places
        if not places or self._all_in_headline():
            return
        yield Line("without being open:", "strong")
        own = [_Way(f"{printable(p.comm)} ({p.pid})", p.pid, p.what) for p in places if p.pid]
        yield from self._processes(own, 2)
        for what in dict.fromkeys(place.what for place in places if not place.pid):
            yield from self._wrapped(printable(what), "  ", 4)

    def _all_in_headline(self) -> bool:
        """Tell whether the headline says all there is: few places, none of them a process's."""
        kept = {place.what for place in self._answer.places}
        others = self._answer.held or any(place.pid for place in self._answer.places)
        return not others and len(kept) <= _MOST_IN_HEADLINE

    def _silence(self) -> Iterator[Line]:
        silent = self._answer.silent
        if silent:
            said = (
                f"not known: whether the directories of {_some([f'pid {pid}' for pid in silent])} "
                "are there; the filesystem that they are on does not answer"
            )
            yield from self._wrapped(said)


def _identity(person: Person) -> str:
    said = f", {printable(person.user)}" if person.user else ""
    said += f", in {printable(person.unit)}" if person.unit else ""
    if person.zombie:
        above = f"{printable(person.parent_comm or '?')} ({person.parent})"
        said += f", dead (a zombie): {above} has not waited for it"
    return said


def _alike(held: Iterable[Held]) -> Iterator[list[Held]]:
    """Yield objects that are called alike and are held by the same processes, together."""
    found: dict[Any, list[Held]] = {}
    for one in held:
        plain = all(_is_plain(node) for node in one.by)
        whose = frozenset(node.tgid for node in ends(one.by))
        key = (one.kind, one.name, one.part, whose) if plain and one.by else (one.objref,)
        found.setdefault(key, []).append(one)
    # Many of one name that are held by others each are a list of those.
    named = Counter(key[:3] for key in found if len(key) > 1)
    many: dict[Any, list[Held]] = {}
    for key, group in found.items():
        of_name = len(key) > 1 and named[key[:3]] > _MOST_ALIKE
        many.setdefault(key[:3] if of_name else key, []).extend(group)
    yield from many.values()


def _fewer(groups: list[list[Held]]) -> list[list[Held]]:
    """Return groups, and if they are many, what the same processes have open in one group.

    Sockets are of one if they differ in nothing but whom they are connected to.
    """
    if len(groups) <= _MOST_APART:
        return groups
    found: dict[Any, list[Held]] = {}
    for group in groups:
        first = group[0]
        whose = frozenset(node.tgid for one in group for node in ends(one.by))
        plain = first.by and all(_is_plain(node) for one in group for node in one.by)
        key: Any = (first.kind, first.part, whose) if plain else (first.objref,)
        if first.kind in _SOCKETS:
            same = [said for said in first.facts if not said.startswith(_CONNECTED)]
            key = (first.kind, first.part, whose, *same)
        found.setdefault(key, []).extend(group)
    return list(found.values())


def _title(group: Sequence[Held]) -> str:
    held, kind = group[0], registry()[group[0].kind]
    name = f" {printable(held.name)}" if held.name else ""
    before = _BEFORE.get(held.part, "")
    roles = list(dict.fromkeys(printable(one.role) for one in group if one.role))
    role = f", {_some(roles)}" if roles else ""
    if len(roles) > _MOST_SPOKEN:
        role = f": {roles[0]} to {roles[-1].removeprefix('the master of ')}"
    names = list(dict.fromkeys(printable(one.name) for one in group if one.name))
    if len(names) > 1:
        return f"{before}{number(len(group))} {kind.plural}: {_some(names, _MOST_SPOKEN)}"
    if len(group) > 1:
        of = f" of{name}" if held.name else ""
        return f"{before}{number(len(group))} {kind.plural}{of}{role}"
    host = ", the host's own" if held.initial else ""
    count = "refcount unknown" if held.refcount is None else f"refcount {number(held.refcount)}"
    count = f": {count}" if kind.counters else ""
    title = kind.title
    if name.startswith(f" {title}:["):  # not "pipe pipe:[1]"
        title, name = "", name[1:]
    return f"{before}{title}{name}{role}{host}{count}"


def _thing(node: Node) -> str:
    if node.kind == TASK:
        return f"{printable(node.process or '?')} ({node.tgid})"
    name = f" {printable(node.name)}" if node.name else ""
    return f"{registry()[node.kind].title}{name}"


def _above(node: Node) -> Iterator[Node]:
    """Yield what is said below a holder: of what its own line says already, what holds that."""
    mount = node.kind == "MOUNT" and node.association != "mount"
    for one in node.by:
        if mount and one.kind == "MNT_NS":
            yield from _through(one.by, one.name)
        else:
            yield from _through((one,), node.name)


def _merged(nodes: Sequence[Node]) -> Iterator[Node]:
    """Yield holders: the same mount in several namespaces, and sockets without a name, as one."""
    alike: dict[Any, list[Node]] = {}
    for node in nodes:
        living = node.kind == "MOUNT" and node.by and not any(one.by for one in node.by)
        same = living and all(one.kind == "MNT_NS" for one in node.by)
        key = (node.name, node.association) if same and node.association != "mount" else id(node)
        key = (node.kind, node.association) if _is_unnamed(node) else key
        alike.setdefault(key, []).append(node)
    for first, *others in alike.values():
        by = [one for node in (first, *others) for one in node.by]
        yield replace(first, by=tuple(sorted(by, key=lambda one: not one.initial)))


def _unnamed(node: Node) -> Node:
    """Return the holder of one of many, a socket without its name: there are as many of these."""
    if node.kind not in _SOCKETS:
        return node
    return replace(node, name=None, by=tuple(_through(node.by, node.name)))


def _is_unnamed(node: Node) -> bool:
    return node.kind in _SOCKETS and node.name is None


def _through(nodes: Iterable[Node], name: str | None) -> Iterator[Node]:
    """Yield holders, or what holds those that are only another side of what has this name.

    A file of a namespace, and an open file on a socket or a pipe, are called as that is.
    """
    for node in nodes:
        same = node.kind == "NSFS" or (node.association in _OPEN_ON and node.name == name)
        if same and node.by:
            yield from _through(node.by, name if node.kind == "NSFS" else None)
        else:
            yield node


def _is_plain(node: Node) -> bool:
    return node.kind in PLAIN and all(_is_plain(above) for above in node.by)


def _ways(node: Node) -> Iterator[_Way]:
    for end in ends([node]):
        if end.kind == TASK:
            who = f"{printable(end.process or '?')} ({end.tgid})"
            yield _Way(who, end.tgid, node.words, end.tid)
        else:
            yield _Way(registry()[end.kind].title, None, node.words)


def _folded(words: Iterable[str]) -> Iterator[str]:
    """Yield words with runs of descriptors together: "fd 3 to 7"."""
    others: list[str] = []
    slots: dict[str, list[int]] = {}
    for word in words:
        match = _NUMBERED.fullmatch(word)
        if match:
            slots.setdefault(match[3], []).append(int(match[2]))
        else:
            others.append(word)
    yield from (f"fd {', '.join(spans(slots[rest]))}{rest}" for rest in sorted(slots))
    yield from others


def _some(words: list[str], most: int = _MOST_NAMED) -> str:
    if len(words) <= most:
        return listing(words)
    return f"{', '.join(words[:most])} and {number(len(words) - most)} more"
