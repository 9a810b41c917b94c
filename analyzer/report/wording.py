"""How a report says things to people: numbers, plurals, counts, and who holds what."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from analyzer.core.model import TASK, Basis, Conclusion, Counted, Side, Verdict
from analyzer.core.text import printable
from analyzer.kinds import registry, title_of
from analyzer.relations import relations
from analyzer.report import facts, impact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from analyzer.relations.base import Relation
    from analyzer.report.crossed import Crossed, Tie
    from analyzer.report.grouping import Group
    from analyzer.report.holders import Holder, Route, TaskRef
    from analyzer.report.value import Report, ReportObject

_MOST_NAMED: Final = 3

VERDICTS: Final = {
    Verdict.USAGE_LEAK: "referenced from outside",
    Verdict.OVERCOUNT: "more users than references",
    Verdict.UNSTABLE: "kept changing while it was read",
    Verdict.UNKNOWN: "undecided",
    Verdict.CONTAINED: "contained",
}
"""What is said of an object, by its verdict."""


POSSIBLE: Final = "perhaps referenced from outside"
CONSISTENT: Final = "consistent with containment"
CONCLUSIONS: Final = {
    Conclusion.POSSIBLE: POSSIBLE,
    Conclusion.CONSISTENT: CONSISTENT,
}
"""What is said of an object by its conclusion, where that is more than the verdict."""


def may_hold(entry: ReportObject) -> list[str]:
    """Return who may hold an object from outside: "sh (7): fd 3 of it looks the same (...)"."""
    alike: dict[tuple[str, Side], list[Holder]] = {}
    for one in entry.doubt.candidates:
        alike.setdefault((one.evidence, one.holder.side), []).append(one.holder)
    said = [
        f"perhaps {words}; alike: {evidence}"
        for (evidence, side), holders in alike.items()
        for words in held_by(side, holders)
    ]
    more = entry.doubt.more
    return [*dict.fromkeys(said), *([f"and {number(more)} more that look like it"] if more else [])]


def undecided(report: Report, total: str) -> str:
    """Return why a report is undecided; `total` says how many objects it has."""
    summary = report.summary
    said = []
    found = Counter(entry.conclusion for entry in report.objects)
    if opened := summary.unknown - found[Conclusion.CONSISTENT]:
        said.append(f"{number(opened)} of {total} could not be decided")
    for conclusion, words in CONCLUSIONS.items():
        if count := found[conclusion]:
            said.append(f"{number(count)} {'is' if count == 1 else 'are'} {words}")
    if summary.unstable:
        said.append(f"{number(summary.unstable)} of {total} kept changing")
    if report.incomplete:
        said.append("a part of the subtree could not be read")
    if report.subject.container_init is None and not report.advisory:
        said.append(f"whether pid {report.subject.pid} is a container's init is not known")
    return "; ".join(said) or "what could not be seen may matter"


def reasons(entries: Iterable[ReportObject], most: int | None) -> list[str]:
    """Return what may hold objects, and does not tell: "1 pid namespace: a pidfd of ..."."""
    found: dict[str, list[ReportObject]] = {}
    for entry in entries:
        for words in entry.doubt.others:
            found.setdefault(words, []).append(entry)
    said = [printable(f"{nouns(some)}: {words}") for words, some in found.items()]
    left = len(said) - (most or len(said))
    return [*said[:most], *([f"and {number(left)} more reasons (--all)"] if left > 0 else [])]


def only_mapped(entry: ReportObject) -> bool:
    """Tell whether all who may hold it from outside map it."""
    return all(one.holder.mapped for one in entry.doubt.candidates)


def suspects(entries: Iterable[ReportObject]) -> str:
    """Return who may hold objects from outside: "sh (7), loop device /dev/loop1 and 3 more"."""
    found = dict.fromkeys(
        words
        for entry in entries
        for one in entry.doubt.candidates
        for words in _suspected(one.holder)
    )
    return few(list(found))


def _suspected(holder: Holder) -> Iterator[str]:
    if holder.tasks:
        return (f"{printable(task.comm)} ({task.tgid})" for task in holder.tasks)
    return (printable(r.thing) or title_of(holder.kind, holder.objref) for r in holder.routes)


def verdict_words(entry: ReportObject) -> str:
    """Return what is said of an object: "referenced from outside (shared state, ignored)"."""
    more = [] if entry.impact is None else [entry.impact.value]
    more += [] if entry.gates else ["ignored"]
    concluded = entry.conclusion or Conclusion.UNKNOWN
    said = CONCLUSIONS.get(concluded, VERDICTS[entry.verdict])
    return f"{said} ({', '.join(more)})" if more else said


def meaning(group: Group) -> str:
    """Return what a bundle means at worst, in brackets: " (reaches out)"."""
    found = impact.worst(group.objects)
    return "" if found is None else f" ({found.value})"


def number(count: int) -> str:
    """Return a number with its thousands set apart."""
    return f"{count:,}"


def plural(count: int, word: str) -> str:
    """Return the word in its form for `count` things."""
    return word if count == 1 else f"{word}s"


def many(count: int, word: str) -> str:
    """Return "1 object", "2,000 objects"."""
    return f"{number(count)} {plural(count, word)}"


def listing(words: Sequence[str]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def few(names: Sequence[str]) -> str:
    """Return the first of many names, and how many more there are."""
    more = [f"{number(len(names) - _MOST_NAMED)} more"] if len(names) > _MOST_NAMED else []
    return listing([*names[:_MOST_NAMED], *more])


def nouns(objects: Iterable[ReportObject]) -> str:
    """Return "3 open files and 1 address space"."""
    kinds = registry()
    found = Counter(entry.kind for entry in objects)
    order = sorted(found, key=lambda kind: (-found[kind], kinds[kind].order))
    return listing(
        [
            f"{number(found[k])} {kinds[k].title if found[k] == 1 else kinds[k].plural}"
            for k in order
        ]
    )


def known_words(report: Report) -> list[str]:
    """Return what is known of the findings, and does not decide, in a line for each reason."""
    said = []
    for waived, named in report.known:
        if waived.part:
            continue
        by = f"{waived.by}, by design" if waived.by == report.profile.name else waived.by
        owner = f" ({waived.owner})" if waived.owner else ""
        said.append(printable(f"{by}: {waived.says}{owner}: {things(named)}"))
    return said


def things(named: Sequence[tuple[str, str]]) -> str:
    """Return "/dev/shm, /run/x and 2 pipes": by name what has a path, the rest by kind."""
    kinds = registry()
    paths = [name for _, name in named if name.startswith("/")]
    rest = Counter(kind for kind, name in dict.fromkeys(named) if not name.startswith("/") and kind)
    said = list(dict.fromkeys(paths))
    if len(said) > _MOST_NAMED:
        said = [*said[:_MOST_NAMED], f"{number(len(said) - _MOST_NAMED)} more"]
    spaces = [kind for kind in rest if kinds[kind].namespace]
    if len(spaces) > 1:
        said.append(f"{sum(rest.pop(kind) for kind in spaces)} namespaces")
    said += [
        f"{number(n)} {kinds[kind].title if n == 1 else kinds[kind].plural}"
        for kind, n in rest.items()
    ]
    said += [name for kind, name in dict.fromkeys(named) if not kind and name]
    return listing(said)


def code(objects: Sequence[ReportObject]) -> str:
    """Return "3 executables and libraries": what the files of a CODE group are."""
    one = len(objects) == 1
    if any(holder.detail.endswith("s)") for entry in objects for holder in entry.holders):
        what = "read-only file" if one else "executables, libraries and read-only files"
    else:
        what = "executable or library" if one else "executables and libraries"
    return f"{number(len(objects))} {what}"


def counts(entry: ReportObject) -> str:
    """Return users against refcount, and where the rest is."""
    users = f"{number(entry.users)} {plural(entry.users, 'user')} inside"
    if entry.refcount is None:
        seen = f", {number(entry.outside)} seen outside" if entry.outside else ""
        maybe = f", perhaps held by {suspects([entry])}" if entry.doubt.candidates else ""
        return f"{users}{seen}{maybe}, refcount unknown"
    how = " (reconstructed)" if entry.refcount_source is Counted.RECONSTRUCTED else ""
    said = f"{users}, refcount {number(entry.refcount)}{how}"
    if entry.basis is Basis.STRUCTURAL:
        how = _through(entry) or f"{number(entry.outside)} of them outside"
        return f"{said}; judged by its holders, {how}"
    parts = [words] if (words := _through(entry)) else []
    if entry.observer:
        parts.append(f"{number(entry.observer)} held by cranalyze")
    if entry.outside:
        parts.append(f"{number(entry.outside)} held from outside")
    if entry.uncounted:
        parts.append(f"{number(entry.uncounted_weight)} not counted by these rules")
    if entry.unexplained:
        verb = "is" if entry.unexplained == 1 else "are"
        words = plural(entry.unexplained, "reference")
        parts.append(f"{number(entry.unexplained)} {words} the kernel holds {verb} not named")
    if entry.unnamed < 0:
        parts.append(f"{number(-entry.unnamed)} fewer than the users found")
    return f"{said}: {', '.join(parts)}" if parts else said


def _through(entry: ReportObject) -> str:
    # Where others hold it by themselves, they are enough.
    if not entry.shared or entry.outside:
        return ""
    shared = [title_of(h.kind, h.objref) for h in entry.holders if h.shared]
    what = listing(list(dict.fromkeys(shared))) or plural(entry.shared, "holder")
    return f"shared through {what}"


def whose(group: Group) -> str:
    """Return what is added to the host's namespaces: that the root is no container, if so."""
    return ": not a container of its own" if group.of_container is False else ""


