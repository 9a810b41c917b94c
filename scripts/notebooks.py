# ruff: noqa: INP001 - a script: no package
"""Keeps the notebooks: strips, executes, renders and records them.

    python scripts/notebooks.py clean               strip outputs: how they are committed
    python scripts/notebooks.py run FILE            execute one, write it with outputs to stdout
    python scripts/notebooks.py render [FOLDER]     execute all on recordings, write docs/notebooks
    python scripts/notebooks.py record              as root: take the recordings of notebooks/data

The kernel of a notebook is this Python, whatever kernels are installed. What is rendered is made of
recordings, so that it changes when a notebook does, and not with every run.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from analyzer.snapshot.tables import Mask, Table
    from analyzer.snapshot.value import Snapshot

ROOT: Final = Path(__file__).resolve().parents[1]
NOTEBOOKS: Final = ROOT / "notebooks"
RENDERED: Final = ROOT / "docs/notebooks"
_PATIENCE: Final = 120  # seconds, for a cell

Cell = dict[str, Any]
Notebook = dict[str, Any]


def paths() -> list[Path]:
    """Return the notebooks, in order."""
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def read(path: Path) -> Notebook:
    """Return a notebook as it is in its file."""
    notebook: Notebook = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def text_of(notebook: Notebook) -> str:
    """Return the text of a notebook's file, as Jupyter would write it."""
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


# --- clean


