"""The notebooks run, live and on their recordings, say what they promise, and are kept clean.

They are executed as `scripts/notebooks.py run` does it, in a process of its own: what Jupyter keeps
open ends with that.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import analyzer
from scripts import notebooks
from tests.each import each

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
NOTEBOOKS = notebooks.paths()
RECORDED = sorted((ROOT / "notebooks/data").glob("*.crz"))
LEAKS = ("/etc/passwd", "net:[")

jupyter = pytest.mark.skipif(
    "CI" not in os.environ and not all(map(find_spec, ("nbclient", "nbformat", "ipykernel"))),
    reason="nbclient and ipykernel are not installed",
)
named = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def run(path: Path, mode: str = "") -> notebooks.Notebook:
    """Execute a notebook; return it with its outputs."""
    command = [sys.executable, os.fspath(ROOT / "scripts/notebooks.py"), "run", os.fspath(path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=180, cwd="/",
        env={**os.environ, "CRANALYZE_NOTEBOOKS": mode},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    executed: notebooks.Notebook = json.loads(done.stdout)
    return executed


def outputs(notebook: notebooks.Notebook) -> list[list[str]]:
    """Return what each code cell shows: text, HTML, or the word "picture"."""
    cells = notebook["cells"]
    return [list(map(shown, cell["outputs"])) for cell in cells if cell["cell_type"] == "code"]


def shown(output: dict[str, Any]) -> str:
    assert output["output_type"] != "error"
    assert output.get("name") != "stderr", output["text"]
    if output["output_type"] == "stream":
        return "".join(output["text"])
    data = output["data"]
    if "image/png" in data:
        return "picture"
    return "".join(data.get("text/html") or data["text/plain"])


def first_leak(cells: list[list[str]]) -> None:
    said = ["\n".join(cell) for cell in cells]
    found, mended, closed, _ = [cell for cell in said if re.search("<b>(not )?contained: ", cell)]
    assert "not contained: 3 of " in found
    assert each(name in found for name in LEAKS)
    assert re.search(r"supervisor \(\d+\): fd 3", found)
    assert "monitor (" in found
    assert "not contained: 2 of " in mended
    assert "/etc/passwd" not in mended
    assert "<b>contained: none of " in closed
    assert said.count("picture") == 2
    assert sum("<iframe srcdoc=" in cell for cell in said) == 1


def reference_graph(cells: list[list[str]]) -> None:
    said = ["\n".join(cell) for cell in cells]
    whole = "\n".join(said)
    assert "not contained: 4 of " in said[0]
    assert re.search(
        r"backup \(\d+\) → .*fd \d+( \(cloexec\))? → .*unix socket .*: in flight", whole
    )
    assert re.search(r"share \d+ objects", whole)
    (closure,) = [cell for cell in said if "reads from it (" in cell]
    # A stranger who reads the mounts of the host just now comes in a later round.
    added = [line.split()[0] for line in closure.split("\n") if line]
    assert added[:3] == ["logger", "backup", "debugger"]
    (survivors,) = [cell for cell in said if "objects are freed" in cell]
    assert re.findall(r"<td>(\w+)</td>\s+<td>[^<]+</td>\s+<td>usage_leak", survivors) == [
        "FILE",
        "PIPE",
        "NET_NS",
        "USER_NS",
    ]
    assert said.count("picture") == 2


def who_holds_this(cells: list[list[str]]) -> None:
    said = ["\n".join(cell) for cell in cells]
    whole = "\n".join(said)
    assert "False" in said  # lsns
    assert re.search(r"\['/proc/\d+/fd/\d+'\]", whole)
    assert re.search(
        r"net namespace net:\[\d+\]: refcount 1\n +keeper \(\d+\)(, \w+)?: fd \d", whole
    )
    assert "[]" in "\n".join(said)
    assert re.search(r"unix socket .*: in flight in its queue", whole)
    # On a machine where something else could not be read, it may be there all the same.
    assert re.search(r"net:\[\d+\]: (no such object|not found, but it may be there)", said[-2])


PROMISES: dict[str, Callable[[list[list[str]]], None]] = {
    "01_first_leak": first_leak,
    "02_reference_graph": reference_graph,
    "03_who_holds_this": who_holds_this,
}


def actors() -> set[int]:
    """Return the processes of any scene that run."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(ROOT / "notebooks" / "actors.py") in command.split(b"\0"):
            found.add(int(folder.name))
    return found


