"""Whom to add to a subtree so that nothing leaks from it: its closure.

    found = containing.closure(snapshot, ignore=["USER_NS"])
    print(found)
    found.added, found.open

The outside processes that hold what the subtree collects are added to it, whole (with their
threads) and with their descendants, since a subtree is a root with all descendants; then it is
checked again: what they brought with them may be held by others. That goes on until no task outside
holds anything that is judged. What then stays open is said too, and why: references that nobody
could name, holders that no task leads to, kernel threads, which are in no container, and what could
not be decided.

A process that lives in the host's own namespaces is contained by nothing less than the whole host:
that is the true answer, and to leave those out (``initial=False``), or kinds (as ``check
--ignore``), asks another question. A border
snapshot has only what its own subtree holds, so that an answer from one is a lower bound (`whole`
is False): collect with the scope "host" to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.check.leaks import BASES, VERDICTS, check
from analyzer.check.links import kind_flags
from analyzer.check.subtree import INSIDE, other_roots, task_sides
from analyzer.core.model import Basis, Rules, Side, Verdict
from analyzer.core.text import printable
from analyzer.core.values import NamedTuple, dataclass
from analyzer.kinds import registry, title_of
from analyzer.report.holders import holders
from analyzer.report.make import checked_pid, shown
from analyzer.report.value import ReportOptions
from analyzer.snapshot.tables import with_columns
from analyzer.snapshot.value import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    import numpy.typing as npt

    from analyzer.check.leaks import Verdicts
    from analyzer.core.model import RulesName
    from analyzer.report.holders import Holder
    from analyzer.snapshot.tables import Table

    Mask = npt.NDArray[np.bool_]
    Rows = npt.NDArray[np.intp]

_MOST_NAMED: Final = 3


class Added(NamedTuple):
    """A process that has to be inside: `round` is when that was found out, `because` how it holds.

    A descendant of one that was added for its own sake is there only because of that.
    """

    pid: int
    comm: str
    threads: int
    round: int
    because: str

    def __str__(self) -> str:
        """Return "bash (77), open file /etc/passwd: fd 3"."""
        return f"{printable(self.comm)} ({self.pid}), {self.because}"


class Open(NamedTuple):
    """An object that is not contained even then (`object` is its key in a graph), and why."""

    object: str
    label: str
    verdict: Verdict
    because: str

    def __str__(self) -> str:
        """Return "uts:[4026532179]: 1 reference is not named"."""
        return f"{self.label}: {self.because}"


@dataclass(frozen=True)
class Closure:
    """The processes to add to the subtree of `pid`, and what stays open even then."""

    pid: int
    added: tuple[Added, ...]
    open: tuple[Open, ...]
    whole: bool

    @property
    def contained(self) -> bool:
        """Tell whether the subtree with all that was added is contained."""
        return not self.open and self.whole

    def __str__(self) -> str:
        """Say it, an addition and an object a line."""
        many = len(self.added)
        who = {0: "nobody has", 1: "1 process has"}.get(many, f"{many} processes have")
        least = "" if self.whole else " at least (the snapshot is a border)"
        return "\n".join(
            [
                f"to contain {self.pid}, {who} to be added{least}",
                *(f"  add   {added}" for added in self.added),
                *(f"  open  {left}" for left in self.open),
            ]
        )


def closure(
    snapshot: Snapshot,
    pid: int | None = None,
    *,
    rules: RulesName = "modern",
    ignore: Iterable[str] = (),
    initial: bool = True,
) -> Closure:
    """Return whom to add to the subtree of `pid`, by default the snapshot's own, to contain it.

    Kinds to `ignore` may leak, and so may the host's own namespaces if not `initial`. Errors as
    `analyzer.check`.
    """
    root, law = checked_pid(snapshot, pid), Rules(rules)
    decides = _deciding(snapshot.tables["objects"], frozenset(ignore), initial=initial)
    reasons: dict[int, str] = {}
    found_in: dict[int, int] = {}
    while True:
        larger = _adopted(snapshot, root, reasons)
        verdicts = check(larger, root, law)
        more = _outsiders(larger, verdicts, decides)
        if not more:
            break
        found_in |= dict.fromkeys(more, max(found_in.values(), default=0) + 1)
        reasons |= more
    return Closure(
        root,
        tuple(_added(snapshot, verdicts, reasons, found_in)),
        tuple(_open(larger, verdicts, decides)),
        snapshot.meta["scope"] == "host",
    )


def _adopted(snapshot: Snapshot, root: int, pids: Iterable[int]) -> Snapshot:
    """Return the snapshot with processes made children of the root; so their descendants follow."""
    tasks = snapshot.tables["tasks"]
    chosen = np.isin(tasks["tgid"], np.array([*pids], np.int64))
    ppid = np.where(chosen, root, tasks["ppid"])
    # Or it were among its own descendants. Who else descends from whom we do not know is as before.
    ppid[tasks["tgid"] == root] = _unknown_ancestor(tasks, root)
    adopted = with_columns(tasks, {"ppid": ppid})
    return Snapshot(snapshot.meta, {**snapshot.tables, "tasks": adopted})


def _unknown_ancestor(tasks: Table, pid: int) -> int:
    """Return the nearest ancestor of a process that the snapshot does not have, 0 for none."""
    parent = dict(zip(tasks["tgid"].tolist(), tasks["ppid"].tolist(), strict=True))
    while pid in parent:
        pid = parent.pop(pid)
    return pid if pid not in tasks["tgid"] else 0


def _outsiders(snapshot: Snapshot, verdicts: Verdicts, decides: Mask) -> dict[int, str]:
    """Return the processes outside that hold what is judged, by pid, each with one way it does."""
    objects, kernel = snapshot.tables["objects"], _kernel_threads(snapshot)
    theirs = (verdicts.outside > 0) | (_by_sharing(verdicts) & (verdicts.shared > 0))
    rows = np.flatnonzero(verdicts.judged & decides & theirs)
    found: dict[int, str] = {}
    for row, held in _held(snapshot, verdicts, rows):
        for holder in held:
            for task in holder.tasks:
                if task.side is Side.OUTSIDE and task.tgid not in kernel | found.keys():
                    found[task.tgid] = f"{_label(objects, row)}: {_place(holder)}"
    return dict(sorted(found.items()))


def _held(snapshot: Snapshot, verdicts: Verdicts, rows: Rows) -> Iterator[tuple[int, list[Holder]]]:
    """Yield each row of objects with what holds it from outside."""
    made = holders(snapshot, verdicts.border, verdicts.weight, rows)
    by_sharing = _by_sharing(verdicts)
    for row, held in zip(rows.tolist(), made, strict=True):
        yield (
            row,
            [
                holder
                for holder in held
                if holder.side is Side.OUTSIDE or (holder.shared and by_sharing[row])
            ],
        )


def _by_sharing(verdicts: Verdicts) -> Mask:
    """Tell of each object whether a holder inside that others hold too makes it leak."""
    return np.isin(verdicts.basis, [BASES.index(Basis.STRUCTURAL), BASES.index(Basis.WITNESSED)])


def _deciding(objects: Table, ignore: frozenset[str], *, initial: bool) -> Mask:
    options = ReportOptions("closure", ignore=ignore)
    of_kind = kind_flags(objects, lambda kind: options.gates(kind.name))
    return of_kind & (initial | ~objects["initial"])


def _added(
    snapshot: Snapshot, verdicts: Verdicts, reasons: Mapping[int, str], found_in: Mapping[int, int]
) -> Iterator[Added]:
    tasks = snapshot.tables["tasks"]
    before = task_sides(tasks, verdicts.pid, other_roots(snapshot, verdicts.pid)) == INSIDE
    rows = np.flatnonzero((verdicts.border.task_side == INSIDE) & ~before)
    of: dict[int, list[int]] = {}
    for row in rows.tolist():
        of.setdefault(int(tasks["tgid"][row]), []).append(row)
    for pid, own in sorted(of.items(), key=lambda item: (found_in.get(item[0], 1 << 30), item[0])):
        leader = next((row for row in own if tasks["tid"][row] == pid), own[0])
        because = reasons.get(pid, f"a child of {int(tasks['ppid'][leader])}")
        yield Added(pid, tasks["comm"][leader], len(own), found_in.get(pid, 0), because)


def _open(snapshot: Snapshot, verdicts: Verdicts, decides: Mask) -> Iterator[Open]:
    objects = snapshot.tables["objects"]
    threads = _kernel_threads(snapshot)
    rows = np.flatnonzero(shown(verdicts) & decides)
    for row, held in _held(snapshot, verdicts, rows):
        verdict = VERDICTS[verdicts.verdict[row]]
        key = f"{objects.value('kind', row)}:{objects['objref'][row]}"
        by_numbers = BASES[verdicts.basis[row]] is not Basis.STRUCTURAL
        numbers = _numbers(verdict, int(verdicts.unnamed[row]) if by_numbers else 0)
        reasons = [*numbers, *_keepers(held, threads)]
        yield Open(key, _label(objects, row), verdict, ", ".join(reasons))


def _numbers(verdict: Verdict, unnamed: int) -> Iterator[str]:
    if verdict is Verdict.UNKNOWN:
        yield "its refcount is not known"
    elif verdict is Verdict.UNSTABLE:
        yield "its count moved while it was read"
    elif unnamed < 0:
        yield f"its count is {-unnamed} less than its users"
    elif unnamed:
        yield f"{unnamed} {'reference is' if unnamed == 1 else 'references are'} not named"


def _keepers(held: Iterable[Holder], kernel: AbstractSet[int]) -> Iterator[str]:
    """Say what holds an object from outside though every process that could be added is inside."""
    threads = {task.tid for h in held for task in h.tasks if task.tgid in kernel}
    if threads:
        yield f"held by {len(threads)} kernel {'thread' if len(threads) == 1 else 'threads'}"
    others = [h for h in held if not any(task.tgid in kernel for task in h.tasks)]
    places = list(dict.fromkeys(map(_place, others)))
    yield from places[:_MOST_NAMED]
    if len(places) > _MOST_NAMED:
        yield f"and {len(places) - _MOST_NAMED} more"


def _kernel_threads(snapshot: Snapshot) -> set[int]:
    tasks = snapshot.tables["tasks"]
    return set(tasks["tgid"][tasks["kthread"]].tolist())


def _place(holder: Holder) -> str:
    """Return "fd 3", or "in flight in its queue (unix socket no. 7)"."""
    said = printable(holder.detail)
    if holder.tasks and registry()[holder.kind].of_process:
        return said
    lost = "" if holder.tasks else ", which no task leads to"
    return f"{said} ({title_of(holder.kind, holder.objref)}{lost})"


def _label(objects: Table, row: int) -> str:
    title = registry()[objects.value("kind", row)].title
    name = objects.value("name", row)
    return f"{title} {printable(name)}" if name else f"{title} no. {objects['objref'][row]}"
