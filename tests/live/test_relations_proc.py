"""What crosses the border as /proc shows it, live and in a dump: as the kernel's memory has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from analyzer import collect
from analyzer.check.leaks import check
from analyzer.core.model import Side
from analyzer.relations import relations
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.sources import procdump, replay
from tests.live.test_ends import two
from tests.live.test_relations_tasks import scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from analyzer.report.crossed import Crossed, Tie
    from analyzer.snapshot.value import Snapshot

pytestmark = [pytest.mark.live, pytest.mark.bpf, pytest.mark.needs("root", "kcmp")]

SHOWN: Final = {name for name, one in relations().items() if one.from_proc is not None}
SEEN: set[str] = set()

SCENES: Final = {
    "tests.company": ("member", "leader", "init", "top"),
    "tests.tied": ("x", "y", "top"),
}


def said(one: Crossed, pids: set[int]) -> tuple[Any, ...]:
    """All that is said of a crossing, but for others of this machine that are in it too."""
    ties = [
        tie for tie in one.ties if tie.side is Side.INSIDE or {t.tgid for t in tie.tasks} & pids
    ]
    meeting = None if one.meeting is None else (one.meeting.kind, one.meeting.name)
    return (one.relation, one.impact, one.gates, one.title, meeting, *sorted(map(_end, ties)))


def _end(tie: Tie) -> tuple[str, ...]:
    tasks = sorted(task.tgid for task in tie.tasks)
    parts = (tie.side, tie.kind, tie.tid, tie.name, tie.role, tie.slot, tie.detail, tie.words)
    return tuple(map(str, (*parts, tasks, tie.via)))


def crossed(snapshot: Snapshot, pid: int, pids: set[int]) -> set[tuple[Any, ...]]:
    report = make(snapshot, check(snapshot, pid), ReportOptions("check", gate=True))
    ours = [one for one in report.crossings if one.relation in SHOWN]
    SEEN.update(one.relation for one in ours)
    return {said(one, pids) for one in ours}


def alike(pid: int, pids: set[int], folder: Path) -> Iterator[tuple[str, Any, Any]]:
    """Yield what the kernel's memory has, and what another source says."""
    procdump.dump(pid, folder / f"{pid}.tar")
    first = crossed(collect(pid, source="kernel"), pid, pids)
    yield "procfs", crossed(collect(pid, source="procfs"), pid, pids), first
    yield "a dump", crossed(replay.collect(folder / f"{pid}.tar", pid), pid, pids), first


ENDS: Final = {
    "controlling-terminal": """
def before():
    os.setsid()
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
""",
}


@pytest.mark.parametrize("relation", ENDS)
def test_proc_says_of_both_ends_what_the_kernel_has(relation: str, tmp_path: Path) -> None:
    with two(ENDS[relation]) as pids:
        for pid in pids:
            for source, told, first in alike(pid, set(pids), tmp_path):
                assert told == first, source
                assert (relation in {one[0] for one in told}) is (pid != pids[0])


@pytest.mark.parametrize(
    ("script", "asked"), [(script, name) for script, names in SCENES.items() for name in names]
)
def test_proc_says_what_the_kernel_has(script: str, asked: str, tmp_path: Path) -> None:
    with scene("-m", script) as facts:
        for source, told, first in alike(facts[asked], set(facts.values()), tmp_path):
            assert told == first, source


def test_each_relation_that_proc_shows_was_met() -> None:
    """After the above."""
    if not SEEN:
        pytest.skip("runs after the scenes")
    assert not SHOWN - SEEN
