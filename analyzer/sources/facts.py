"""Read what kinds and types of open files can say of the state of the objects that are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import FACTS
from analyzer.kinds import facts, file_types, registry
from analyzer.kinds._recognise import file_operations, recognised
from analyzer.memory.reader import MissingFieldError
from analyzer.snapshot import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask, State
    from analyzer.memory.reader import Memory
    from analyzer.snapshot.tables import Table

_FILE: Final = "FILE"


def table(memory: Memory, objects: Table, chosen: Mask) -> Table:
    """Return the facts of the `chosen` objects; what this kernel cannot tell is not there."""
    parts: dict[str, list[Any]] = {column.name: [] for column in FACTS.columns}
    for kind, rows, state in _states(memory, objects, chosen):
        for name, values in _read(memory, state, objects["address"][rows]).items():
            known = ~np.ma.getmaskarray(values)
            plain = np.ma.getdata(values)
            is_text = facts()[name].type == "text"
            if is_text:
                known &= plain != ""
            count = int(known.sum())
            parts["kind"] += [kind] * count
            parts["ref"] += objects["objref"][rows[known]].tolist()
            parts["fact"] += [name] * count
            parts["number"] += [None] * count if is_text else plain[known].astype(int).tolist()
            parts["text"] += plain[known].tolist() if is_text else [None] * count
    return tables.build(FACTS, parts)


def _states(
    memory: Memory, objects: Table, chosen: Mask
) -> Iterator[tuple[str, npt.NDArray[np.intp], State]]:
    for kind in registry().values():
        rows = np.flatnonzero(chosen & (objects["kind"] == objects.code("kind", kind.name)))
        if kind.state is not None and len(rows):
            yield kind.name, rows, kind.state
        if kind.name == _FILE and len(rows):
            yield from _of_types(memory, objects, rows)


def _of_types(
    memory: Memory, objects: Table, rows: npt.NDArray[np.intp]
) -> Iterator[tuple[str, npt.NDArray[np.intp], State]]:
    types = file_types()
    learnt = file_operations(memory, types)
    address = objects["address"][rows]
    read = memory.gather(address, "file", {"ops": "f_op"})
    found = recognised(memory, types, address[read.ok], read["ops"][read.ok])
    for file_type in types:
        if file_type.state is not None:
            ops = list(found.get(file_type.name, {learnt[file_type.name]}))
            mine = rows[read.ok & np.isin(read["ops"], np.array(ops, np.uint64))]
            if len(mine):
                yield _FILE, mine, file_type.state


def _read(memory: Memory, state: State, addresses: U64) -> dict[str, npt.NDArray[Any]]:
    try:
        return dict(state.read(memory, addresses))
    except MissingFieldError:
        return {}
