"""Cores of kernels, and what a check on the machine itself said a moment before.

A core comes with the reports of its guest (`scripts.kernels.core`, a list of JSON answers beside
it). One of them is kept here, as the pages that its check asks for:

    python -m tests.cores CORE NAME      # writes tests/data/core/NAME.npz and NAME.json
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from analyzer.check.leaks import check
from analyzer.memory.fields import Layout
from analyzer.memory.pages import PAGE, Pages
from analyzer.memory.reader import Memory
from analyzer.memory.vmcore import open_core
from analyzer.report.make import make
from analyzer.report.value import ReportOptions
from analyzer.sources import collect
from analyzer.writers import json as writer
from tests.fakekernel import Answers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from analyzer.memory.btf import Btf

    Json = dict[str, Any]

TABLE: Final = Path(__file__).parent / "data" / "btf" / "linux-6.12-amd64.json"
DATA: Final = Path(__file__).parent / "data" / "core"
# What is not of the machine, or is another number in another reading.
_COUNTED: Final = ("kind", "users", "refcount", "verdict", "outside", "unnamed")
_HELD: Final = ("side", "association", "slot", "weight", "holder")
_OF_THE_READING: Final = {"objref", "task_set", "tasks", "things", "via", "identities"}


def can_open() -> bool:
    """Tell whether drgn is installed."""
    return importlib.util.find_spec("drgn") is not None


def said(core: Path) -> dict[str, Json]:
    """Return what the guest said of each fixture before it was dumped: root and report, by name."""
    answers = json.loads(core.with_name(f"{core.name}.json").read_text())
    return {answer["name"]: answer for answer in answers if answer.get("what") == "check"}


def report(memory: Memory, root: int) -> Json:
    """Return the report of `cranalyze check --json --all --raw-addresses`."""
    snapshot = collect(root, source="kernel", memory=memory, raw_addresses=True)
    made = make(snapshot, check(snapshot, root), ReportOptions("check", all=True))
    return cast("Json", json.loads(json.dumps(writer.document(made))))


def facts(of: Json) -> Iterator[str]:
    """Yield what a report says, a line each, with addresses in the place of numbers of rows."""
    address = {one["objref"]: one["address"] for one in of["objects"]}

    def plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON has
        if isinstance(value, list):
            return sorted(map(plain, value), key=_text)
        if isinstance(value, dict):
            kept = {k: plain(v) for k, v in value.items() if k not in _OF_THE_READING}
            if kept.get("observer"):  # who read the memory was part of the machine
                rest = [one for one in kept["holders"] if one["side"] != "observer"]
                kept.update(refcount=kept["refcount"] - kept["observer"], observer=0, holders=rest)
            return {**kept, "at": address.get(value.get("objref"))}
        return value

    for key in ("status", "incomplete", "summary", "gaps"):
        yield f"{key}: {_text(of[key])}"
    for key in ("objects", "findings"):
        yield from (f"{key}: {_text(one)}" for one in plain(of[key]))


def counts(of: Json) -> dict[str, str]:
    """Return what a report counts of each object, by its address, and who holds it."""
    told = {}
    for line in facts(of):
        table, _, text = line.partition(": ")
        if table == "objects":
            one = json.loads(text)
            held = [{key: by[key] for key in _HELD} for by in one["holders"]]
            told[one["address"]] = _text([{key: one[key] for key in _COUNTED}, held])
    return told


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def record(core: Path, name: str, folder: Path = DATA) -> None:
    """Keep what the check of one fixture asks of a core, and what its guest said."""
    answer = said(core)[name]
    pages: dict[int, bytes] = {}
    symbols: dict[str, int] = {}
    with open_core(str(core)) as memory:
        engine = cast("Pages", memory.engine)

        def fetch(address: int) -> bytes | None:
            data = engine.fetch(address)
            if data is not None:
                pages[address] = data
            return data

        def locate(symbol: str) -> int:
            return symbols.setdefault(symbol, engine.locate(symbol))

        report(Memory(Pages(fetch, locate), memory.layout), answer["root"])
        answers = memory.layout._answers  # what a cache would keep
        about = {**answer, "symbols": symbols, "answers": answers}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(about, sort_keys=True))
    data = np.frombuffer(b"".join(pages.values()), np.uint8).reshape(-1, PAGE)
    np.savez_compressed(folder / f"{name}.npz", address=np.array([*pages], np.uint64), data=data)


def recorded(name: str) -> tuple[Memory, Json]:
    """Return a core that is kept here, and what is known of it."""
    about = json.loads((DATA / f"{name}.json").read_text())
    with np.load(DATA / f"{name}.npz") as kept:
        rows: Mapping[int, bytes] = {
            address: row.tobytes()
            for address, row in zip(kept["address"].tolist(), kept["data"], strict=True)
        }
    engine = Pages(rows.get, about["symbols"].__getitem__)
    # What was not asked then, the same kernel's table answers.
    answers = {**json.loads(TABLE.read_text())["answers"], **about["answers"]}
    layout = Layout(lambda: cast("Btf", Answers(answers)))
    return Memory(engine, layout), about


if __name__ == "__main__":
    record(Path(sys.argv[1]), sys.argv[2])
