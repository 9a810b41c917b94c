"""The reference check: the hash of objects of the checkpoint patches, in plain Python.

Walk the tasks of the subtree; each reference that one of them, or a thing that they hold, has to an
object makes `users += 1` on its entry; a thing that holds others is descended into at its first
sight. Then compare each entry's users with the object's own count. This module is written to be
read and believed; `leaks.py` is the same check over columns and is held equal to it by a test.

The order is that of ckpt_collect_task(): nsproxy, file table, mm, fs, sighand. The kernel's hash
pins each object once, so that it compares users + 1 with the count; nothing is pinned here.
Rules.SEED counts as the patch of April 2009 did: tables, mms and nsproxies are walked once per
task, but for the mappings. Rules.LINUX_CR also compares what a socket is connected to, counts some
things that are not held, and expects one reference less of a closed socket (SOCK_DEAD).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from analyzer.check.subtree import other_roots, require_root
from analyzer.core.model import TASK, Basis, Rules, Side, Verdict
from analyzer.core.values import NamedTuple, dataclass, field
from analyzer.kinds import associations, registry
from analyzer.kinds.base import Judged
from analyzer.snapshot.source import trusted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from analyzer.kinds.base import Association, Kind
    from analyzer.snapshot.tables import Table
    from analyzer.snapshot.value import Snapshot

CLOSED: Final = "peer.closed"
QUEUED: Final = "sender"


class Node(NamedTuple):
    """A task (by tid) or an object (by objref)."""

    kind: str
    number: int


@dataclass(frozen=True)
class Judgement:
    """What the check says of one object: counts by side, verdict, and what that rests on.

    `shared` is the part of `users` whose holders are led to from outside as well.
    """

    users: int
    outside: int
    observer: int
    unnamed: int
    shared: int
    verdict: Verdict
    basis: Basis


class Held(NamedTuple):
    """The weight that an object is held with from each side; `shared` is of `users`.

    `named` is the weight of all its references, whatever the rules make of it, and `unplaced` that
    from where the side is unknown.
    """

    users: int
    outside: int
    observer: int
    shared: int
    named: int
    unplaced: int


@dataclass(frozen=True)
class Task:
    """A task, as far as the check looks at it."""

    tid: int
    tgid: int
    ppid: int
    start_time: int
    observer: bool


@dataclass(frozen=True)
class Object:
    """An object, as far as the check looks at it; `refcount` None is unknown.

    `compared` is what the rules compare: another count, where it `is_old`.
    """

    kind: Kind
    refcount: int | None
    compared: int | None
    is_old: bool
    stable: bool
    initial: bool

    @property
    def hosts(self) -> bool:
        """Tell whether it is a namespace of the host's, which is outside whoever is in it."""
        return self.initial and bool(self.kind.namespace)


@dataclass(frozen=True)
class Reference:
    """A counted reference."""

    holder: Node
    target: Node
    association: Association
    weight: int


@dataclass(frozen=True)
class Machine:
    """A snapshot as plain Python, with the references that the rules count."""

    rules: Rules
    tasks: dict[Node, Task]
    objects: dict[Node, Object]
    references: list[Reference]
    held_by: dict[Node, list[Reference]]


