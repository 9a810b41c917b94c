"""A checked snapshot as the rules ask for it: what is inside, its facts, and who has it by what."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from analyzer.check.crossings import crossings
from analyzer.check.leaks import VERDICTS
from analyzer.check.links import opened
from analyzer.check.subtree import INSIDE, border
from analyzer.core.model import TASK, Rules, Side, Verdict
from analyzer.criu.base import Hit
from analyzer.kinds import namespace_set

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from analyzer.check.crossings import Crossing, End
    from analyzer.check.leaks import Verdicts
    from analyzer.check.links import Mask
    from analyzer.snapshot.value import Snapshot

    Facts = Mapping[str, int | str]

T = TypeVar("T")

NOTHING: Final[Facts] = {}
_LEAKS: Final = (Verdict.USAGE_LEAK, Verdict.OVERCOUNT)
RUNTIMES: Final = (
    "conmon", "containerd-shim", "docker-containe", "lxc-start", "crun", "runc",
)  # fmt: skip
"""What runtimes that can make a checkpoint call what stays beside a container, or its beginning."""


class View:
    """What is inside of a subtree, by rows of the tables of its snapshot."""

    def __init__(self, snapshot: Snapshot, verdicts: Verdicts) -> None:
        """Look at the subtree of a check: at all that it has, whatever rules that one was by."""
        self.snapshot, self.verdicts, self.pid = snapshot, verdicts, verdicts.pid
        sides = verdicts.border
        if verdicts.rules is not Rules.MODERN:
            sides = border(snapshot, verdicts.pid, Rules.MODERN)
        self.sides = sides
        self.tasks, self.objects = snapshot.tables["tasks"], snapshot.tables["objects"]
        self.references = snapshot.tables["references"]
        self.crossings = crossings(snapshot, sides)
        self._made: dict[object, Any] = {}

    def once(self, make: Callable[[View], T]) -> T:
        """Return what `make` makes of this view: made once, for all rules that ask."""
        if make not in self._made:
            self._made[make] = make(self)
        made: T = self._made[make]
        return made

    # --- what is there

    def rows(self, kind: str) -> list[int]:
        """Return the rows of what is inside and of a kind: not the host's own namespaces."""
        if kind == TASK:
            return _where(self.sides.task_side == INSIDE)
        mine = self.objects["kind"] == self.objects.code("kind", kind)
        if kind == "MOUNT":
            return [row for row in _where(mine) if row in self.space_of_mount]
        return _where(mine & self.sides.collected & ~self.objects["initial"])

    def leaks(self, kind: str) -> list[int]:
        """Return the rows of what is inside, of a kind, and held from outside by the check."""
        leaked = np.isin(self.verdicts.verdict, [VERDICTS.index(verdict) for verdict in _LEAKS])
        return [row for row in self.rows(kind) if leaked[row]] if kind != TASK else []

    def facts(self, kind: str, row: int) -> Facts:
        """Return the facts of a task or an object; of a file also those of what it is open on."""
        ref = int(self.tasks["tid"][row]) if kind == TASK else row + 1
        own = self._facts.get((kind == TASK, ref), NOTHING)
        if kind == "FILE" and ref in self.on:
            return {**self._facts.get((False, self.on[ref]), NOTHING), **own}
        return own

    @cached_property
    def _facts(self) -> Mapping[tuple[bool, int], Facts]:
        table = self.snapshot.tables["facts"]
        found: dict[tuple[bool, int], dict[str, int | str]] = defaultdict(dict)
        for task, ref, name, number, known, text in zip(
            (table["kind"] == table.code("kind", TASK)).tolist(),
            table["ref"].tolist(), table.words("fact").tolist(), table["number"].tolist(),
            table.known("number").tolist(), table["text"].tolist(), strict=True,
        ):  # fmt: skip
            found[task, ref][name] = number if known else text
        return found

    @cached_property
    def on(self) -> Mapping[int, int]:
        """Return by file (objref) what it is open on."""
        files, things = opened(self.snapshot)
        return dict(zip(files.tolist(), things.tolist(), strict=True))

    def name(self, row: int) -> str:
        """Return what an object is called, "" where that is not known."""
        return self.objects.value("name", row) or ""

    def number(self, column: str, row: int) -> int | None:
        """Return a number of an object, None where it is not known."""
        value = self.objects.value(column, row)
        return None if value is None else int(value)

    # --- who has it

    def held(self, association: str) -> list[tuple[int, int, int]]:
        """Return holder (a tid, or an objref), target (an objref) and slot of references."""
        return self._held.get(association, [])

    @cached_property
    def _held(self) -> Mapping[str, list[tuple[int, int, int]]]:
        table = self.references
        found: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for word, holder, target, slot in zip(
            table.words("association").tolist(), table["holder"].tolist(),
            table["target"].tolist(), table["slot"].tolist(), strict=True,
        ):  # fmt: skip
            found[word].append((holder, target, slot))
        return found

    @cached_property
    def descriptors(self) -> Mapping[int, list[tuple[int, int]]]:
        """Return by file (objref) the tables inside that have it (objref), and as which number."""
        mine = {row + 1 for row in self.rows("FILE_TABLE")}
        found: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for table, file, slot in self.held("fd"):
            if table in mine:
                found[file].append((table, slot))
        return found

    def slots(self, thing: int) -> list[int]:
        """Return the descriptors inside that are a thing (objref) or open on it, sorted."""
        files = [thing, *(file for file, on in self.on.items() if on == thing)]
        return sorted({slot for file in files for _, slot in self.descriptors.get(file, ())})

    @cached_property
    def process(self) -> Mapping[int, int]:
        """Return the process of each task inside, by tid."""
        rows = self.rows(TASK)
        return {int(self.tasks["tid"][row]): int(self.tasks["tgid"][row]) for row in rows}

    def processes_of(self, association: str) -> Mapping[int, list[int]]:
        """Return by object (objref) the processes inside whose tasks hold it by an association."""
        found: dict[int, dict[int, None]] = defaultdict(dict)
        for tid, target, _ in self.held(association):
            if tid in self.process:
                found[target][self.process[tid]] = None
        return {target: list(processes) for target, processes in found.items()}

    # --- where it is

    @cached_property
    def spaces(self) -> Mapping[str, Mapping[int, int]]:
        """Return by type of namespace ("uts", "pid", "user", ...) that of each task inside (tid).

        "time_for_children" is that of a task's children.
        """
        found: dict[str, dict[int, int]] = defaultdict(dict)
        sets = {tid: target for tid, target, _ in self.held("nsproxy") if tid in self.process}
        within: dict[int, dict[str, int]] = defaultdict(dict)
        of_set = self.references["holder_kind"] == self.references.code(
            "holder_kind", namespace_set()
        )
        table = self.references.take(np.flatnonzero(of_set))
        for word, holder, target in zip(
            table.words("association").tolist(), table["holder"].tolist(),
            table["target"].tolist(), strict=True,
        ):  # fmt: skip
            within[holder][word.removeprefix("nsproxy.")] = target
        for tid, objref in sets.items():
            for word, target in within[objref].items():
                found[word][tid] = target
        owned = {holder: target for holder, target, _ in self.held("cred.user_ns")}
        for tid, target, _ in self.held("cred"):
            if tid in self.process and target in owned:
                found["user"][tid] = owned[target]
        for tid, target, _ in self.held("pid"):
            if tid in self.process:
                found["pid"][tid] = target
        return found

    def of_root(self, word: str) -> int | None:
        """Return the namespace of a type that the root is in (objref)."""
        return self.spaces.get(word, {}).get(self.pid)

    def own(self, word: str) -> bool:
        """Tell whether the root has a namespace of its own: not the one that CRIU runs in."""
        space = self.of_root(word)
        return space is not None and not self.objects["initial"][space - 1]

    @cached_property
    def space_of_mount(self) -> Mapping[int, int]:
        """Return by mount (a row) the mount namespace (objref) of those of the subtree."""
        initial = self.objects["initial"]
        mine = {space for space in self.spaces.get("mnt", {}).values() if not initial[space - 1]}
        return {mount - 1: space for space, mount, _ in self.held("mount") if space in mine}

    # --- what crosses

    @cached_property
    def runtime(self) -> str:
        """Return what the runtime of a container calls itself, "" where there is none."""
        row = {int(tid): at for at, tid in enumerate(self.tasks["tid"].tolist())}
        root = row[self.pid]
        parent = row.get(int(self.tasks["ppid"][root]))
        if self.tasks.value("nspid", root) != 1 or parent is None:
            return ""
        comm = str(self.tasks["comm"][parent])
        return comm if comm.startswith(RUNTIMES) else ""

    def inside_end(self, one: Crossing) -> Hit:
        """Return where a crossing is inside: its first end there, else what it meets at."""
        end = next((end for end in one.ends if end.side is Side.INSIDE), one.meeting or one.ends[0])
        return Hit(end.kind, end.row, end.detail, crossing=one)


def _where(mask: Mask) -> list[int]:
    rows: list[int] = np.flatnonzero(mask).tolist()
    return rows


def inside(one: Crossing) -> Sequence[End]:
    """Return the ends of a crossing that are inside."""
    return [end for end in one.ends if end.side is Side.INSIDE]


def outside(one: Crossing) -> Sequence[End]:
    """Return the ends of a crossing that are outside."""
    return [end for end in one.ends if end.side is Side.OUTSIDE]