@jupyter
@pytest.mark.live
@pytest.mark.bpf
@named
def test_it_runs_live_and_leaves_nothing(path: Path) -> None:
    before, mounts = actors(), Path("/proc/self/mountinfo").read_text()
    cells = outputs(run(path))
    assert cells[0][0].startswith("live: ")
    PROMISES[path.stem](cells)
    assert not actors() - before
    assert Path("/proc/self/mountinfo").read_text() == mounts


@jupyter
@pytest.mark.live
@named
def test_it_runs_on_its_recording_as_it_is_rendered(path: Path) -> None:
    """`make notebooks` writes docs/notebooks; other versions of pandas write other tables."""
    executed = run(path, "recorded")
    cells = outputs(executed)
    assert cells[0][0].startswith("recorded on another machine, not live here: ")
    PROMISES[path.stem](cells)
    lock = (ROOT / "locks/dev.txt").read_text()
    if any(f"{package}=={version(package)}" not in lock for package in ("pandas", "networkx")):
        pytest.skip("rendered with other versions of pandas or networkx")
    pictures: dict[str, bytes] = {}
    text = notebooks.markdown(executed, path.stem, pictures)
    assert text == (notebooks.RENDERED / f"{path.stem}.md").read_text()
    assert set(pictures) == {png.name for png in notebooks.RENDERED.glob(f"{path.stem}-*.png")}


@jupyter
@pytest.mark.live
@pytest.mark.needs("root")
def test_a_kernel_that_is_killed_leaves_no_process() -> None:
    """The scene ends when nobody can tell it to any more."""
    code = (
        "import os, signal, sys; sys.path.insert(0, 'notebooks'); import stage\n"
        "scene = stage.Live('shop'); print(scene.facts['root'], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    root = int(done.stdout)
    stop = subprocess.run(
        ["timeout", "10", "tail", "--pid", str(root), "-f", "/dev/null"], check=False
    )
    assert stop.returncode == 0


def test_what_is_printed_in_two_messages_is_one_block() -> None:
    """A busy machine's kernel flushes between two lines of one print."""
    parts = [("stdout", "a\n"), ("stdout", "b\n"), ("stderr", "c\n"), ("stdout", ["d", "\n"])]
    given = [{"output_type": "stream", "name": name, "text": text} for name, text in parts]
    picture = {"output_type": "display_data", "data": {"image/png": ""}}
    found = notebooks.joined([*given[:2], picture, *given[1:]])
    assert [one.get("text") for one in found] == ["a\nb\n", None, "b\n", "c\n", ["d", "\n"]]
    assert given[0]["text"] == "a\n"


@named
def test_it_is_committed_clean(path: Path) -> None:
    """No outputs and no counts, and as the script writes it: no difference is noise."""
    text = path.read_text()
    assert text == notebooks.text_of(notebooks.stripped(notebooks.read(path)))
    assert not re.search(r"(?<![\w.{}])/(home|root|tmp|work|Users)/", text)


@named
def test_it_ends_with_what_to_try_next(path: Path) -> None:
    *_, last = notebooks.read(path)["cells"]
    assert last["source"][0] == "## What to try next\n"


@pytest.mark.parametrize("path", RECORDED, ids=[path.stem for path in RECORDED])
def test_a_recording_tells_nothing_of_the_machine(path: Path) -> None:
    snapshot = analyzer.load(path)
    assert snapshot.meta["host"] == "example"
    assert snapshot.meta["addresses"] == "hashed"
    assert "-" not in snapshot.meta["kernel"]
    assert set(snapshot.meta["boot_id"]) == set("0-48")
    cast = {"supervisor", "service", "monitor", "shop", "web", "worker", "logger", "backup",
            "debugger", "keeper"}  # fmt: skip
    assert set(snapshot.tables["tasks"]["comm"]) <= cast
    places = {name.split("/")[1] for name in snapshot.objects["name"].dropna() if name[0] == "/"}
    assert places <= {"dev", "etc", "usr", ""}
    assert path.stat().st_size < 32_000