@dataclass(frozen=True)
class ObjHash:
    """The hash: the users of each object, and the objects collected, in order of first sight."""

    machine: Machine
    leaky: set[Node]  # the host's namespaces, objects of a derived kind not the subtree's alone
    users: dict[Node, int] = field(default_factory=lambda: defaultdict(int))
    collected: dict[Node, None] = field(default_factory=dict)
    met: dict[Node, None] = field(default_factory=dict)  # compared, and not followed

    def collect_task(self, task: Node) -> None:
        """Count the references of one task, and those of what it holds."""
        for reference in self.machine.held_by.get(task, ()):
            if not self.collect(reference) and self.machine.rules is Rules.SEED:
                self.count_again(reference.target)

    def collect(self, reference: Reference) -> bool:
        """Count one reference from the inside; return whether its object was new."""
        target = reference.target
        if reference.holder not in self.leaky:
            self.users[target] += reference.weight
        if self.machine.rules in reference.association.meets:
            self.met[target] = None
        if target in self.collected or not reference.association.collects:
            return False
        self.collected[target] = None
        if self.machine.objects[target].hosts:
            return True  # what is reached only through it is not the subtree's
        for deeper in self.machine.held_by.get(target, ()):
            self.collect(deeper)
        return True

    def count(self, holder: Node) -> None:
        """Count the references of something that is not collected, but the subtree's alone."""
        for reference in self.machine.held_by.get(holder, ()):
            if not reference.association.historic:
                self.users[reference.target] += reference.weight

    def adjust_dead(self, sides: dict[Node, Side]) -> None:
        """Expect one less of each closed socket: none has it as its file's any more.

        linux-cr collected a closed socket for its message in a queue, which holds nothing: that is
        the one. A socket that it met first in another way is not told apart here.
        """
        held: dict[Node, set[str]] = defaultdict(set)
        for reference in self.machine.references:
            if sides[reference.holder] is Side.INSIDE:
                held[reference.target].add(reference.association.name)
        for node, places in held.items():
            if CLOSED in places and QUEUED not in places:
                self.users[node] -= 1

    def count_again(self, holder: Node) -> None:
        """Count what the seed counted once per task though it is held once."""
        for reference in self.machine.held_by.get(holder, ()):
            if reference.association.per_task:
                self.users[reference.target] += reference.weight


def find_ref_leaks(snapshot: Snapshot, pid: int, rules: Rules) -> dict[int, Judgement]:
    """Return the judgement of each judged object by objref, in order of collection.

    Errors as `subtree.require_root`.
    """
    tasks = snapshot.tables["tasks"]
    require_root(tasks, pid)
    machine = read_machine(snapshot, rules)
    kernels = set(tasks["tgid"][tasks["kthread"]].tolist())
    roots = (pid, *(root for root in other_roots(snapshot, pid) if root not in kernels))
    inside = list(dict.fromkeys(node for root in roots for node in task_tree(machine, root)))
    lost = list(unplaced(machine, roots, inside))
    placed = {*inside, *lost}
    outside = [n for n, t in machine.tasks.items() if n not in placed and not t.observer]
    observer = [n for n, t in machine.tasks.items() if t.observer]
    hosts = [node for node, thing in machine.objects.items() if thing.hosts]
    led_outside = reach(machine, [*outside, *unrooted(machine), *hosts])
    objhash = ObjHash(machine, {*hosts, *not_alone(machine, led_outside)})
    for task in inside:
        objhash.collect_task(task)
    alone = set(only_held_inside(machine, inside, led_outside)) - objhash.leaky
    for node in alone - objhash.collected.keys():
        objhash.count(node)
    sides = (
        dict.fromkeys(machine.objects, Side.OUTSIDE)
        | dict.fromkeys(reach(machine, lost) - led_outside, Side.UNPLACED)
        | dict.fromkeys(reach(machine, observer) - led_outside, Side.OBSERVER)
        | dict.fromkeys(observer, Side.OBSERVER)
        | dict.fromkeys(objhash.collected | dict.fromkeys(alone), Side.INSIDE)
        | dict.fromkeys(objhash.leaky, Side.OUTSIDE)
        | dict.fromkeys(outside, Side.OUTSIDE)
        | dict.fromkeys(lost, Side.UNPLACED)
        | dict.fromkeys(inside, Side.INSIDE)
    )
    if rules is Rules.LINUX_CR:
        objhash.adjust_dead(sides)
    return {
        node.number: judge(machine, sides, led_outside, node, objhash)
        for node in objhash.collected | objhash.met
        if machine.objects[node].kind.judged_by(rules) is not Judged.NOT
    }