def held(entry: ReportObject, side: Side) -> list[str]:
    """Return lines that say who of a side holds an object how, counted by the rules or not."""
    others = held_by(side, entry.uncounted)
    return [
        *held_by(side, entry.holders),
        *(f"{line} (not counted by these rules)" for line in others),
    ]


def is_hosts(entry: ReportObject) -> bool:
    """Tell whether an object is a namespace of the host's."""
    return entry.initial and bool(registry()[entry.kind].namespace)


def held_of_hosts(entry: ReportObject, side: Side) -> list[str]:
    """Return lines that say who holds a namespace of the host's: all of those inside who do."""
    if side is Side.OUTSIDE:
        return ["the whole host is in it"]
    led = [h._replace(side=side) for h in entry.holders if any(t.side is side for t in h.tasks)]
    return held_by(side, led)


def held_by(side: Side, holders: Iterable[Holder]) -> list[str]:
    """Return lines that say who of a side holds how: "bash (77): fd 0, fd 1".

    Holders of processes that hold in the same way are said together. Of what is held from inside
    only the tasks inside are named: others that lead to the holder are told where it is listed.
    """
    places: dict[tuple[str, int | None], list[Holder]] = {}
    for holder in holders:
        if not holder.holds_from(side):
            continue
        key = holder.tid if holder.objref is None else holder.objref
        places.setdefault((holder.kind, key), []).append(holder)
    said: dict[tuple[str, str, str], list[TaskRef]] = {}
    for same in places.values():
        for route in same[0].routes_of(side):
            how = route.detail or _where(same)
            way = (_what(same[0], route), printable(route.thing), how)
            said.setdefault(way, []).extend(route.tasks)
    return [_line(what, thing, how, tasks) for (what, thing, how), tasks in said.items()]


