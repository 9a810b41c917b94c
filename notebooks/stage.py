"""What a notebook looks at: processes that it starts, or a recording of the very same steps.

    scene = stage.start("first_leak")
    snapshot = scene.snapshot()      # live: analyzer.collect(pid)
    scene.next()                     # the processes take their next step
    scene.end()                      # all of them end

Where the kernel's memory can be read, a scene is `Live`: `actors.py` runs its processes, and every
snapshot is taken of them. Elsewhere it is `Recorded`: the snapshots are in `data/`. They were taken
of the same processes on another machine, and have nothing of its other ones.
CRANALYZE_NOTEBOOKS=recorded asks for the recording.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import analyzer
from analyzer.memory.probe import probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.snapshot.value import Snapshot

HERE: Final = Path(__file__).resolve().parent
DATA: Final = HERE / "data"
MODE: Final = "CRANALYZE_NOTEBOOKS"
_PATIENCE: Final = 20.0  # seconds

Facts = dict[str, Any]


class Recorded:
    """A scene that was recorded: `facts` is what the processes said when they stood."""

    def __init__(self, name: str, why: str) -> None:
        """Open the recording; `why` says why it is not live."""
        self.name, self.why = name, why
        script = json.loads((DATA / f"{name}.json").read_text())
        self._steps: list[Facts] = script["steps"]
        self._seen: dict[str, Any] = script["seen"]
        self._step = self._taken = 0
        self.facts: Facts = dict(self._steps[0])

    def __str__(self) -> str:
        """Say what is looked at."""
        return f"recorded on another machine, not live here: {self.why}"

    def snapshot(self) -> Snapshot:
        """Return the scene as it was at this moment."""
        self._taken += 1
        return analyzer.load(recording(self.name, self._taken))

    def next(self) -> str:
        """Go on by a step; return what the processes said of it."""
        self._step += 1
        return str(self._steps[self._step]["now"])

    def seen(self, name: str, look: Callable[[], Any]) -> Any:  # noqa: ANN401, ARG002 - any JSON
        """Return what `look` found where this was recorded."""
        return self._seen[name]

    def end(self) -> None:
        """Do nothing: no process was started."""


class Live:
    """A scene that runs: `facts` is what its processes say."""

    def __init__(self, name: str) -> None:
        """Start the processes."""
        self.name = name
        self._actors = subprocess.Popen(
            [sys.executable, "-I", HERE / "actors.py", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.end)
        self.facts = self._said()

    def __str__(self) -> str:
        """Say what is looked at."""
        return "live: processes on this machine, read from its kernel's memory"

    def snapshot(self) -> Snapshot:
        """Read the scene's container as it is now, or the whole machine if it has none."""
        return analyzer.collect(self.facts.get("root"))

    def next(self) -> str:
        """Let the processes take their next step; return what they say of it."""
        assert self._actors.stdin is not None  # noqa: S101 - it is a pipe
        self._actors.stdin.write("next\n")
        self._actors.stdin.flush()
        return str(self._said()["now"])

    def seen(self, name: str, look: Callable[[], Any]) -> Any:  # noqa: ANN401, ARG002 - any JSON
        """Return what `look` finds."""
        return look()

    def end(self) -> None:
        """End every process of the scene: the end of their stdin tells them."""
        if self._actors.returncode is None:
            self._actors.communicate(timeout=_PATIENCE)
        atexit.unregister(self.end)

    def _said(self) -> Facts:
        assert self._actors.stdout is not None  # noqa: S101 - it is a pipe
        said: Facts = json.loads(self._actors.stdout.readline() or '{"error": "they have died"}')
        if "error" in said:
            self.end()
            raise OSError(f"the processes could not be started: {said['error']}")
        return said


def recording(name: str, number: int) -> Path:
    """Return where the snapshot of this number is recorded, counted from 1."""
    return DATA / f"{name}-{number}.crz"


def start(name: str) -> Live | Recorded:
    """Start a scene ("first_leak", "shop" or "pinned"), or open its recording."""
    if os.environ.get(MODE) == "recorded":
        return Recorded(name, f"{MODE} asks for it")
    found = probe()
    if not found.ok:
        return Recorded(name, found.reason)
    try:
        return Live(name)
    except OSError as error:
        return Recorded(name, str(error))