def task_tree(machine: Machine, pid: int) -> Iterator[Node]:
    """Yield the tasks of a process, then those of its children, depth first."""
    for node, task in machine.tasks.items():
        if task.tgid == pid and not task.observer:
            yield node
    children = {task.tgid: None for task in machine.tasks.values() if task.ppid == pid}
    for child in children:
        yield from task_tree(machine, child)


def unplaced(machine: Machine, roots: Sequence[int], inside: list[Node]) -> Iterator[Node]:
    """Yield the tasks whose ancestors end at a process that is not there, and may be inside."""
    parent = {task.tgid: task.ppid for task in machine.tasks.values()}
    oldest = min(task.start_time for task in machine.tasks.values() if task.tgid in roots)
    own = {first_missing(parent, root) for root in roots if root in parent}
    for node, task in machine.tasks.items():
        above = first_missing(parent, task.tgid)
        young = task.start_time >= oldest or not task.start_time
        placed = node in inside or task.observer
        if above and {above} != own and young and not placed:
            yield node


def first_missing(parent: Mapping[int, int], pid: int) -> int:
    """Return the first ancestor that is not there; 0 for none, and where a process is its own."""
    seen: set[int] = set()
    while pid in parent and pid not in seen:
        seen.add(pid)
        pid = parent[pid]
    return 0 if pid in seen else pid


def reach(machine: Machine, start: Iterable[Node]) -> set[Node]:
    """Return the nodes that are in `start` or led to from there by counted references that lead."""
    reached: set[Node] = set()
    todo = list(start)
    while todo:
        node = todo.pop()
        if node not in reached:
            reached.add(node)
            held = machine.held_by.get(node, ())
            todo += [reference.target for reference in held if reference.association.leads]
    return reached


def unrooted(machine: Machine) -> set[Node]:
    """Return the objects that no task leads to."""
    return machine.objects.keys() - reach(machine, machine.tasks)


def not_alone(machine: Machine, led_outside: set[Node]) -> Iterator[Node]:
    """Yield the objects of derived kinds that something outside holds, named or not."""
    held = totals(machine.references)
    for node, thing in machine.objects.items():
        unexplained = thing.refcount is not None and thing.refcount != held[node]
        if thing.kind.derived and (node in led_outside or unexplained):
            yield node


def only_held_inside(
    machine: Machine, inside: Iterable[Node], led_outside: set[Node]
) -> Iterator[Node]:
    """Yield the objects that nothing outside leads to, and that cannot have unnamed holders."""
    held = totals(machine.references)
    for node in reach(machine, inside) - led_outside:
        thing = machine.objects.get(node)
        if thing and (thing.kind.judged is Judged.NOT or thing.refcount in {None, held[node]}):
            yield node


def totals(references: Iterable[Reference]) -> dict[Node, int]:
    """Return the sum of the weights of the references that there are to each object."""
    held: dict[Node, int] = defaultdict(int)
    for reference in references:
        held[reference.target] += reference.weight * (not reference.association.historic)
    return held


def judge(
    machine: Machine,
    sides: dict[Node, Side],
    led_outside: set[Node],
    node: Node,
    objhash: ObjHash,
) -> Judgement:
    """Return the judgement of one object."""
    thing, users = machine.objects[node], objhash.users[node]
    weight = dict.fromkeys(Side, 0)
    shared = named = 0
    for reference in machine.references:
        historic = reference.association.historic
        if reference.target != node or (historic and reference.holder not in objhash.collected):
            continue
        side = sides[reference.holder]
        weight[side] += reference.weight
        named += reference.weight * (not historic)
        shared += reference.weight * (side is Side.INSIDE and reference.holder in led_outside)
    outside, observer = weight[Side.OUTSIDE], weight[Side.OBSERVER]
    unnamed = 0 if thing.compared is None else thing.compared - users - outside - observer
    held = Held(users, outside, observer, shared, named, weight[Side.UNPLACED])
    verdict, basis = decide(thing, held, machine.rules)
    return Judgement(users, outside, observer, unnamed, shared, verdict, basis)