def stripped(notebook: Notebook) -> Notebook:
    """Return the notebook without outputs, counts and what an editor remembers of cells."""
    cells = [
        {**cell, "metadata": {}, "id": f"cell-{number}"}
        | ({"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {})
        for number, cell in enumerate(notebook["cells"], start=1)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def clean() -> None:
    """Strip the notebooks in place."""
    for path in paths():
        path.write_text(text_of(stripped(read(path))), encoding="utf-8")


# --- run


def executed(path: Path) -> Notebook:
    """Execute a notebook with this Python, in its folder; return it with outputs.

    Raises nbclient's CellExecutionError for a cell that fails.
    """
    import matplotlib.font_manager  # noqa: F401 - its cache is made here, and says so once
    import nbformat
    from jupyter_client.kernelspec import KernelSpecManager
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": os.fspath(path.parent)}}
    client = NotebookClient(notebook, kernel_name="python3", timeout=_PATIENCE, resources=where)
    with tempfile.TemporaryDirectory() as own:
        # Nobody's settings, no port, and no kernel but the native one, which is sys.executable.
        os.environ |= dict.fromkeys(("JUPYTER_RUNTIME_DIR", "IPYTHONDIR"), own)
        manager = client.create_kernel_manager()
        manager.kernel_spec_manager = KernelSpecManager(kernel_dirs=[])
        manager.transport, manager.ip = "ipc", f"{own}/kernel"
        client.execute()
    result: Notebook = json.loads(nbformat.writes(notebook))
    for cell in result["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = joined(cell["outputs"])
    return result


def joined(outputs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a cell's outputs with what was printed in one piece.

    How many messages it came in is a matter of time.
    """
    found: list[dict[str, Any]] = []
    for output in outputs:
        last = found[-1] if found else {"output_type": ""}
        if output["output_type"] == last["output_type"] == "stream" and (
            output["name"] == last["name"]
        ):
            last["text"] = _joined(last["text"]) + _joined(output["text"])
        else:
            found.append(dict(output))
    return found


# --- render


def render(folder: Path) -> None:
    """Write every notebook with its outputs as Markdown, its pictures beside it."""
    os.environ["CRANALYZE_NOTEBOOKS"] = "recorded"
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.png"):
        stale.unlink()
    for path in paths():
        pictures: dict[str, bytes] = {}
        text = markdown(executed(path), path.stem, pictures)
        (folder / f"{path.stem}.md").write_text(text, encoding="utf-8")
        for name, data in pictures.items():
            (folder / name).write_bytes(data)


def markdown(notebook: Notebook, stem: str, pictures: dict[str, bytes]) -> str:
    """Return an executed notebook as Markdown, and put its pictures into `pictures` by name."""
    parts = [
        part for cell in notebook["cells"] for part in _cell(cell, stem, pictures) if part.strip()
    ]
    link = f"*Made from [{stem}.ipynb](../../notebooks/{stem}.ipynb), run on recorded snapshots.*"
    return "\n\n".join([parts[0], link, *parts[1:]]) + "\n"


def _cell(cell: Cell, stem: str, pictures: dict[str, bytes]) -> Iterator[str]:
    source = _joined(cell["source"])
    if cell["cell_type"] != "code":
        yield re.sub(r"\[(\w+)\.ipynb\]\(\1\.ipynb\)", r"[\1](\1.md)", source)
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        data = output.get("data", {})
        if output["output_type"] == "stream":
            yield f"```text\n{_joined(output['text']).rstrip()}\n```"
        elif "image/png" in data:
            name = f"{stem}-{len(pictures) + 1}.png"
            pictures[name] = base64.b64decode(_joined(data["image/png"]))
            yield f"![{source.strip(';')}]({name})"
        elif "text/html" in data:
            yield _html(_joined(data["text/html"]))
        elif "text/plain" in data:
            yield f"```text\n{_joined(data['text/plain'])}\n```"


def _html(html: str) -> str:
    """Return HTML as a forge shows it: what it would refuse is said in words."""
    if html.lstrip().startswith("<iframe"):
        return "*(Here Jupyter shows the page of `cranalyze report --html`.)*"
    plain = re.sub(r"<style.*?</style>", "", html, flags=re.DOTALL)
    # An empty line ends a block of HTML in Markdown; a row is a line.
    lines = "\n".join(line.strip() for line in plain.splitlines() if line.strip())
    return re.sub(r"\n(?=<t[dh]|</tr>)", "", lines)


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


# --- record


def record() -> None:
    """Run every notebook on live processes and keep what it sees in notebooks/data."""
    sys.path.insert(0, os.fspath(NOTEBOOKS))
    import stage

    os.chdir(NOTEBOOKS)
    stage.DATA.mkdir(exist_ok=True)
    recorder = _recorder(stage)
    stage.start = recorder
    for path in paths():
        cells = [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]
        exec("\n".join(_joined(cell["source"]) for cell in cells), {"__name__": path.stem})  # noqa: S102 - it is ours


def _recorder(stage: Any) -> type:  # noqa: ANN401 - a module beside the notebooks
    """Return a scene that runs, and keeps what it shows."""

    class Recorder(stage.Live):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            self._kept: dict[str, Any] = {"steps": [], "seen": {}}
            self._taken = 0
            super().__init__(name)

        def snapshot(self) -> Snapshot:
            self._taken += 1
            path = stage.recording(self.name, self._taken)
            reduced(super().snapshot(), self.facts).save(path, force=True)
            path.chmod(0o644)  # nothing of this machine is in it
            kept: Snapshot = stage.analyzer.load(path)
            return kept

        def seen(self, name: str, look: Callable[[], Any]) -> Any:  # noqa: ANN401
            return self._kept["seen"].setdefault(name, look())

        def _said(self) -> Any:  # noqa: ANN401
            said = super()._said()
            self._kept["steps"].append(said)
            return said

        def end(self) -> None:
            text = json.dumps(self._kept, indent=1) + "\n"
            (stage.DATA / f"{self.name}.json").write_text(text)
            super().end()

    return Recorder


def reduced(snapshot: Snapshot, facts: Mapping[str, Any]) -> Snapshot:
    """Return what a scene needs of a snapshot, and nothing that tells of the machine.

    Kept are the objects that the scene is about, what leads to them, and the tasks at the ends.
    """
    import numpy as np

    from analyzer.snapshot import tables

    tasks, objects, references = (snapshot.tables[n] for n in ("tasks", "objects", "references"))
    inside, kept = _matters(snapshot, facts)
    by_task = references["holder_kind"] == references.code("holder_kind", "TASK")
    holder = np.where(by_task, 1, references["holder"]) - 1
    target = references["target"] - 1
    edges = kept[target] & np.where(by_task, ~objects["initial"][target], kept[holder])
    known = inside | np.isin(tasks["tid"], references["holder"][edges & by_task])
    number = np.cumsum(kept)
    ends = {
        "holder": np.where(by_task, references["holder"], number[holder])[edges],
        "target": number[target][edges],
    }
    named = _changed(objects.take(kept), "name", _usual_place)
    return replace(
        snapshot,
        meta=_of_any_machine(snapshot),
        tables={
            "tasks": _changed(tasks.take(known), "cgroup", lambda _: "/"),
            "objects": tables.with_columns(named, {"objref": number[kept]}),
            "references": tables.with_columns(references.take(edges), ends),
            "gaps": snapshot.tables["gaps"],
        },
    )


def _matters(snapshot: Snapshot, facts: Mapping[str, Any]) -> tuple[Mask, Mask]:
    """Return which tasks and which objects a scene is about."""
    import numpy as np

    from analyzer.check.subtree import INSIDE, border
    from analyzer.core.model import Rules
    from analyzer.lookup.who import parse, rows, upward

    tasks, objects = snapshot.tables["tasks"], snapshot.tables["objects"]
    if "root" in facts:
        edge = border(snapshot, facts["root"], Rules.MODERN)
        about, inside = edge.collected, edge.task_side == INSIDE
    else:
        about = np.zeros(len(objects), np.bool_)
        about[rows(snapshot, parse(facts["asked"]))] = True
        inside = tasks["tid"] == facts["keeper"]
    # What leads to a filesystem or to the host's namespaces is the whole machine.
    common = objects["initial"] | (objects["kind"] == objects.code("kind", "SUPERBLOCK"))
    leads = upward(snapshot, np.flatnonzero(about & ~common).tolist())
    return inside, about | (leads & ~objects["initial"])


def _of_any_machine(snapshot: Snapshot) -> dict[str, Any]:
    meta = {key: value for key, value in snapshot.meta.items() if key != "address_key"}
    return meta | {
        "host": "example",
        "boot_id": "00000000-0000-4000-8000-000000000000",
        "kernel": snapshot.meta["kernel"].partition("-")[0],
    }


def _usual_place(name: str) -> str:
    """Name Python's own files as if it were the system's."""
    return name.replace(sys.base_prefix, "/usr")


def _changed(table: Table, column: str, change: Callable[[str], str]) -> Table:
    import numpy as np

    from analyzer.snapshot import tables

    values = [None if value is None else change(value) for value in table[column].tolist()]
    made = np.array([*values, None], object)[:-1]
    return tables.with_columns(table, {column: made}, {column: ~table.known(column)})


def main() -> None:
    """Do what argv[1] says."""
    command, *rest = sys.argv[1:] or ["help"]
    sys.path.append(os.fspath(ROOT))
    if command == "clean":
        clean()
    elif command == "run":
        sys.stdout.write(text_of(executed(Path(*rest).resolve())))
    elif command == "render":
        render(Path(*rest).resolve() if rest else RENDERED)
    elif command == "record":
        record()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
