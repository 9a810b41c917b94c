"""Who still holds this? Every holder of one object of the whole machine, with its chain.

An object is named as people see it: the words are those of `analyzer.lookup.words`. The
answer is a tree: what holds the object, what holds that, up to the tasks, or to the thing that pins
it without one (a bind mount in some mount namespace, a message in a queue, a loop device). Of a
namespace that has processes they are named, and what holds it is another question; through one that
has none the chain goes on.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.check.links import Links, Way, links, reach
from analyzer.core.errors import EXIT_OK, EXIT_UNDECIDED, BadInputError
from analyzer.core.model import TASK, Rules
from analyzer.core.values import replace
from analyzer.kinds import registry
from analyzer.lookup.ends import ENDS, beside, open_on, other_ends, which
from analyzer.lookup.pasted import questions
from analyzer.lookup.recorded import about, limits, people
from analyzer.lookup.release import releases
from analyzer.lookup.state import words
from analyzer.lookup.told import told
from analyzer.lookup.value import (
    AWAITED,
    BESIDE,
    ITSELF,
    OTHER_END,
    PERHAPS,
    Answer,
    Held,
    Node,
    Outcome,
    ends,
    everyone,
)
from analyzer.lookup.words import Query, looked_at, parse
from analyzer.lookup.words.base import of_now
from analyzer.lookup.words.process import known_as
from analyzer.memory.distinct import unique
from analyzer.procfs import glance
from analyzer.procfs.people import person
from analyzer.procfs.places import GONE
from analyzer.relations import relations as known_relations
from analyzer.report.holders import in_words
from analyzer.sources.tasks import proc_levels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    from analyzer.lookup.words.base import Meaning
    from analyzer.procfs.people import Person
    from analyzer.procfs.places import Place
    from analyzer.snapshot.value import Snapshot

    Rows = npt.NDArray[np.intp]
    Mask = npt.NDArray[np.bool_]

__all__ = [
    "Answer", "Query", "about", "answer", "answers", "enough", "exit_code", "parse", "rows",
    "stated", "ties", "understood", "upward",
]  # fmt: skip

_MOST_DEEP: Final = 12
_MOST_GUESSED: Final = 50  # words
_MOST_PEOPLE: Final = 1_000
_MOST_STATED: Final = 1_000  # of as many that are alike nobody reads the state of each
_LISTENING: Final = "listening"
_ACCESS: Final = ("for reading", "for writing", "for reading and writing")
_O_ACCMODE: Final = 3
_O_PATH: Final = 0o10000000  # include/uapi/asm-generic/fcntl.h


def understood(words: Iterable[str], *, recorded: bool = False) -> tuple[list[Query], list[str]]:
    """Return the questions that words are, each once, and why others are none.

    What is a message asks for each thing that it names.
    """
    queries, errors = [], []
    with glance.once() if not recorded else nullcontext():
        asked = list(dict.fromkeys(words))
        if not recorded:
            _look(asked)
        for word in asked:
            try:
                queries += questions(word, recorded=recorded)
            except BadInputError as error:
                errors.append(str(error))
    once = list({query.asked: query for query in queries}.values())
    few = len(once) <= _MOST_GUESSED
    return once if few else list(map(_sure_alone, once)), errors


def _sure_alone(query: Query) -> Query:
    return replace(query, meanings=tuple(one for one in query.meanings if not one.wide))


def _look(asked: Iterable[str]) -> None:
    """Look at all paths that words lead to at once: each look by itself costs a process."""
    paths = [path for word in asked for path in looked_at(word)]
    found = zip(paths, glance.look(paths), strict=True)
    mounted = [path for path, at in found if not isinstance(at, int) and at.mounted]
    glance.look([os.path.dirname(os.path.abspath(path)) for path in mounted])


def stated(queries: Iterable[Query]) -> tuple[str, ...]:
    """Return the facts that are needed to find what is meant."""
    return tuple({name for query in queries for m in query.meanings for name in m.state})


def described(queries: Iterable[Query]) -> bool:
    """Tell whether all objects are to be described, so that what is meant is found."""
    return any(meaning.described for query in queries for meaning in query.meanings)


def ties(queries: Iterable[Query]) -> tuple[str, ...] | None:
    """Return the relations that the answers take, None for all there are."""
    wanted = [m.ties for query in queries for m in query.meanings]
    return None if None in wanted else tuple({name for some in wanted for name in some or ()})


def rows(snapshot: Snapshot, query: Query) -> Rows:
    """Return the rows of the objects that are meant, and of the other ends of these."""
    own = _own(snapshot, query)
    others = (other_ends(snapshot, own), beside(snapshot, own), _awaited(snapshot, query))
    return unique(own, *others)


def _awaited(snapshot: Snapshot, query: Query) -> Rows:
    found = [m.awaited(snapshot) for m in query.meanings]
    return unique(np.empty(0, np.intp), *found).astype(np.intp)


def _own(snapshot: Snapshot, query: Query) -> Rows:
    sure = [m.rows(snapshot) for m in query.meanings if not m.guess]
    found = unique(np.empty(0, np.intp), *sure)
    guesses = [m.rows(snapshot) for m in query.meanings if m.guess]
    return unique(found, *guesses).astype(np.intp)


def enough(snapshot: Snapshot, query: Query) -> bool:
    """Tell whether all that is meant was found, or is known not to be there."""
    return any(_there(meaning, snapshot) for meaning in query.meanings) or not any(
        meaning.missed(snapshot) for meaning in query.meanings
    )


def _there(meaning: Meaning, snapshot: Snapshot) -> bool:
    return bool(len(meaning.rows(snapshot)))


def answers(snapshot: Snapshot, queries: Iterable[Query]) -> list[Answer]:
    """Return the answer to each question, of one snapshot."""
    graph = Graph(snapshot)
    with glance.once():
        return [answer(snapshot, query, graph) for query in queries]


def answer(snapshot: Snapshot, query: Query, graph: Graph | None = None) -> Answer:
    """Find the objects that `query` means in a host-wide, detailed snapshot, and their holders."""
    graph = graph or Graph(snapshot)
    places: dict[Place, None] = {}
    silent: dict[int, None] = {}
    for meaning in query.meanings:
        found, quiet = meaning.places()
        # Who has no name any more ended while it was asked for.
        places.update(dict.fromkeys(place for place in found if place.comm != GONE))
        silent.update(dict.fromkeys(quiet))
    if query.recorded:
        query = _of_what_is_there(snapshot, query)
    else:
        places |= {place: None for m in query.meanings for place in m.unopened(snapshot)}
    kept = [m.recorded(snapshot) for m in query.meanings] if query.recorded else []
    places.update({place: None for one in kept for place in one.places})
    own, guessed = _sure(snapshot, query, busy=bool(places))
    part = PERHAPS if guessed else ITSELF
    held = [graph.held(int(row), part, state=n < _MOST_STATED) for n, row in enumerate(own)]
    held += [graph.held(int(row), OTHER_END) for row in other_ends(snapshot, own)]
    if query.pids:
        held += [graph.held(int(row), BESIDE) for row in beside(snapshot, own)]
        held += [
            one
            for row in _awaited(snapshot, query)
            if (one := graph.held(int(row), AWAITED)).kind == "FILE"
        ]
    held = sorted(told(held), key=lambda one: not _is_asked_at(one))
    guessed = guessed and any(one.part == PERHAPS for one in held)
    there = any(m.there for m in query.meanings) or any(one.there for one in kept)
    lost = not held and not places and not there
    pid = next(iter(query.pids), None)
    known = [known_as(snapshot, one) for one in query.pids] if there else []
    named = _people(snapshot, query, [*_pids(held, places), *(one for one in known if one > 0)])
    notes = [note for m in query.meanings for note in m.notes()]
    unseen = [m.unseen for m in query.meanings if m.unseen]
    made = Answer(
        query.asked,
        tuple(held),
        tuple(places),
        tuple(silent),
        pid=None if pid is None or known_as(snapshot, pid) < 0 else known_as(snapshot, pid),
        unsure=lost and (bool(silent) or any(m.missed(snapshot) for m in query.meanings)),
        what=_what(snapshot, query, guessed=guessed),
        notes=tuple(dict.fromkeys([*notes, *(note for one in kept for note in one.notes)])),
        there=there,
        unseen="; ".join(dict.fromkeys([*unseen, *(limits(snapshot) if query.recorded else ())])),
        people=named,
    )
    if query.recorded:
        return made  # what is past nobody can let go of
    removals = [m.removal for m in query.meanings if m.removal]
    return releases(made, removals, [m.remedy for m in query.meanings if m.remedy])


def _is_asked_at(held: Held) -> bool:
    """Tell whether it is a socket that listens: of all at a port that one is meant first."""
    return held.part == ITSELF and _LISTENING in held.facts


def _what(snapshot: Snapshot, query: Query, *, guessed: bool) -> tuple[str, ...]:
    """Return what a word stands for: of several things those that are there, if any is."""
    alive = [m for m in query.meanings if m.there or _there(m, snapshot)] or query.meanings
    return tuple(dict.fromkeys(m.what for m in alive if m.what and m.guess <= guessed))


def _of_what_is_there(snapshot: Snapshot, query: Query) -> Query:
    """Return the question with those meanings that a snapshot knows, if it knows any.

    What a bare word is of (a device, an interface, a process) only the machine could have said.
    """
    known = [m for m in query.meanings if _there(m, snapshot) or m.recorded(snapshot).there]
    return replace(query, meanings=tuple(known) or query.meanings)


def _sure(snapshot: Snapshot, query: Query, *, busy: bool) -> tuple[Rows, bool]:
    """Return the rows of what is meant, or else of what is only guessed; and whether that is so."""
    sure = [m.rows(snapshot) for m in query.meanings if not m.guess]
    found = unique(np.empty(0, np.intp), *sure).astype(np.intp)
    if len(found) or busy:
        return found, False
    guesses = _own(snapshot, query)
    return guesses, bool(len(guesses))


def _pids(held: Iterable[Held], places: Iterable[Place]) -> list[int]:
    """Return the processes of an answer."""
    pids = {node.tgid: None for one in held for node in ends(one.by) if node.tgid}
    pids |= {member: None for one in held for node in everyone(one.by) for member in node.members}
    pids |= {place.pid: None for place in places if place.pid}
    return [pid for pid in pids if pid][:_MOST_PEOPLE]


def _people(snapshot: Snapshot, query: Query, pids: Sequence[int]) -> tuple[Person, ...]:
    """Return who processes are: by /proc, where it calls them as the tables do and is of now."""
    if query.recorded:
        return tuple(people(snapshot, pids))
    if not of_now(snapshot) or glance.kept("levels", proc_levels) != 0:
        return ()
    known = {pid: glance.kept(f"person {pid}", partial(person, pid)) for pid in pids}
    found = {pid: one for pid, one in known.items() if one is not None}
    # Who has ended meanwhile is called as it was.
    found |= {one.pid: one for one in people(snapshot, [pid for pid in pids if pid not in found])}
    return tuple(found[pid] for pid in pids if pid in found)


def exit_code(answers: Sequence[Answer]) -> int:
    """Return what the program exits with: 1 where there is no such object, 3 if that is unsure.

    It is unsure, too, that nobody holds what is there, if holders of this sort cannot be seen.
    """
    outcomes = {answer.outcome for answer in answers}
    if Outcome.UNSEEN in outcomes:
        return EXIT_UNDECIDED
    return 1 if Outcome.ABSENT in outcomes else EXIT_OK


def upward(snapshot: Snapshot, rows: Sequence[int]) -> Mask:
    """Return the mask of the objects of `rows`, of what they are on, and of all that lead there.

    To what no reference leads, relations do.
    """
    ends = links(snapshot, Rules.MODERN)
    wanted = np.zeros(ends.objects, np.bool_)
    wanted[np.array(rows, np.intp)] = True
    wanted[_tied_to(snapshot, wanted)] = True
    _, on = open_on(snapshot, np.flatnonzero(wanted))
    by_object = np.flatnonzero(ends.counted & ~ends.by_task)
    back = Way(ends.target[by_object], ends.node[by_object] - ends.tasks)
    found = reach(wanted, [back])
    found[on] = True
    return found


def _tied_to(snapshot: Snapshot, wanted: Mask) -> Rows:
    """Return the objects that have to do with those `wanted` by a relation."""
    relations = snapshot.tables["relations"]
    by_object, of_object = (
        relations[f"{end}_kind"] != relations.code(f"{end}_kind", TASK) for end in ("left", "right")
    )
    at = np.flatnonzero(by_object & of_object)
    found: Rows = relations["left"][at[wanted[relations["right"][at] - 1]]] - 1
    return found


class Graph:
    """The references of a snapshot by target."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._tasks, self._objects, self._references = (
            snapshot.tables[name] for name in ("tasks", "objects", "references")
        )
        self._links: Links = links(snapshot, Rules.MODERN)
        leads = self._tasks["tid"] == self._tasks["tgid"]
        names = zip(self._tasks["tid"][leads].tolist(), self._tasks["comm"][leads], strict=True)
        self._process = dict(names)
        net = self._objects["kind"] == self._objects.code("kind", "NET_NS")
        hosts = self._objects["ino"][net & self._objects["initial"]].tolist()
        self._home: int | None = hosts[0] if hosts else None
        counted = np.flatnonzero(self._links.counted)
        # The kernel's threads are in everything of the host's, and nobody's answer: they come last.
        task = np.where(self._links.by_task, self._links.node, 0)
        last = self._links.by_task & self._tasks["kthread"][task] if len(self._tasks) else task != 0
        self._order = counted[np.lexsort((last[counted], self._links.target[counted]))]
        self._sorted = self._links.target[self._order]
        self._leaves: dict[int, Node] = {}
        self._by_tasks: dict[int, tuple[Node, ...]] = {}

    def held(self, row: int, part: str = "", *, state: bool = True) -> Held:
        """Return an object (a row of them) with all that holds it."""
        at = self._held_by(row)
        return Held(
            objref=int(self._objects["objref"][row]),
            kind=self._objects.value("kind", row),
            name=self._objects.value("name", row),
            initial=bool(self._objects["initial"][row]),
            refcount=self._objects.value("refcount", row),
            named=int(self._references["weight"][at].sum()),
            by=tuple(self._nodes(row, frozenset({row}))) or tuple(self._tied(row)),
            part=part,
            role=self._role(row) if state else "",
            facts=self._facts(row) if state else (),
        )

    def _role(self, row: int) -> str:
        """Return which end an open file is, or what it is open for."""
        if self._objects.value("kind", row) != "FILE":
            return ""
        mine = self._references.where("holder", [row + 1])
        file = self._references.code("holder_kind", "FILE")
        for at in mine[self._references["holder_kind"][mine] == file].tolist():
            association = self._references.value("association", at)
            target = int(self._references["target"][at]) - 1
            if association in ENDS:
                return ENDS[association]
            if association == "tty.file":
                return self._terminal(target)
        flags = self._objects.value("flags", row)
        if flags is None:
            return ""
        return (
            "as a path" if flags & _O_PATH else dict(enumerate(_ACCESS)).get(flags & _O_ACCMODE, "")
        )

    def _terminal(self, row: int) -> str:
        references = self._references
        masters = which(references, references.where("holder", [row + 1]), ["tty.master"])
        slave = references["target"][masters]
        if len(slave):
            return f"the master of {self._objects.value('name', int(slave[0]) - 1)}"
        return f"the terminal {self._objects.value('name', row) or ''}".rstrip()

    def _facts(self, row: int) -> tuple[str, ...]:
        """Return what is known of the state of an object, and of what a file is open on."""
        facts = self._snapshot.tables["facts"]
        _, on = open_on(self._snapshot, np.array([row], np.intp))
        refs = np.array([row, *on.tolist()], np.int64) + 1
        at = facts.where("ref", refs)
        at = at[facts["kind"][at] != facts.code("kind", TASK)]
        found = {facts.value("fact", one): _value(self._snapshot, one) for one in at.tolist()}
        said = dict.fromkeys(filter(None, words(found, self._home)))
        return (*said, *self._locks(row))

    def _locks(self, row: int) -> Iterator[str]:
        """Yield which locks of its inode an open file has, or waits for."""
        relations = self._snapshot.tables["relations"]
        mine = relations.where("left", [row + 1])
        mine = mine[relations["left_kind"][mine] == relations.code("left_kind", "FILE")]
        locks = relations["relation"][mine] == relations.code("relation", "file-lock")
        for at in mine[locks].tolist():
            role, said = relations.value("left_role", at), relations.value("detail", at)
            if role:
                yield f"{'waits for' if role.startswith('waits') else 'has'} the {said}"

    def _tied(self, row: int) -> Iterator[Node]:
        """Yield who has to do with what no reference leads to: a set of semaphores, a keyring."""
        relations = self._snapshot.tables["relations"]
        by_task = relations["left_kind"] == relations.code("left_kind", TASK)
        mine = relations.where("right", [row + 1])
        mine = mine[relations["right_kind"][mine] != relations.code("right_kind", TASK)]
        for at in mine.tolist():
            name = relations.value("relation", at)
            said = relations.value("left_role", at) or known_relations()[name].left
            left = int(relations["left"][at])
            if by_task[at]:
                who = int(np.flatnonzero(self._tasks["tid"] == left)[0])
                yield self._user(who, name, said)
            else:
                members = self._members(left - 1)
                by = () if members else self._above(left - 1, frozenset({row, left - 1}))
                yield Node(
                    kind=self._objects.value("kind", left - 1),
                    tid=None,
                    objref=left,
                    name=self._objects.value("name", left - 1),
                    association=name,
                    slot=None,
                    weight=0,
                    words=said,
                    by=by,
                    initial=bool(self._objects["initial"][left - 1]),
                    members=members,
                )

    def _user(self, row: int, association: str, said: str) -> Node:
        tgid, comm = int(self._tasks["tgid"][row]), _plain(self._tasks["comm"][row])
        return Node(
            kind=TASK,
            tid=int(self._tasks["tid"][row]),
            objref=None,
            name=comm,
            association=association,
            slot=None,
            weight=0,
            words=said,
            tgid=tgid,
            process=_plain(self._process.get(tgid, comm)),
            observer=bool(self._tasks["observer"][row]),
        )

    def _held_by(self, row: int) -> Rows:
        first, last = np.searchsorted(self._sorted, [row, row + 1])
        return self._order[first:last]

    def _nodes(self, row: int, seen: frozenset[int]) -> Iterator[Node]:
        for at in self._held_by(row).tolist():
            holder = int(self._links.node[at])
            if self._links.by_task[at]:
                if at not in self._leaves:
                    tid = int(self._tasks["tid"][holder])
                    self._leaves[at] = self._node(at, tid=tid, row=holder)
                yield self._leaves[at]
                continue
            above = holder - self._links.tasks
            if above not in seen:
                members = self._members(above)
                by = () if members else self._above(above, seen)
                yield self._node(at, row=above, by=by, members=members)

    def _above(self, row: int, seen: frozenset[int]) -> tuple[Node, ...]:
        # Who holds the host's own namespaces is another question, and a long answer.
        host = bool(self._objects["initial"][row]) and self._is_namespace(row)
        if host or len(seen) > _MOST_DEEP:
            return ()
        if row in self._by_tasks:
            return self._by_tasks[row]
        nodes = tuple(self._nodes(row, seen | {row}))
        if self._links.by_task[self._held_by(row)].all():
            self._by_tasks[row] = nodes  # the same by whatever way it is met
        return _but_own_files(nodes) if self._objects.value("kind", row) == "CRED" else nodes

    def _is_namespace(self, row: int) -> bool:
        return bool(registry()[self._objects.value("kind", row)].namespace)

    def _members(self, row: int) -> tuple[int, ...]:
        """Return the processes that live in a namespace that is not the host's own."""
        if not self._is_namespace(row) or self._objects["initial"][row]:
            return ()
        found: set[int] = set()
        for at in self._held_by(row).tolist():
            holder = int(self._links.node[at])
            if self._links.by_task[at]:
                found.add(int(self._tasks["tgid"][holder]))
                continue
            above = holder - self._links.tasks
            if self._objects.value("kind", above) in {"NSPROXY", "CRED"}:
                sets = self._held_by(above)
                tasks = self._links.node[sets[self._links.by_task[sets]]]
                found.update(self._tasks["tgid"][tasks].tolist())
        return tuple(sorted(found))

    def _node(
        self,
        at: int,
        *,
        row: int,
        tid: int | None = None,
        by: tuple[Node, ...] = (),
        members: tuple[int, ...] = (),
    ) -> Node:
        association = self._references.value("association", at)
        slot = self._references.value("slot", at)
        tgid = None if tid is None else int(self._tasks["tgid"][row])
        return Node(
            kind=TASK if tid is not None else self._objects.value("kind", row),
            tid=tid,
            objref=None if tid is not None else int(self._objects["objref"][row]),
            name=_plain(self._tasks["comm"][row])
            if tid is not None
            else self._objects.value("name", row),
            association=association,
            slot=slot,
            weight=int(self._references["weight"][at]),
            words=in_words(association, slot, self._references.value("detail", at)),
            by=by,
            tgid=tgid,
            process=None
            if tgid is None
            else _plain(self._process.get(tgid, self._tasks["comm"][row])),
            initial=tid is None and bool(self._objects["initial"][row]),
            members=members,
            observer=tid is not None and bool(self._tasks["observer"][row]),
            kthread=tid is not None and bool(self._tasks["kthread"][row]),
        )


def _but_own_files(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Leave out files that only those have who act with the same credentials: they are told."""
    own = {node.tgid for node in nodes if node.kind == TASK}
    return tuple(
        node for node in nodes if node.kind != "FILE" or {end.tgid for end in ends((node,))} - own
    )


def _plain(comm: str) -> str:
    # What `echo` wrote into /proc/PID/comm ends in a newline, which nobody means.
    return comm.removesuffix("\n")


def _value(snapshot: Snapshot, row: int) -> int | str:
    facts = snapshot.tables["facts"]
    text: str | None = facts.value("text", row)
    number: int = facts.value("number", row)
    return number if text is None else text