def allowed(rules: Rules, kind: str, observer: int) -> int:
    """Return how many of the observer's references are no leak: all, but the seed's were counted.

    It added one for the image file (ctx->file), once, and knew of nothing else that it held.
    """
    if rules is not Rules.SEED:
        return observer
    return min(observer, 1) if registry()[kind].observed else 0


def decide(thing: Object, held: Held, rules: Rules) -> tuple[Verdict, Basis]:
    """Return the verdict from the counts alone."""
    expected = held.users + allowed(rules, thing.kind.name, held.observer)
    structural = thing.kind.judged_by(rules) is Judged.STRUCTURAL
    seen = held.outside + (held.shared if structural else 0)
    basis = Basis.STRUCTURAL if structural else Basis.PROVEN
    if thing.compared is None:
        return unproven(thing, seen), Basis.WITNESSED
    if not thing.stable:  # its count proves nothing: who is seen outside does, if there is room
        if seen and held.outside + held.observer < thing.compared:
            return Verdict.USAGE_LEAK, Basis.STRUCTURAL if structural else Basis.WITNESSED
        return Verdict.UNSTABLE, basis
    impossible = held.named > thing.compared and not (thing.is_old or thing.initial)
    if seen and impossible:
        return Verdict.UNSTABLE, basis
    if structural:
        quiet = Verdict.UNKNOWN if held.unplaced else Verdict.CONTAINED
        return (Verdict.USAGE_LEAK if seen else quiet), basis
    maybe = 0 < thing.compared - expected <= held.unplaced
    return Verdict.UNKNOWN if maybe else compared(thing.compared, expected), basis


def unproven(thing: Object, seen: int) -> Verdict:
    """Return the verdict on an object whose count is not known; it may be dead."""
    if not thing.stable:
        return Verdict.UNSTABLE
    return Verdict.USAGE_LEAK if seen else Verdict.UNKNOWN


def compared(refcount: int, expected: int) -> Verdict:
    """Return the verdict of the arithmetic."""
    if refcount == expected:
        return Verdict.CONTAINED
    return Verdict.USAGE_LEAK if refcount > expected else Verdict.OVERCOUNT


def read_machine(snapshot: Snapshot, rules: Rules) -> Machine:
    """Return a snapshot as plain Python."""
    snapshot = trusted(snapshot)
    tasks = {Node(TASK, task.tid): task for task in _tasks(snapshot.tables["tasks"])}
    objects = dict(_objects(snapshot.tables["objects"], rules))
    by_objref = {node.number: node for node in objects}
    everything = _references(snapshot.tables["references"], by_objref)
    references = [r for r in everything if rules in r.association.rules]
    held_by: dict[Node, list[Reference]] = defaultdict(list)
    for reference in sorted(references, key=lambda r: registry()[r.target.kind].order):
        held_by[reference.holder].append(reference)
    return Machine(rules, tasks, objects, references, held_by)


def _tasks(table: Table) -> Iterator[Task]:
    columns = (table[name].tolist() for name in ("tid", "tgid", "ppid", "start_time", "observer"))
    for row in zip(*columns, strict=True):
        yield Task(*row)


def _objects(table: Table, rules: Rules) -> Iterator[tuple[Node, Object]]:
    for row in range(len(table)):
        kind = registry()[table.value("kind", row)]
        old = kind.has_old_count(rules)
        yield (
            Node(kind.name, table.value("objref", row)),
            Object(
                kind,
                table.value("refcount", row),
                table.value("count_linux_cr" if old else "refcount", row),
                old,
                table.value("stable", row),
                table.value("initial", row),
            ),
        )


def _references(table: Table, by_objref: dict[int, Node]) -> Iterator[Reference]:
    for row in range(len(table)):
        number = table.value("holder", row)
        by_task = table.value("holder_kind", row) == TASK
        yield Reference(
            Node(TASK, number) if by_task else by_objref[number],
            by_objref[table.value("target", row)],
            associations()[table.value("association", row)],
            table.value("weight", row),
        )