def tie_words(tie: Tie, relation: Relation) -> str:
    """Return one end of a crossing: "fd 3 of reader (77): has it open", "sh (5): leads it"."""
    does = relation.right if tie.right else relation.left
    # Of a task the facts are who leads it, which is said where that is the matter.
    state = "" if tie.kind == TASK else facts.beside(tie.detail, tie.facts)
    told = tie.role, tie.detail, state
    more = ", ".join(dict.fromkeys(word for word in told if word))
    return f"{whose_end(tie)}: {does} ({more})" if more else f"{whose_end(tie)}: {does}"


def ends(one: Crossed, side: Side, most: int | None = None) -> list[str]:
    """Return what is said of the ends of a side, each once; at most `most`, and how many more."""
    relation = relations()[one.relation]
    said = list(dict.fromkeys(tie_words(tie, relation) for tie in one.of(side)))
    if most is None or len(said) <= most:
        return said
    return [*said[:most], f"and {number(len(said) - most)} more"]


def mend(one: Crossed, pid: int) -> str:
    """Return what closes a crossing of the process `pid`: "mount /x: start it without ..."."""
    thing, outside = one.thing, {task.tgid for tie in one.of(Side.OUTSIDE) for task in tie.tasks}
    named = not one.alike and (thing.name or "").startswith("/")
    known: dict[str, object] = {"pid": pid}
    if named:
        from shlex import quote

        known["path"] = quote(thing.name or "")
    known |= {"other": outside.pop()} if len(outside) == 1 else {}
    how = thing.role or one.impact.value
    return f"{thing.words}: {relations()[one.relation].mend(how, **known)}"


