"""What dumps say of every fixture, against the kernel's counts: ``python -m benchmarks.truth``.

All fixtures are started, and while they stand the machine is read twice: its memory, which tells
the truth, and its /proc as `procdump` does, of their processes alone. Each is then judged by a dump
that has nothing but its own processes and those that started them, up to this one, so that it says
the same on any machine.

A leak that a dump makes up, a *consistent* one, and a reconstructed count that is not the kernel's
are errors; it exits with 1 then. So it does where too many leaks are not found: an open or mapped
file is found when witnessed or possible, another thing also when what may hold it is named
(unknown, with a reason).
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

import fixtures
from analyzer import sources
from analyzer.check import leaks
from analyzer.check.subtree import INSIDE
from analyzer.core.model import TASK, Conclusion, Verdict
from analyzer.procfs import tarball
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.sources import procdump, replay
from analyzer.sources.request import Request
from fixtures import _stage
from fixtures._registry import factories

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from analyzer.check.leaks import Verdicts
    from analyzer.snapshot.value import Snapshot
    from analyzer.sources.procdump import Entries
    from fixtures._start import Info

KTHREADD: Final = 2
FILES: Final = {"FILE": 0.95, "mapped": 0.9}
"""What part of the leaks of files a dump has to find at least."""
_OTHERS: Final = 0.95
_LOAD: Final = "many"
_OF_PROCESS: Final = re.compile(r"(?:cranalyze/(?:again|looked)/)?([0-9]+)/")
_PARENT: Final = re.compile(rb"(\) . |PPid:\t)([0-9]+)\b")
_OPTIONS: Final = ReportOptions("check", all=True, references_only=True)


class Told(NamedTuple):
    """One object of a fixture: the truth, and what a dump concludes; `why` if it is undecided.

    `real` is the kernel's count of it, `counted` what the dump makes of all its references.
    """

    fixture: str
    what: str
    name: str
    truth: Verdict
    concluded: Conclusion
    why: str
    real: int | None
    counted: int | None

    @property
    def wrong(self) -> bool:
        """Tell whether a leak is made up, or containment where there is a leak."""
        if self.truth is Verdict.USAGE_LEAK:
            return self.concluded is Conclusion.CONSISTENT
        return self.truth is Verdict.CONTAINED and self.concluded is Conclusion.WITNESSED

    @property
    def recount(self) -> str:
        """Return what the count is: none, right, wrong; moving where the kernel's did not stay."""
        if self.counted is None:
            return "none"
        if self.truth is Verdict.UNSTABLE:
            return "moving"
        return "right" if self.counted == self.real else "wrong"

    @property
    def found(self) -> bool:
        """Tell whether a leak is witnessed or possible; of no file, what may hold it is enough."""
        told = self.concluded in {Conclusion.WITNESSED, Conclusion.POSSIBLE}
        return told or (self.what not in FILES and bool(self.why))


def missed(told: Sequence[Told]) -> list[Told]:
    """Return the leaks that were not found, of those things of which too few were."""
    leaks = [one for one in told if one.truth is Verdict.USAGE_LEAK]
    count = Counter(one.what for one in leaks)
    found = Counter(one.what for one in leaks if one.found)
    few = {what for what in count if found[what] < FILES.get(what, _OTHERS) * count[what]}
    return [one for one in leaks if one.what in few and not one.found]


def told(names: Sequence[str]) -> Iterator[Told]:
    """Yield what is told of all objects of these fixtures; those that cannot be made are left."""
    scenes: dict[str, tuple[Info, set[int]]] = {}
    with ExitStack() as stack:
        for name in names:
            try:
                info = stack.enter_context(fixtures.start(name)).info
            except RuntimeError as error:
                print(f"{error}: left out", file=sys.stderr)
                continue
            scenes[name] = info, _involved(info)
        everybody = set().union(*(pids for _, pids in scenes.values()))
        entries = procdump.record(None, only=everybody)
        truth = sources.collect(Request(None), source="kernel")
    with tempfile.TemporaryDirectory() as folder:
        for name, (info, pids) in scenes.items():
            path = Path(folder) / f"{name}.tar"
            with path.open("wb") as file:
                tarball.write(alone(entries, pids), file)
            yield from _compared(name, info["root"], truth, replay.collect(path, info["root"]))


