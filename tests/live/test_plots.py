"""Plots of real processes: the life of one that opens files, equal bytes from other processes.

And of a hundred thousand leaks.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import analyzer
from analyzer import plots
from analyzer.changes.identity import By
from analyzer.plots import base
from analyzer.report.make import whole
from tests.build import Machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from analyzer.core.model import SourceName
    from analyzer.report.value import Report

pytestmark = [pytest.mark.live, pytest.mark.bpf]

_PIDFD_GETFD = 438

OPENER = """
import sys
held = {}
for line in sys.stdin:
    word, path = line.split()
    if word == "open":
        held[path] = open(path)
    else:
        held.pop(path).close()
    print(held[path].fileno() if path in held else "closed", flush=True)
"""


class Opener:
    """A process that opens and closes what it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def do(self, word: str, path: Path) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{word} {path}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def look(self, source: SourceName = "auto") -> Report:
        return whole(analyzer.check(analyzer.collect(self.process.pid, source=source)))


@pytest.fixture(scope="module", autouse=True)
def _fonts() -> None:
    """Let matplotlib open its fonts, which it keeps open, before a test counts descriptors."""
    page = Figure()
    page.text(0, 0, "a")
    page.draw_without_rendering()


@pytest.fixture
def opener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    with subprocess.Popen(
        [sys.executable, "-c", OPENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Opener(process)


@pytest.mark.parametrize(
    ("source", "by"), [("kernel", By.ADDRESS.words), ("procfs", By.HOLDER.words)]
)
def test_a_process_that_opens_files_is_seen_to_grow(
    opener: Opener, tmp_path: Path, source: SourceName, by: str
) -> None:
    """One file stays, one goes, one comes in its place: in the same descriptor."""
    stays, goes, comes = (tmp_path / name for name in ("stays", "goes", "comes"))
    for path in (stays, goes, comes):
        path.touch()
    opener.do("open", stays)
    taken = [opener.look(source)]
    slot = opener.do("open", goes)
    taken.append(opener.look(source))
    opener.do("close", goes)
    assert opener.do("open", comes) == slot
    taken.append(opener.look(source))

    figure = base.figure(plots.named("life"), taken)
    ax = figure.axes[0]
    rows = [label.get_text().rpartition("/")[2] for label in ax.get_yticklabels()]
    assert {"goes", "comes"} == set(rows[:2])
    assert "stays" in rows[2:] or source == "procfs"
    said = ax.get_title(loc="left").replace("\n", " ")
    assert "in 3 snapshots: 1 new, 1 there in between" in said
    words = " ".join(text.get_text() for text in ax.texts).replace("\n", " ")
    assert by in words


def copied(process: int, slot: int) -> int:
    """A descriptor of ours for what another process has open: pidfd_getfd(2)."""
    pidfd = os.pidfd_open(process)
    try:
        return int(ctypes.CDLL(None).syscall(_PIDFD_GETFD, pidfd, slot, 0))
    finally:
        os.close(pidfd)


def test_what_becomes_shared_late_comes_first(opener: Opener, tmp_path: Path) -> None:
    path = tmp_path / "shared"
    path.touch()
    slot = int(opener.do("open", path))
    taken = [opener.look()]
    fd = copied(opener.process.pid, slot)
    with subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL, pass_fds=[fd]) as other:
        os.close(fd)
        try:
            taken.append(opener.look())
        finally:
            other.kill()
    ax = base.figure(plots.named("life"), taken).axes[0]
    # What sleep(1) maps, too, may not have been mapped by anybody else before.
    late = re.search(r"(\d+) shared late", ax.get_title(loc="left").replace("\n", " "))
    assert late
    rows = [label.get_text() for label in ax.get_yticklabels()[: int(late[1])]]
    assert any(row.endswith("shared") for row in rows)


DIGESTS = """
import hashlib, sys
import analyzer
from analyzer.plots import base, registry
report = analyzer.check(analyzer.load(sys.argv[1]), everything=True)
for plot in registry().values():
    print(hashlib.sha256(base.render(plot, [report], "svg")).hexdigest())
"""


def test_equal_snapshots_give_equal_bytes_in_any_process(opener: Opener, tmp_path: Path) -> None:
    """Whatever the seed of hashes, and whatever the user has set up."""
    analyzer.collect(opener.process.pid).save(tmp_path / "taken.crz")
    (tmp_path / "matplotlibrc").write_text("font.size: 31\nsvg.hashsalt: x\ntext.parse_math: 1\n")
    found = []
    for settings in (
        {"PYTHONHASHSEED": "1"},
        {"PYTHONHASHSEED": "2", "MATPLOTLIBRC": str(tmp_path)},
    ):
        done = subprocess.run(
            [sys.executable, "-c", DIGESTS, str(tmp_path / "taken.crz")],
            env=os.environ | settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        found.append(done.stdout.split())
    assert found[0] == found[1]
    assert len(found[0]) == len(plots.registry())


def test_a_hundred_thousand_leaks_fit_on_a_page() -> None:
    made = Machine()
    made.task(77, 1, comm="logger")
    made.task(100, 77, comm="app", nspid=1)
    tables = [made.object("FILE_TABLE", 1, holders=[(tid, "files")]) for tid in (100, 77)]
    for number in range(100_000):
        made.object("FILE", 2, name=f"/srv/{number}", holders=[(t, "fd", number) for t in tables])
    report = analyzer.check(made.snapshot(100), everything=True)
    for plot in plots.registry().values():
        figure = base.figure(plot, [report])
        assert max(figure.get_size_inches()) < 16
        words = [text.get_text() for text in figure.findobj(Text)]
        assert any("100,00" in word for word in words) or plot.name == "namespaces"
