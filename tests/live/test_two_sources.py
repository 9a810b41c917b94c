"""What both sources tell of one scene, they tell in the same words."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

import fixtures
from analyzer.check import leaks
from analyzer.kinds import facts
from analyzer.kinds.file import dentry_names
from analyzer.memory.probe import open_memory
from analyzer.report import lsfd
from analyzer.report.columns import COLUMNS
from analyzer.report.listing import listing
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.sources import collect
from analyzer.sources import kernel as source
from analyzer.sources.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from analyzer.report.listing import Row
    from analyzer.report.value import Report
    from analyzer.snapshot.value import Snapshot

pytestmark = [pytest.mark.live, pytest.mark.bpf, pytest.mark.needs("root", "kcmp")]

SMALL: Final = {"many": {"processes": 7, "fds": 300}}

# Numbers of the objects and of the check are each source's own: /proc has no counts, and knows
# fewer holders, so fewer processes that lead there: not that a child runs its parent's file, nor
# that who maps a segment holds the ipc namespace, nor which open file is mapped, nor in what other
# ways than by a descriptor one has the end of a pipe. Its facts are compared in
# test_relations_proc.py.
OWN: Final = frozenset(
    {"VERDICT", "BASIS", "OBJREF", "ADDRESS", "USERS", "REFCOUNT", "REFCOUNT.SOURCE", "OUTSIDE",
     "OBSERVER", "UNNAMED", "NPROCS", "MESSAGE", "HOLDER", "STTYPE", "RELATION", "ONS", "PNS",
     "XMODE", "ENDPOINTS", "RDEV"}
)  # fmt: skip
FACTS: Final = frozenset((*(name.upper() for name in facts()), *(one.name for one in lsfd.COLUMNS)))
SHARED: Final = tuple(column for column in COLUMNS if column.name not in OWN | FACTS)
NAMED: Final = frozenset(
    {"PIPE", "SOCKET", "NET_SOCKET", "TTY"}
)  # a process has several of one kind
SEEN: set[str] = set()

Place = tuple[str, str, int | None, int, str | None]
Cells = dict[str, Any]


def rows(report: Report) -> Iterator[tuple[Place, Row]]:
    """Each holder of each object with its tasks, by what both sources must call it."""
    for row in listing(report, SHARED).rows:
        holder = row.holder
        if holder is not None and row.thread is not None and not row.entry.initial:
            own = row.entry.name if row.entry.kind in NAMED else None
            yield (row.entry.kind, holder.association, holder.slot, row.thread.tid, own), row


def cells(report: Report) -> Mapping[Place, Cells]:
    return {place: {c.name: c.get(row) for c in SHARED} for place, row in rows(report)}


def told(pid: int, source: str) -> Mapping[Place, Cells]:
    snapshot = collect(pid, source=source)
    return cells(make(snapshot, leaks.check(snapshot, pid), ReportOptions(all=True)))


@pytest.mark.parametrize("name", list(fixtures.FACTORIES))
def test_both_sources_say_the_same_words(name: str) -> None:
    """Every column that both know, of every place that both see, has one value."""
    with fixtures.start(name, **SMALL.get(name, {})) as running:
        ours = {running.info["root"], *running.info["outside"]}
        kernel, procfs = (told(running.info["root"], source) for source in ("kernel", "procfs"))
    common = [place for place in kernel if place in procfs]
    assert any(place[3] in ours for place in common)
    for place in common:
        here, there = kernel[place], procfs[place]
        both = [c for c in here if here[c] is not None and there[c] is not None]
        SEEN.update(both)
        assert {c: here[c] for c in both} == {c: there[c] for c in both}, place


def test_each_column_was_compared() -> None:
    """After the above: what is not a number of a source's own is a word that both say."""
    if not SEEN:
        pytest.skip("runs after the fixtures")
    machines = {"CONTAINER", "POD", "UNIT"}  # what the tests run in, if in any
    assert {column.name for column in SHARED} - SEEN - machines == set()


_PLACES: Final = """
import mmap, os, sys, threading
file = os.open(sys.executable, os.O_RDONLY)
kept = mmap.mmap(file, 4096, mmap.MAP_SHARED, mmap.PROT_READ)
os.open("/", os.O_PATH)
threading.Thread(target=threading.Event().wait, daemon=True).start()
print(flush=True)
sys.stdin.read()
"""


def test_shared_mappings_paths_and_threads() -> None:
    """Mapped shared, though not to be written: r--s; a path is open for nothing."""
    command = [sys.executable, "-c", _PLACES]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            kernel, procfs = (told(process.pid, source) for source in ("kernel", "procfs"))
            asked = [sys.executable, "-m", "analyzer", "who", f"{process.pid}:files"]
            who = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60)
        finally:
            process.kill()
    for cells in (kernel, procfs):
        shared = [c for c in cells.values() if (c["DETAIL"] or "").endswith("(r--s)")]
        assert {(c["MODE"], c["ASSOC"]) for c in shared} == {("r--", "shm")}
        paths = [c for c in cells.values() if "path" in (c["FLAGS"] or "").split(",")]
        assert {c["MODE"] for c in paths} == {"---"}
    assert re.search(rf"\({process.pid}, 2 threads\)(, \w+)?: uses it", who.stdout)


def slots(snapshot: Snapshot, pid: int) -> Iterator[tuple[int, int]]:
    """Each descriptor of a process: its number, and the address of the file."""
    references, objects = snapshot.tables["references"], snapshot.tables["objects"]
    by = references.words("association")
    (table,) = references["target"][(by == "files") & (references["holder"] == pid)].tolist()
    for row in np.flatnonzero((by == "fd") & (references["holder"] == table)).tolist():
        address = objects["address"][references["target"][row] - 1]
        yield int(references["slot"][row]), int(address)


@pytest.mark.parametrize(
    "name", ["kinds", "scm", "creds-dead", "proc-dead-own", "io-uring", "memfd"]
)
def test_names_from_memory_are_those_of_proc(name: str) -> None:
    """A file that /proc shows to nobody has the name that it would show."""
    with fixtures.start(name) as running:
        root = running.info["root"]
        folder = f"/proc/{root}/fd"
        links = {int(fd): os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)}
        with open_memory() as memory:
            found = dict(slots(source.collect(memory, Request(pid=root)), root))
            names = dentry_names(memory, np.array(list(found.values()), np.uint64))
    assert found.keys() == links.keys()
    for fd, said in zip(found, names, strict=True):
        if not links[fd].startswith(("pipe:[", "socket:[", "net:[", "uts:[")):
            assert said == links[fd].removesuffix(" (deleted)")