def _involved(info: Info) -> set[int]:
    """Return the processes of a fixture, who holds something outside, and those up to this one."""
    found = {KTHREADD}
    for pid in (info["root"], *info["outside"]):
        for one in _below(pid):
            found |= set(above(one))
    return found


def _below(pid: int) -> list[int]:
    return [pid, *(one for child in _stage.children(pid) for one in _below(child))]


def above(pid: int) -> Iterator[int]:
    """Yield a process, and those that it descends from, up to this one."""
    while pid > 1:
        yield pid
        if pid == os.getpid():
            return
        words = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        pid = int(words[1])


def alone(entries: Entries, pids: Collection[int]) -> Entries:
    """Return a dump of these processes, as if there were no others: not even a parent."""
    return {
        path: _eldest(path, entry, pids)
        for path, entry in entries.items()
        if (found := _OF_PROCESS.match(path)) is None or int(found[1]) in pids
    }


def _eldest(path: str, entry: bytes | str, pids: Collection[int]) -> bytes | str:
    if isinstance(entry, str) or os.path.basename(path) not in {"stat", "status"}:
        return entry

    def parent(found: re.Match[bytes]) -> bytes:
        return found[0] if int(found[2]) in pids else found[1] + b"0"

    return _PARENT.sub(parent, entry, count=1)


def _compared(name: str, root: int, truth: Snapshot, dump: Snapshot) -> Iterator[Told]:
    verdicts = [leaks.check(one, root) for one in (truth, dump)]
    reports = [make(*pair, _OPTIONS) for pair in zip((truth, dump), verdicts, strict=True)]
    theirs, mine = ({entry.objref: entry for entry in report.objects} for report in reports)
    places = [dict(_places(*pair)) for pair in zip((truth, dump), verdicts, strict=True)]
    seen = set()
    for place, objref in places[1].items():
        known, entry = theirs.get(places[0].get(place, 0)), mine.get(objref)
        if known is None or entry is None or entry.conclusion is None or objref in seen:
            continue
        seen.add(objref)
        only_mapped = {one.kind for one in entry.holders if one.side.value == "inside"} == {"MM"}
        what = "mapped" if entry.kind == "FILE" and only_mapped else entry.kind
        why = "; ".join(entry.doubt.others)
        yield Told(
            name, what, entry.name or "", known.verdict, entry.conclusion, why,
            known.refcount, entry.refcount,
        )  # fmt: skip


def _places(snapshot: Snapshot, verdicts: Verdicts) -> Iterator[tuple[object, int]]:
    """Yield by which places inside, the same to both sources, an object is known."""
    references, objects = snapshot.tables["references"], snapshot.tables["objects"]
    border = verdicts.border
    kinds, names = references.words("holder_kind"), references.words("association")
    users: dict[int, set[int]] = {}
    rows = np.flatnonzero(border.counted & (border.reference_side == INSIDE)).tolist()
    for row in rows:
        if kinds[row] == TASK:
            holder, target = int(references["holder"][row]), int(references["target"][row])
            users.setdefault(target, set()).add(holder)
            yield (holder, names[row]), target
    for row in rows:
        target = int(references["target"][row])
        slot = objects.value("name", target - 1) if names[row] == "vma" else None
        for tid in users.get(int(references["holder"][row]), ()) if kinds[row] != TASK else ():
            yield (tid, names[row], slot or int(references["slot"][row])), target
    for row in np.flatnonzero(border.collected).tolist():
        kind, ino = objects.value("kind", row), objects.value("ino", row)
        if kind != "FILE":
            yield (kind, ino or objects.value("name", row)), row + 1


def main() -> int:
    """Print the table, and what is wrong in it."""
    names = sys.argv[1:] or [name for name in factories() if name != _LOAD]
    found = list(told(names))
    table = Counter((one.what, one.truth.value, one.concluded.value) for one in found)
    table += Counter((one.what, "refcount", one.recount) for one in found)
    for row, count in sorted(table.items()):
        print(f"{row[0]:12} {row[1]:12} {row[2]:12} {count:6}")
    errors = [one for one in found if one.wrong or one.recount == "wrong"]
    errors += missed(found)
    for one in errors:
        print(*one)
    return bool(errors)


if __name__ == "__main__":
    sys.exit(main())
