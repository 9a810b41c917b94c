"""Read what kinds and types of open files can say of the state of the objects that are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import FACTS, TASK
from analyzer.core.values import dataclass
from analyzer.kinds import facts, file_types, registry
from analyzer.kinds._recognise import file_operations, of_one, recognised
from analyzer.kinds.base import Known
from analyzer.memory.distinct import groups
from analyzer.memory.reader import MissingFieldError
from analyzer.snapshot import tables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    import numpy.typing as npt

    from analyzer.kinds.base import I64, U64, Mask, State, Told
    from analyzer.memory.reader import Memory
    from analyzer.snapshot.tables import Table
    from analyzer.sources.tasks import Tasks

_FILE: Final = "FILE"
_NO_ROWS: Final = np.empty(0, np.int64)


@dataclass(frozen=True)
class _Stateful:
    """Things of one kind that are asked for their state: their numbers and addresses."""

    kind: str
    ref: I64
    address: U64
    state: State


def table(memory: Memory, objects: Table, chosen: Mask, tasks: Tasks, people: Mask) -> Table:
    """Return the facts of the `chosen` objects, and of those `people` that are no kernel threads.

    What this kernel cannot tell is not there.
    """
    things = (*_states(memory, objects, chosen), *_of_tasks(tasks, people))
    return _told(memory, things, facts().keys())


def some(memory: Memory, objects: Table, only: Collection[str]) -> Table:
    """Return those facts of all objects that are called one of `only`."""
    everything = np.ones(len(objects), np.bool_)
    states = _states(memory, objects, everything) if only else ()
    known = (one for one in states if any(fact.name in only for fact in one.state.facts))
    return _told(memory, known, only)


def _told(memory: Memory, things: Iterable[_Stateful], only: Collection[str]) -> Table:
    parts: dict[str, list[Any]] = {column.name: [] for column in FACTS.columns}
    for some in things:
        for name, values in _read(memory, some.state, some.address).items():
            if name not in only:
                continue
            is_text = facts()[name].type == "text"
            plain, known = _known(values)
            if is_text:
                known = known & (plain != "")
            count = int(known.sum())
            parts["kind"] += [some.kind] * count
            parts["ref"] += some.ref[known].tolist()
            parts["fact"] += [name] * count
            parts["number"] += [None] * count if is_text else plain[known].astype(int).tolist()
            parts["text"] += plain[known].tolist() if is_text else [None] * count
    return tables.build(FACTS, parts)


def _known(values: npt.NDArray[Any] | Known) -> Known:
    return values if isinstance(values, Known) else Known(values, np.ones(len(values), np.bool_))


def _of_tasks(tasks: Tasks, people: Mask) -> Iterator[_Stateful]:
    """Yield the threads of what people run."""
    state = registry()[TASK].state
    table = tasks.table
    rows = np.flatnonzero(people & ~table["kthread"])
    if state is not None and len(rows):
        yield _Stateful(TASK, table["tid"][rows], tasks.address[rows], state)


def _states(memory: Memory, objects: Table, chosen: Mask) -> Iterator[_Stateful]:
    some = tables.rows_by_kind(objects, chosen)
    for kind in registry().values():
        rows = some.get(kind.name, _NO_ROWS)
        ref, address = objects["objref"][rows], objects["address"][rows]
        if kind.state is not None and len(rows):
            yield _Stateful(kind.name, ref, address, kind.state)
        if kind.name == _FILE and len(rows):
            yield from _of_types(memory, ref, address)


def _of_types(memory: Memory, ref: I64, address: U64) -> Iterator[_Stateful]:
    telling = [file_type for file_type in file_types() if file_type.state is not None]
    learnt = file_operations(memory, file_types())
    read = memory.gather(address, "file", {"ops": "f_op"})
    rows = groups(read["ops"], np.flatnonzero(read.ok))
    found = recognised(memory, telling, address, rows)
    for file_type in telling:
        ops = found.get(file_type.name, {learnt[file_type.name]})
        mine = of_one(rows, ops)
        if len(mine) and file_type.state is not None:
            yield _Stateful(_FILE, ref[mine], address[mine], file_type.state)


def _read(memory: Memory, state: State, addresses: U64) -> Told:
    try:
        return state.read(memory, addresses)
    except MissingFieldError:
        return {}