def brief(one: Crossed, relation: Relation) -> str:
    """Return a crossing of tasks in one sentence, "" for one that takes more to say."""
    *left, right = one.ties
    if not relation.brief or one.meeting or any(tie.kind != TASK for tie in one.ties):
        return ""
    details = list(dict.fromkeys(tie.detail for tie in left if tie.detail))
    return relation.brief.format(
        left=few(list(dict.fromkeys(tie.words for tie in left))),
        right=right.words,
        side=right.side.value,
        detail=listing(details),
    )


def whose_end(tie: Tie) -> str:
    """Return who has an end of something, and by what: "fd 3 of app (7)"."""
    if tie.kind == TASK or registry()[tie.kind].namespace:
        return tie.words
    if not tie.tasks:
        return listing([tie.words, few(tie.things)] if tie.things else [tie.words])
    return f"{by_descriptor(tie.via)} of {who(tie.tasks)}" if tie.via else who(tie.tasks)


def _line(what: str, thing: str, how: str, tasks: Sequence[TaskRef]) -> str:
    """Return "fd 4 of app (80), /etc/passwd: HOW", "bind mount /x in the host's namespace"."""
    if thing and not tasks:
        return thing
    whose = _who(what, tasks)
    return f"{whose}, {thing}: {how}" if thing else f"{whose}: {how}"


def _what(holder: Holder, route: Route) -> str:
    if route.via and route.tasks:
        return by_descriptor(route.via)
    if registry()[holder.kind].of_process and route.tasks:
        return ""
    return title_of(holder.kind, holder.objref)


def by_descriptor(via: Sequence[str]) -> str:
    """Return "fd 4", "fd 4 and fd 5", "fd 4, fd 5, fd 6 and 9 more"."""
    return few(via)


def _who(what: str, tasks: Sequence[TaskRef]) -> str:
    if not tasks:
        return f"{what}, which no task leads to"
    return f"{what} of {who(tasks)}" if what else who(tasks)


def who(tasks: Sequence[TaskRef]) -> str:
    """Return the processes of the tasks: "bash (77), app (80, 4 threads) and 2 more"."""
    processes: dict[int, list[TaskRef]] = {}
    for task in dict.fromkeys(tasks):
        processes.setdefault(task.tgid, []).append(task)
    said = [_process(pid, threads) for pid, threads in list(processes.items())[:_MOST_NAMED]]
    if len(processes) > _MOST_NAMED:
        said.append(f"{number(len(processes) - _MOST_NAMED)} more")
    return listing(said) if said else ""


def _process(pid: int, threads: Sequence[TaskRef]) -> str:
    comm = next((task.comm for task in threads if task.tid == pid), threads[0].comm)
    many = f", {number(len(threads))} threads" if len(threads) > 1 else ""
    remark = f", {printable(threads[0].remark)}" if threads[0].remark else ""
    return f"{printable(comm)} ({pid}{many}){remark}"


def _where(holders: Sequence[Holder]) -> str:
    found: Counter[str] = Counter()
    for holder in holders:
        found[printable(holder.detail)] += 1
    return ", ".join(word if n == 1 else f"{word} {n} times" for word, n in found.items())
